"""Choice of the model and the calibration that a domain ships, by cross-fitted scores of its evidence."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np

from arbitrank.domain import Settings
from arbitrank.learn.boosted import Boosted
from arbitrank.learn.boosted_training import train_boosted
from arbitrank.learn.calibration import IDENTITY, Calibrated
from arbitrank.learn.calibration_fitting import choose
from arbitrank.learn.evidence import Evidence
from arbitrank.learn.files import Plain, Saved
from arbitrank.learn.lightgbm import missing
from arbitrank.learn.linear_training import ENOUGH, train_factored, train_loglinear
from arbitrank.learn.rerankers import Factored
from arbitrank.probability import Floats, best_of_each, log_loss

_FOLDS = 5
_PULLS = (1.0, 0.1)  # looser than the default while a domain has few requests, so that an informative context counts
_FEW = 30  # requests of the scarcer kind below which held-out ones can't be trusted to choose the regularisation
_DOUBTED = 50  # requests of the scarcer kind below which chance too easily prefers another one

Trainer = Callable[[Evidence, Settings], Plain]


class CrossFitted(NamedTuple):
    """Scores of requests by re-rankers that did not learn from them: P(mine), shape (R,), and P(right), shape (N,)."""

    mine: Floats
    right: Floats

    def claims(self, evidence: Evidence) -> tuple[Floats, Floats]:
        """P(right) of each request's best reading, and 1.0 where it is right; 0 where P(right) is 0."""
        best = best_of_each(self.right, evidence.batch.starts)
        p = self.right[best]
        return p, np.where(p > 0.0, evidence.batch.right[best], 0.0)


def learn(evidence: Evidence, settings: Settings) -> Saved:
    """The re-ranker that the settings name; `auto` takes the kind with the lowest cross-fitted NLL, the boosted ones
    only where LightGBM can be imported.

    A factored one whose domain has few requests is regularised less where that lowers the cross-fitted NLL. With
    `settings.calibrate` its probabilities go through the map that lowers that NLL, if any.
    """
    return select(evidence, settings)[0]


def select(evidence: Evidence, settings: Settings) -> tuple[Saved, CrossFitted | None]:
    """The selection with the cross-fitted scores of the evidence before calibration, where they were needed."""
    kind: str = settings.model
    scores = None
    counts = evidence.batch.counts(settings.kept)
    if kind == "auto":
        kinds = ("factored", "boosted", "corrected") if missing() is None else ("factored",)
        tried = {name: cross_fit(evidence, settings, TRAINERS[name]) for name in kinds}
        kind = min(tried, key=lambda name: np.average(log_loss(*tried[name].claims(evidence)), weights=counts))
        scores = tried[kind]
    trainer = TRAINERS[kind]
    if settings.model == "factored":
        trainer, scores = _regularised(evidence, settings)
    reranker = trainer(evidence, settings)
    if not settings.calibrate or kind == "loglinear":
        return reranker, scores
    scores = scores or cross_fit(evidence, settings, trainer)
    calibrator = choose(*scores.claims(evidence), counts, seed=settings.seed)
    return reranker if calibrator == IDENTITY else Calibrated(reranker, calibrator), scores


def _regularised(evidence: Evidence, settings: Settings) -> tuple[Trainer, CrossFitted | None]:
    """Training with the regularisation that cross-fitting prefers, and its scores where it was tried.

    A looser one has to win by more than the standard error of its gain, or twice that where the requests are few. None
    is tried where the default is not strengthened, or the data are too few to tell.
    """
    own = int(np.count_nonzero(evidence.batch.mine))
    scarcer = min(own, len(evidence.batch.mine) - own)
    if settings.l2 is not None or not _FEW <= scarcer < ENOUGH:
        return train_factored, None
    counts = evidence.batch.counts(settings.kept)
    weight = counts / counts.mean()
    chosen: Trainer = train_factored
    scores = cross_fit(evidence, settings, chosen)
    before, best, errors = log_loss(*scores.claims(evidence)), 0.0, 2.0 if scarcer < _DOUBTED else 1.0
    for pull in _PULLS:
        trainer = partial(train_factored, pull=pull)
        tried = cross_fit(evidence, settings, trainer)
        gain = before - log_loss(*tried.claims(evidence))
        mean = float(np.mean(weight * gain))
        error = float(np.sqrt(np.mean((weight * (gain - mean)) ** 2) / len(gain)))
        if mean > max(best, errors * error):
            chosen, scores, best = trainer, tried, mean
    return chosen, scores


def cross_fit(evidence: Evidence, settings: Settings, trainer: Trainer) -> CrossFitted:
    """Scores of each fold by a re-ranker trained on the others; 0 where these have no request of the domain's own."""
    n = len(evidence.requests)
    fold = np.random.default_rng(settings.seed).permutation(n) % _FOLDS
    each = np.repeat(fold, evidence.batch.sizes)
    scores = CrossFitted(np.zeros(n), np.zeros(len(each)))
    for f in range(_FOLDS):
        held, rest = evidence.only(fold == f), evidence.only(fold != f)
        if not len(held.requests) or not rest.batch.mine.any():
            continue
        reranker = trainer(rest, settings)
        assert isinstance(reranker, Factored | Boosted)
        scores.mine[fold == f], scores.right[each == f] = reranker.score(*held.factored, held.batch.starts)
    return scores


TRAINERS: dict[str, Trainer] = {
    "factored": train_factored,
    "loglinear": train_loglinear,
    "boosted": train_boosted,
    "corrected": lambda evidence, settings: train_boosted(evidence, settings, train_factored(evidence, settings)),
}
"""Training functions by the name of the model."""
