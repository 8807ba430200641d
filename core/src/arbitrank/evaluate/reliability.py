"""Reliability curves: probabilities against outcomes in bins of equal mass, with the interval of each bin's share."""

from __future__ import annotations

import msgspec
import numpy as np

from arbitrank.evaluate.intervals import wilson
from arbitrank.evaluate.metrics import BINS, DRAWS, Calibration, calibration, reliability
from arbitrank.probability import Floats

_LEAST = 10  # requests of a bin


class ReliabilityBin(msgspec.Struct, frozen=True):
    """Requests of similar probabilities: their number, mean probability and share of outcomes, with its interval."""

    n: int
    probability: float
    share: float
    low: float
    high: float


class ReliabilityCurve(msgspec.Struct, frozen=True):
    """Calibration of one probability: its figures, and the bins of its curve, lowest first."""

    figures: Calibration
    bins: list[ReliabilityBin]


def reliability_curve(
    p: Floats, y: Floats, weight: Floats | None = None, *, seed: int = 0, draws: int = DRAWS
) -> ReliabilityCurve:
    """The curve of probabilities `p` with outcomes `y`; `weight` is of the figures alone, as bins hold requests."""
    return ReliabilityCurve(calibration(p, y, weight, seed=seed, draws=draws), reliability_bins(p, y))


def reliability_bins(p: Floats, y: Floats) -> list[ReliabilityBin]:
    """Up to 15 bins of equally many requests, at least ten of them, lowest probabilities first."""
    few = min(BINS, max(1, len(p) // _LEAST))
    return [_bin(n, mean, share) for mean, share, n in reliability(p, y, few)]


def _bin(n: int, mean: float, share: float) -> ReliabilityBin:
    hits = round(share * n)
    interval = wilson((np.arange(n) < hits).astype(np.float64))
    return ReliabilityBin(n, mean, share, interval.low, interval.high)
