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
from collections.abc import Sequence
from statistics import NormalDist

import numpy as np

from arbitrank.evaluate.segment_report import LEVEL, BrokenSegment, SegmentCalibration, SegmentError
from arbitrank.evaluate.segments import RequestSegment, SegmentTable
from arbitrank.probability import Floats

TOLERANCE = 0.01
"""The increase of a segment's error that a candidate may have, a rate: a point."""

_FEW = 20.0  # the variance of the number of right outcomes below which p-values are drawn
_DRAWS, _AT_ONCE = 4_000, 1_000_000
_POWER = 0.84  # standard errors for a power of 80 %
_TERMS = 40


def segment_calibration(p: Floats, y: Floats, table: SegmentTable, seed: int = 0) -> SegmentCalibration:
    """The calibration of probabilities over the segments of a table, singles and pairs."""
    singles, pairs = list(table.segments()), list(table.pairs())
    worst, pair = _largest(p, y, singles, seed), _largest(p, y, pairs, seed)
    return SegmentCalibration(
        len(singles), worst, 1.0 if worst is None else min(1.0, worst.p_value * len(singles)),
        len(pairs), pair, 1.0 if pair is None else min(1.0, pair.p_value * len(pairs)),
    )  # fmt: skip


def _largest(p: Floats, y: Floats, segments: Sequence[RequestSegment], seed: int) -> SegmentError | None:
    """The segment with the largest error in units of its noise; None where there is no segment with any noise."""
    found = [(one, *_statistic(p[one.places], y[one.places])) for one in segments]
    found = [each for each in found if each[2] > 0.0]
    if not found:
        return None
    one, error, noise = max(found, key=lambda each: each[1] / each[2])
    return _error(one, p, y, error, noise, len(segments), seed)


def _error(
    one: RequestSegment, p: Floats, y: Floats, error: float, noise: float, count: int, seed: int = 0
) -> SegmentError:
    own, outcomes = p[one.places], y[one.places]
    n = len(own)
    value = _drawn(own, error, seed) if (noise * n) ** 2 < _FEW else range_tail(error / noise)
    return SegmentError(
        one.text, n, error, noise, float((own - outcomes).mean()), value, (_critical(LEVEL / count) + _POWER) * noise
    )


def _statistic(p: Floats, y: Floats) -> tuple[float, float]:
    """The range of the cumulative differences, and its noise; equal probabilities are taken together."""
    return float(_parts(p, y).mean()), math.sqrt(float((p * (1.0 - p)).sum())) / len(p)


def range_tail(x: float) -> float:
    """P(the range of a Brownian motion over [0, 1] exceeds x) (Feller 1951)."""
    if x < 0.5:
        return 1.0
    each = ((-1.0) ** (k - 1) * k * math.erfc(k * x / math.sqrt(2.0)) / 2.0 for k in range(1, _TERMS + 1))
    return min(1.0, max(0.0, 8.0 * math.fsum(each)))


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
        spread = _spread(before[at], was[at], after[at], now[at])
        least = error - error_before + NormalDist().inv_cdf(LEVEL / count) * spread
        if least > TOLERANCE:
            earlier = _error(one, before, was, error_before, max(noise_before, 1e-12), count, seed)
            broken.append(BrokenSegment(earlier, found, least))
    return sorted(broken, key=lambda each: -each.least)


def _spread(before: Floats, was: Floats, after: Floats, now: Floats) -> float:
    """The standard error, over the requests, of the difference of the errors after and before.

    Each error is a sum over the requests of the range in which it is largest; which that is counts as known.
    """
    each = _parts(after, now) - _parts(before, was)
    return float(each.std(ddof=1)) / math.sqrt(len(each))


def _parts(p: Floats, y: Floats) -> Floats:
    """Each request's part of the error, of which that is the mean."""
    order = np.argsort(p, kind="stable")
    ordered, gaps = p[order], (y - p)[order]
    starts = np.concatenate([[0], np.flatnonzero(np.diff(ordered)) + 1, [len(p)]])
    sums = np.concatenate([[0.0], np.cumsum(gaps)])[starts]
    high, low = int(np.argmax(sums)), int(np.argmin(sums))
    first, last = starts[min(high, low)], starts[max(high, low)]
    parts = np.zeros(len(p))
    parts[order[first:last]] = gaps[first:last] if high > low else -gaps[first:last]
    return parts
