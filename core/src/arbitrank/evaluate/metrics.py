"""Figures of merit: calibration and accuracy of probabilities against what was true.

`p` is P(right) of each request's top hypothesis, float64 of shape (n,) in [0, 1], and `y` is 1.0 where it was entirely
right. All figures are rates in [0, 1] but NLL, which is in nats.
"""

from __future__ import annotations

import msgspec
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

BINS = 15
_CLIP = 1e-6


class Calibration(msgspec.Struct, frozen=True):
    """How far probabilities can be believed: on `n` requests, with what a perfectly calibrated system would show.

    `ece_floor` is the mean ECE of outcomes drawn from the probabilities themselves, `ece_band` the range that holds
    95 % of them, `ece_interval` the 95 % bootstrap interval. `over` is the mean of p − y, above 0 where the system
    claims too much.
    """

    n: int
    nll: float
    brier: float
    ece: float
    ece_interval: tuple[float, float]
    ece_floor: float
    ece_band: tuple[float, float]
    over: float


def calibration(p: Floats, y: Floats, *, seed: int = 0, draws: int = 400) -> Calibration:
    """All calibration figures of probabilities `p` with outcomes `y`; zeros where there are none."""
    if len(p) == 0:
        return Calibration(0, 0.0, 0.0, 0.0, (0.0, 0.0), 0.0, (0.0, 0.0), 0.0)
    rng = np.random.default_rng(seed)
    floor = np.array([ece(p, (rng.random(len(p)) < p).astype(np.float64)) for _ in range(draws)])
    again = [rng.integers(0, len(p), len(p)) for _ in range(draws)]
    spread = np.array([ece(p[i], y[i]) for i in again])
    return Calibration(
        n=len(p),
        nll=nll(p, y),
        brier=brier(p, y),
        ece=ece(p, y),
        ece_interval=_interval(spread),
        ece_floor=float(floor.mean()),
        ece_band=_interval(floor),
        over=float((p - y).mean()),
    )


def nll(p: Floats, y: Floats) -> float:
    """Mean negative log-likelihood of the outcomes, in nats; probabilities are clipped to [1e-6, 1 − 1e-6]."""
    p = np.clip(p, _CLIP, 1.0 - _CLIP)
    return float(-np.mean(y * np.log(p) + (1.0 - y) * np.log(1.0 - p)))


def brier(p: Floats, y: Floats) -> float:
    """Mean squared difference of probability and outcome."""
    return float(np.mean((p - y) ** 2))


def ece(p: Floats, y: Floats, bins: int = BINS) -> float:
    """Expected calibration error: |mean p − mean y| over bins of equal mass, weighted by their share."""
    order = np.argsort(p, kind="stable")
    gaps = np.add.reduceat((p - y)[order], _edges(len(p), bins)[:-1])
    return float(np.abs(gaps).sum() / len(p))


def reliability(p: Floats, y: Floats, bins: int = BINS) -> list[tuple[float, float, int]]:
    """For each bin of equal mass, lowest first: mean probability, share of right outcomes, count."""
    order = np.argsort(p, kind="stable")
    parts = np.split(order, _edges(len(p), bins)[1:-1])
    return [(float(p[part].mean()), float(y[part].mean()), len(part)) for part in parts if len(part)]


def _edges(n: int, bins: int) -> NDArray[np.int64]:
    """Where the bins of equal mass begin among n sorted probabilities, and n."""
    return np.linspace(0, n, min(bins, n) + 1).astype(np.int64)


def _interval(values: Floats) -> tuple[float, float]:
    low, high = np.quantile(values, [0.025, 0.975])
    return float(low), float(high)
