"""Cross-fitted scores: each fold of a domain's requests is scored by re-rankers that learned from the other folds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache, partial
from typing import NamedTuple, TypeVar

import numpy as np

from arbitrank.domain import Settings
from arbitrank.learn.boosted import Boosted
from arbitrank.learn.evidence import Evidence
from arbitrank.learn.files import Plain
from arbitrank.learn.rerankers import Factored
from arbitrank.probability import Floats, best_of_each

K = TypeVar("K")

FOLDS = 5
"""Folds of the requests."""

Trainer = Callable[[Evidence, Settings], Factored]
"""Training of a factored re-ranker."""

KindTrainer = Callable[[Evidence, Settings, Callable[[], Factored]], Plain]
"""Training of a kind of re-ranker; the last argument trains the factored one of the same evidence, once."""


class CrossFitted(NamedTuple):
    """Scores of requests by re-rankers that did not learn from them: P(mine), shape (R,), and P(right), shape (N,)."""

    mine: Floats
    right: Floats

    def claims(self, evidence: Evidence) -> tuple[Floats, Floats]:
        """P(right) of each request's best reading, and 1.0 where it is right; 0 where P(right) is 0."""
        best = best_of_each(self.right, evidence.batch.starts)
        p = self.right[best]
        return p, np.where(p > 0.0, evidence.batch.right[best], 0.0)


def cross_fit(evidence: Evidence, settings: Settings, trainer: Trainer) -> CrossFitted:
    """Scores of each fold by a re-ranker trained on the others; 0 where these have no request of the domain's own."""
    return cross_fit_kinds(evidence, settings, trainer, {"": lambda rest, chosen, factored: factored()})[""]


def cross_fit_kinds(
    evidence: Evidence, settings: Settings, trainer: Trainer, kinds: Mapping[K, KindTrainer]
) -> dict[K, CrossFitted]:
    """Cross-fitted scores by several kinds of re-ranker, all on the same folds.

    In each fold `trainer` trains a factored one at most once, for all the kinds that need it.
    """
    n = len(evidence.requests)
    fold = np.random.default_rng(settings.seed).permutation(n) % FOLDS
    each = np.repeat(fold, evidence.batch.sizes)
    scores = {kind: CrossFitted(np.zeros(n), np.zeros(len(each))) for kind in kinds}
    for f in range(FOLDS if kinds else 0):
        held, rest = evidence.only(fold == f), evidence.only(fold != f)
        if not len(held.requests) or not rest.batch.mine.any():
            continue
        factored = cache(partial(trainer, rest, settings))
        for kind, train in kinds.items():
            reranker = train(rest, settings, factored)
            assert isinstance(reranker, Factored | Boosted)
            found = reranker.score(*held.factored, held.batch.starts)
            scores[kind].mine[fold == f], scores[kind].right[each == f] = found
    return scores
