"""Shared negatives in a domain's training data: whether they are added, which, how many, and what is said of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import chain
from pathlib import Path
from typing import NamedTuple

from arbitrank.domain import Domain
from arbitrank.negatives.installed import InstalledNegatives, installed_negatives
from arbitrank.negatives.selection import SuitedNegatives, in_turns, situated, suited
from arbitrank.plugin_hooks import stated
from arbitrank.store.artifact import NegativesUsed
from arbitrank.training.example_file import ExampleFile, Writer
from arbitrank.values import Example

__all__ = ["AddedNegatives", "added_negatives", "left_out", "suited_negatives", "with_negatives"]

LEAST, PER_OWN = 600, 2
"""Shared negatives that are added: so many at least, and for each of the domain's own requests."""

_INSTALL = "pip install arbitrank-negatives"


class AddedNegatives(NamedTuple):
    """The negatives to add to a domain's data, what they are for the manifest, and remarks on them."""

    examples: Sequence[Example] = ()
    used: tuple[NegativesUsed, ...] = ()
    notes: tuple[str, ...] = ()


def suited_negatives(domain: Domain, own: Iterable[str], installed: InstalledNegatives) -> SuitedNegatives:
    """The installed negatives that suit a domain with these own utterances. Raises `PluginError` for wrong `topics`."""
    return suited(installed.sets, domain.name, stated(domain, "topics"), own)


def added_negatives(
    domain: Domain, examples: Sequence[Example], wanted: bool | None = None, silent: int = 0
) -> AddedNegatives:
    """The shared negatives to add to the examples of a domain.

    They are added where the examples hold no request of another domain, unless `wanted` or the domain's
    `shared_negatives` says otherwise. `silent` counts other domains' requests beside the examples. To examples that
    bring hypotheses none can be added, as the domain's language understanding has not read them.
    """
    name, wanted = domain.name, domain.shared_negatives if wanted is None else wanted
    if wanted is False:
        return AddedNegatives()
    own = [one for one in examples if one.truth.owned_by(name)] if wanted else _all_own(name, examples)
    if not own or (wanted is None and (silent or domain.fallback)):
        return AddedNegatives()
    if examples[0].request.hypotheses is not None:
        why = "its data bring hypotheses, and its language understanding has not read them"
        return AddedNegatives(notes=(f"domain {name}: shared negatives are not used: {why}",) if wanted else ())
    installed = installed_negatives()
    if not installed.sets:
        lack = f"domain {name}: no shared negatives are installed, from which it would learn when to be silent"
        return AddedNegatives(notes=(f"{lack}; {_INSTALL}", *installed.notes))
    chosen = suited_negatives(domain, (one.request.utterance or "" for one in own), installed)
    some = in_turns(chosen.examples, max(LEAST, PER_OWN * len(own)))
    of_set = {id(one): of for of in installed.sets for one in of.examples}
    counts = Counter(id(of_set[id(one)]) for one in some)
    used = tuple(
        NegativesUsed(of.distribution, of.version, of.digest, counts[id(of)]) for of in installed.sets if counts[id(of)]
    )
    return AddedNegatives(situated(some, own), used, (*installed.notes, *left_out(domain, chosen)))


def _all_own(name: str, examples: Sequence[Example]) -> list[Example]:
    """The examples where all are the domain's own, else none."""
    own = []
    for one in examples:
        if not one.truth.owned_by(name):
            return []
        own.append(one)
    return own


def left_out(domain: Domain, chosen: SuitedNegatives) -> tuple[str, ...]:
    """The remark on topics that are left out although the domain does not state them; none where there are none."""
    if not chosen.alike:
        return ()
    topics = ", ".join(chosen.alike)
    return (f"domain {domain.name}: shared negatives like its own requests are left out, by topic: {topics}",)


def with_negatives(path: Path, examples: Sequence[Example], added: AddedNegatives) -> Sequence[Example]:
    """The examples, where negatives are added with these at their end, written to a file."""
    if not added.used:
        return examples
    with Writer(path, every=True) as writer:
        for one in chain(examples, added.examples):
            writer.add(one)
    return ExampleFile(path)
