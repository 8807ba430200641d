"""Training of boosted re-rankers: LightGBM on one domain's hypotheses, one thread, stopped by requests held out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from arbitrank.domain import Settings
from arbitrank.learn.boosted import Boosted, feature_names, matrix
from arbitrank.learn.features import FeatureSpec
from arbitrank.learn.fitting import Evidence
from arbitrank.learn.lightgbm import lightgbm
from arbitrank.learn.losses import Batch, Floats, mixed
from arbitrank.learn.probability import binary_loss, log_odds, sigmoid
from arbitrank.learn.rerankers import Factored

_ROUNDS = 400
_PATIENCE = 30
_HELD = 5  # one request in so many stops the training
_MORE_IS_NEVER_WORSE = (
    *("reading.null_odds@reading", "intent.log@reading", "slots.log@reading"),
    *("intent.logit@reading", "slots.logit@reading", "domain.logit@request"),
)


def train_boosted(evidence: Evidence, settings: Settings, base: Factored | None = None) -> Boosted:
    """Trees that tell right readings from wrong ones, on top of `base` where there is one.

    More confidence in a reading never makes it less probable. The number of rounds is the one that was best on one
    request in five; the trees are then grown on all. The loss is the binary cross-entropy, or with `settings.loss` r1
    or r3 the article's, in the sigmoid form. Traffic that was sampled weighs 1 / `settings.kept`.
    """
    spec, batch = evidence.spec, evidence.batch
    batch = batch._replace(weight=np.where(batch.mine > 0, 1.0, 1.0 / settings.kept))
    whole = matrix(*evidence.factored, batch.starts)
    start = None if base is None else log_odds(base.score(*evidence.factored, batch.starts)[1])
    held = np.random.default_rng(settings.seed).permutation(len(evidence.requests)) % _HELD == 0
    rounds = _best_rounds(spec, whole, start, batch, held, settings)
    booster = _grow(spec, (whole, start, batch), settings, rounds)
    return Boosted(spec, base, booster.model_to_string())


def _best_rounds(
    spec: FeatureSpec, whole: Floats, start: Floats | None, batch: Batch, held: Any, settings: Settings
) -> int:
    learn, stop = _part(whole, start, batch, ~held), _part(whole, start, batch, held)
    if not stop[2].right.any() or not learn[2].right.any():
        return 50
    stopping = lightgbm().early_stopping(_PATIENCE, verbose=False)
    booster = _grow(spec, learn, settings, _ROUNDS, stop, [stopping])
    return max(1, int(booster.best_iteration))


_Part = tuple[Floats, Floats | None, Batch]


def _part(whole: Floats, start: Floats | None, batch: Batch, chosen: Any) -> _Part:
    part, each = batch.only(chosen)
    return whole[each], None if start is None else start[each], part


def _grow(
    spec: FeatureSpec,
    part: _Part,
    settings: Settings,
    rounds: int,
    stop: _Part | None = None,
    callbacks: Sequence[Any] = (),
) -> Any:
    lgb = lightgbm()
    data = _dataset(spec, part)
    custom = settings.loss in ("r1", "r3")
    parameters = {
        "objective": _objective(settings.loss, part[2]) if custom else "binary",
        "metric": "binary_logloss",
        "learning_rate": 0.05,
        "num_leaves": 7,
        "min_data_in_leaf": 40,
        "lambda_l2": 1.0,
        "monotone_constraints": [int(name in _MORE_IS_NEVER_WORSE) for name in feature_names(spec)],
        "num_threads": 1,
        "deterministic": True,
        "force_row_wise": True,
        "seed": settings.seed,
        "verbosity": -1,
        # The score begins at the base's, or at nothing, so that the trees alone are what is saved.
        "boost_from_average": False,
    }
    extra = {"feval": _log_loss} if custom else {}
    valid = [] if stop is None else [data.create_valid(stop[0], stop[2].right, init_score=stop[1])]
    return lgb.train(parameters, data, rounds, valid_sets=valid, callbacks=list(callbacks), **extra)


def _dataset(spec: FeatureSpec, part: _Part) -> Any:
    columns, start, batch = part
    weight = np.repeat(batch.weight, batch.sizes)
    names = [f"f{i}" for i in range(len(feature_names(spec)))]  # LightGBM's text can't hold every name
    return lightgbm().Dataset(
        columns, batch.right, weight=weight, init_score=start, feature_name=names, free_raw_data=False
    )


def _objective(loss: str | None, batch: Batch) -> Callable[[Floats, Any], tuple[Floats, Floats]]:
    """R1 or R3 in the sigmoid form; the curvature is that of the cross-entropy, which keeps the steps bounded."""
    r2 = 0.0 if loss == "r1" else 1.0

    def gradients(z: Floats, _: Any) -> tuple[Floats, Floats]:
        p = sigmoid(z)
        _, slope = mixed(z, batch, "sigmoid", 1.0, r2)
        return slope * batch.weight.sum(), np.maximum(p * (1.0 - p), 1e-6)

    return gradients


def _log_loss(z: Floats, data: Any) -> tuple[str, float, bool]:
    y = data.get_label()
    return "log_loss", float(np.average(binary_loss(z, y), weights=data.get_weight())), False
