"""Examples of one domain with their scores read by its scales, each reading once: as its training gets them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec
from msgspec import UNSET, UnsetType

from arbitrank.domain import Domain
from arbitrank.learn.reference import ReferenceDomain
from arbitrank.plugin_hooks import stated as attribute
from arbitrank.scales import FIELDS, Scales, domain_scales, recorded, scale
from arbitrank.scores import ScoreError, distinct_hypotheses
from arbitrank.training.example_file import ExampleFile, Writer
from arbitrank.values import Example


class DomainScales(NamedTuple):
    """Scales of a domain's scores: of hypotheses in the data, and of those known to be its recogniser's."""

    given: Scales
    recognised: Scales

    @classmethod
    def of(cls, domain: Domain, stated: Mapping[str, str]) -> DomainScales:
        """The scales that are stated for the domain, else its own. Raises `InputError` for an unknown one."""
        given, own = domain_scales({**attribute(domain, "scales"), **stated}), domain_scales(domain.scales)
        return cls(given, own if isinstance(domain, ReferenceDomain) else given)

    def recorded(self, examples: Sequence[Example]) -> dict[str, str] | UnsetType:
        """The scales for the manifest of what is trained on the examples; unset where they bring no scores."""
        first = next(iter(examples), None)
        if first is None or first.request.hypotheses is None:
            return UNSET
        return recorded(self.given, _scored(examples, self.given)) if self.given else {}


def _scored(examples: Iterable[Example], scales: Scales) -> frozenset[str]:
    """The fields that have a score in some example, or a scale that leaves out whatever is there."""
    found = {name for name, one in scales.items() if one == scale("missing")}
    for example in examples:
        for hypothesis in example.request.hypotheses or ():
            found.update(name for name in FIELDS if name not in found and getattr(hypothesis, name) is not None)
            if "slots_confidence" not in found and any(slot.confidence is not None for slot in hypothesis.slots):
                found.add("slots_confidence")
        if len(found) == len(FIELDS):
            break
    return frozenset(found)


def read_example(example: Example, scales: DomainScales) -> Example:
    """The example with its hypotheses, which are of one domain, read; the same one where nothing changes.

    Raises `ScoreError` where they cannot be read.
    """
    given = example.request.hypotheses
    if given is None:
        return example
    own = scales.recognised if example.extra.get("recognised") is True else scales.given
    read = distinct_hypotheses(given, own)
    if read is given:
        return example
    return msgspec.structs.replace(example, request=msgspec.structs.replace(example.request, hypotheses=read))


def write_read(
    path: Path, name: str, examples: Sequence[Example], scales: DomainScales
) -> tuple[Sequence[Example], tuple[str, ...]]:
    """The examples, read, on disk where they change, and a note on those that cannot be read.

    Their hypotheses are left out; an example that is then of no use to the domain is left out as a whole.
    """
    if all(_unchanged(example, scales) for example in examples):
        return examples, ()
    unread, first = 0, ""
    with Writer(path, every=True) as writer:
        for example in examples:
            try:
                writer.add(read_example(example, scales))
            except ScoreError as error:
                unread += 1
                first = first or f"{example.request.id or 'without an id'}: {error}"
                if example.truth.owned_by(name):
                    bare = msgspec.structs.replace(example.request, hypotheses=())
                    writer.add(msgspec.structs.replace(example, request=bare))
    notes = f"{name}: the hypotheses of {unread} examples cannot be read and are left out; the first: {first}"
    return ExampleFile(path), (notes,) if unread else ()


def _unchanged(example: Example, scales: DomainScales) -> bool:
    try:
        return read_example(example, scales) is example
    except ScoreError:
        return False
