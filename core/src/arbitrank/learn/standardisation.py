"""Standardisation of numbers of any unit: by the median and a robust spread of the training data.

A re-ranker then learns the same from a cosine, a percentage or a log-probability, and an outlier can't decide a
request. The median is a value that was seen, and the spread the median distance of the others from it, so that 0 and 1
stay one unit apart, and a constant is 0.
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from math import copysign, log1p
from typing import Any

import msgspec
import numpy as np

from arbitrank.probability import Floats

FAR = 6.0
"""Spreads from the centre up to which a number counts as it is; beyond, it counts by its logarithm."""

_HUGE, _TINY = 1e300, 1e-300  # numbers and spreads are kept within these, so that nothing overflows
_RANGE = 1e4  # spreads from the centre at which a number is clipped at the latest
_KEPT = 1 << 16  # values of a number from which on every second one is dropped


class Number(msgspec.Struct, frozen=True):
    """A number by its distribution in training: `centre` and `spread`, and the range that it is clipped to.

    `missing`: it was missing for some in training but not for all, so it has an indicator. Missing, it is at its
    centre.
    """

    name: str
    centre: float = 0.0
    spread: float = 1.0
    low: float = -_HUGE
    high: float = _HUGE
    missing: bool = False

    def standardised(self, x: float) -> float:
        """Distance from the centre in spreads, beyond `FAR` by its logarithm."""
        z = (min(max(x, self.low), self.high) - self.centre) / self.spread
        return z if -FAR <= z <= FAR else copysign(FAR + log1p(abs(z) - FAR), z)

    @property
    def linear(self) -> tuple[float, float]:
        """The range in which the standardised number is linear in the number."""
        return max(self.low, self.centre - FAR * self.spread), min(self.high, self.centre + FAR * self.spread)

    def names(self, group: str) -> tuple[str, ...]:
        """Names of its features: `GROUP.NAME` and, where it has an indicator, `GROUP.NAME.missing`."""
        name = f"{group}.{self.name}"
        return (name, f"{name}.missing") if self.missing else (name,)


def finite(value: Any) -> float | None:
    """The value as a float that does not overflow, None where it is not a number."""
    if type(value) is float and -_HUGE <= value <= _HUGE:
        return value
    return float(min(max(value, -_HUGE), _HUGE)) if isinstance(value, int | float) else None


def standardised_row(numbers: Sequence[Number], values: Mapping[str, Any]) -> list[float]:
    """The features of these numbers in a context or a hypothesis, in the order of their `names`."""
    row = []
    for one in numbers:
        x = finite(values.get(one.name))
        row.append(0.0 if x is None else one.standardised(x))
        if one.missing:
            row.append(1.0 if x is None else 0.0)
    return row


def standardised_columns(numbers: Sequence[Number], each: Sequence[Mapping[str, Any]]) -> list[Floats]:
    """`standardised_row` of many, as columns."""
    columns = []
    for one in numbers:
        values = [finite(found.get(one.name)) for found in each]
        absent = np.array([x is None for x in values], bool)
        z = (np.clip(np.array([one.centre if x is None else x for x in values]), one.low, one.high) - one.centre) / (
            one.spread
        )
        far = np.abs(z) > FAR
        z[far] = np.copysign(FAR + np.log1p(np.abs(z[far]) - FAR), z[far])
        z[absent] = 0.0
        columns.append(z)
        if one.missing:
            columns.append(absent.astype(np.float64))
    return columns


def centre_and_spread(values: Floats) -> tuple[float, float]:
    """The median, a value that is there, and the median distance from it of the others, 1 where there are none."""
    x = np.sort(values)
    centre = float(x[(len(x) - 1) // 2])
    away = np.sort(np.abs(x - centre))
    away = away[away > 0.0]
    return centre, max(float(away[(len(away) - 1) // 2]), _TINY) if len(away) else 1.0


class Sample:
    """Values of a number in training, of very many an even part; those of parts of the data add up by `merge`."""

    def __init__(self) -> None:
        self.seen = 0
        self._values, self._step = array("d"), 1
        self._low, self._high = _HUGE, -_HUGE

    def add(self, x: float) -> None:
        """Count a value."""
        if self.seen % self._step == 0:
            self._values.append(x)
            self._limit()
        self.seen += 1
        self._low, self._high = min(self._low, x), max(self._high, x)

    def merge(self, other: Sample) -> None:
        """Add the values of another part."""
        step = max(self._step, other._step)
        self._values = self._values[:: step // self._step] + other._values[:: step // other._step]
        self._step, self.seen = step, self.seen + other.seen
        self._low, self._high = min(self._low, other._low), max(self._high, other._high)
        self._limit()

    def _limit(self) -> None:
        while len(self._values) > _KEPT:
            self._values, self._step = self._values[::2], 2 * self._step

    def number(self, name: str, of: int) -> Number:
        """The number's distribution, given how many could have had it."""
        centre, spread = centre_and_spread(np.array(self._values))
        low, high = max(self._low, centre - _RANGE * spread), min(self._high, centre + _RANGE * spread)
        return Number(name, centre, spread, low, high, self.seen < of)
