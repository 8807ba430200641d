"""Fitting of the Shortlister's calibration to held-out requests: `arbitrank.shortlist.calibration` has the formulas."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from msgspec import structs
from numpy.typing import NDArray

from arbitrank.probability import log_odds, sigmoid
from arbitrank.shortlist.calibration import DEFAULT, SIGNS, CandidateCalibration, entropy

__all__ = ["HeldRequest", "OutOfScope", "conditional_weights", "fit"]

Floats = NDArray[np.float64]

_PULL = 1.0  # of the ridge, in candidates
_STEPS = 50
_POSTERIOR = 1
_LEAST, _TINY = 1e-12, 1e-8
_ENOUGH = 20  # requests that fit no skill, to learn from them


class HeldRequest(NamedTuple):
    """A held-out request: its candidates' features (n, features), which are acceptable, and its signs."""

    x: Floats
    acceptable: NDArray[np.bool_]
    signs: Floats


class OutOfScope(NamedTuple):
    """Signs of requests that fit no skill, (n, signs), their weights, and the share of such requests to expect."""

    signs: Floats
    weights: Floats
    share: float


NOTHING = OutOfScope(np.empty((0, len(SIGNS))), np.empty(0), 0.0)


def fit(
    held: Sequence[HeldRequest],
    outside: OutOfScope = NOTHING,
    inside: Floats | None = None,
    shared: Sequence[HeldRequest] = (),
) -> CandidateCalibration:
    """The calibration that fits held-out requests best; the default one where no candidate is acceptable.

    `inside` are signs of requests that fit a skill, seen as those of `outside` were; by default those of `held`.
    `shared` are requests of unknown skills that a known one serves as well.
    """
    chosen = [one for one in held if one.acceptable.any()]
    if not chosen:
        return CandidateCalibration()
    weights = conditional_weights(chosen, np.array(DEFAULT), np.ones(len(DEFAULT), np.bool_))
    only = np.zeros(len(DEFAULT), np.bool_)
    only[_POSTERIOR] = True
    alone = float(conditional_weights(chosen, np.array(DEFAULT) * only, only)[_POSTERIOR])
    found = CandidateCalibration(tuple(weights.tolist()), alone)
    found = _with_odds(found, [*held, *shared])
    fits = None
    if len(outside.signs) >= _ENOUGH and outside.weights.sum() > 0:
        seen = np.stack([one.signs for one in held]) if inside is None else inside
        y = np.concatenate([np.ones(len(seen)), np.zeros(len(outside.signs))])
        # Both sides weigh as expected, so that it is best where it is used; the share itself is added there.
        odds = outside.share / (1.0 - outside.share)
        weigh = np.concatenate([np.ones(len(seen)), outside.weights * (odds * len(seen) / outside.weights.sum())])
        bias, *others = _logistic(np.concatenate([seen, outside.signs]), y, weigh, np.zeros(len(SIGNS))).tolist()
        fits = (bias + float(np.log(odds)), *others)
    return structs.replace(found, fits=fits, outside=outside.share)


def _with_odds(found: CandidateCalibration, held: Sequence[HeldRequest]) -> CandidateCalibration:
    """With the odds of a candidate by its share, the request's signs and the entropy of the shares.

    A candidate counts by its share: the best one's probability is the one that is acted on.
    """
    shares = [found.shares(one.x) for one in held]
    share = np.concatenate(shares)
    z = log_odds(np.clip(share, _LEAST, 1.0 - _LEAST))
    right = np.concatenate([one.acceptable for one in held]).astype(np.float64)
    of_request = np.array([(*one.signs[1:], entropy(own)) for one, own in zip(held, shares, strict=True)])
    signs = np.repeat(of_request, [len(own) for own in shares], axis=0)
    over = np.maximum(z, 0.0)
    x = np.column_stack([np.ones(len(z)), z, over, signs, signs * over[:, None]])
    start = np.zeros(x.shape[1])
    start[1] = 1.0
    a, b, c, *others = _logistic(x, right, share, start).tolist()
    if b <= 0:  # a greater share is never less likely
        return found
    *of_a, entropy_a = others[: len(SIGNS)]
    *of_c, entropy_c = others[len(SIGNS) :]
    return structs.replace(found, odds=(a, b, c), signs=(*of_a, *of_c), entropy=(entropy_a, entropy_c))


def conditional_weights(held: Sequence[HeldRequest], start: Floats, free: NDArray[np.bool_]) -> Floats:
    """The weights for which a softmax over each request's candidates puts most on the acceptable ones."""
    x = np.concatenate([one.x for one in held])
    acceptable = np.concatenate([one.acceptable for one in held])
    sizes = np.array([len(one.x) for one in held])
    first = np.concatenate([[0], np.cumsum(sizes)[:-1]])

    def shares(v: Floats) -> tuple[Floats, Floats, float]:
        """The share of each candidate, that among the acceptable ones, and the loss."""
        u = x @ v
        p = np.exp(u - np.repeat(np.maximum.reduceat(u, first), sizes))
        p = np.maximum(p / np.repeat(np.add.reduceat(p, first), sizes), _LEAST)
        r = np.where(acceptable, p, 0.0)
        hit = np.add.reduceat(r, first)
        return p, r / np.repeat(hit, sizes), float(0.5 * _PULL * ((v - start) ** 2).sum() - np.log(hit).sum())

    v = start.copy()
    p, r, loss = shares(v)
    for _ in range(_STEPS):
        mean = np.add.reduceat(p[:, None] * x, first)
        gradient = x.T @ (p - r) + _PULL * (v - start)
        curvature = (x * p[:, None]).T @ x - mean.T @ mean + _PULL * np.eye(len(v))
        step = np.zeros(len(v))
        step[free] = np.linalg.solve(curvature[np.ix_(free, free)], gradient[free])
        while (after := shares(v - step))[2] > loss and np.abs(step).max() > _TINY:
            step *= 0.5
        if after[2] >= loss:
            break
        v, (p, r, loss) = v - step, after
    return v


def _logistic(x: Floats, y: Floats, weights: Floats, start: Floats) -> Floats:
    """Weights of a logistic regression, by Newton's method with halved steps and a ridge towards `start`."""

    def loss(v: Floats) -> float:
        u = x @ v
        return float(weights @ (np.logaddexp(0.0, u) - y * u) + 0.5 * _PULL * ((v - start) ** 2).sum())

    v, before = start.copy(), loss(start)
    for _ in range(_STEPS):
        p = sigmoid(x @ v)
        gradient = x.T @ (weights * (p - y)) + _PULL * (v - start)
        curvature = (x * (weights * p * (1.0 - p))[:, None]).T @ x + _PULL * np.eye(len(v))
        step = np.linalg.solve(curvature, gradient)
        while (after := loss(v - step)) > before and np.abs(step).max() > _TINY:
            step *= 0.5
        if after >= before:
            break
        v, before = v - step, after
    return v
