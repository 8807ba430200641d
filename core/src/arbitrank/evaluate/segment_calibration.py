"""Calibration over segments: the largest error of any, in units of its noise, with its p-value.

The error of a segment is the range of the cumulative differences of outcomes and probabilities, requests being in the
order of their probabilities (Kuiper's statistic, as in Arrieta-Ibarra et al., "Metrics of calibration for probabilistic
predictions", arXiv 2205.09680): at most the mean |p − y| over bins, and needing none. Its noise is its standard
deviation scale under perfect calibration, √Σ p (1 − p) / n, so that errors of small and of large segments compare
(Guy et al., "Measuring multi-calibration", arXiv 2506.11251). Under perfect calibration error / noise is distributed as
the range of a Brownian motion over [0, 1]; in segments whose outcomes hardly vary it is drawn. p-values of the largest
hold for all segments together (Bonferroni).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import msgspec
import numpy as np
from scipy.special import ndtri
from scipy.stats import norm

from arbitrank.evaluate.segments import Segment, SegmentTable
from arbitrank.probability import Floats

LEVEL = 0.05
"""The probability of an error that chance alone explains, over all segments."""

TOLERANCE = 0.01
"""The increase of a segment's error that a candidate may have, a rate: a point."""

_FEW = 20.0  # the variance of the number of right outcomes below which p-values are drawn
_DRAWS, _AT_ONCE = 4_000, 1_000_000
_BOOTSTRAP = 300
_POWER = 0.84  # standard errors for a power of 80 %
_TERMS = 40


class SegmentError(msgspec.Struct, frozen=True):
    """Calibration error of a segment of `n` requests: the error and its noise, rates; `p_value` is of it alone.

    `over` is the mean of p − y, above 0 where the segment is over-confident. `detectable` is the least error that would
    be found, with a power of 80 %, among as many segments.
    """

    segment: str
    n: int
    error: float
    noise: float
    over: float
    p_value: float
    detectable: float

    @property
    def text(self) -> str:
        """The segment and its error in words."""
        how = "over" if self.over > 0.0 else "under"
        return (
            f"{self.segment}: off by {100 * self.error:.1f} points, {self.error / self.noise:.1f} times its noise, "
            f"{how}-confident by {100 * abs(self.over):.1f} on average, on {self.n} requests"
        )


class SegmentCalibration(msgspec.Struct, frozen=True):
    """The segments with the largest errors in units of noise: of single labels, and of pairs, and their numbers.

    The p-values are those of the largest of so many segments. `worst` is None where no segment has enough requests.
    """

    segments: int
    worst: SegmentError | None
    p_value: float
    pairs: int = 0
    worst_pair: SegmentError | None = None
    pair_p_value: float = 1.0

    @property
    def found(self) -> bool:
        """True where the largest error of a segment is more than chance explains."""
        return self.worst is not None and self.p_value < LEVEL


class BrokenSegment(NamedTuple):
    """A segment whose error has surely increased: before and after, and the least increase."""

    before: SegmentError
    after: SegmentError
    least: float


def segment_calibration(p: Floats, y: Floats, table: SegmentTable, seed: int = 0) -> SegmentCalibration:
    """The calibration of probabilities over the segments of a table, singles and pairs."""
    singles, pairs = list(table.segments()), list(table.pairs())
    worst, pair = _largest(p, y, singles, seed), _largest(p, y, pairs, seed)
    return SegmentCalibration(
        len(singles), worst, 1.0 if worst is None else min(1.0, worst.p_value * len(singles)),
        len(pairs), pair, 1.0 if pair is None else min(1.0, pair.p_value * len(pairs)),
    )  # fmt: skip


def _largest(p: Floats, y: Floats, segments: Sequence[Segment], seed: int) -> SegmentError | None:
    """The segment with the largest error in units of its noise; None where there is no segment with any noise."""
    found = [(one, *_statistic(p[one.places], y[one.places])) for one in segments]
    found = [each for each in found if each[2] > 0.0]
    if not found:
        return None
    one, error, noise = max(found, key=lambda each: each[1] / each[2])
    return _error(one, p, y, error, noise, len(segments), seed)


def _error(
    one: Segment, p: Floats, y: Floats, error: float, noise: float, count: int, seed: int = 0
) -> SegmentError:
    own, outcomes = p[one.places], y[one.places]
    n = len(own)
    value = _drawn(own, error, seed) if (noise * n) ** 2 < _FEW else range_tail(error / noise)
    return SegmentError(
        one.text, n, error, noise, float((own - outcomes).mean()), value, (_critical(LEVEL / count) + _POWER) * noise
    )


def _statistic(p: Floats, y: Floats, weight: Floats | None = None) -> tuple[float, float]:
    """The range of the cumulative differences, and its noise; equal probabilities are taken together."""
    order = np.argsort(p, kind="stable")
    ordered = p[order]
    ends = np.append(np.flatnonzero(np.diff(ordered)), len(p) - 1)
    sums = np.cumsum((y - p)[order])[ends]
    n = len(p)
    return (max(float(sums.max()), 0.0) - min(float(sums.min()), 0.0)) / n, math.sqrt(float((p * (1.0 - p)).sum())) / n


def range_tail(x: float) -> float:
    """P(the range of a Brownian motion over [0, 1] exceeds x) (Feller 1951)."""
    if x < 0.5:
        return 1.0
    k = np.arange(1, _TERMS + 1)
    return float(np.clip(8.0 * ((-1.0) ** (k - 1) * k * norm.sf(k * x)).sum(), 0.0, 1.0))


def _critical(level: float) -> float:
    """The range of a Brownian motion that is exceeded with this probability."""
    low, high = 0.5, 12.0
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (middle, high) if range_tail(middle) > level else (low, middle)
    return high


def _drawn(p: Floats, error: float, seed: int) -> float:
    """The share of draws of outcomes from the probabilities that have at least this error, not below 1 / draws."""
    rng, n = np.random.default_rng(seed), len(p)
    ordered = np.sort(p)
    ends = np.append(np.flatnonzero(np.diff(ordered)), n - 1)
    above, step = 0, max(1, _AT_ONCE // n)
    for first in range(0, _DRAWS, step):
        sums = np.cumsum((rng.random((min(step, _DRAWS - first), n)) < ordered) - ordered, axis=1)[:, ends]
        ranges = np.maximum(sums.max(axis=1), 0.0) - np.minimum(sums.min(axis=1), 0.0)
        above += int((ranges / n >= error - 1e-12).sum())
    return (above + 1) / (_DRAWS + 1)


def broken_segments(
    before: Floats, was: Floats, after: Floats, now: Floats, table: SegmentTable, seed: int = 0
) -> list[BrokenSegment]:
    """The segments, of single labels, that are worse calibrated after than before, the surest first.

    A segment counts where its error after is more than chance explains, and has increased by more than the tolerance:
    by the lower end of the interval of the paired difference over the requests. Both hold at the level for all segments
    together, so that of candidates that are as good everywhere at most that share has any.
    """
    segments = list(table.segments())
    count = max(1, len(segments))
    broken = []
    for one in segments:
        at = one.places
        (error_before, noise_before), (error, noise) = _statistic(before[at], was[at]), _statistic(after[at], now[at])
        if noise <= 0.0 or error <= error_before + TOLERANCE:
            continue
        found = _error(one, after, now, error, noise, count, seed)
        if found.p_value * count >= LEVEL:
            continue
        spread = _spread(before[at], was[at], after[at], now[at], seed)
        least = error - error_before + float(ndtri(LEVEL / count)) * spread
        if least > TOLERANCE:
            earlier = _error(one, before, was, error_before, max(noise_before, 1e-12), count, seed)
            broken.append(BrokenSegment(earlier, found, least))
    return sorted(broken, key=lambda each: -each.least)


def _spread(before: Floats, was: Floats, after: Floats, now: Floats, seed: int) -> float:
    """The bootstrap standard error, over the requests, of the difference of the errors after and before."""
    rng, n = np.random.default_rng(seed), len(before)
    sides = []
    for p, y in ((before, was), (after, now)):
        order = np.argsort(p, kind="stable")
        sides.append((order, (y - p)[order], np.append(np.flatnonzero(np.diff(p[order])), n - 1)))
    found = np.empty(_BOOTSTRAP)
    for i in range(_BOOTSTRAP):
        weight = np.bincount(rng.integers(0, n, n), minlength=n)
        found[i] = _range(sides[1], weight) - _range(sides[0], weight)
    return float(found.std(ddof=1)) / n


def _range(side: tuple[np.ndarray, Floats, np.ndarray], weight: np.ndarray) -> float:
    order, gaps, ends = side
    sums = np.cumsum(weight[order] * gaps)[ends]
    return max(float(sums.max()), 0.0) - min(float(sums.min()), 0.0)


def worst_of(found: Iterable[BrokenSegment]) -> BrokenSegment | None:
    """The segment with the surest increase, None where there is none."""
    return next(iter(found), None)
