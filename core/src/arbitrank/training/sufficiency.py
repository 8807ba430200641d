"""Sufficiency of training data: too few examples of a domain to learn from and to measure on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import msgspec

from arbitrank.evaluate.metrics import Calibration
from arbitrank.values import Example

MIN_EXAMPLES = 100
"""The least examples to train on and measure."""

MIN_INTENT = 10
"""The least examples of an intent."""

_SHOWN = 3  # the most shortages that a note names
_MANY = 5_000  # examples from which on none is read again to count the intents
_LITTLE = 30  # requests of other domains with a hypothesis below which a note says so


class Shortage(NamedTuple):
    """Too little of something: what was seen, the least that is expected, and the edit."""

    seen: str
    least: int
    fix: str

    def __str__(self) -> str:
        return f"{self.seen}, expected {self.least} at least"


def shortages(name: str, examples: Sequence[Example]) -> Iterator[Shortage]:
    """Shortages of a domain's examples: of all of them, then of each of its intents."""
    if len(examples) < MIN_EXAMPLES:
        fix = "add patterns or raise their `count`, or bring a corpus: arbitrank import --corpus"
        if any(one.request.hypotheses for one in examples):
            fix = "add logged requests, with the readings that your system gave and what was meant"
        yield Shortage(f"{len(examples)} examples", MIN_EXAMPLES, fix)
    counts = Counter(one.truth.intent for one in examples if one.truth.owned_by(name))
    for intent, n in counts.items():
        if n < MIN_INTENT and intent is not None:
            yield Shortage(f"{n} examples of the intent {intent}", MIN_INTENT, "add some, or leave the intent out")


def shortage_notes(name: str, examples: Sequence[Example]) -> tuple[str, ...]:
    """The note of training on the domain's shortages, as `arbitrank check` warns of them; none where there are many
    examples."""
    found = list(shortages(name, examples)) if len(examples) < _MANY else []
    if not found:
        return ()
    more = [f"and {len(found) - _SHOWN} more"] if len(found) > _SHOWN else []
    named = "; ".join([*map(str, found[:_SHOWN]), *more])
    text = f"little data, so its weights stay close to its scores: {named}; run: arbitrank check {name}"
    return (f"domain {name}: {text}",)


def others_notes(name: str, card: Calibration) -> tuple[str, ...]:
    """The note that other domains' requests with a hypothesis of the domain are few."""
    if not card.silent or card.others is msgspec.UNSET or card.others >= _LITTLE:
        return ()
    text = f"it has a hypothesis of {card.others} of {card.others + card.silent} requests of other domains"
    return (f"domain {name}: {text}, so P(mine) rests on few",)
