"""Readings of a domain's own requests, whatever it claims: intents and slots, and what is taken for what."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import msgspec
import numpy as np

from arbitrank.report.measured import CountedShare, MeasuredDomain
from arbitrank.semer import distinct_slots, entirely_right, semantic_errors
from arbitrank.values import Hypothesis, Ranked, Truth

NO_READING = "no reading"
ANOTHER_VALUE = "another value"
MISSED = "missed"
NOT_THERE = "not there"


class LabelScore(msgspec.Struct, frozen=True):
    """Scores of an intent or a slot: `n` in the truths and `read` in the readings, those right in both.

    `precision` is right / read and `recall` right / n; each is None where it has nothing to count.
    """

    name: str
    n: int
    read: int
    right: int
    precision: CountedShare | None
    recall: CountedShare | None
    f1: float | None


class LabelConfusion(msgspec.Struct, frozen=True):
    """Number of times that the true label was read as another one; `example` is the utterance of the first."""

    truth: str
    read: str
    n: int
    example: str | None


class OwnReadings(msgspec.Struct, frozen=True):
    """Shares of the own requests: claimed, and by the place of the entirely right reading in the domain's list.

    `first`: its best reading. `later`: another of its readings, so that the re-ranker chose badly. `absent`: none of
    its readings, so that the recogniser lacks it. `unread`: no reading at all.
    """

    claimed: CountedShare | None
    first: CountedShare | None
    later: CountedShare | None
    absent: CountedShare | None
    unread: CountedShare | None


class LabelTable(NamedTuple):
    """Scores by label, the most frequent first, and confusions, the most frequent first."""

    scores: list[LabelScore]
    confusions: list[LabelConfusion]


def own_readings(one: MeasuredDomain) -> OwnReadings:
    """Places of the right reading among the domain's, over its own requests."""
    own = np.flatnonzero(one.own)
    first, read = one.right[own], one.read[own]
    within = np.array([_any_right(one.readings[i], one.examples[i].truth) for i in own.tolist()], bool)
    return OwnReadings(
        claimed=CountedShare.in_mask(one.claimed[own]),
        first=CountedShare.in_mask(first),
        later=CountedShare.in_mask(within & ~first),
        absent=CountedShare.in_mask(read & ~within & ~first),
        unread=CountedShare.in_mask(~read),
    )


def _any_right(readings: Sequence[Hypothesis | Ranked], truth: Truth) -> bool:
    return any(entirely_right(reading, truth) for reading in readings)


def intents(one: MeasuredDomain) -> LabelTable:
    """Intents of the own requests by their best readings."""
    pairs = []
    for i in np.flatnonzero(one.own).tolist():
        truth, top = one.examples[i].truth, one.top(i)
        read = NO_READING if top is None else top.intent
        true = [each.intent or one.name for each in truth.each]
        pairs.append((read if read in true else true[0], read, one.examples[i].request.utterance))
    return _table(pairs, {NO_READING})


def slots(one: MeasuredDomain) -> LabelTable:
    """Slots of the own requests by their best readings: name and value have to be right, in whatever intent.

    A true slot that is not read is matched with a read one of its value, then with one of its name.
    """
    pairs = []
    for i in np.flatnonzero(one.own).tolist():
        top, example = one.top(i), one.examples[i]
        truth = example.truth if top is None else _nearest(top, example.truth)
        seen = set() if top is None else distinct_slots(top.slots, truth.slots)
        expected = distinct_slots(truth.slots, truth.slots)
        words = example.request.utterance
        pairs += [(name, name, words) for name, _ in sorted(seen & expected)]
        pairs += [(true, read, words) for true, read in _unmatched(expected - seen, seen - expected)]
    return _table(pairs, {ANOTHER_VALUE, MISSED, NOT_THERE})


def _nearest(reading: Hypothesis | Ranked, truth: Truth) -> Truth:
    return min(truth.each, key=lambda each: semantic_errors(reading, each))


def _unmatched(lacking: set[tuple[str, str]], extra: set[tuple[str, str]]) -> Iterable[tuple[str, str]]:
    """Pairs of the true and the read name of slots that are not right."""
    left = sorted(extra)
    rest = []
    for name, value in sorted(lacking):
        other = next((one for one in left if one[1] == value), None)
        if other is None:
            rest.append(name)
        else:
            left.remove(other)
            yield name, other[0]
    for name in rest:
        other = next((one for one in left if one[0] == name), None)
        if other is not None:
            left.remove(other)
        yield name, MISSED if other is None else ANOTHER_VALUE
    yield from ((NOT_THERE, name) for name, _ in left)


def _table(pairs: Sequence[tuple[str, str, str | None]], apart: set[str]) -> LabelTable:
    """The table of pairs of a true and a read label; those `apart` are none of the labels."""
    true = Counter(pair[0] for pair in pairs)
    # A slot of another value was read, too.
    read = Counter(name if label == ANOTHER_VALUE else label for name, label, _ in pairs)
    right = Counter(name for name, label, _ in pairs if name == label)
    names = [name for name in {**true, **read} if name not in apart]
    names.sort(key=lambda name: (-true[name], name))
    scores = []
    for name in names:
        precision = CountedShare.counted(right[name], read[name])
        recall = CountedShare.counted(right[name], true[name])
        f1 = 2 * right[name] / (true[name] + read[name])
        scores.append(LabelScore(name, true[name], read[name], right[name], precision, recall, f1))
    first: dict[tuple[str, str], str | None] = {}
    wrong = Counter[tuple[str, str]]()
    for name, label, words in pairs:
        if name != label:
            wrong[name, label] += 1
            first.setdefault((name, label), words)
    order = sorted(wrong, key=lambda pair: (-wrong[pair], pair))
    return LabelTable(scores, [LabelConfusion(*pair, wrong[pair], first[pair]) for pair in order])
