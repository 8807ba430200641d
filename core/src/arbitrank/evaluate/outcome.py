"""How a system fared: the head of each merged list, judged against the truth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from arbitrank.decide import Thresholds
from arbitrank.domain import Scores
from arbitrank.evaluate.metrics import Floats
from arbitrank.merge import after_winning
from arbitrank.semer import entirely_right, semer
from arbitrank.values import Hypothesis, Truth


@dataclass(frozen=True)
class Outcome:
    """How one system fared on each of R held-out requests, in their order.

    `top`: the best merged hypothesis, None where no domain had one. `probability`: its P(right). `right`: 1.0 where it
    is entirely right. `nobody`: P(no domain owns the request). `answer_right`, `domain_right`, `semer` judge the
    system's answer, which is "none" where `none` says so.
    """

    top: tuple[Hypothesis | None, ...]
    probability: Floats
    right: Floats
    nobody: Floats
    none: NDArray[np.bool_]
    answer_right: Floats
    domain_right: Floats
    semer: Floats


def outcome(
    hypotheses: Sequence[Sequence[Sequence[Hypothesis]]],
    scores: Sequence[Sequence[Scores | None]],
    truths: Sequence[Truth],
    *,
    none_counts: bool,
    thresholds: Thresholds = Thresholds(),
    normalise: float | None = None,
) -> Outcome:
    """Merge what the domains say, as `arbitrank.merge` does, and judge the head of each list.

    `hypotheses` and `scores` hold, for each domain in the order of names, those of each request. With `none_counts`, a
    system that decides "none" has given that answer: right for requests out of scope and wrong for all others. Without,
    its best hypothesis is its answer. With `normalise`, claims are measured against one another before they order the
    list, and after P(nobody) was taken from them.
    """
    n = len(truths)
    best = np.full(n, -1.0)
    nobody = np.ones(n)
    for scored in scores:
        nobody *= [1.0 if one is None else 1.0 - one.mine for one in scored]
    if normalise is not None:
        scores = _measured(scores, normalise)
    probability = np.zeros(n)
    top: list[Hypothesis | None] = [None] * n
    for readings, scored in zip(hypotheses, scores, strict=True):
        for i, one in enumerate(scored):
            if one is None:
                continue
            k = int(np.argmax(one.right))
            p = float(one.right[k])
            if one.mine * p > best[i]:
                best[i], probability[i], top[i] = one.mine * p, p, readings[i][k]
    none = nobody > thresholds.none if none_counts else np.array([h is None for h in top])
    judged = [_judge(h, gone, truth) for h, gone, truth in zip(top, none, truths, strict=True)]
    answer_right, domain_right, errors = (np.array(column, np.float64) for column in zip(*judged, strict=True))
    right = np.array([float(h is not None and entirely_right(h, t)) for h, t in zip(top, truths, strict=True)])
    return Outcome(tuple(top), probability, right, nobody, none, answer_right, domain_right, errors)


def _measured(scores: Sequence[Sequence[Scores | None]], independence: float) -> list[list[Scores | None]]:
    found: list[list[Scores | None]] = [[None] * len(scored) for scored in scores]
    for i, said in enumerate(zip(*scores, strict=True)):
        speaking = [(d, one) for d, one in enumerate(said) if one is not None]
        for (d, _), one in zip(speaking, after_winning([one for _, one in speaking], independence), strict=True):
            found[d][i] = one
    return found


def _judge(top: Hypothesis | None, none: bool, truth: Truth) -> tuple[float, float, float]:
    """Whether the answer is entirely right, whether its domain is, and its semantic error rate."""
    if none or top is None:
        good = float(truth.domain is None)
        return good, good, 1.0 - good
    return float(entirely_right(top, truth)), float(top.domain == truth.domain), semer(top, truth)
