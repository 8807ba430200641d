"""Training of re-rankers: L-BFGS with analytic gradients, pulled towards R0.

The serving path never imports this module; it loads scipy.optimize.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import msgspec
import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from arbitrank.domain import Settings
from arbitrank.learn.features import CORE_KEYS, FeatureSpec, fit_features, plain_rows, rows
from arbitrank.learn.losses import Batch, Floats, mixed
from arbitrank.learn.probability import binary_loss, sigmoid
from arbitrank.learn.rerankers import R0, Factored, LogLinear, Weights
from arbitrank.semer import semer
from arbitrank.values import Hypothesis, Request, Truth

LAMBDA = 1.0
"""λ of R3 = R1 + λ·R2, the article's loss."""

_FACTORED_R2 = 3.0  # the readings of a factored re-ranker are trained with R1 + 3·R2
_ENOUGH = 300  # requests of the scarcer kind from which on the pull towards R0 is no longer strengthened
_FEW = 30  # requests of the scarcer kind below which held-out ones can't be trusted to choose the pull
_STRONGEST = 1_000.0  # the pull on a domain that has next to nothing, in units of the pull on one that has enough


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
        utterance_length=request.utterance_length,
    )


@dataclass(frozen=True)
class Evidence:
    """What a domain's re-ranker learns from: requests that hold its own hypotheses, at least one each, and labels.

    The matrices of features are made when they are asked for, and once.
    """

    spec: FeatureSpec
    requests: Sequence[Request]
    batch: Batch

    @classmethod
    def of(cls, spec: FeatureSpec, requests: Sequence[Request], truths: Sequence[Truth]) -> Evidence:
        """The evidence in requests, each with a hypothesis of the domain's own, and their truths."""
        return cls(spec, requests, label(spec.domain, requests, truths))

    def without_context(self) -> Evidence:
        """The same evidence, of which only confidences are looked at."""
        return replace(
            self, spec=msgspec.structs.replace(self.spec, situations=(), preferences=False, previous=False, extras=())
        )

    @cached_property
    def plain(self) -> Floats:
        """The features of the log-linear re-ranker, a row for each hypothesis: shape (N, F)."""
        return np.array([row for request in self.requests for row in plain_rows(self.spec, request)])

    @cached_property
    def factored(self) -> tuple[Floats, Floats]:
        """The features of P(mine), shape (R, F), and those of the readings, shape (N, G)."""
        pairs = [rows(self.spec, request) for request in self.requests]
        return np.array([row for row, _ in pairs]), np.array([row for _, several in pairs for row in several])

    def only(self, chosen: NDArray[np.bool_]) -> Evidence:
        """The evidence of the chosen requests, a mask of shape (R,), with the same features."""
        batch, each = self.batch.only(chosen)
        part = Evidence(
            self.spec, [request for request, kept in zip(self.requests, chosen, strict=True) if kept], batch
        )
        of_requests, of_readings = self.factored
        # Rows once made are good for any part; the cached property is filled with them.
        part.__dict__["factored"] = (of_requests[chosen], of_readings[each])
        return part


def gather(
    domain: str,
    requests: Sequence[Request],
    truths: Sequence[Truth],
    *,
    keys: Sequence[str] = CORE_KEYS,
    context: bool = True,
) -> Evidence:
    """The evidence in requests that hold the domain's own hypotheses, and in their truths.

    Requests without a hypothesis teach nothing and are left out. `keys` and `context` are those of `fit_features`.
    """
    pairs = [(request, truth) for request, truth in zip(requests, truths, strict=True) if request.hypotheses]
    kept = [request for request, _ in pairs]
    spec = fit_features(domain, kept, keys=keys, context=context)
    return Evidence.of(spec, kept, [truth for _, truth in pairs])


def train_reranker(evidence: Evidence, settings: Settings) -> LogLinear | Factored:
    """The linear re-ranker that the settings name."""
    return (train_factored if settings.model == "factored" else train_loglinear)(evidence, settings)


def label(domain: str, requests: Sequence[Request], truths: Sequence[Truth]) -> Batch:
    """The labels and errors of the requests' hypotheses, every request weighing 1; the errors in others' are all 1."""
    sizes = np.array([len(request.hypotheses or ()) for request in requests], np.int64)
    errors = [
        semer(h, truth) if truth.domain == domain else 1.0
        for request, truth in zip(requests, truths, strict=True)
        for h in request.hypotheses or ()
    ]
    return Batch(
        starts=np.concatenate([[0], np.cumsum(sizes)[:-1]]).astype(np.int64),
        right=(np.array(errors) == 0.0).astype(np.float64),
        semer=np.array(errors, np.float64),
        mine=np.array([float(truth.domain == domain) for truth in truths]),
        weight=np.ones(len(requests)),
    )


def train_loglinear(evidence: Evidence, settings: Settings) -> LogLinear:
    """The article's re-ranker, with the loss and the form of the settings.

    With `settings.kept` < 1 other domains' traffic was sampled at that rate; what is left weighs as much as all did.
    """
    spec, matrix = evidence.spec, evidence.plain
    r1, r2 = {"r1": (1.0, 0.0), "r2": (0.0, 1.0), "r3": (1.0, LAMBDA)}[settings.loss or "r3"]
    # Hypotheses are judged each for itself here, so shifting the bias would be wrong: the requests are weighed instead.
    batch = evidence.batch
    batch = batch._replace(weight=np.where(batch.mine > 0, 1.0, 1.0 / settings.kept))
    start = np.array([1.0 if name in ("domain.logit", "intent.log", "slots.log") else 0.0 for name in spec.plain_names])
    l2 = _l2(settings, len(evidence.requests), _scarcer(batch))
    fitted = _minimise(lambda z: mixed(z, batch, settings.form, r1, r2), matrix, start, l2)
    return LogLinear(spec, settings.form, _weights(spec.plain_names, fitted, matrix))


def train_factored(evidence: Evidence, settings: Settings, *, pull: float | None = None) -> Factored:
    """The factored re-ranker; `pull` is how many requests the pull towards R0 counts for, None for the default.

    With `settings.kept` < 1, half of the missing log(kept) is made up for by what others' requests weigh, and half is
    added to P(mine)'s log-odds. The shift alone would fit best where the sampled odds are even, far from where domains
    compete; weights alone would let a handful of requests decide.
    """
    spec, batch = evidence.spec, evidence.batch
    of_requests, of_readings = evidence.factored
    own = batch.mine > 0
    weighed = batch._replace(weight=np.where(own, 1.0, settings.kept**-0.5))
    start = np.array([float(name == "domain.logit") for name in spec.request_names])
    # R0 is where the pull leads to after the shift, so before it the weights begin as far above.
    bias, shift = spec.request_names.index("bias"), 0.5 * np.log(settings.kept)
    start[bias] -= shift
    l2 = _l2(settings, len(evidence.requests), _scarcer(weighed), pull)
    mine = _minimise(lambda z: _is_mine(z, weighed), of_requests, start, l2)
    mine[bias] += shift

    owned, each = batch.only(own)
    start = np.array([float(name == "reading.null_odds") for name in spec.reading_names])
    right = start
    if own.any():
        l2 = _l2(settings, int(own.sum()), int(own.sum()), pull)
        right = _minimise(lambda z: mixed(z, owned, "null", 1.0, _FACTORED_R2), of_readings[each], start, l2)
    return Factored(
        spec,
        _weights(spec.request_names, mine, of_requests),
        _weights(spec.reading_names, right, of_readings[each] if own.any() else of_readings),
    )


def _is_mine(z: Floats, batch: Batch) -> tuple[float, Floats]:
    """The mean cross-entropy of P(mine) = sigmoid(z), and its gradient."""
    weight = batch.weight / batch.weight.sum()
    return float(weight @ binary_loss(z, batch.mine)), weight * (sigmoid(z) - batch.mine)


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


def _l2(settings: Settings, n: int, few: float, pull: float | None = None) -> float:
    """The pull towards R0 on a mean over n requests: 1/n, so that each further request weakens it, and more than that
    where there are few of the scarcer kind (its own or others'), as it is they that the weights can be learned from.

    Under a hundred of them, trained weights lost to R0 on held-out requests, so there next to nothing is learned.
    """
    if settings.l2 is not None:
        return settings.l2
    return (min(max((_ENOUGH / max(few, 1)) ** 2, 1.0), _STRONGEST) if pull is None else pull) / n


def may_be_looser(evidence: Evidence) -> bool:
    """Whether the default pull is strengthened, and the data are enough to tell if it should be."""
    return _FEW <= _scarcer(evidence.batch) < _ENOUGH


def _scarcer(batch: Batch) -> float:
    """What the requests weigh of the kind that weighs less: the domain's own, or others'."""
    own = float(batch.weight @ (batch.mine > 0))
    return min(own, float(batch.weight.sum()) - own)


def _weights(names: tuple[str, ...], values: Floats, matrix: Floats) -> Weights:
    # Ten digits are more than the optimiser means, and few enough to read.
    return Weights(names, tuple(_digits(w) for w in values), tuple(_digits(m) for m in matrix.mean(axis=0)))


def _digits(value: float) -> float:
    return float(f"{value:.10g}")


def baseline(domain: str, requests: Sequence[Request]) -> R0:
    """R0 for the domain, with the means of these requests for missing confidences."""
    return R0(fit_features(domain, [r for r in requests if r.hypotheses], context=False))
