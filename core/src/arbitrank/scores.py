"""Scores of hypotheses: one domain's confidences and features, checked and read by their scales.

A domain's hypotheses are read at one place, before its re-ranker or its training gets them; anywhere else they are as
they were given. A number that cannot be read costs that domain its place in the answer.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from numbers import Real
from typing import Any, NoReturn

from msgspec.structs import replace

from arbitrank.errors import InputError
from arbitrank.normal_text import comparable
from arbitrank.scales import DEFAULT, FIELDS, NO_SCALES, Scale, Scales, number_in, scale, short, word_of
from arbitrank.values import Hypothesis, Slot

REPEATED = "repeated"
"""The feature of a reading that its domain named several times: how often."""

_SLACK = 1e-6  # rounding of sums in float32, as a share of the scale's range


Kept = tuple[tuple[int, int], ...]
"""Places of distinct readings among a domain's hypotheses, each with the number of hypotheses that equal it."""


class ScoreError(InputError):
    """Raised when a number of a hypothesis cannot be read; `index` is the hypothesis's among those of its domain."""

    def __init__(self, text: str, index: int) -> None:
        super().__init__(text)
        self.index = index


def read_hypotheses(hypotheses: Sequence[Hypothesis], scales: Scales = NO_SCALES) -> tuple[Hypothesis, ...]:
    """One domain's hypotheses with every confidence in [0, 1] or None, and with features that are finite numbers.

    Within the rounding of float32, a number out of range is clipped. Raises `ScoreError` that names the field, the
    value and the range of the first number that cannot be read. Returns a tuple of plain numbers as it is.
    """
    if not scales and _plain(hypotheses):
        return tuple(hypotheses)
    return tuple(_read(i, h, scales) for i, h in enumerate(hypotheses))


def distinct(read: Sequence[Hypothesis]) -> Kept | None:
    """The distinct readings of a domain, of hypotheses that have been read; None where all of them are.

    Readings are equal where intent, skill and slots (names and values) are; a slot that a reading has twice counts
    once. The one with the highest confidences is kept, in the first one's place.
    """
    if len(read) < 2 or len({h.intent for h in read}) == len(read) or len({identity(h) for h in read}) == len(read):
        return None
    groups: dict[object, list[int]] = {}
    for i, h in enumerate(read):
        groups.setdefault(identity(h), []).append(i)
    return tuple((max(group, key=lambda i: _confidence(read[i])), len(group)) for group in groups.values())


def only(hypotheses: Sequence[Hypothesis], kept: Kept) -> tuple[Hypothesis, ...]:
    """The hypotheses that are kept, with their number as the feature `repeated` where that is above 1."""
    return tuple(_counted(hypotheses[i], n) for i, n in kept)


def distinct_hypotheses(hypotheses: Sequence[Hypothesis], scales: Scales = NO_SCALES) -> tuple[Hypothesis, ...]:
    """The distinct readings of a domain, read: as its re-ranker gets them. Raises as `read_hypotheses` does."""
    read = read_hypotheses(hypotheses, scales)
    kept = distinct(read)
    return read if kept is None else only(read, kept)


def identity(h: Hypothesis) -> object:
    """The key by which equal readings of one domain are one: intent, skill, each slot once; case and blanks aside."""
    slots = h.slots
    if not slots:
        return h.intent, h.skill
    if len(slots) == 1:  # as most readings have, and this is done for every reading
        return h.intent, h.skill, slots[0].name, comparable(slots[0].value)
    named = {(slot.name, comparable(slot.value)) for slot in slots}
    return (h.intent, h.skill, frozenset(named)) if len(named) > 1 else (h.intent, h.skill, *named.pop())


def _confidence(h: Hypothesis) -> float:
    scores = h.domain_confidence, h.intent_confidence, h.reading_confidence
    return math.prod(0.5 if score is None else score for score in scores)


def _counted(h: Hypothesis, n: int) -> Hypothesis:
    return replace(h, features={**h.features, REPEATED: float(n)}) if n > 1 else h


def _plain(hypotheses: Iterable[Hypothesis]) -> bool:
    """True where nothing has to be changed; a number that only looks odd is left to `_read`."""
    for h in hypotheses:
        score = h.domain_confidence
        if score is not None and not (type(score) is float and 0.0 <= score <= 1.0):
            return False
        score = h.intent_confidence
        if score is not None and not (type(score) is float and 0.0 <= score <= 1.0):
            return False
        score = h.slots_confidence
        if score is not None and not (type(score) is float and 0.0 <= score <= 1.0):
            return False
        for slot in h.slots:
            score = slot.confidence
            if score is not None and not (type(score) is float and 0.0 <= score <= 1.0):
                return False
        if h.features:
            for number in h.features.values():
                if type(number) is not float or number - number != 0.0:
                    return False
    return True


def _read(i: int, h: Hypothesis, scales: Scales) -> Hypothesis:
    found: dict[str, Any] = {}
    for name in FIELDS:
        if (value := getattr(h, name)) is not None:
            found[name] = _score(i, h, name, name, value, scales)
    if any(slot.confidence is not None for slot in h.slots):
        found["slots"] = tuple(_slot(i, h, k, slot, scales) for k, slot in enumerate(h.slots))
    if h.features:
        features = {key: _feature(i, key, value) for key, value in h.features.items() if value is not None}
        found["features"] = features
    return replace(h, **found)


def _slot(i: int, h: Hypothesis, k: int, slot: Slot, scales: Scales) -> Slot:
    if slot.confidence is None:
        return slot
    name = f"slots[{k}].confidence"
    return replace(slot, confidence=_score(i, h, name, "slots_confidence", slot.confidence, scales))


def _score(i: int, h: Hypothesis, name: str, field: str, value: Any, scales: Scales) -> float | None:
    """A score on the scale of `field`, called `name` in messages."""
    one = scales.get(field) or scale(DEFAULT)
    if one.key == ("missing",):
        return None
    if one.words:
        return _rated(i, name, value, one)
    number = _number_as_text(value, one) if isinstance(value, str) else _real(value)
    if number is None:
        _refuse(i, h, name, field, value, "invalid", one, field in scales)
    if math.isfinite(number):
        p = one.read(number)
        if -_SLACK <= p <= 1.0 + _SLACK:
            return min(max(p, 0.0), 1.0) + 0.0
    _refuse(i, h, name, field, value, "out of range", one, field in scales)


def _rated(i: int, name: str, value: Any, one: Scale) -> float:
    """The middle of a word's part of [0, 1], which all words share equally."""
    number = _real(value)
    word = word_of(value) if isinstance(value, str) else f"{number:g}" if number is not None else ""
    if word not in one.words:
        raise ScoreError(f"hypotheses[{i}].{name}: {short(value)} is unknown, expected {one.expected}", i)
    return (one.words.index(word) + 0.5) / len(one.words)


def _feature(i: int, key: str, value: Any) -> float:
    number = _real(value)
    if number is not None and math.isfinite(number):
        return number
    problem = "invalid" if number is None else "out of range"
    where = f"hypotheses[{i}].features[{short(key)}]"
    raise ScoreError(f"{where}: {short(value)} is {problem}, expected a finite number", i)


def _real(value: Any) -> float | None:
    """The number, infinite where it is too large; None where it is none, as a boolean."""
    if isinstance(value, bool) or not isinstance(value, Real):
        return None
    try:
        return float(value)
    except OverflowError:
        return math.inf


def _number_as_text(text: str, one: Scale) -> float | None:
    """The number that a text holds, for a stated scale; None where it is none."""
    if not one.texts:
        return None
    text = text.strip()
    if one.key == ("range", 0.0, 100.0):
        text = text.removesuffix("%").rstrip()
    return number_in(text)


def _refuse(i: int, h: Hypothesis, name: str, field: str, value: Any, problem: str, one: Scale, own: bool) -> NoReturn:
    text = f"hypotheses[{i}].{name}: {short(value)} is {problem}, expected {one.expected}"
    if own:
        text += f", its scale being {one.text}"
    elif example := _example(value):
        domain = " ".join(h.domain.split())
        text += f"; state its scale: --scale {domain}.{field}={example} or [domains.{domain}] in arbitrank.toml"
    raise ScoreError(text, i)


def _example(value: Any) -> str | None:
    """A scale that a value might be on, to show how one is stated; None where it can be on none."""
    if isinstance(value, str):
        number = number_in(value.strip().removesuffix("%").rstrip())
        return "low,medium,high" if number is None else "percent" if "%" in value or number > 1.0 else "text"
    number = _real(value)
    if number is None or not math.isfinite(number):
        return None
    if number < 0.0:
        return "-1..1" if number >= -1.0 else "logprob"
    return "0..100" if number <= 100.0 else "margin"
