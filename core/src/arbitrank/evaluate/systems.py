"""The systems that are compared, each trained domain by domain, and their scores."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from arbitrank.domain import Scores, Settings
from arbitrank.learn.boosted import Boosted
from arbitrank.learn.calibration import Calibrated, Calibrator, recalibrated
from arbitrank.learn.calibration_fitting import fit_temperature
from arbitrank.learn.cross_fitting import CrossFitted
from arbitrank.learn.evidence import Evidence
from arbitrank.learn.lightgbm import missing
from arbitrank.learn.linear_training import train_loglinear
from arbitrank.learn.model_selection import select_each
from arbitrank.learn.rerankers import R0, Factored
from arbitrank.probability import best_of_each

DEFAULT = "factored"

BOOSTED = ("boosted", "corrected")
"""The systems that need LightGBM: one by domain, and one on top of the factored log-odds."""

SYSTEMS = ("R0", "R0 temperature", "R1", "R2", "R3", DEFAULT, *BOOSTED)
"""The systems whose domains are trained alone, in the order in which they are reported."""

_PLAIN = Settings(model="loglinear", form="sigmoid")


class Fitted(NamedTuple):
    """A system's re-ranker of a domain, and the out-of-fold scores of the training requests."""

    system: str
    reranker: Any
    unseen: CrossFitted | None = None


def available() -> tuple[str, ...]:
    """The systems that can be trained here: all of them, or where LightGBM is missing those that do not need it."""
    return tuple(name for name in SYSTEMS if name not in BOOSTED or missing() is None)


def fit_all(evidence: Evidence, *, seed: int = 0) -> Iterator[Fitted]:
    """Every available system's re-ranker of one domain, from the domain's own cross-fitted hypotheses.

    R1 to R3 are the article's: three weights and a bias, a sigmoid for each hypothesis; they see no context.
    """
    baseline = R0(evidence.without_context().spec)
    if not evidence.requests:
        # The domain has no reading of any training request: there is nothing to learn beyond R0.
        yield from (Fitted(name, baseline) for name in available())
        return
    plain = evidence.without_context()
    yield Fitted("R0", baseline)
    yield Fitted("R0 temperature", _with_temperature(baseline, plain))
    for name, loss in (("R1", "r1"), ("R2", "r2"), ("R3", "r3")):
        settings = replace(_PLAIN, loss=loss, seed=seed)  # type: ignore[arg-type]  # the line above holds the literals
        yield Fitted(name, train_loglinear(plain, settings))
    each = select_each(evidence, Settings(seed=seed))
    for name in (DEFAULT, *(kind for kind in BOOSTED if kind in each)):
        yield Fitted(name, *each[name][:2])


def _with_temperature(baseline: R0, evidence: Evidence) -> Calibrated:
    right = np.concatenate([baseline.rerank(request).right for request in evidence.requests])
    best = best_of_each(right, evidence.batch.starts)
    return Calibrated(baseline, fit_temperature(right[best], evidence.batch.right[best]))


def score(reranker: Any, held: Evidence) -> list[Scores]:
    """The scores of each request's hypotheses; models that score matrices do so at once."""
    if not held.requests:
        return []
    inner, calibrator = (
        (reranker.reranker, reranker.calibrator) if isinstance(reranker, Calibrated) else (reranker, None)
    )
    if not isinstance(inner, Factored | Boosted):
        return [reranker.rerank(request) for request in held.requests]
    return _scores(CrossFitted(*inner.score(*held.factored, held.batch.starts)), held, calibrator)


def score_unseen(fitted: Fitted, evidence: Evidence) -> list[Scores]:
    """The out-of-fold scores of the training requests."""
    if not evidence.requests:
        return []
    assert fitted.unseen is not None
    return _scores(fitted.unseen, evidence, getattr(fitted.reranker, "calibrator", None))


def _scores(unseen: CrossFitted, evidence: Evidence, calibrator: Calibrator | None) -> list[Scores]:
    parts = np.split(unseen.right, evidence.batch.starts[1:])
    scores = [Scores(float(mine), right) for mine, right in zip(unseen.mine, parts, strict=True)]
    return scores if calibrator is None else [recalibrated(one, calibrator) for one in scores]
