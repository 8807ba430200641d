"""What one domain claims of many requests at once.

A service asks about one request at a time (`arbitration.dispatch`), a replay about hundreds of thousands. Where a model
is the toolkit's, the features of all requests go through it as one matrix; any other model is asked as a service asks
it, and so is the toolkit's where what it says breaks a promise. Both ways give the same claims.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from arbitrank.arbitration import dispatch
from arbitrank.arbitration.merge import temperature_scaled
from arbitrank.domain import Model, Scores
from arbitrank.learn.boosted import Boosted
from arbitrank.learn.calibration import Calibrated, Calibrator
from arbitrank.learn.features import FeatureSpec, parts, plain_rows
from arbitrank.learn.losses import probabilities
from arbitrank.learn.matrices import matrices
from arbitrank.learn.reference import ReferenceModel
from arbitrank.learn.rerankers import R0, Factored, LogLinear
from arbitrank.probability import bounded_groups, log_odds, sigmoid
from arbitrank.values import Hypothesis, Ranked, Request

Floats = NDArray[np.float64]
Starts = NDArray[np.int64]
Reading = Hypothesis | Ranked
Plain = R0 | LogLinear | Factored | Boosted

_SLACK = 1e-9


class Claims(NamedTuple):
    """What a domain claims of each of R requests; all zeros where it does not speak.

    `spoke`: whether it has a reading. `mine`: P(mine). `best`: which of its readings it holds to be the most probable.
    `right`: P(right) of that one. `whole`: the sum over all its readings.
    """

    spoke: NDArray[np.bool_]
    mine: Floats
    best: NDArray[np.int64]
    right: Floats
    whole: Floats

    @classmethod
    def none(cls, n: int) -> Claims:
        """No claim on any of n requests, to be filled in."""
        return cls(np.zeros(n, np.bool_), np.zeros(n), np.zeros(n, np.int64), np.zeros(n), np.zeros(n))

    def put(self, i: int, scores: Scores) -> None:
        """Fill in what the domain says of request i."""
        best = int(np.argmax(scores.right))
        self.spoke[i], self.mine[i], self.best[i] = True, scores.mine, best
        self.right[i], self.whole[i] = scores.right[best], scores.right.sum()


class Said(NamedTuple):
    """The claims, the readings that they are of, and the reasons where the domain failed."""

    claims: Claims
    readings: list[Sequence[Reading]]
    failures: list[str]


class Baseline(Model):
    """R0, for a domain that nobody serves."""

    def __init__(self, name: str) -> None:
        self.reranker = R0(FeatureSpec(name))

    def rerank(self, request: Request) -> Scores:
        """The product of the confidences."""
        return self.reranker.rerank(request)


def claims(
    name: str,
    model: Model,
    requests: Sequence[Request],
    given: Sequence[Sequence[Hypothesis] | None],
    temperature: float = 1.0,
    *,
    plain: bool = False,
) -> Said:
    """What the domain says of each request, with the hypotheses given; None has it recognise, an empty list is silence.

    `temperature` is what its claims are shrunk by. With `plain` every request is asked about by itself.
    """
    said = Said(Claims.none(len(requests)), [own or () for own in given], [])
    rest = [i for i, own in enumerate(given) if own is None or len(own)]
    reranker = None if plain else _reranker(model)
    if reranker:
        together = [i for i in rest if given[i] is not None]
        sound = _ask_together(*reranker, requests, given, together, temperature, said.claims) if together else set()
        rest = [i for i in rest if i not in sound]
    for i in rest:
        outcome = dispatch.query(name, model, requests[i], given[i])
        if isinstance(outcome, dispatch.Failed):
            said.failures.append(outcome.reason)
            said.readings[i] = ()
        elif outcome.hypotheses:
            said.readings[i] = outcome.hypotheses
            said.claims.put(i, temperature_scaled(outcome.scores, temperature))
    return said


def _reranker(model: Model) -> tuple[Plain, Calibrator | None] | None:
    """The toolkit's re-ranker in a model that does nothing beside asking it."""
    if isinstance(model, Baseline):
        return model.reranker, None
    if not isinstance(model, ReferenceModel) or type(model).rerank is not ReferenceModel.rerank:
        return None
    inner, calibrator = model.reranker, None
    if isinstance(inner, Calibrated):
        inner, calibrator = inner.reranker, inner.calibrator
    return (inner, calibrator) if isinstance(inner, Plain) else None


def _ask_together(
    reranker: Plain,
    calibrator: Calibrator | None,
    requests: Sequence[Request],
    given: Sequence[Sequence[Hypothesis] | None],
    chosen: Sequence[int],
    temperature: float,
    found: Claims,
) -> set[int]:
    """Fill in the claims on the chosen requests; which of them are sound, the others being left as they were."""
    own = [_own(requests[i], given[i] or ()) for i in chosen]
    sizes = np.array([len(request.hypotheses or ()) for request in own])
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]]).astype(np.int64)
    with np.errstate(all="ignore"):  # what is not finite is asked again by itself, for the reason why
        mine, right = _score(reranker, own, starts)
        if calibrator is not None:
            mine, right = bounded_groups(calibrator(right), starts, mine)
        whole = np.add.reduceat(right, starts)
        sound = (mine >= 0.0) & (mine <= 1.0) & (np.minimum.reduceat(right, starts) >= 0.0) & (whole <= mine + _SLACK)
        if temperature != 1.0:
            mine, right = sigmoid(log_odds(mine) / temperature), sigmoid(log_odds(right) / temperature)
            right = right * np.repeat(np.minimum(1.0, mine / np.add.reduceat(right, starts)), sizes)
            whole = np.add.reduceat(right, starts)
    top = np.maximum.reduceat(right, starts)
    each = np.repeat(np.arange(len(own)), sizes)
    hits = np.flatnonzero(right == top[each])
    first = (
        hits[np.searchsorted(each[hits], np.arange(len(own))).clip(max=max(len(hits) - 1, 0))] if len(hits) else starts
    )
    at = np.array(chosen)[sound]
    found.spoke[at], found.mine[at], found.best[at] = True, mine[sound], (first - starts)[sound]
    found.right[at], found.whole[at] = top[sound], whole[sound]
    return set(at.tolist())


def _score(reranker: Plain, requests: Sequence[Request], starts: Starts) -> tuple[Floats, Floats]:
    """P(mine) of R requests and P(right) of their N readings."""
    match reranker:
        case R0():
            rated = [parts(request, reranker.spec.fill) for request in requests]
            product = np.array([d * i * s for one in rated for d, i, s in zip(*one[:3], strict=True)])
            return bounded_groups(product, starts)
        case LogLinear():
            matrix = np.array([row for request in requests for row in plain_rows(reranker.spec, request)])
            return bounded_groups(
                probabilities(matrix @ np.array(reranker.weights.values), starts, reranker.form), starts
            )
        case _:
            return reranker.score(*matrices(reranker.spec, requests, starts), starts)


def _own(request: Request, hypotheses: Sequence[Hypothesis]) -> Request:
    # Features are read from these fields alone.
    return Request(
        utterance=request.utterance,
        utterance_length=request.utterance_length,
        context=request.context,
        hypotheses=tuple(hypotheses),
    )
