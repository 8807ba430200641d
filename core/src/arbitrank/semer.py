"""Semantic errors: how far a hypothesis is from the truth."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from arbitrank.normal_text import comparable
from arbitrank.values import Hypothesis, Ranked, Slot, Truth


def semer(hypothesis: Hypothesis | Ranked, truth: Truth) -> float:
    """Semantic error rate: errors / (1 intent + slots of the truth), at least 0 and possibly more than 1.

    Errors are a wrong domain or intent (one), and slots inserted, deleted or substituted (right name, wrong value). A
    value is right by its words, or by what both sides resolved it to. Of several truths the nearest counts.
    """
    if truth.also:
        return min(semer(hypothesis, one) for one in truth.each)
    return _errors(hypothesis, truth) / (1 + len(truth.slots))


def entirely_right(hypothesis: Hypothesis | Ranked, truth: Truth) -> bool:
    """True where domain, intent and all slots are right; never for a request that is out of scope."""
    return semantic_errors(hypothesis, truth) == 0


def semantic_errors(hypothesis: Hypothesis | Ranked, truth: Truth) -> int:
    """The number of errors: one for the wrong domain or intent, and one for each slot to insert, delete or change.

    Of several truths the nearest counts.
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
    seen, expected = _counted(_in_words_of(truth.slots, hypothesis.slots)), _counted(truth.slots)
    extra, lacking = seen - expected, expected - seen
    names_extra = Counter(name for name, _ in extra.elements())
    names_lacking = Counter(name for name, _ in lacking.elements())
    substituted = (names_extra & names_lacking).total()
    return int(wrong) + extra.total() + lacking.total() - substituted


def same_reading(one: Hypothesis | Ranked | None, other: Hypothesis | Ranked | None) -> bool:
    """Equality of domain, intent and slots (names and values, in any order); None, no reading, equals None alone."""
    if one is None or other is None or one is other:
        return one is other
    return (one.domain, one.intent) == (other.domain, other.intent) and (
        one.slots == other.slots or _named(one.slots) == _named(other.slots)
    )


def _named(slots: Iterable[Slot]) -> list[tuple[str, str]]:
    return sorted((slot.name, slot.value) for slot in slots)


def _in_words_of(expected: Sequence[Slot], slots: Sequence[Slot]) -> Iterator[Slot]:
    """The slots, each with the words of the expected slot that was resolved to the same value, where there is one."""
    resolved = [one for one in expected if one.resolved is not None]
    for slot in slots:
        same = (one for one in resolved if one.name == slot.name and one.resolved == slot.resolved)
        yield next(same, slot)


def _counted(slots: Iterable[Slot]) -> Counter[tuple[str, str]]:
    """Counts of the slots by name and value, without regard to case, blanks and the encoding of accents."""
    return Counter((slot.name, comparable(slot.value)) for slot in slots)
