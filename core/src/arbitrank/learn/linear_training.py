"""Training of linear re-rankers: L-BFGS with analytic gradients, regularised towards R0.

The serving path never imports this module; it loads scipy.optimize.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from enum import Enum
from functools import partial
from typing import NamedTuple

import numpy as np
from scipy.optimize import minimize

from arbitrank.domain import Settings
from arbitrank.learn.buffers import BLOCK, taken
from arbitrank.learn.evidence import Evidence
from arbitrank.learn.feature_spec import FeatureSpec
from arbitrank.learn.files import linear_of, load
from arbitrank.learn.losses import Batch, mixed
from arbitrank.learn.narrow import NARROW, MeanLoss, Narrow
from arbitrank.learn.rerankers import Factored, LogLinear, Weights
from arbitrank.probability import Floats, binary_loss, sigmoid

LAMBDA = 1.0
"""λ of R3 = R1 + λ·R2, the article's loss."""

ENOUGH = 300
"""Requests of the scarcer kind, own or others', from which on the regularisation is not strengthened."""

_FACTORED_R2 = 3.0  # the readings of a factored re-ranker are trained with R1 + 3·R2
_OF_COUNTS = 0.1  # regularisation of a bias that counts decide; about that of the rule of succession
_SCORES = {"domain.missing": NARROW, "intent.missing": "intent.best_logit", "slots.missing": "slots.best_logit"}
_STRONGEST = 1_000.0  # regularisation of a domain that has next to nothing, in units of that of one that has enough

BatchLoss = Callable[[Floats, Batch], tuple[float, Floats]]
"""Weighted mean loss of a batch at some scores, and its gradient by the scores."""

Fit = Callable[["LinearModel", Sequence[str]], tuple[Floats, Floats]]
"""Returns the weights of a linear model with these features, and the features' means."""


def train_loglinear(evidence: Evidence, settings: Settings) -> LogLinear:
    """The article's re-ranker, with the loss and the form of the settings.

    With `settings.kept` < 1 other domains' traffic was sampled at that rate; what is left weighs as much as all did.
    """
    return loglinear(evidence.spec, settings, partial(_fitted, evidence, settings))


def train_factored(
    evidence: Evidence, settings: Settings, *, pull: float | None = None, scale_alone: bool = False
) -> Factored:
    """The factored re-ranker; `pull` is how many requests the regularisation counts for, None for the default.

    With `scale_alone` it is so for the slope and the bias of the domain's score alone, which correct its scale; of the
    intent's or the slots' where no reading states a domain's.

    With `settings.kept` < 1, half of the missing log(kept) is compensated by the weights of others' requests, and half
    is added to P(mine)'s log-odds. The shift alone would fit best where the sampled odds are even, far from where
    domains compete; weights alone would let a handful of requests decide.
    """
    return factored(evidence.spec, partial(_fitted, evidence, settings, pull=pull, scale_alone=scale_alone))


class LinearModel(Enum):
    """The linear models that re-rankers consist of, each with its features, requests, loss and R0 weights."""

    PLAIN = "plain"
    MINE = "mine"
    RIGHT = "right"

    def of(self, evidence: Evidence, settings: Settings) -> tuple[Floats, Batch, BatchLoss]:
        """The features, the labels with each request's weight, and the loss."""
        batch, own = evidence.batch, evidence.batch.mine > 0
        if self is LinearModel.PLAIN:
            # Hypotheses are judged each for itself, so shifting the bias would be wrong: the requests are weighted.
            weighted = batch._replace(weight=batch.counts(settings.kept))
            r1, r2 = {"r1": (1.0, 0.0), "r2": (0.0, 1.0), "r3": (1.0, LAMBDA)}[settings.loss or "r3"]
            return evidence.plain, weighted, partial(mixed, form=settings.form, r1=r1, r2=r2)
        of_requests, of_readings = evidence.factored
        if self is LinearModel.MINE:
            return of_requests, batch._replace(weight=batch.weight * np.where(own, 1.0, settings.kept**-0.5)), mine_loss
        owned, each = batch.only(own)
        return taken(of_readings, each), owned, partial(mixed, form="null", r1=1.0, r2=_FACTORED_R2)

    def start(self, names: Sequence[str], settings: Settings) -> Floats:
        """R0's weights, the target of the regularisation; the bias is what `shift` will later bring to R0's."""
        ones = {"plain": ("domain.logit", "intent.log", "slots.log"), "mine": ("domain.logit",)}
        weights = np.array([float(name in ones.get(self.value, ("reading.null_odds",))) for name in names])
        if self is LinearModel.MINE:
            weights[list(names).index("bias")] -= self.shift(settings)
        return weights

    def shift(self, settings: Settings) -> float:
        """The correction of the fitted bias for traffic that was sampled."""
        return 0.5 * float(np.log(settings.kept)) if self is LinearModel.MINE else 0.0


def loglinear(spec: FeatureSpec, settings: Settings, fit: Fit) -> LogLinear:
    """The log-linear re-ranker whose linear model is fitted by `fit`."""
    return LogLinear(spec, settings.form, _weights(LinearModel.PLAIN, spec.plain_names, fit))


def factored(spec: FeatureSpec, fit: Fit) -> Factored:
    """The factored re-ranker whose linear models are fitted by `fit`."""
    mine = _weights(LinearModel.MINE, spec.request_names, fit)
    return Factored(spec, mine, _weights(LinearModel.RIGHT, spec.reading_names, fit))


def _fitted(
    evidence: Evidence,
    settings: Settings,
    model: LinearModel,
    names: Sequence[str],
    pull: float | None = None,
    *,
    scale_alone: bool = False,
) -> tuple[Floats, Floats]:
    rows, batch, loss = model.of(evidence, settings)
    if not len(rows):
        return model.start(names, settings), evidence.factored[1].mean(axis=0)
    own = int(np.count_nonzero(batch.mine))
    counts = RequestCounts(len(batch.starts), own, evidence.silent)
    mean = BlockedLoss(loss, rows, batch)
    narrow = None if model is LinearModel.RIGHT else Narrow.of(rows[:, list(names).index(NARROW)])
    scale: tuple[str, ...] | None = None
    if scale_alone:
        scale = (_stated_score(rows, names), "bias") if model is LinearModel.MINE else ()
    fitted = fit_linear(mean, model, names, counts, settings, pull, narrow=narrow, scale=scale)
    return fitted, rows.mean(axis=0)


class RequestCounts(NamedTuple):
    """Number of requests that a linear model learns from, of the domain's own among them, and of silent ones.

    Silent are other domains' requests of which the domain has no hypothesis.
    """

    requests: int
    own: int
    silent: int = 0


def fit_linear(
    loss: MeanLoss,
    model: LinearModel,
    names: Sequence[str],
    counts: RequestCounts,
    settings: Settings,
    pull: float | None = None,
    *,
    narrow: Narrow | None = None,
    scale: Sequence[str] | None = None,
) -> Floats:
    """The weights of a linear model by its mean loss over the requests, wherever that is summed.

    The regularisation is 1/n, so that each further request weakens it, and more where there are few of the scarcer kind
    (own or others'), as the weights are learned from these. Below a hundred of them, trained weights lost to R0 on
    held-out requests, so there next to nothing is learned. Where others' requests are scarce because the domain has no
    hypothesis of most of them, these tell how often it is right where it has one: the bias is learned from them too.
    """
    start = model.start(names, settings)
    requests, own, silent = counts
    if not requests:
        return start
    others = requests - own
    scarcer = own if model is LinearModel.RIGHT else min(own, others)
    strength = _strength(scarcer) if pull is None or scale is not None else pull
    l2 = np.full(len(names), strength / requests if settings.l2 is None else settings.l2)
    for name in scale or ():
        l2[list(names).index(name)] = (strength if pull is None else pull) / requests
    if "bias" in names and model is not LinearModel.RIGHT and silent and others < own and settings.l2 is None:
        l2[list(names).index("bias")] = min(strength, _OF_COUNTS * _strength(min(own, others + silent))) / requests
    if narrow is None:
        fitted = minimised(loss, start, l2, settings, names)
    else:
        places = list(names).index(NARROW), list(names).index("bias")
        fitted = narrow.weights(minimised(narrow.of_spreads(loss, start, places), start, l2, settings), start, places)
    if "bias" in names:
        fitted[list(names).index("bias")] += model.shift(settings)
    return fitted


def _stated_score(rows: Floats, names: Sequence[str]) -> str:
    """The score of P(mine) whose scale is learned: the domain's, or the first one that some reading states."""
    for missing, score in _SCORES.items():
        if rows[:, list(names).index(missing)].min() < 1.0:
            return score
    return NARROW


def _strength(scarcer: int) -> float:
    """Requests that the regularisation counts for, given the number of the scarcer kind."""
    return min(max((ENOUGH / max(scarcer, 1)) ** 2, 1.0), _STRONGEST)


def mine_loss(z: Floats, batch: Batch) -> tuple[float, Floats]:
    """The mean cross-entropy of P(mine) = sigmoid(z), and its gradient."""
    weight = batch.weight / batch.weight.sum()
    return float(weight @ binary_loss(z, batch.mine)), weight * (sigmoid(z) - batch.mine)


class BlockedLoss:
    """Mean loss of a linear model and its gradient by the weights, summed over blocks of requests, in order.

    `matrix` has a row for each request of the batch, or for each hypothesis.
    """

    def __init__(self, loss: BatchLoss, matrix: Floats, batch: Batch) -> None:
        self._loss = loss
        self._blocks = list(_blocks(matrix, batch))
        self.weight = float(batch.weight.sum())

    def __call__(self, w: Floats) -> tuple[float, Floats]:
        """The mean loss at the weights, and its gradient."""
        total, gradient = 0.0, np.zeros_like(w)
        for rows, part in self._blocks:
            value, slope = self._loss(rows @ w, part)
            share = float(part.weight.sum()) / self.weight
            total += share * value
            gradient += share * (slope @ rows)
        return total, gradient


def _blocks(matrix: Floats, batch: Batch) -> Iterator[tuple[Floats, Batch]]:
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


def minimised(
    loss: MeanLoss, start: Floats, l2: Floats | float, settings: Settings, names: Sequence[str] = ()
) -> Floats:
    """The weights that minimise loss(w) + Σ l2·(w − start)², from `start`, or from those of the settings' `warm`."""
    rounds, value = 0, 0.0

    def objective(w: Floats) -> tuple[float, Floats]:
        nonlocal value
        mean, slope = loss(w)
        away = w - start
        value = mean + float((l2 * away) @ away)
        return value, slope + 2.0 * l2 * away

    def report(_: Floats) -> None:
        nonlocal rounds
        rounds += 1
        settings.figures({"round": rounds, "loss": value})

    options = {"maxiter": 500, "maxcor": 20}
    begin = _warm_start(settings, names, start)
    result = minimize(objective, begin, jac=True, method="L-BFGS-B", callback=report, options=options)
    return np.asarray(result.x, np.float64)


def _warm_start(settings: Settings, names: Sequence[str], start: Floats) -> Floats:
    """The weights of these names in the artifact `settings.warm`, and `start` for those that it lacks."""
    if settings.warm is None:
        return start
    known: dict[str, float] = {}
    for weights in linear_of(load(settings.warm / "reranker")):
        if weights.names[:2] == tuple(names[:2]):
            known = known or dict(zip(weights.names, weights.values, strict=True))
    return np.array([known.get(name, value) for name, value in zip(names, start.tolist(), strict=True)], np.float64)


def _weights(model: LinearModel, names: tuple[str, ...], fit: Fit) -> Weights:
    # Ten digits are more than the optimiser's precision, and few enough to read.
    values, means = (tuple(float(f"{x:.10g}") for x in numbers) for numbers in fit(model, names))
    return Weights(names, values, means)
