"""arbitrank examples: a domain's examples as a corpus, drawn again where they come from patterns."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

import click
import msgspec

from arbitrank.cli import options
from arbitrank.cli.plugin_output import apart
from arbitrank.domain import Domain
from arbitrank.errors import InputError, os_errors
from arbitrank.extras import required
from arbitrank.nlu.drawing import drawing
from arbitrank.registry import discover, domain_named, loaded
from arbitrank.values import Example
from arbitrank.wire.example_lines import example_line


@click.command("examples")
@click.argument("name")
@click.option("-n", "--count", type=click.IntRange(1, 1_000_000), metavar="N", help="So many; default: all.")
@click.option("--seed", type=click.IntRange(0, 2**31 - 1), default=0, help="The same seed gives the same lines.")
@click.option(
    "--negatives", is_flag=True, help="The installed shared negatives that suit the domain, not its own examples."
)
@click.option("--out", type=options.PATH, metavar="FILE", help="Write them to a new file, not to standard output.")
def examples(name: str, count: int | None, seed: int, negatives: bool, out: Path | None) -> None:
    """Print the examples that an installed domain NAME learns from: a corpus, as JSON Lines.

    Where they come from patterns, these draw N of them by the seed, each intent its share; where they come from
    elsewhere, the seed chooses N among them. Those of a domain with its own language understanding have hypotheses and
    a truth. `train --data` and `new --from` read them.

    Example: arbitrank examples podcasts -n 20
    """
    if out is not None and out.exists():
        raise InputError(f"--out: {out} is there already, and nothing is overwritten; name another file")
    found = discover()
    domain = domain_named(name, loaded(found), found)
    with required("train"), apart() as output:
        chosen, notes = _negatives(domain, count, seed) if negatives else _own(domain, count, seed)
        for text in notes:
            options.note(text)
        content = b"".join(msgspec.json.encode(example_line(one)) + b"\n" for one in chosen)
        if out is None:
            output.write(content)
            output.flush()
            return
    with os_errors(InputError, f"--out: {out}: cannot be written"):
        out.write_bytes(content)
    click.echo(f"{out}: {len(chosen):,} examples")


def _own(domain: Domain, count: int | None, seed: int) -> tuple[Sequence[Example], Sequence[str]]:
    """The domain's examples, and remarks on them."""
    from arbitrank.training.plugin_calls import own_examples

    with drawing(seed, count) as drawn:
        found, notes = own_examples(domain)
    chosen = _sampled(found, count, seed)
    if count is not None and len(chosen) < count:
        yielded = "the patterns yield no more" if drawn.used else "it has no more"
        notes = (*notes, f"domain {domain.name}: {len(chosen):,} examples, of {count:,} requested: {yielded}")
    return chosen, notes


def _negatives(domain: Domain, count: int | None, seed: int) -> tuple[Sequence[Example], Sequence[str]]:
    """The shared negatives that suit the domain, and remarks on them. Raises `InputError` where none are installed."""
    from arbitrank.negatives.installed import installed_negatives
    from arbitrank.training.plugin_calls import own_examples
    from arbitrank.training.shared_negatives import left_out, suited_negatives

    installed = installed_negatives()
    if not installed.sets:
        for text in installed.notes:
            options.note(text)
        raise InputError("--negatives: no shared negatives are installed; run: pip install arbitrank-negatives")
    found, _ = own_examples(domain)
    own = (one.request.utterance or "" for one in found if one.truth.owned_by(domain.name))
    chosen = suited_negatives(domain, own, installed)
    return _sampled(chosen.examples, count, seed), (*installed.notes, *left_out(domain, chosen))


def _sampled(found: Sequence[Example], count: int | None, seed: int) -> Sequence[Example]:
    """At most so many of the examples, drawn by the seed, in their order."""
    if count is None or len(found) <= count:
        return found
    return [found[i] for i in sorted(random.Random(seed).sample(range(len(found)), count))]
