"""Calibration metrics of probabilities against outcomes.

`p` is P(right) of each request's top hypothesis, float64 of shape (n,) in [0, 1]; `y` is 1.0 where it was entirely
right. All figures are rates in [0, 1] except NLL, which is in nats.
"""

from __future__ import annotations

import msgspec
import numpy as np
from numpy.typing import NDArray

from arbitrank.evaluate.intervals import blocks, interval, resamples
from arbitrank.probability import Floats, log_loss

BINS = 15


class Calibration(msgspec.Struct, frozen=True):
    """Calibration metrics on `n` requests, with the ECE that a perfectly calibrated system would show on as many.

    `ece_floor` is the mean ECE of outcomes drawn from the probabilities themselves, `ece_band` the range that holds
    95 % of them, `ece_interval` the 95 % bootstrap interval. `over` is the mean of p − y, above 0 where the system is
    over-confident. On the card of a domain, `others` counts the requests of other domains in its training data that it
    had a hypothesis of, `silent` those that it had none of.
    """

    n: int
    nll: float
    brier: float
    ece: float
    ece_interval: tuple[float, float]
    ece_floor: float
    ece_band: tuple[float, float]
    over: float
    others: int | msgspec.UnsetType = msgspec.UNSET
    silent: int | msgspec.UnsetType = msgspec.UNSET


def calibration(p: Floats, y: Floats, *, seed: int = 0, draws: int = 400) -> Calibration:
    """All calibration metrics of probabilities `p` with outcomes `y`; zeros where there are none."""
    if len(p) == 0:
        return Calibration(0, 0.0, 0.0, 0.0, (0.0, 0.0), 0.0, (0.0, 0.0), 0.0)
    floor, spread = _draws(p, y, np.random.default_rng(seed), draws)
    return Calibration(
        n=len(p),
        nll=nll(p, y),
        brier=brier(p, y),
        ece=ece(p, y),
        ece_interval=interval(spread),
        ece_floor=float(floor.mean()),
        ece_band=interval(floor),
        over=float((p - y).mean()),
    )


def nll(p: Floats, y: Floats) -> float:
    """Mean negative log-likelihood of the outcomes, in nats; probabilities are clipped to [1e-6, 1 − 1e-6]."""
    return float(log_loss(p, y).mean())


def brier(p: Floats, y: Floats) -> float:
    """Mean squared difference of probability and outcome."""
    return float(((p - y) ** 2).mean())


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


def _draws(p: Floats, y: Floats, rng: np.random.Generator, draws: int) -> tuple[Floats, Floats]:
    """The ECE of outcomes drawn from the probabilities, and of bootstrap samples of the requests, `draws` of each."""
    n = len(p)
    order = np.argsort(p, kind="stable")
    starts, rank = _edges(n, BINS)[:-1], np.argsort(order)
    p_sorted, y_sorted = p[order], y[order]
    floor, spread = np.empty(draws), np.empty(draws)
    for block in blocks(n, draws):
        drawn = (rng.random((block.stop - block.start, n)) < p)[:, order]
        floor[block] = np.abs(np.add.reduceat(p_sorted - drawn, starts, axis=1)).sum(axis=1) / n
    for block, indices in resamples(n, draws, rng):
        drawn = np.sort(rank[indices], axis=1)  # the sample in the order of its probabilities
        gaps = np.add.reduceat(p_sorted[drawn] - y_sorted[drawn], starts, axis=1)
        spread[block] = np.abs(gaps).sum(axis=1) / n
    return floor, spread


def _edges(n: int, bins: int) -> NDArray[np.int64]:
    """The starts of the bins of equal mass among n sorted probabilities, and n."""
    return np.linspace(0, n, min(bins, n) + 1).astype(np.int64)
