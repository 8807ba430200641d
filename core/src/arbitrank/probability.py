"""Functions of probabilities that more than one package needs: logistic function, softmax, log loss, their solver.

Grouped functions take the values of R requests one after another, shape (N,), and `starts`, shape (R,), where each
request's values begin; no request is empty.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from arbitrank.domain import Scores

Floats = NDArray[np.float64]
Starts = NDArray[np.int64]

CLIP = 1e-6
"""Probabilities are kept this far from 0 and 1 before logarithms are taken."""

ALL = np.zeros(1, np.int64)
"""`starts` of a single request."""

_STEPS = 60


def sigmoid(z: Floats) -> Floats:
    """1 / (1 + exp(-z)), without overflow."""
    return np.asarray(0.5 * (1.0 + np.tanh(0.5 * z)))


def log_odds(p: Floats) -> Floats:
    """log(p / (1 − p)), with p clipped to [CLIP, 1 − CLIP]."""
    p = np.clip(p, CLIP, 1.0 - CLIP)
    return np.asarray(np.log(p / (1.0 - p)))


def clipped(p: float) -> float:
    """One probability, clipped to [CLIP, 1 − CLIP]."""
    return min(max(p, CLIP), 1.0 - CLIP)


def logit(p: float) -> float:
    """log(p / (1 − p)) of one probability in (0, 1)."""
    return math.log(p / (1.0 - p))


def log_loss(p: Floats, y: Floats) -> Floats:
    """Negative log-likelihood of outcomes y in [0, 1] under probabilities p, clipped, in nats: of p's shape."""
    p = np.clip(p, CLIP, 1.0 - CLIP)
    return np.asarray(-(y * np.log(p) + (1.0 - y) * np.log(1.0 - p)))


def binary_loss(z: Floats, y: Floats) -> Floats:
    """Log loss of outcomes y under log-odds z, log(1 + exp(z)) − y·z, in the form that does not overflow."""
    return np.asarray(np.maximum(z, 0.0) - y * z + np.log1p(np.exp(-np.abs(z))))


def exponentials(z: Floats, starts: Starts, *, null: bool) -> tuple[Floats, Floats, Floats]:
    """exp(z − top) of each value, their sum in each request, and exp(−top) of each request's null option.

    `top`, the greatest value of the request, keeps the exponentials from overflowing; with `null` it is at least 0 and
    the sum includes the null option.
    """
    top = np.maximum.reduceat(z, starts)
    if null:
        top = np.maximum(top, 0.0)
    e = np.exp(z - np.repeat(top, np.diff(np.append(starts, len(z)))))
    total = np.add.reduceat(e, starts)
    if not null:
        return e, total, np.zeros_like(total)
    nothing = np.exp(-top)
    return e, total + nothing, nothing


def softmax(z: Floats, starts: Starts = ALL) -> Floats:
    """exp(z_i) / Σ_j exp(z_j) within each request, shape (N,)."""
    e, total, _ = exponentials(z, starts, null=False)
    return np.asarray(e / np.repeat(total, np.diff(np.append(starts, len(z)))))


def null_softmax(z: Floats, starts: Starts = ALL) -> Floats:
    """Softmax within each request with one more option of score 0, "none of these": shape (N,), sums below 1."""
    e, total, _ = exponentials(z, starts, null=True)
    return np.asarray(e / np.repeat(total, np.diff(np.append(starts, len(z)))))


def best_of_each(values: Floats, starts: Starts) -> NDArray[np.int64]:
    """Place of each request's greatest value among all values, the first of equals: shape (R,)."""
    top = np.repeat(np.maximum.reduceat(values, starts), np.diff(np.append(starts, len(values))))
    place = np.where(values == top, np.arange(len(values)), len(values))
    return np.asarray(np.minimum.reduceat(place, starts))


def bounded(right: Floats, mine: float = 0.0) -> Scores:
    """Scores whose P(mine) is at least the readings' sum; the readings are scaled down where that is above 1."""
    total = float(right.sum())
    return Scores(min(1.0, max(mine, total)), right / max(1.0, total))


def bounded_groups(right: Floats, starts: Starts, mine: Floats | float = 0.0) -> tuple[Floats, Floats]:
    """P(mine) and P(right) as `bounded` gives them, of R requests at once: shapes (R,) and (N,)."""
    total = np.add.reduceat(right, starts)
    sizes = np.diff(np.append(starts, len(right)))
    return np.minimum(1.0, np.maximum(mine, total)), right / np.repeat(np.maximum(1.0, total), sizes)


def fit_logistic(
    x: Floats,
    y: Floats,
    prior: Floats,
    pull: float,
    weight: Floats | None = None,
    *,
    bounds: tuple[float, float] | None = None,
    tolerance: float = 1e-9,
) -> Floats:
    """Weights v of P(y = 1) = sigmoid(x · v), shape (F,), by Newton's method on the penalised log loss.

    `x` has shape (n, F) and `y` (n,). The penalty is pull / 2 · |v − prior|², `pull` above 0; `weight`, shape (n,),
    counts observations. `bounds` are the least and the greatest weight. A step is halved until it helps, as from far
    away a whole one may overshoot.
    """
    w = np.ones(len(y)) if weight is None else weight

    def loss(v: Floats) -> float:
        away = v - prior
        return float(w @ binary_loss(x @ v, y)) + 0.5 * pull * float(away @ away)

    v = prior.copy()
    for _ in range(_STEPS):
        p = sigmoid(x @ v)
        slope = x.T @ (w * (p - y)) + pull * (v - prior)
        curve = (x * (w * p * (1.0 - p))[:, None]).T @ x + pull * np.eye(len(prior))
        step = np.linalg.solve(curve, slope)
        if bounds is not None:
            step = v - np.clip(v - step, *bounds)
        before = loss(v)
        while np.abs(step).max() >= tolerance and loss(v - step) > before * (1.0 + 1e-12):
            step = 0.5 * step
        v = v - step
        if np.abs(step).max() < tolerance:
            break
    return np.asarray(v)
