"""Fitting of a domain's recalibration to labelled requests: a scale, or a scale and a shift, where held-out ones gain.

Both maps are regularised towards the identity, which counts as much as 20 outcomes. Of five parts of the requests each
is predicted by the maps of the other four; a map is used where it wins there by more than the standard error of its
gain, and the shift where it wins over the scale alone by as much. Where truths name domains alone, P(mine) alone
counts.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from arbitrank.arbitration.recalibration import Recalibration, recalibration
from arbitrank.errors import DataError
from arbitrank.evaluate.intervals import Estimate
from arbitrank.evaluate.metrics import Calibration
from arbitrank.impact.flips import Rows
from arbitrank.impact.plan import ReplayPlan
from arbitrank.impact.replay import replay
from arbitrank.impact.replayed import Replayed
from arbitrank.impact.temperature import own_calibration
from arbitrank.probability import Floats, binary_loss, fit_logistic, log_odds, sigmoid

_FOLDS = 5
_PULL = 20.0  # outcomes that the identity counts as
_LEAST_SCALE = 1e-3
_SHIFTS = 20.0
_Z = 1.96
_OWNED, _NEVER = 20, 0.05  # own requests, and the share of right readings of them below which these are unknown
_FEW = 10  # requests below which there are no parts to hold out

Fitter = Callable[[Floats, Floats], tuple[float, float]]


class FittedRecalibration(msgspec.Struct, frozen=True):
    """The recalibration that held-out requests choose, None for the identity, with 95 % intervals of scale and shift.

    `gain` is that of its log loss on held-out requests, in nats a request, on `n` of them.
    """

    recalibration: Recalibration | None
    scale: Estimate
    shift: Estimate
    gain: Estimate
    n: int


def fit(plan: ReplayPlan, path: Path, *, jobs: int = 1) -> tuple[FittedRecalibration, Calibration, Calibration]:
    """The recalibration of the candidate on the requests of a file, and its calibration without and with it.

    Raises `DataError` where there is no request with a truth that the domain has a reading of.
    """
    decisions = msgspec.structs.replace(plan.decisions, rank_unserved=False)
    bare = dataclasses.replace(plan.candidate, recalibration=None)
    alone = dataclasses.replace(plan, parts={}, silent={}, decisions=decisions, candidate=bare)
    found = replay(alone, path, jobs=jobs)
    fitted = _chosen(found, plan.name, path)
    mapped = dataclasses.replace(bare, recalibration=fitted.recalibration)
    again = (
        found if fitted.recalibration is None else replay(dataclasses.replace(alone, candidate=mapped), path, jobs=jobs)
    )
    before, after = (own_calibration(one.labelled["after"]) for one in (found, again))
    assert before is not None
    assert after is not None
    return fitted, before, after


def _chosen(found: Replayed, name: str, path: Path) -> FittedRecalibration:
    side = found.labelled["after"]
    if not side["own_reading"].any():
        raise DataError(f"{path}: no request with a truth that {name} has a reading of; nothing to fit")
    z, y = _outcomes(side, found.owned(name))
    if _readings_unknown(y):
        z, y = z[:1], y[:1]
    plain = _losses(z, y, 1.0, 0.0)
    held = {fitter: plain - _held_out(z, y, fitter) for fitter in (_scale, _scale_and_shift)}
    chosen: Fitter | None = None
    gain = np.zeros(z.shape[1])
    for fitter, gains in held.items():
        if _surely(gains - gain):
            chosen, gain = fitter, gains
    scale, shift = chosen(z, y) if chosen else (1.0, 0.0)
    errors = _errors(z, y, scale, shift)
    return FittedRecalibration(
        recalibration(round(scale, 4), round(shift, 4)),
        _estimate(scale, errors[0]),
        _estimate(shift, errors[1] if chosen is _scale_and_shift else 0.0),
        _estimate(float(gain.mean()), float(gain.std() / np.sqrt(len(gain)))),
        z.shape[1],
    )


def _outcomes(side: Rows, owned: NDArray[np.bool_]) -> tuple[Floats, Floats]:
    """Log-odds of P(mine) and of the best P(right), and their outcomes, each of shape (2, n)."""
    has = side["own_reading"]
    z = np.stack([log_odds(side["own_mine"][has]), log_odds(side["own_probability"][has])])
    return z, np.stack([owned[has], side["own_right"][has]]).astype(np.float64)


def _readings_unknown(y: Floats) -> bool:
    """True where next to no reading of its own requests is right: the truths then name domains alone."""
    owned = y[0] > 0.0
    return bool(owned.sum() >= _OWNED and y[1][owned].mean() < _NEVER)


def _held_out(z: Floats, y: Floats, fitter: Fitter) -> Floats:
    """The losses of the requests under the maps that were fitted to the other parts."""
    n = z.shape[1]
    if n < _FEW:
        return _losses(z, y, 1.0, 0.0)
    fold, losses = np.random.default_rng(0).permutation(n) % _FOLDS, np.empty(n)
    for k in range(_FOLDS):
        held = fold == k
        losses[held] = _losses(z[:, held], y[:, held], *fitter(z[:, ~held], y[:, ~held]))
    return losses


def _losses(z: Floats, y: Floats, scale: float, shift: float) -> Floats:
    """The log loss of both scores of each request, shape (n,)."""
    return np.asarray(binary_loss(scale * z + shift, y).sum(axis=0))


def _surely(gains: Floats) -> bool:
    return bool(gains.mean() > gains.std() / np.sqrt(len(gains)))


def _scale(z: Floats, y: Floats) -> tuple[float, float]:
    found = fit_logistic(z.reshape(-1, 1), y.ravel(), np.ones(1), _PULL)[0]
    return min(1.0, max(float(found), _LEAST_SCALE)), 0.0


def _scale_and_shift(z: Floats, y: Floats) -> tuple[float, float]:
    flat = z.ravel()
    x = np.stack([flat, np.ones_like(flat)], axis=1)
    scale, shift = map(float, fit_logistic(x, y.ravel(), np.array([1.0, 0.0]), _PULL))
    if scale > 1.0:
        scale, shift = 1.0, _shift(flat, y.ravel())
    return max(scale, _LEAST_SCALE), float(np.clip(shift, -_SHIFTS, _SHIFTS))


def _shift(z: Floats, y: Floats) -> float:
    """The shift alone, by bisection: the penalised likelihood's slope falls in it."""
    low, high = -_SHIFTS, _SHIFTS
    for _ in range(60):
        middle = (low + high) / 2
        rises = float((y - sigmoid(z + middle)).sum()) > _PULL * middle
        low, high = (middle, high) if rises else (low, middle)
    return (low + high) / 2


def _errors(z: Floats, y: Floats, scale: float, shift: float) -> tuple[float, float]:
    """Standard errors of scale and shift; both scores of a request are one observation."""
    p = sigmoid(scale * z + shift)
    weight = p * (1.0 - p)
    curve = np.array([[(weight * z * z).sum(), (weight * z).sum()], [(weight * z).sum(), weight.sum()]])
    curve += _PULL * np.eye(2)
    gradients = np.stack([(z * (p - y)).sum(axis=0), (p - y).sum(axis=0)])
    inverse = np.linalg.inv(curve)
    variance = inverse @ (gradients @ gradients.T) @ inverse
    return float(np.sqrt(variance[0, 0])), float(np.sqrt(variance[1, 1]))


def _estimate(mean: float, error: float) -> Estimate:
    return Estimate(mean, mean - _Z * error, mean + _Z * error)
