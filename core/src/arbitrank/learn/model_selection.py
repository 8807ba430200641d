"""From evidence to the re-ranker that a domain ships: the model and the calibration that held-out data prefer."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from arbitrank.domain import Settings
from arbitrank.learn.boosted import Boosted
from arbitrank.learn.calibration import IDENTITY, Calibrated
from arbitrank.learn.calibration_fitting import choose
from arbitrank.learn.files import Plain
from arbitrank.learn.lightgbm import missing
from arbitrank.learn.linear_training import Evidence, may_be_looser, standard_errors, train_factored, train_loglinear
from arbitrank.learn.losses import Floats
from arbitrank.learn.rerankers import Factored
from arbitrank.probability import log_loss

_FOLDS = 5
_PULLS = (1.0, 0.1)  # looser than the default while a domain has few requests, so that a telling context counts

Trainer = Callable[[Evidence, Settings], Plain]


class Unseen(NamedTuple):
    """What re-rankers say of requests that they didn't learn from: P(mine), shape (R,), and P(right), shape (N,)."""

    mine: Floats
    right: Floats


class Learned(NamedTuple):
    """A re-ranker, and what its likes said of requests they didn't learn from, before calibration, where they did."""

    reranker: Plain | Calibrated
    unseen: Unseen | None


def learn(evidence: Evidence, settings: Settings) -> Plain | Calibrated:
    """The re-ranker that the settings name; `auto` takes the kind with the lowest cross-fitted NLL, the boosted ones
    only where LightGBM can be imported.

    A factored one whose domain has few requests is pulled less towards R0 where that lowers the NLL of cross-fitted
    probabilities. With `settings.calibrate` its probabilities go through the map that lowers that NLL, if any.
    """
    return learned(evidence, settings).reranker


def learned(evidence: Evidence, settings: Settings) -> Learned:
    """The same, with what was said of unseen requests on the way."""
    kind: str = settings.model
    said = None
    if kind == "auto":
        candidates = _AUTO if missing() is None else {"factored": _AUTO["factored"]}
        tried = {name: unseen(evidence, settings, trainer) for name, trainer in candidates.items()}
        kind = min(tried, key=lambda name: _nll(*_claims(tried[name], evidence), _counts(evidence, settings)))
        said = tried[kind]
    trainer = TRAINERS[kind]
    if settings.model == "factored":
        trainer, said = _pulled(evidence, settings)
    reranker = trainer(evidence, settings)
    if not settings.calibrate or kind == "loglinear":
        return Learned(reranker, said)
    said = said or unseen(evidence, settings, trainer)
    calibrator = choose(*_claims(said, evidence), _counts(evidence, settings), seed=settings.seed)
    return Learned(reranker if calibrator == IDENTITY else Calibrated(reranker, calibrator), said)


def _pulled(evidence: Evidence, settings: Settings) -> tuple[Trainer, Unseen | None]:
    """Training with the pull towards R0 that held-out requests prefer, and what it says of them if it was tried.

    A looser pull has to win by more than the standard error of its gain, or twice that where the requests are few.
    """
    if settings.l2 is not None or not may_be_looser(evidence):
        return train_factored, None
    counts = _counts(evidence, settings)
    weight = counts / counts.mean()
    chosen: Trainer = train_factored
    said = unseen(evidence, settings, chosen)
    before, best, doubts = log_loss(*_claims(said, evidence)), 0.0, standard_errors(evidence)
    for pull in _PULLS:
        trainer = partial(train_factored, pull=pull)
        tried = unseen(evidence, settings, trainer)
        gain = before - log_loss(*_claims(tried, evidence))
        mean = float(np.mean(weight * gain))
        error = float(np.sqrt(np.mean((weight * (gain - mean)) ** 2) / len(gain)))
        if mean > max(best, doubts * error):
            chosen, said, best = trainer, tried, mean
    return chosen, said


def cross_fitted(evidence: Evidence, settings: Settings, trainer: Trainer) -> tuple[Floats, Floats]:
    """What re-rankers claim of requests that they didn't learn from: P(right) of each best reading, and the outcome."""
    return _claims(unseen(evidence, settings, trainer), evidence)


def unseen(evidence: Evidence, settings: Settings, trainer: Trainer) -> Unseen:
    """What re-rankers say of requests that they didn't learn from; 0 where the rest has none of the domain's own."""
    n = len(evidence.requests)
    fold = np.random.default_rng(settings.seed).permutation(n) % _FOLDS
    each = np.repeat(fold, evidence.batch.sizes)
    said = Unseen(np.zeros(n), np.zeros(len(each)))
    for f in range(_FOLDS):
        held = evidence.only(fold == f)
        rest = evidence.only(fold != f)
        if not len(held.requests) or not rest.batch.mine.any():
            continue
        reranker = trainer(rest, settings)
        assert isinstance(reranker, Factored | Boosted)
        said.mine[fold == f], said.right[each == f] = reranker.score(*held.factored, held.batch.starts)
    return said


def _claims(said: Unseen, evidence: Evidence) -> tuple[Floats, Floats]:
    """P(right) of each best reading, and whether it is right; nothing was claimed where P(right) is 0."""
    best = best_reading(said.right, evidence)
    p = said.right[best]
    return p, np.where(p > 0.0, evidence.batch.right[best], 0.0)


def best_reading(right: Floats, evidence: Evidence) -> NDArray[np.int64]:
    """Where the most probable reading of each request stands among all readings, the first of equals: shape (R,)."""
    starts, sizes = evidence.batch.starts, evidence.batch.sizes
    top = np.repeat(np.maximum.reduceat(right, starts), sizes)
    place = np.where(right == top, np.arange(len(right)), len(right))
    return np.asarray(np.minimum.reduceat(place, starts))


def _boosted(evidence: Evidence, settings: Settings) -> Boosted:
    from arbitrank.learn.boosted_training import train_boosted

    return train_boosted(evidence, settings)


def _corrected(evidence: Evidence, settings: Settings) -> Boosted:
    from arbitrank.learn.boosted_training import train_boosted

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
    return evidence.batch.weight * np.where(evidence.batch.mine > 0, 1.0, 1.0 / settings.kept)


def _nll(p: Floats, y: Floats, counts: Floats) -> float:
    return float(np.average(log_loss(p, y), weights=counts))
