"""Scores of one domain for many requests at once.

A service scores one request at a time (`arbitration.dispatch`), a replay hundreds of thousands. The features of all
requests go through one of the toolkit's factored or boosted re-rankers as one matrix. Any other model is called request
by request, and so are those where their scores violate the contract, for the reason. Both ways give the same scores.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from arbitrank.arbitration.dispatch import is_hosted, query, query_each
from arbitrank.arbitration.merge import BestReadings
from arbitrank.arbitration.outcomes import Answered, Failed
from arbitrank.arbitration.recalibration import Recalibration, recalibrated, recalibrated_groups
from arbitrank.arbitration.scaled_model import scales_of, unscaled
from arbitrank.domain import Model
from arbitrank.learn.calibration import Calibrator
from arbitrank.learn.matrix_scores import MatrixReranker, matrix_reranker, matrix_scores
from arbitrank.probability import best_of_each
from arbitrank.scores import ScoreError, distinct, only, read_hypotheses
from arbitrank.semer import semer
from arbitrank.values import Hypothesis, Ranked, Request, Truth

Reading = Hypothesis | Ranked
Brought = Sequence[Sequence[Hypothesis] | None]
Grouped = Sequence[Mapping[str, list[Hypothesis]] | None]


class DomainReadings(NamedTuple):
    """Readings of each request by one domain, the scores of the best ones, and the reasons of failed calls.

    `known` holds the semantic error rates that were computed already, by the request's index.
    """

    best: BestReadings
    readings: list[Sequence[Reading]]
    failures: list[str]
    known: dict[int, float]

    def compared(self, name: str, groups: Mapping[str, int]) -> BestReadings:
        """The best readings of domain `name`, with their keys where it is in one of the groups."""
        return self.best.keyed(self.readings) if name in groups else self.best

    def head(self, i: int) -> Reading:
        """The most probable reading of request i, which has one."""
        return self.readings[i][int(self.best.best[i])]

    def semer(self, i: int, truth: Truth) -> float:
        """The semantic error rate of that reading, computed once for both sides of a replay."""
        if i not in self.known:
            self.known[i] = semer(self.head(i), truth)
        return self.known[i]


def score_batch(
    name: str, model: Model, requests: Sequence[Request], brought: Brought, by: Recalibration | None = None
) -> DomainReadings:
    """Score each request's hypotheses that were brought for the domain: None has it recognise, without any it has none.

    `by` is the recalibration of its scores.
    """
    found = DomainReadings(BestReadings.empty(len(requests)), [own or () for own in brought], [], {})
    if is_hosted(model):  # which reads the hypotheses itself
        asked = [i for i, own in enumerate(brought) if own is None or len(own)]
        _put(found, asked, query_each(name, model, [requests[i] for i in asked], [brought[i] for i in asked]), by)
        return found
    brought = _read(model, requests, brought, found)
    own_model, model = model, unscaled(model)
    rest = [i for i, own in enumerate(brought) if own is None or len(own)]
    reranker = matrix_reranker(model)
    if reranker:
        together = [i for i in rest if brought[i] is not None]
        done = _score_together(*reranker, requests, brought, together, by, found.best) if together else set()
        rest = [i for i in rest if i not in done]
    for i in rest:
        outcome = query(name, own_model if brought[i] is None else model, requests[i], brought[i])
        if isinstance(outcome, Answered) and brought[i] is not None:
            outcome = msgspec.structs.replace(outcome, hypotheses=found.readings[i])  # as they were given
        _put(found, (i,), (outcome,), by)
    return found


def _put(
    found: DomainReadings, places: Sequence[int], outcomes: Sequence[Answered | Failed], by: Recalibration | None
) -> None:
    """Fill in the outcomes of the requests at these places."""
    for i, outcome in zip(places, outcomes, strict=True):
        if isinstance(outcome, Failed):
            found.failures.append(outcome.reason)
            found.readings[i] = ()
        elif outcome.hypotheses:
            found.readings[i] = outcome.hypotheses
            found.best.put((i,), (recalibrated(outcome.scores, by),))


def _read(model: Model, requests: Sequence[Request], brought: Brought, found: DomainReadings) -> Brought:
    """The hypotheses as the model gets them; the distinct ones, as they were given, become the readings of `found`."""
    scales = scales_of(model), scales_of(model, recognised=True)
    result: list[Sequence[Hypothesis] | None] = []
    for i, own in enumerate(brought):
        read: Sequence[Hypothesis] | None = own
        if own:
            try:
                read = read_hypotheses(own, scales[getattr(requests[i], "recognised", False)])
                if (kept := distinct(read)) is not None:
                    found.readings[i], read = only(own, kept), only(read, kept)
            except ScoreError as error:
                found.failures.append(str(error))
                found.readings[i], read = (), ()
        result.append(read)
    return result


def by_domain(request: Request) -> dict[str, list[Hypothesis]] | None:
    """The hypotheses that a request brings, by domain; None where the domains recognise it themselves."""
    if request.hypotheses is None:
        return None
    grouped = defaultdict[str, list[Hypothesis]](list)
    for hypothesis in request.hypotheses:
        grouped[hypothesis.domain].append(hypothesis)
    return grouped


def brought_for(name: str, grouped: Grouped) -> Brought:
    """The hypotheses of one domain in each request."""
    return [None if own is None else own.get(name, ()) for own in grouped]


def brought_of(name: str, request: Request) -> Sequence[Hypothesis] | None:
    """The hypotheses of one domain in one request."""
    hypotheses = request.hypotheses
    return None if hypotheses is None else [one for one in hypotheses if one.domain == name]


def _score_together(
    reranker: MatrixReranker,
    calibrator: Calibrator | None,
    requests: Sequence[Request],
    brought: Brought,
    places: Sequence[int],
    by: Recalibration | None,
    best: BestReadings,
) -> set[int]:
    """Fill in the scores of the requests at `places`; the places whose scores are sound, the others being left out."""
    mine, right, starts, sound = matrix_scores(
        reranker, calibrator, [requests[i] for i in places], [brought[i] or () for i in places]
    )
    with np.errstate(all="ignore"):
        if by is not None:
            mine, right = recalibrated_groups(mine, right, starts, by)
        total = np.add.reduceat(right, starts)
    first = best_of_each(right, starts)[sound]
    at: NDArray[np.int64] = np.array(places)[sound]
    best.mine[at], best.best[at] = mine[sound], first - starts[sound]
    best.right[at], best.total[at] = right[first], total[sound]
    return set(at.tolist())
