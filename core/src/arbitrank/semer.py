"""Semantic errors: how far a hypothesis is from the truth."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from arbitrank.normal_text import comparable
from arbitrank.values import Hypothesis, Ranked, Slot, Truth


def semer(hypothesis: Hypothesis | Ranked, truth: Truth) -> float:
    """Semantic error rate: errors / (1 intent + slots of the truth), at least 0 and possibly more than 1.

    Errors are a wrong domain or intent (one), and slots inserted, deleted or substituted (right name, wrong value). A
    value is right by its words, or by what both sides resolved it to; a slot that is there twice, in the hypothesis or
    the truth, counts once. Of several truths the nearest counts.
    """
    if truth.also:
        return min(semer(hypothesis, one) for one in truth.each)
    return _errors(hypothesis, truth) / (1 + len(distinct_slots(truth.slots, truth.slots)))


def entirely_right(hypothesis: Hypothesis | Ranked, truth: Truth) -> bool:
    """True where domain, intent and all slots are right; never for a request that is out of scope."""
    return semantic_errors(hypothesis, truth) == 0


def semantic_errors(hypothesis: Hypothesis | Ranked, truth: Truth) -> int:
    """The number of errors: one for the wrong domain or intent, and one for each slot to insert, delete or change.

    A slot that is there twice counts once. Of several truths the nearest counts.
    """
    return min(_errors(hypothesis, one) for one in truth.each) if truth.also else _errors(hypothesis, truth)


def truths_found(readings: Iterable[Hypothesis | Ranked], truth: Truth, *, none: bool = False) -> float:
    """The share, in [0, 1], of the truths of an utterance that one of the readings equals entirely.

    `none` says that the request was declared out of scope, which is one of the truths too where that is right.
    """
    given = tuple(readings)
    found = [(none and one.out_of_scope) or any(entirely_right(h, one) for h in given) for one in truth.each]
    return sum(found) / len(found)


def _errors(hypothesis: Hypothesis | Ranked, truth: Truth) -> int:
    wrong = not truth.owned_by(hypothesis.domain) or hypothesis.intent != (truth.intent or hypothesis.domain)
    if not hypothesis.slots and not truth.slots:
        return int(wrong)
    seen, expected = distinct_slots(hypothesis.slots, truth.slots), distinct_slots(truth.slots, truth.slots)
    extra, lacking = seen - expected, expected - seen
    substituted = Counter(name for name, _ in extra) & Counter(name for name, _ in lacking)
    return int(wrong) + len(extra) + len(lacking) - substituted.total()


def same_reading(one: Hypothesis | Ranked | None, other: Hypothesis | Ranked | None) -> bool:
    """Equality of domain, intent and slots: names and values in any order, each once; None equals None alone."""
    if one is None or other is None or one is other:
        return one is other
    return (one.domain, one.intent) == (other.domain, other.intent) and (
        one.slots == other.slots or _named(one.slots) == _named(other.slots)
    )


def _named(slots: Iterable[Slot]) -> set[tuple[str, str]]:
    return {(slot.name, slot.value) for slot in slots}


def distinct_slots(slots: Sequence[Slot], expected: Sequence[Slot]) -> set[tuple[str, str]]:
    """Names and values of the slots, each slot once, without regard to case, blanks and the encoding of accents.

    Where the `expected` slots are resolved, a slot that is one of them by its words or by what it is resolved to has
    the words of that one.
    """
    if all(one.resolved is None for one in expected):
        return {(slot.name, comparable(slot.value)) for slot in slots}
    known: list[tuple[str, str, Any, str]] = []

    def in_words_of_expected(slot: Slot) -> str:
        words = comparable(slot.value)
        for name, value, resolved, first in known:
            if name == slot.name and (value == words or (resolved is not None and resolved == slot.resolved)):
                return first
        return words

    for one in expected:
        known.append((one.name, comparable(one.value), one.resolved, in_words_of_expected(one)))
    return {(slot.name, in_words_of_expected(slot)) for slot in slots}
