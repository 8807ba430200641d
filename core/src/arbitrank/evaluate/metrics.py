"""Calibration metrics of probabilities against outcomes.

`p` is P(right) of each request's top hypothesis, float64 of shape (n,) in [0, 1]; `y` is 1.0 where it was entirely
right. `weight`, float64 of shape (n,), says how many requests each stands for; None counts each once. All figures are
rates in [0, 1] except NLL, which is in nats.

The *band* of an ECE is the 95 % range of the ECE of outcomes drawn from the probabilities themselves: what a perfectly
calibrated system shows on the same requests. An ECE is in its band where it is at or below the upper end (`in_band`).
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from arbitrank.evaluate.intervals import blocks, interval, resamples
from arbitrank.evaluate.segment_report import SegmentCalibration
from arbitrank.learn.kind_choice import KindChoice
from arbitrank.probability import Floats, log_loss

BINS = 15

DRAWS = 400
"""Draws of the band, and of the bootstrap interval."""

_TINY = float(np.finfo(np.float64).tiny)


class Calibration(msgspec.Struct, frozen=True):
    """Calibration metrics on `n` requests, with the ECE that a perfectly calibrated system would show on as many.

    `ece_band` is the 95 % band of the ECE of outcomes drawn from the probabilities themselves, `ece_floor` the mean of
    these ECEs, `ece_interval` the 95 % bootstrap interval. `over` is the mean of p − y, above 0 where the system is
    over-confident. On the card of a domain, `others` counts the requests of other domains in its training data that it
    had a hypothesis of, `silent` those that it had none of; `choice` is that of its kind of re-ranker, `segments` are
    the largest errors of any segment of the requests.
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
    choice: KindChoice | msgspec.UnsetType = msgspec.UNSET
    segments: SegmentCalibration | msgspec.UnsetType = msgspec.UNSET

    @property
    def in_band(self) -> bool:
        """True where the ECE cannot be told from that of a perfectly calibrated system."""
        return in_band(self.ece, self.ece_band)


def calibration(
    p: Floats, y: Floats, weight: Floats | None = None, *, seed: int = 0, draws: int = DRAWS
) -> Calibration:
    """All calibration metrics of probabilities `p` with outcomes `y`; zeros where there are none."""
    if len(p) == 0:
        return Calibration(0, 0.0, 0.0, 0.0, (0.0, 0.0), 0.0, (0.0, 0.0), 0.0)
    rng = np.random.default_rng(seed)
    (floor,) = calibrated_eces(p, [np.ones(len(p)) if weight is None else weight], rng, draws)
    return Calibration(
        n=len(p),
        nll=nll(p, y, weight),
        brier=brier(p, y, weight),
        ece=ece(p, y, weight=weight),
        ece_interval=interval(_resampled_eces(p, y, weight, rng, draws)),
        ece_floor=float(floor.mean()),
        ece_band=interval(floor),
        over=_mean(p - y, weight),
    )


def in_band(ece: float, band: Sequence[float]) -> bool:
    """True where an ECE is in its 95 % band: at or below the upper end of `band`."""
    return ece <= band[1]


def band_mark(ece: float, band: Sequence[float]) -> str:
    """For tables, "yes (1.8)" where an ECE is in its band, else "no (1.8)", with the upper end in per cent."""
    return f"{'yes' if in_band(ece, band) else 'no'} ({100 * band[1]:.1f})"


def band_text(ece: float, band: Sequence[float]) -> str:
    """An ECE with its band, for people: "ECE 1.3 %, in its band (up to 1.8 %)"."""
    return f"ECE {100 * ece:.1f} %, {'in' if in_band(ece, band) else 'above'} its band (up to {100 * band[1]:.1f} %)"


def nll(p: Floats, y: Floats, weight: Floats | None = None) -> float:
    """Mean negative log-likelihood of the outcomes, in nats; probabilities are clipped to [1e-6, 1 − 1e-6]."""
    return _mean(log_loss(p, y), weight)


def brier(p: Floats, y: Floats, weight: Floats | None = None) -> float:
    """Mean squared difference of probability and outcome."""
    return _mean((p - y) ** 2, weight)


def ece(p: Floats, y: Floats, bins: int = BINS, weight: Floats | None = None) -> float:
    """Expected calibration error: |mean p − mean y| over bins of equal mass, weighted by their share."""
    order = np.argsort(p, kind="stable")
    w = np.ones(len(p)) if weight is None else weight[order]
    gaps = np.add.reduceat((p - y)[order] * w, _starts(w, bins))
    return float(np.abs(gaps).sum() / w.sum())


def reliability(p: Floats, y: Floats, bins: int = BINS) -> list[tuple[float, float, int]]:
    """For each bin of equal mass, lowest first: mean probability, share of right outcomes, count."""
    order = np.argsort(p, kind="stable")
    parts = np.split(order, _starts(np.ones(len(p)), bins)[1:]) if len(p) else []
    return [(float(p[part].mean()), float(y[part].mean()), len(part)) for part in parts]


def calibrated_eces(p: Floats, weights: Sequence[Floats], rng: np.random.Generator, draws: int = DRAWS) -> list[Floats]:
    """ECEs of outcomes drawn from the probabilities, `draws` of them, by each of the weights of the requests.

    Their `interval` is the band. One draw of the outcomes serves all weights.
    """
    n = len(p)
    order = np.argsort(p, kind="stable")
    p_sorted, sorted_weights = p[order], [weight[order] for weight in weights]
    starts, found = [_starts(weight) for weight in sorted_weights], [np.empty(draws) for _ in weights]
    for block in blocks(n, draws):
        gaps = p_sorted - (rng.random((block.stop - block.start, n)) < p).take(order, axis=1)
        for eces, weight, first in zip(found, sorted_weights, starts, strict=True):
            eces[block] = np.abs(np.add.reduceat(gaps * weight, first, axis=1)).sum(axis=1) / weight.sum()
    return found


def _resampled_eces(p: Floats, y: Floats, weight: Floats | None, rng: np.random.Generator, draws: int) -> Floats:
    """The ECEs of bootstrap samples of the requests."""
    n = len(p)
    order = np.argsort(p, kind="stable")
    rank = np.argsort(order).astype(np.int32)  # which sort in half the time
    gaps, spread = (p - y)[order], np.empty(draws)
    starts = _starts(np.ones(n))
    for block, indices in resamples(n, draws, rng):
        drawn = rank.take(indices)
        drawn.sort(axis=1)  # the sample in the order of its probabilities
        if weight is None:
            spread[block] = np.abs(np.add.reduceat(gaps.take(drawn), starts, axis=1)).sum(axis=1) / n
        else:
            weights = weight[order][drawn]
            each = zip(gaps[drawn] * weights, weights, strict=True)
            spread[block] = [np.abs(np.add.reduceat(one, _starts(w))).sum() / max(w.sum(), _TINY) for one, w in each]
    return spread


def _mean(values: Floats, weight: Floats | None) -> float:
    return float(np.average(values, weights=weight))


def _starts(weight: Floats, bins: int = BINS) -> NDArray[np.int64]:
    """The starts of the bins of equal mass among requests of these weights, sorted by their probabilities."""
    before = np.concatenate([[0.0], np.cumsum(weight)])
    edges = np.linspace(0.0, before[-1], min(bins, len(weight)) + 1)[:-1]
    rounding = 1e-9 * before[-1]  # equal weights make the same bins, whatever they are
    return np.unique(np.searchsorted(before[:-1], edges + rounding, side="right") - 1)
