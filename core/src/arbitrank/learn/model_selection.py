"""Choice of the model and the calibration that a domain ships, by cross-fitted scores of its evidence."""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import numpy as np

from arbitrank.domain import Settings
from arbitrank.learn.boosted_training import train_boosted
from arbitrank.learn.calibration import IDENTITY, Calibrated
from arbitrank.learn.calibration_fitting import LEAST as LEAST_CALIBRATED
from arbitrank.learn.calibration_fitting import choose, chosen
from arbitrank.learn.cross_fitting import FOLDS, CrossFitted, KindTrainer, Trainer, cross_fit, cross_fit_kinds
from arbitrank.learn.evidence import Evidence
from arbitrank.learn.files import Saved
from arbitrank.learn.gains import Gain
from arbitrank.learn.kind_choice import (
    AUTO,
    DEFAULT,
    LEAST_OWN,
    HeldOut,
    KindChoice,
    KindGain,
    RerankerKind,
    choose_kind,
    gain_over,
)
from arbitrank.learn.lightgbm import missing
from arbitrank.learn.linear_training import ENOUGH, train_factored, train_loglinear
from arbitrank.probability import log_loss

_PULLS = (1.0, 0.1)  # looser than the default while a domain has few requests, so that an informative context counts
_FEWEST = 8  # requests of the scarcer kind below which held-out ones can't be trusted to choose the regularisation
_FEW = 30  # requests of the scarcer kind below which they can be trusted with the scale of the domain's score alone
_DOUBTED = 50  # requests of the scarcer kind below which chance too easily prefers another one


class SelectedModel(NamedTuple):
    """A selected re-ranker, the cross-fitted scores of its evidence before calibration where they were needed, and the
    choice of its kind where there was one."""

    reranker: Saved
    unseen: CrossFitted | None = None
    choice: KindChoice | None = None


def learn(evidence: Evidence, settings: Settings) -> Saved:
    """The re-ranker that the settings name; see `select`."""
    return select(evidence, settings).reranker


def select(evidence: Evidence, settings: Settings) -> SelectedModel:
    """The re-ranker that the settings name; `auto` takes the factored one unless another kind is surely better.

    A factored one whose domain has few requests is regularised less where that lowers the cross-fitted NLL. With
    `settings.calibrate` the probabilities go through the map that lowers that NLL, if any.
    """
    if settings.model == "loglinear":
        return SelectedModel(train_loglinear(evidence, settings))
    factored, scores = _regularised(evidence, settings)
    choice = None
    if settings.model == AUTO:
        choice, scores = _chosen(evidence, settings, factored, scores)
        kind = choice.model
    else:
        kind = settings.model
    if settings.calibrate and kind not in scores:
        scores = cross_fit_kinds(evidence, settings, factored, {kind: KINDS[kind]})
    return SelectedModel(_finished(evidence, settings, factored, kind, scores), scores.get(kind), choice)


def select_each(
    evidence: Evidence, settings: Settings, *, unseen: bool = True, boosted: bool = True
) -> dict[str, SelectedModel]:
    """The selected models of the factored re-ranker, of the boosted kinds, and of `auto`, all on the same folds.

    Without LightGBM the boosted kinds are left out, and without `boosted` unless `auto` takes one. Without `unseen`, a
    model whose calibration needs no cross-fitted scores, as the requests are too few for one, comes without them.
    """
    factored, scores = _regularised(evidence, settings)
    kinds = KINDS if missing() is None else {DEFAULT: KINDS[DEFAULT]}
    if not boosted:
        choice, scores = _chosen(evidence, settings, factored, scores)
        kinds = {kind: KINDS[kind] for kind in dict.fromkeys((DEFAULT, choice.model))}
    if unseen or len(evidence.requests) >= LEAST_CALIBRATED:
        lacking = {k: v for k, v in kinds.items() if k not in scores}
        scores = {**cross_fit_kinds(evidence, settings, factored, lacking), **scores}
    each = {
        kind: SelectedModel(_finished(evidence, settings, factored, kind, scores), scores.get(kind)) for kind in kinds
    }
    choice, _ = _chosen(evidence, settings, factored, scores)
    return {**{str(kind): one for kind, one in each.items()}, AUTO: each[choice.model]._replace(choice=choice)}


Scores = dict[RerankerKind, CrossFitted]


def _chosen(evidence: Evidence, settings: Settings, factored: Trainer, scores: Scores) -> tuple[KindChoice, Scores]:
    """The choice of the kind, and the cross-fitted scores of the kinds that were tried for it.

    Trees alone take longest to train, and won only where corrections did: they are tried only there.
    """
    n, own = len(evidence.requests), evidence.batch.mine > 0
    if own.sum() < LEAST_OWN:
        few = f"{own.sum()} requests of its own, below {LEAST_OWN}: no other kind is tried"
        return KindChoice(DEFAULT, n, reason=few), scores
    if missing() is not None:
        return KindChoice(DEFAULT, n, reason="without LightGBM no other kind is tried"), scores
    counts = evidence.batch.counts(settings.kept)

    def held(kind: RerankerKind) -> HeldOut:
        p, y = scores[kind].claims(evidence)
        losses = chosen(p, y, counts, seed=settings.seed)[1] if settings.calibrate else log_loss(p, y)
        return HeldOut(losses, log_loss(scores[kind].mine, evidence.batch.mine), y)

    tried: dict[RerankerKind, KindGain] = {}
    for kind in ("corrected", "boosted"):
        lacking = {k: KINDS[k] for k in (DEFAULT, kind) if k not in scores}
        scores = {**scores, **cross_fit_kinds(evidence, settings, factored, lacking)}
        tried[kind] = gain_over(held(DEFAULT), held(kind), counts, own)
        if not tried[kind].sure:
            break
    return choose_kind(tried, n, FOLDS), scores


def _finished(
    evidence: Evidence,
    settings: Settings,
    factored: Trainer,
    kind: RerankerKind,
    scores: Scores,
) -> Saved:
    """The re-ranker trained on all the evidence, with the calibration map that its cross-fitted scores prefer."""
    reranker = KINDS[kind](evidence, settings, partial(factored, evidence, settings))
    if not settings.calibrate or kind not in scores:
        return reranker
    counts = evidence.batch.counts(settings.kept)
    calibrator = choose(*scores[kind].claims(evidence), counts, seed=settings.seed)
    return reranker if calibrator == IDENTITY else Calibrated(reranker, calibrator)


def _regularised(evidence: Evidence, settings: Settings) -> tuple[Trainer, Scores]:
    """Training of the factored re-ranker with the regularisation that cross-fitting prefers, and its scores where that
    was tried.

    A looser one has to win by more than the standard error of its gain, or twice that where the requests are few. None
    is tried where the default is not strengthened, or the data are too few to tell.
    """
    own = int(np.count_nonzero(evidence.batch.mine))
    scarcer = min(own, len(evidence.batch.mine) - own)
    if settings.l2 is not None or settings.model == "boosted" or not _FEWEST <= scarcer < ENOUGH:
        return train_factored, {}
    counts = evidence.batch.counts(settings.kept)
    trainer: Trainer = train_factored
    scores = cross_fit(evidence, settings, trainer)
    before, best, errors = log_loss(*scores.claims(evidence)), 0.0, _errors(scarcer)
    few = scarcer < _FEW
    for looser in [partial(train_factored, pull=pull, scale_alone=few) for pull in _PULLS]:
        tried = cross_fit(evidence, settings, looser)
        gain = Gain.of(before - log_loss(*tried.claims(evidence)), counts)
        if gain.mean > max(best, errors * gain.error):
            trainer, scores, best = looser, tried, gain.mean
    return trainer, {DEFAULT: scores}


def _errors(scarcer: int) -> float:
    """Standard errors by which a looser regularisation has to win, by the requests of the scarcer kind."""
    return 3.0 if scarcer < _FEW else 2.0 if scarcer < _DOUBTED else 1.0


KINDS: dict[RerankerKind, KindTrainer] = {
    DEFAULT: lambda evidence, settings, factored: factored(),
    "corrected": lambda evidence, settings, factored: train_boosted(evidence, settings, factored()),
    "boosted": lambda evidence, settings, factored: train_boosted(evidence, settings),
}
"""Training of each kind of re-ranker that `auto` chooses from, given the factored one of the same evidence."""
