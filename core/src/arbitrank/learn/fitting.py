"""Training of re-rankers: L-BFGS with analytic gradients, pulled towards R0.

The serving path never imports this module; it loads scipy.optimize.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from arbitrank.domain import Settings
from arbitrank.learn.features import CORE_KEYS, FeatureSpec, fit_features, plain_rows, rows
from arbitrank.learn.losses import Batch, Floats, mixed
from arbitrank.learn.rerankers import R0, Factored, LogLinear, Weights
from arbitrank.semer import entirely_right, semer
from arbitrank.values import Hypothesis, Request, Truth

LAMBDA = 1.0
"""λ of R3 = R1 + λ·R2, the article's loss."""

_FACTORED_R2 = 3.0  # the readings of a factored re-ranker are trained with R1 + 3·R2
_MUCH = 1_000  # requests from which on the data may pull hard against R0


def own_request(request: Request, hypotheses: Sequence[Hypothesis]) -> Request:
    """The request as its domain sees it: with these hypotheses, and nobody else's."""
    return Request(
        id=request.id,
        utterance=request.utterance,
        context=request.context,
        hypotheses=tuple(hypotheses),
        session=request.session,
        account=request.account,
        dialogue=request.dialogue,
    )


def train_reranker(
    domain: str,
    requests: Sequence[Request],
    truths: Sequence[Truth],
    settings: Settings,
    *,
    keys: Sequence[str] = CORE_KEYS,
    context: bool = True,
) -> LogLinear | Factored:
    """The re-ranker that the settings name, from requests that hold the domain's own hypotheses, and their truths.

    Requests without a hypothesis teach nothing and are left out. With `settings.kept` < 1 other domains' traffic was
    sampled at that rate, and the prior is corrected for it.
    """
    pairs = [(request, truth) for request, truth in zip(requests, truths, strict=True) if request.hypotheses]
    requests, truths = [r for r, _ in pairs], [t for _, t in pairs]
    spec = fit_features(domain, requests, keys=keys, context=context)
    batch = label(domain, requests, truths)
    if settings.model == "factored":
        return _train_factored(spec, requests, batch, settings)
    return _train_loglinear(spec, requests, batch, settings)


def label(domain: str, requests: Sequence[Request], truths: Sequence[Truth]) -> Batch:
    """The labels and errors of the requests' hypotheses, every request weighing 1."""
    sizes = np.array([len(request.hypotheses or ()) for request in requests], np.int64)
    each = [(h, truth) for request, truth in zip(requests, truths, strict=True) for h in request.hypotheses or ()]
    return Batch(
        starts=np.concatenate([[0], np.cumsum(sizes)[:-1]]).astype(np.int64),
        right=np.array([float(entirely_right(h, truth)) for h, truth in each]),
        semer=np.array([semer(h, truth) for h, truth in each]),
        mine=np.array([float(truth.domain == domain) for truth in truths]),
        weight=np.ones(len(requests)),
    )


def _train_loglinear(spec: FeatureSpec, requests: Sequence[Request], batch: Batch, settings: Settings) -> LogLinear:
    matrix = np.array([row for request in requests for row in plain_rows(spec, request)])
    r1, r2 = {"r1": (1.0, 0.0), "r2": (0.0, 1.0), "r3": (1.0, LAMBDA)}[settings.loss]
    # Each hypothesis is judged for itself, so shifting the bias would be wrong: the requests are weighed instead.
    batch = batch._replace(weight=np.where(batch.mine > 0, 1.0, 1.0 / settings.kept))
    start = np.array([1.0 if name in ("domain.logit", "intent.log", "slots.log") else 0.0 for name in spec.plain_names])
    fitted = _minimise(lambda z: mixed(z, batch, settings.form, r1, r2), matrix, start, _l2(settings, len(requests)))
    return LogLinear(spec, settings.form, _weights(spec.plain_names, fitted, matrix))


def _train_factored(spec: FeatureSpec, requests: Sequence[Request], batch: Batch, settings: Settings) -> Factored:
    pairs = [rows(spec, request) for request in requests]
    of_requests = np.array([row for row, _ in pairs])
    start = np.array([float(name == "domain.logit") for name in spec.request_names])
    l2 = _l2(settings, len(requests))
    mine = _minimise(lambda z: _is_mine(z, batch), of_requests, start, l2)
    mine[spec.request_names.index("bias")] += np.log(settings.kept)

    of_readings = np.array([row for _, several in pairs for row in several])
    own = batch.mine > 0
    each = np.repeat(own, batch.sizes)
    starts = np.concatenate([[0], np.cumsum(batch.sizes[own])[:-1]]).astype(np.int64)
    owned = Batch(starts, batch.right[each], batch.semer[each], batch.mine[own], batch.weight[own])
    start = np.array([float(name == "reading.null_odds") for name in spec.reading_names])
    l2 = _l2(settings, int(own.sum()))
    right = start
    if own.any():
        right = _minimise(lambda z: mixed(z, owned, "null", 1.0, _FACTORED_R2), of_readings[each], start, l2)
    return Factored(
        spec,
        _weights(spec.request_names, mine, of_requests),
        _weights(spec.reading_names, right, of_readings[each] if own.any() else of_readings),
    )


def _is_mine(z: Floats, batch: Batch) -> tuple[float, Floats]:
    """The mean cross-entropy of P(mine) = sigmoid(z), and its gradient."""
    weight = batch.weight / batch.weight.sum()
    loss = np.maximum(z, 0.0) - batch.mine * z + np.log1p(np.exp(-np.abs(z)))
    return float(weight @ loss), weight * (0.5 * (1.0 + np.tanh(0.5 * z)) - batch.mine)


def _minimise(
    loss: Callable[[Floats], tuple[float, Floats]], matrix: Floats, start: Floats, l2: float
) -> NDArray[np.float64]:
    """The weights that minimise loss(matrix @ w) + l2·|w − start|², from `start`."""

    def objective(w: Floats) -> tuple[float, Floats]:
        value, slope = loss(matrix @ w)
        away = w - start
        return value + l2 * float(away @ away), matrix.T @ slope + 2.0 * l2 * away

    found = minimize(objective, start, jac=True, method="L-BFGS-B", options={"maxiter": 500, "maxcor": 20})
    return np.asarray(found.x, np.float64)


def _l2(settings: Settings, n: int) -> float:
    if settings.l2 is not None:
        return settings.l2
    return 1e-4 if n >= _MUCH else 1e-2


def _weights(names: tuple[str, ...], values: Floats, matrix: Floats) -> Weights:
    # Ten digits are more than the optimiser means, and few enough to read.
    return Weights(names, tuple(_digits(w) for w in values), tuple(_digits(m) for m in matrix.mean(axis=0)))


def _digits(value: float) -> float:
    return float(f"{value:.10g}")


def baseline(domain: str, requests: Sequence[Request]) -> R0:
    """R0 for the domain, with the means of these requests for missing confidences."""
    return R0(fit_features(domain, [r for r in requests if r.hypotheses], context=False))
