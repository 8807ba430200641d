"""From evidence to the re-ranker that a domain ships: the model and the calibration that held-out data prefer."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.typing import NDArray

from arbitrank.domain import Settings
from arbitrank.learn.boosted import Boosted
from arbitrank.learn.calibrating import choose
from arbitrank.learn.calibration import IDENTITY, Calibrated
from arbitrank.learn.files import Plain
from arbitrank.learn.fitting import Evidence, may_be_looser, train_factored, train_loglinear
from arbitrank.learn.losses import Floats
from arbitrank.learn.probability import CLIP
from arbitrank.learn.rerankers import Factored

_FOLDS = 5
_PULLS = (1.0, 0.1)  # looser than the default while a domain has few requests, so that a telling context counts

Trainer = Callable[[Evidence, Settings], Plain]


def learn(evidence: Evidence, settings: Settings) -> Plain | Calibrated:
    """The re-ranker that the settings name; `auto` takes the kind with the lowest cross-fitted NLL.

    A factored one whose domain has few requests is pulled less towards R0 where that lowers the NLL of cross-fitted
    probabilities. With `settings.calibrate` its probabilities go through the map that lowers that NLL, if any.
    """
    kind: str = settings.model
    claims = None
    if kind == "auto":
        tried = {name: cross_fitted(evidence, settings, trainer) for name, trainer in _AUTO.items()}
        kind = min(tried, key=lambda name: _nll(*tried[name], _counts(evidence, settings)))
        claims = tried[kind]
    trainer = TRAINERS[kind]
    if settings.model == "factored":
        trainer, claims = _pulled(evidence, settings)
    reranker = trainer(evidence, settings)
    if not settings.calibrate or kind == "loglinear":
        return reranker
    p, y = claims if claims is not None else cross_fitted(evidence, settings, trainer)
    calibrator = choose(p, y, _counts(evidence, settings), seed=settings.seed)
    return reranker if calibrator == IDENTITY else Calibrated(reranker, calibrator)


def _pulled(evidence: Evidence, settings: Settings) -> tuple[Trainer, tuple[Floats, Floats] | None]:
    """Training with the pull towards R0 that held-out requests prefer, and what it claims of them if it was tried.

    A looser pull has to win by more than the standard error of its gain.
    """
    if settings.l2 is not None or not may_be_looser(evidence):
        return train_factored, None
    counts = _counts(evidence, settings)
    weight = counts / counts.mean()
    chosen: Trainer = train_factored
    claims = cross_fitted(evidence, settings, chosen)
    before, best = _losses(*claims), 0.0
    for pull in _PULLS:
        trainer = partial(train_factored, pull=pull)
        tried = cross_fitted(evidence, settings, trainer)
        gain = before - _losses(*tried)
        mean = float(np.mean(weight * gain))
        if mean > max(best, float(np.sqrt(np.mean((weight * (gain - mean)) ** 2) / len(gain)))):
            chosen, claims, best = trainer, tried, mean
    return chosen, claims


def cross_fitted(evidence: Evidence, settings: Settings, trainer: Trainer) -> tuple[Floats, Floats]:
    """What re-rankers claim of requests that they didn't learn from: P(right) of each best reading, and the outcome."""
    n = len(evidence.requests)
    fold = np.random.default_rng(settings.seed).permutation(n) % _FOLDS
    claimed, outcome = np.zeros(n), np.zeros(n)
    for f in range(_FOLDS):
        held = evidence.only(fold == f)
        rest = evidence.only(fold != f)
        if not len(held.requests) or not rest.batch.mine.any():
            continue
        reranker = trainer(rest, settings)
        assert isinstance(reranker, Factored | Boosted)
        _, right = reranker.score(*held.factored, held.batch.starts)
        best = best_reading(right, held)
        claimed[fold == f], outcome[fold == f] = right[best], held.batch.right[best]
    return claimed, outcome


def best_reading(right: Floats, evidence: Evidence) -> NDArray[np.int64]:
    """Where the most probable reading of each request stands among all readings, the first of equals: shape (R,)."""
    starts, sizes = evidence.batch.starts, evidence.batch.sizes
    top = np.repeat(np.maximum.reduceat(right, starts), sizes)
    place = np.where(right == top, np.arange(len(right)), len(right))
    return np.asarray(np.minimum.reduceat(place, starts))


def _boosted(evidence: Evidence, settings: Settings) -> Boosted:
    from arbitrank.learn.boosting import train_boosted

    return train_boosted(evidence, settings)


def _corrected(evidence: Evidence, settings: Settings) -> Boosted:
    from arbitrank.learn.boosting import train_boosted

    return train_boosted(evidence, settings, train_factored(evidence, settings))


TRAINERS: dict[str, Trainer] = {
    "factored": train_factored,
    "loglinear": train_loglinear,
    "boosted": _boosted,
    "corrected": _corrected,
}
"""How each kind of model is trained."""

_AUTO = {name: TRAINERS[name] for name in ("factored", "boosted", "corrected")}


def _counts(evidence: Evidence, settings: Settings) -> Floats:
    """How many requests each one stands for: others' that were sampled at `settings.kept` for 1/kept, shape (R,)."""
    return np.where(evidence.batch.mine > 0, 1.0, 1.0 / settings.kept)


def _nll(p: Floats, y: Floats, counts: Floats) -> float:
    return float(np.average(_losses(p, y), weights=counts))


def _losses(p: Floats, y: Floats) -> Floats:
    p = np.clip(p, CLIP, 1.0 - CLIP)
    return np.asarray(-(y * np.log(p) + (1.0 - y) * np.log(1.0 - p)))
