"""Segments of requests: the intent that is read, the length, and the values of context keys, each and in pairs.

A `Situation` is what is known of one request, as pairs of a feature and a label in words. Segments are the requests of
one label, or of two of different features, with enough of them to be judged.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

Situation = tuple[tuple[str, str], ...]
"""A request's labels by feature: ("device", "tv")."""

LEAST = 50
"""Requests of a segment at least."""

INTENT: Final = "intent"
"""The feature of the intent that a domain reads."""

_FEATURES, _VALUES = 12, 20  # features and labels of each, the most frequent first
_LONGEST = 60  # characters of a key of the context and of a value
_LENGTHS = ((10, "up to 10"), (20, "11 to 20"), (40, "21 to 40"), (80, "41 to 80"))  # in characters
_FAR = "more than 80"

Mask = NDArray[np.bool_]


class RequestSegment(NamedTuple):
    """Requests with one label, or two: in words, and their places."""

    text: str
    places: NDArray[np.int64]


def situation(context: Mapping[str, Any], length: int | None, intent: str | None = None) -> Situation:
    """The labels of a request; preferences of users, numbers and long texts of its context are left out."""
    labels = [] if intent is None else [(INTENT, intent)]
    if length is not None:
        labels.append(("length", next((text for most, text in _LENGTHS if length <= most), _FAR)))
    for key, value in context.items():
        if key.startswith("preference.") or len(key) > _LONGEST:
            continue
        if isinstance(value, bool):
            labels.append((key, "true" if value else "false"))
        elif isinstance(value, str) and 0 < len(value) <= _LONGEST:
            labels.append((key, value))
    return tuple(labels)


class SegmentTable:
    """Labels of n requests by feature; `known` are the distinct situations, `of` each request's number among them."""

    def __init__(self, known: Sequence[Situation], of: NDArray[np.int64]) -> None:
        self._n = len(of)
        counts = np.bincount(of[of >= 0], minlength=len(known)) if len(known) else np.zeros(0, np.int64)
        labels: dict[str, Counter[str]] = {}
        for one, n in zip(known, counts.tolist(), strict=True):
            for feature, label in one:
                labels.setdefault(feature, Counter())[label] += n
        kept = {name: _frequent(found) for name, found in labels.items()}
        several = {name: found for name, found in kept.items() if len(labels[name]) > 1 and found}
        order = sorted(several, key=lambda name: (-sum(labels[name].values()), name))[:_FEATURES]
        self.labels: dict[str, list[str]] = {name: kept[name] for name in order}
        self.codes: dict[str, NDArray[np.int32]] = {}
        for name in order:
            numbers = {label: k for k, label in enumerate(self.labels[name])}
            each = np.array([*(numbers.get(dict(one).get(name, ""), -1) for one in known), -1], np.int32)
            self.codes[name] = each[of]

    @classmethod
    def of(cls, situations: Sequence[Situation]) -> SegmentTable:
        """The table of requests with these situations."""
        numbers: dict[Situation, int] = {}
        of = np.array([numbers.setdefault(one, len(numbers)) for one in situations], np.int64)
        return cls(list(numbers), of)

    def segments(self) -> Iterator[RequestSegment]:
        """The segments by one label."""
        for name, codes in self.codes.items():
            for k, label in enumerate(self.labels[name]):
                places = np.flatnonzero(codes == k)
                if LEAST <= len(places) < self._n:
                    yield RequestSegment(f"{name} {label}", places)

    def pairs(self) -> Iterator[RequestSegment]:
        """The segments by two labels of different features."""
        for one, other in combinations(self.codes, 2):
            width = len(self.labels[other])
            first, second = self.codes[one], self.codes[other]
            joint = np.where((first >= 0) & (second >= 0), first * width + second, -1)
            counts = np.bincount(joint[joint >= 0], minlength=len(self.labels[one]) * width)
            for k in np.flatnonzero(counts >= LEAST).tolist():
                text = f"{one} {self.labels[one][k // width]}, {other} {self.labels[other][k % width]}"
                yield RequestSegment(text, np.flatnonzero(joint == k))


def _frequent(counts: Counter[str]) -> list[str]:
    """The labels with enough requests, the most frequent first."""
    often = [(label, n) for label, n in counts.items() if n >= LEAST]
    return [label for label, _ in sorted(often, key=lambda pair: (-pair[1], pair[0]))[:_VALUES]]
