"""Training of re-rankers: L-BFGS with analytic gradients, pulled towards R0.

The serving path never imports this module; it loads scipy.optimize.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from functools import cached_property, partial

import msgspec
import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from arbitrank.domain import Settings
from arbitrank.learn.buffers import BLOCK, Chosen, blocks, room, taken
from arbitrank.learn.census import fit_features
from arbitrank.learn.features import CORE_KEYS, FeatureSpec
from arbitrank.learn.files import linear_of, load
from arbitrank.learn.losses import Batch, Floats, mixed
from arbitrank.learn.matrices import matrices, plain_matrix
from arbitrank.learn.rerankers import R0, Factored, LogLinear, Weights
from arbitrank.probability import binary_loss, sigmoid
from arbitrank.semer import semer
from arbitrank.values import Hypothesis, Request, Truth

LAMBDA = 1.0
"""λ of R3 = R1 + λ·R2, the article's loss."""

_FACTORED_R2 = 3.0  # the readings of a factored re-ranker are trained with R1 + 3·R2
_ENOUGH = 300  # requests of the scarcer kind from which on the pull towards R0 is no longer strengthened
_FEW = 30  # requests of the scarcer kind below which held-out ones can't be trusted to choose the pull
_DOUBTED = 50  # requests of the scarcer kind below which chance too easily prefers another pull
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
    def of(
        cls, spec: FeatureSpec, requests: Sequence[Request], truths: Sequence[Truth], weights: Floats | None = None
    ) -> Evidence:
        """The evidence in requests, each with a hypothesis of the domain's own, and their truths."""
        return cls(spec, requests, label(spec.domain, requests, truths, weights))

    def without_context(self) -> Evidence:
        """The same evidence, of which only confidences are looked at."""
        return replace(
            self, spec=msgspec.structs.replace(self.spec, situations=(), preferences=False, previous=False, extras=())
        )

    @cached_property
    def plain(self) -> Floats:
        """The features of the log-linear re-ranker, a row for each hypothesis: shape (N, F)."""
        return self._filled(plain_matrix)

    @cached_property
    def factored(self) -> tuple[Floats, Floats]:
        """The features of P(mine), shape (R, F), and those of the readings, shape (N, G)."""
        of_requests = room(len(self.requests), len(self.spec.request_names))

        def both(spec: FeatureSpec, part: Sequence[Request], starts: NDArray[np.int64]) -> Floats:
            found, of_readings = matrices(spec, part, starts)
            of_requests[done[0] : done[0] + len(part)] = found
            done[0] += len(part)
            return of_readings

        done = [0]
        return of_requests, self._filled(both)

    def _filled(self, make: Callable[[FeatureSpec, Sequence[Request], NDArray[np.int64]], Floats]) -> Floats:
        """What `make` gives of all requests, a block of them at a time, so that no more of them is in memory."""
        found: Floats | None = None
        for block in blocks(len(self.requests)):
            starts = self.batch.starts[block]
            part = make(self.spec, list(self.requests[block]), starts - starts[0])
            if found is None:
                found = room(len(self.batch.right), part.shape[1])
            found[starts[0] : starts[0] + len(part)] = part
        return np.zeros((0, 0)) if found is None else found

    def only(self, chosen: NDArray[np.bool_]) -> Evidence:
        """The evidence of the chosen requests, a mask of shape (R,), with the same features."""
        batch, each = self.batch.only(chosen)
        part = Evidence(self.spec, Chosen(self.requests, np.flatnonzero(chosen)), batch)
        of_requests, of_readings = self.factored
        # Rows once made are good for any part; the cached property is filled with them.
        part.__dict__["factored"] = (taken(of_requests, chosen), taken(of_readings, each))
        return part


def gather(
    domain: str,
    requests: Sequence[Request],
    truths: Sequence[Truth],
    *,
    keys: Sequence[str] = CORE_KEYS,
    context: bool = True,
    weights: Floats | None = None,
) -> Evidence:
    """The evidence in requests that hold the domain's own hypotheses, and in their truths.

    Requests without a hypothesis teach nothing and are left out. `keys` and `context` are those of `fit_features`;
    `weights`, shape (R,), say how many requests each stands for. Sequences that give an item when it is asked for are
    never in memory as a whole.
    """
    places = np.flatnonzero(np.fromiter((bool(request.hypotheses) for request in requests), bool, len(requests)))
    kept, true = Chosen(requests, places), Chosen(truths, places)
    spec = fit_features(domain, kept, keys=keys, context=context)
    return Evidence.of(spec, kept, true, None if weights is None else weights[places])


def train_reranker(evidence: Evidence, settings: Settings) -> LogLinear | Factored:
    """The linear re-ranker that the settings name."""
    return (train_factored if settings.model == "factored" else train_loglinear)(evidence, settings)


def label(domain: str, requests: Sequence[Request], truths: Sequence[Truth], weights: Floats | None = None) -> Batch:
    """The labels and errors of the requests' hypotheses, a request weighing 1 where there are no `weights`; the errors
    in others' are all 1."""
    sizes, errors, mine = array("q"), array("d"), array("d")
    for request, truth in zip(requests, truths, strict=True):
        own, hypotheses = truth.domain == domain, request.hypotheses or ()
        sizes.append(len(hypotheses))
        errors.extend(semer(h, truth) if own else 1.0 for h in hypotheses)
        mine.append(float(own))
    semers = np.array(errors, np.float64)
    return Batch(
        starts=np.concatenate([[0], np.cumsum(np.array(sizes, np.int64))[:-1]]).astype(np.int64)[: len(sizes)],
        right=(semers == 0.0).astype(np.float64),
        semer=semers,
        mine=np.array(mine, np.float64),
        weight=np.ones(len(sizes)) if weights is None else weights,
    )


def train_loglinear(evidence: Evidence, settings: Settings) -> LogLinear:
    """The article's re-ranker, with the loss and the form of the settings.

    With `settings.kept` < 1 other domains' traffic was sampled at that rate; what is left weighs as much as all did.
    """
    fitted = _linear(evidence, replace(settings, model="loglinear"), None)
    assert isinstance(fitted, LogLinear)
    return fitted


def train_factored(evidence: Evidence, settings: Settings, *, pull: float | None = None) -> Factored:
    """The factored re-ranker; `pull` is how many requests the pull towards R0 counts for, None for the default.

    With `settings.kept` < 1, half of the missing log(kept) is made up for by what others' requests weigh, and half is
    added to P(mine)'s log-odds. The shift alone would fit best where the sampled odds are even, far from where domains
    compete; weights alone would let a handful of requests decide.
    """
    fitted = _linear(evidence, replace(settings, model="factored"), pull)
    assert isinstance(fitted, Factored)
    return fitted


class Linear(Enum):
    """The linear models that re-rankers are made of: each with its features, its requests, its loss and its R0."""

    PLAIN = "plain"
    MINE = "mine"
    RIGHT = "right"

    def of(self, evidence: Evidence, settings: Settings) -> tuple[Floats, Batch, Loss]:
        """The features, the labels with what each request weighs, and the loss."""
        batch, own = evidence.batch, evidence.batch.mine > 0
        if self is Linear.PLAIN:
            # Hypotheses are judged each for itself, so shifting the bias would be wrong: the requests are weighed.
            weighed = batch._replace(weight=batch.weight * np.where(own, 1.0, 1.0 / settings.kept))
            r1, r2 = {"r1": (1.0, 0.0), "r2": (0.0, 1.0), "r3": (1.0, LAMBDA)}[settings.loss or "r3"]
            return evidence.plain, weighed, partial(mixed, form=settings.form, r1=r1, r2=r2)
        of_requests, of_readings = evidence.factored
        if self is Linear.MINE:
            return of_requests, batch._replace(weight=batch.weight * np.where(own, 1.0, settings.kept**-0.5)), is_mine
        owned, each = batch.only(own)
        return taken(of_readings, each), owned, partial(mixed, form="null", r1=1.0, r2=_FACTORED_R2)

    def start(self, names: Sequence[str], settings: Settings) -> Floats:
        """R0's weights, which the pull leads to; before the shift of the bias, as far above as that will take them."""
        ones = {"plain": ("domain.logit", "intent.log", "slots.log"), "mine": ("domain.logit",)}
        found = np.array([float(name in ones.get(self.value, ("reading.null_odds",))) for name in names])
        if self is Linear.MINE:
            found[list(names).index("bias")] -= self.shift(settings)
        return found

    def shift(self, settings: Settings) -> float:
        """What is added to the bias in the end, for traffic that was sampled."""
        return 0.5 * float(np.log(settings.kept)) if self is Linear.MINE else 0.0


def fit_linear(
    loss: Callable[[Floats], tuple[float, Floats]],
    model: Linear,
    names: Sequence[str],
    requests: int,
    own: int,
    settings: Settings,
    pull: float | None = None,
) -> NDArray[np.float64]:
    """The weights of a linear model by a loss of them, which may be summed anywhere, over so many requests."""
    start = model.start(names, settings)
    if not requests:
        return start
    few = own if model is Linear.RIGHT else min(own, requests - own)
    l2 = _l2(settings, requests, few, None if model is Linear.PLAIN else pull)
    fitted = _minimise(loss, start, l2, settings, names)
    if "bias" in names:
        fitted[list(names).index("bias")] += model.shift(settings)
    return fitted


Fit = Callable[[Linear, Sequence[str]], tuple[NDArray[np.float64], Floats]]
"""Gives the weights of a linear model with these features, and the features' means."""


def linear_models(spec: FeatureSpec, settings: Settings, fit: Fit) -> LogLinear | Factored:
    """The re-ranker that the settings name, its linear models fitted by `fit`."""
    if settings.model == "loglinear":
        return LogLinear(spec, settings.form, _weights(spec.plain_names, *fit(Linear.PLAIN, spec.plain_names)))
    return Factored(
        spec,
        _weights(spec.request_names, *fit(Linear.MINE, spec.request_names)),
        _weights(spec.reading_names, *fit(Linear.RIGHT, spec.reading_names)),
    )


def _linear(evidence: Evidence, settings: Settings, pull: float | None) -> LogLinear | Factored:
    def fit(model: Linear, names: Sequence[str]) -> tuple[NDArray[np.float64], Floats]:
        rows, batch, loss = model.of(evidence, settings)
        own = int(np.count_nonzero(batch.mine))
        if not len(rows):
            return model.start(names, settings), evidence.factored[1].mean(axis=0)
        return fit_linear(Sums(loss, rows, batch), model, names, len(batch.starts), own, settings, pull), rows.mean(
            axis=0
        )

    return linear_models(evidence.spec, settings, fit)


def is_mine(z: Floats, batch: Batch) -> tuple[float, Floats]:
    """The mean cross-entropy of P(mine) = sigmoid(z), and its gradient."""
    weight = batch.weight / batch.weight.sum()
    return float(weight @ binary_loss(z, batch.mine)), weight * (sigmoid(z) - batch.mine)


Loss = Callable[[Floats, Batch], tuple[float, Floats]]
"""A mean loss of a batch by the scores, weighed, and its gradient by them."""


class Sums:
    """A loss of a linear model and its gradient by the weights, summed over blocks of requests, in order.

    `matrix` has a row for each request of the batch, or for each hypothesis.
    """

    def __init__(self, loss: Loss, matrix: Floats, batch: Batch) -> None:
        self._loss = loss
        self._parts = list(_parts(matrix, batch))
        self.weight = float(batch.weight.sum())

    def __call__(self, w: Floats) -> tuple[float, Floats]:
        """The mean loss at the weights, and its gradient."""
        total, gradient = 0.0, np.zeros_like(w)
        for rows, part in self._parts:
            value, slope = self._loss(rows @ w, part)
            share = float(part.weight.sum()) / self.weight
            total += share * value
            gradient += share * (slope @ rows)
        return total, gradient


def _parts(matrix: Floats, batch: Batch) -> Iterator[tuple[Floats, Batch]]:
    ends = np.append(batch.starts, len(batch.right))
    by_request = len(matrix) == len(batch.starts)
    first = 0
    while first < len(batch.starts):
        # As many requests as fill a block, at least one.
        last = max(first + 1, int(np.searchsorted(ends, ends[first] + BLOCK, "right")) - 1)
        rows = slice(ends[first], ends[last])
        part = Batch(
            starts=batch.starts[first:last] - batch.starts[first],
            right=batch.right[rows],
            semer=batch.semer[rows],
            mine=batch.mine[first:last],
            weight=batch.weight[first:last],
        )
        yield matrix[slice(first, last) if by_request else rows], part
        first = last


def _minimise(
    loss: Callable[[Floats], tuple[float, Floats]],
    start: Floats,
    l2: float,
    settings: Settings,
    names: Sequence[str] = (),
) -> NDArray[np.float64]:
    """The weights that minimise loss(w) + l2·|w − start|², from `start`, or from those of the settings' `warm`."""
    seen = [0, 0.0]

    def objective(w: Floats) -> tuple[float, Floats]:
        value, slope = loss(w)
        away = w - start
        seen[1] = value + l2 * float(away @ away)
        return seen[1], slope + 2.0 * l2 * away

    def told(_: Floats) -> None:
        seen[0] += 1
        settings.figures({"round": seen[0], "loss": seen[1]})

    begin = _warmed(settings, names, start)
    options = {"maxiter": 500, "maxcor": 20}
    found = minimize(objective, begin, jac=True, method="L-BFGS-B", callback=told, options=options)
    return np.asarray(found.x, np.float64)


def _warmed(settings: Settings, names: Sequence[str], start: Floats) -> Floats:
    """The weights of these names that an artifact has, and `start` for those that it doesn't."""
    if settings.warm is None:
        return start
    linear = linear_of(load(settings.warm / "reranker"))
    known = next(
        (dict(zip(one.names, one.values, strict=True)) for one in linear if one.names[:2] == tuple(names[:2])), {}
    )
    return np.array([known.get(name, value) for name, value in zip(names, start.tolist(), strict=True)], np.float64)


def _l2(settings: Settings, n: int, few: int, pull: float | None = None) -> float:
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


def standard_errors(evidence: Evidence) -> float:
    """How many standard errors of its gain a looser pull has to win by: 2 where few requests speak for it, else 1."""
    return 2.0 if _scarcer(evidence.batch) < _DOUBTED else 1.0


def _scarcer(batch: Batch) -> int:
    """How many requests there are of the scarcer kind, own or others'; to weigh more makes them no more."""
    own = int(np.count_nonzero(batch.mine))
    return min(own, len(batch.mine) - own)


def _weights(names: tuple[str, ...], values: Floats, means: Floats) -> Weights:
    # Ten digits are more than the optimiser means, and few enough to read.
    return Weights(names, tuple(_digits(w) for w in values), tuple(_digits(m) for m in means))


def _digits(value: float) -> float:
    return float(f"{value:.10g}")


def baseline(domain: str, requests: Sequence[Request]) -> R0:
    """R0 for the domain, with the means of these requests for missing confidences."""
    return R0(fit_features(domain, [r for r in requests if r.hypotheses], context=False))
