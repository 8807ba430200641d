"""How a system fared: the head of each merged list, judged against the truth."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from arbitrank.arbitration.decide import DecisionSettings
from arbitrank.arbitration.merge import after_winning
from arbitrank.domain import Scores
from arbitrank.evaluate.metrics import Floats
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


class Claims(NamedTuple):
    """What one domain says to each of n requests, its best reading alone: P(mine), P(right), and which of its readings
    that is, −1 where it has none."""

    mine: Floats
    right: Floats
    best: NDArray[np.int32]

    @classmethod
    def none(cls, n: int) -> Claims:
        """The claims of a domain that has no reading of any of n requests."""
        return cls(np.zeros(n), np.zeros(n), np.full(n, -1, np.int32))

    @classmethod
    def of(cls, scores: Sequence[Scores | None]) -> Claims:
        """The claims in each request's scores, None where the domain has no reading."""
        claims = cls.none(len(scores))
        claims.put(range(len(scores)), scores)
        return claims

    def put(self, places: Iterable[int], scores: Iterable[Scores | None]) -> None:
        """Write down what the scores say of the requests at `places`."""
        for i, one in zip(places, scores, strict=True):
            if one is not None:
                k = int(np.argmax(one.right))
                self.mine[i], self.right[i], self.best[i] = one.mine, one.right[k], k


class Merged(NamedTuple):
    """The head of each merged list: the domain's number (−1 where no domain has a reading), which of its readings,
    P(right), and P(no domain owns the request)."""

    domain: NDArray[np.int32]
    reading: NDArray[np.int32]
    probability: Floats
    nobody: Floats


def outcome(
    hypotheses: Sequence[Sequence[Sequence[Hypothesis]]],
    scores: Sequence[Sequence[Scores | None]],
    truths: Sequence[Truth],
    *,
    none_counts: bool,
    decisions: DecisionSettings = DecisionSettings(),
) -> Outcome:
    """Merge what the domains say, as `arbitrank.arbitration.merge` does, and judge the head of each list.

    `hypotheses` and `scores` hold, for each domain in the order of names, those of each request. The rest is said in
    `merged` and `judge`.
    """
    heads = merged([Claims.of(scored) for scored in scores], decisions)
    top = [
        None if d < 0 else hypotheses[d][i][k] for i, (d, k) in enumerate(zip(heads.domain, heads.reading, strict=True))
    ]
    return judge(heads, top, truths, none_counts=none_counts, decisions=decisions)


def merged(domains: Sequence[Claims], decisions: DecisionSettings = DecisionSettings()) -> Merged:
    """The heads of the merged lists, from the claims of each domain in the order of names.

    With the setting `normalise`, claims are conditioned on one another before they order the list, but after P(out of
    scope) was computed from them.
    """
    n = len(domains[0].mine)
    nobody = np.ones(n)
    for one in domains:
        nobody *= 1.0 - one.mine
    if decisions.normalise:
        domains = _measured(domains, decisions.independence)
    highest = np.full(n, -1.0)
    heads = Merged(np.full(n, -1, np.int32), np.full(n, -1, np.int32), np.zeros(n), nobody)
    for d, one in enumerate(domains):
        score = np.where(one.best >= 0, one.mine * one.right, -1.0)
        ahead = score > highest
        highest[ahead], heads.domain[ahead] = score[ahead], d
        heads.reading[ahead], heads.probability[ahead] = one.best[ahead], one.right[ahead]
    return heads


def judge(
    heads: Merged,
    top: Sequence[Hypothesis | None],
    truths: Sequence[Truth],
    *,
    none_counts: bool,
    decisions: DecisionSettings = DecisionSettings(),
) -> Outcome:
    """How the heads of the merged lists fare, `top` being the hypotheses that they stand for.

    With `none_counts`, a system that decides "none" has given that answer: right for requests out of scope and wrong
    for all others. Without, its best hypothesis is its answer.
    """
    none = heads.nobody > decisions.none if none_counts else np.array([h is None for h in top], bool)
    judged = [_judge(h, bool(gone), truth) for h, gone, truth in zip(top, none, truths, strict=True)]
    answer_right, domain_right, errors = (np.array(column, np.float64) for column in zip(*judged, strict=True))
    right = np.array([float(h is not None and entirely_right(h, t)) for h, t in zip(top, truths, strict=True)])
    return Outcome(tuple(top), heads.probability, right, heads.nobody, none, answer_right, domain_right, errors)


def _measured(domains: Sequence[Claims], independence: float) -> list[Claims]:
    found = [Claims(one.mine.copy(), one.right.copy(), one.best) for one in domains]
    for i in range(len(domains[0].mine)):
        speaking = [d for d, one in enumerate(domains) if one.best[i] >= 0]
        said = [Scores(float(domains[d].mine[i]), domains[d].right[i : i + 1]) for d in speaking]
        for d, one in zip(speaking, after_winning(said, independence), strict=True):
            found[d].mine[i], found[d].right[i] = one.mine, one.right[0]
    return found


def _judge(top: Hypothesis | None, none: bool, truth: Truth) -> tuple[float, float, float]:
    """Whether the answer is entirely right, whether its domain is, and its semantic error rate."""
    if none or top is None:
        good = float(truth.domain is None)
        return good, good, 1.0 - good
    return float(entirely_right(top, truth)), float(top.domain == truth.domain), semer(top, truth)
