"""Training of boosted re-rankers: LightGBM on one domain's hypotheses, one thread, stopped by requests held out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from arbitrank.domain import Settings
from arbitrank.learn.boosted import Boosted, feature_names, matrix
from arbitrank.learn.evidence import Evidence
from arbitrank.learn.feature_spec import FeatureSpec
from arbitrank.learn.lightgbm import lightgbm
from arbitrank.learn.losses import Batch
from arbitrank.learn.rerankers import Factored
from arbitrank.probability import Floats, binary_loss, log_odds

_ROUNDS = 400
_PATIENCE = 30
_FAR = 30.0  # log-odds beyond which a probability is as good as certain in single precision
_LEAF = 40  # readings that a leaf holds at least
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
    batch = batch._replace(weight=batch.counts(settings.kept))
    bias = None if base is not None else _prior(evidence, batch)
    start = None if bias is None else np.full(len(batch.right), bias)
    if base is not None:
        start = log_odds(base.score(*evidence.factored, batch.starts)[1])
    names = [f"f{i}" for i in range(len(feature_names(spec)))]  # LightGBM's text can't hold every name
    data = lightgbm().Dataset(
        matrix(*evidence.factored, batch.starts),
        batch.right,
        weight=np.repeat(batch.weight, batch.sizes),
        init_score=start,
        feature_name=names,
        params=parameters(spec, settings),
    )
    data.construct()  # frees the matrix; parts of the data are then parts of what LightGBM made of it
    held = np.random.default_rng(settings.seed).permutation(len(evidence.requests)) % _HELD == 0
    rounds = _best_rounds(spec, data, batch, held, settings)
    booster = grow(spec, data, batch, settings, rounds)
    return Boosted(spec, base, booster.model_to_string(), bias or 0.0)


def _prior(evidence: Evidence, batch: Batch) -> float | None:
    """Log-odds to begin at: those of the counts where one outcome is too rare for the trees to find it.

    0 where the data hold no other domain's request, as nothing was seen of those then. None leaves it to LightGBM,
    which begins at 0, or at the log-odds of the counts where nothing tells the two outcomes apart.
    """
    if not (evidence.silent or (batch.mine == 0.0).any()):
        return 0.0
    right = batch.right > 0.0
    if min(right.sum(), (~right).sum()) >= 2 * _LEAF:
        return None
    weight = np.repeat(batch.weight, batch.sizes)
    return float(np.log((weight[right].sum() + 0.5) / (weight[~right].sum() + 0.5)))


def _best_rounds(spec: FeatureSpec, data: Any, batch: Batch, held: Any, settings: Settings) -> int:
    (learning, each), (stopping, stop) = batch.only(~held), batch.only(held)
    if not stopping.right.any() or not learning.right.any():
        return 50
    parts = [data.subset(np.flatnonzero(chosen)) for chosen in (each, stop)]
    booster = grow(spec, parts[0], learning, settings, _ROUNDS, parts[1])
    return max(1, int(booster.best_iteration))


def grow(spec: FeatureSpec, data: Any, batch: Batch, settings: Settings, rounds: int, stop: Any = None) -> Any:
    """A booster of so many rounds on LightGBM's `data`, whose labels and weights are those of the batch.

    With `stop`, data held out, it is of fewer where their loss does not improve any more.
    """
    custom = settings.loss in ("r1", "r3")
    chosen = {**parameters(spec, settings), **({"objective": objective(settings.loss, batch)} if custom else {})}
    extra: dict[str, Any] = {}
    callbacks = []
    if stop is not None:
        callbacks.append(lightgbm().early_stopping(_PATIENCE, verbose=False))
        extra = {"valid_sets": [stop], "feval": _log_loss if custom else None}

    def report(env: Any) -> None:
        loss = {"loss": env.evaluation_result_list[0][2]} if env.evaluation_result_list else {}
        settings.progress("growing trees", env.iteration + 1, env.end_iteration)
        settings.figures({"round": env.iteration + 1, **loss})

    return lightgbm().train(chosen, data, rounds, callbacks=[*callbacks, report], **extra)


def parameters(spec: FeatureSpec, settings: Settings) -> dict[str, Any]:
    """LightGBM's parameters for a re-ranker with these features, with the binary objective."""
    return {
        "objective": "binary",
        "metric": "binary_logloss",
        "learning_rate": 0.05,
        "num_leaves": 7,
        "min_data_in_leaf": _LEAF,
        "lambda_l2": 1.0,
        "monotone_constraints": [int(name in _MORE_IS_NEVER_WORSE) for name in feature_names(spec)],
        "num_threads": 1,
        "deterministic": True,
        "force_row_wise": True,
        "seed": settings.seed,
        "verbosity": -1,
        # The score begins at the base's, or at 0, so that the trees alone are saved.
        "boost_from_average": False,
    }


Singles = NDArray[np.float32]


def objective(loss: str | None, batch: Batch) -> Callable[[Floats, Any], tuple[Singles, Singles]]:
    """R1 or R3 in the sigmoid form; the curvature is that of the cross-entropy, which keeps the steps bounded.

    It is called every round, and LightGBM takes the gradient in single precision, so it is computed in that, the
    exponential once for both parts: with e = exp(z) the sigmoid is e / (1 + e) and the list's softmax e / Σ e.
    """
    own, each = batch.only(batch.mine > 0)
    places = np.flatnonzero(each)
    request = np.repeat(np.arange(len(own.starts)), own.sizes)
    semer, of_own = own.semer.astype(np.float32), own.weight.astype(np.float32)
    right, weight = batch.right.astype(np.float32), np.repeat(batch.weight, batch.sizes).astype(np.float32)

    def gradients(z: Floats, _: Any) -> tuple[Singles, Singles]:
        e = np.exp(np.clip(z, -_FAR, _FAR).astype(np.float32))
        p = e / (1.0 + e)
        slope = weight * (p - right) if loss == "r3" else np.zeros_like(p)
        if len(places):
            chosen = e[places]
            a = of_own / np.add.reduceat(chosen, own.starts)
            b = a * a / of_own * np.add.reduceat(chosen * semer, own.starts)
            slope[places] += chosen * (a[request] * semer - b[request])
        curve = np.maximum(weight * p * (1.0 - p), 1e-6)
        return np.asarray(slope, np.float32), np.asarray(curve, np.float32)

    return gradients


def _log_loss(z: Floats, data: Any) -> tuple[str, float, bool]:
    y = data.get_label()
    return "log_loss", float(np.average(binary_loss(z, y), weights=data.get_weight())), False
