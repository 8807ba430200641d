"""The systems that are compared, each trained domain by domain, and their scores."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from arbitrank.domain import Scores, Settings
from arbitrank.learn.boosted import Boosted
from arbitrank.learn.buffers import taken
from arbitrank.learn.calibration import Calibrated, Calibrator, recalibrated
from arbitrank.learn.calibration_fitting import fit_temperature
from arbitrank.learn.cross_fitting import FOLDS, CrossFitted
from arbitrank.learn.evidence import Evidence, at_places
from arbitrank.learn.lightgbm import missing
from arbitrank.learn.linear_training import train_loglinear
from arbitrank.learn.model_selection import select_each
from arbitrank.learn.rerankers import R0, Factored
from arbitrank.probability import Floats, bounded_groups, sigmoid

DEFAULT = "factored"

AUTO = "auto"
"""The system whose domains each take the kind of re-ranker that cross-fitting prefers, as `arbitrank train` does."""

BOOSTED = ("boosted", "corrected")
"""The systems that need LightGBM: one by domain, and one on top of the factored log-odds."""

SYSTEMS = ("R0", "R0 temperature", "R1", "R2", "R3", DEFAULT, *BOOSTED, AUTO)
"""The systems whose domains are trained alone, in the order in which they are reported."""

NAMES = "R1, R2, R3: what `arbitrank train --model loglinear` trains with that --loss and --form sigmoid"
"""Note on the names of systems that are not those of `arbitrank train --model`."""

_TOGETHER = (DEFAULT, *BOOSTED, AUTO)  # trained on the same folds, at once

_PLAIN = Settings(model="loglinear", form="sigmoid")


class Fitted(NamedTuple):
    """A system's re-ranker of a domain, and the out-of-fold scores of the training requests, before its calibrator."""

    system: str
    reranker: Any
    unseen: CrossFitted | None = None


def shared_times(seconds: Mapping[str, float]) -> dict[str, float]:
    """The seconds of each system, those of systems that share their folds in equal parts."""
    together = [name for name in _TOGETHER if name in seconds]
    each = sum(seconds[name] for name in together) / max(1, len(together))
    return {name: each if name in together else own for name, own in seconds.items()}


def available() -> tuple[str, ...]:
    """The systems that can be trained here: all of them, or where LightGBM is missing those that do not need it."""
    return tuple(name for name in SYSTEMS if name not in BOOSTED or missing() is None)


def fit_all(
    evidence: Evidence, *, seed: int = 0, unseen: bool = False, systems: Sequence[str] | None = None
) -> Iterator[Fitted]:
    """Every available system's re-ranker of one domain, from the domain's own cross-fitted hypotheses.

    `systems` are those wanted, None for all.

    R1 to R3 are the article's: three weights and a bias, a sigmoid for each hypothesis; they see no context. With
    `unseen`, each comes with its out-of-fold scores.
    """
    wanted = available() if systems is None else systems
    baseline = R0(evidence.without_context().spec)
    if not evidence.requests:
        # The domain has no reading of any training request: there is nothing to learn beyond R0.
        yield from (Fitted(name, baseline) for name in wanted)
        return
    plain = evidence.without_context()
    claims = [baseline.rerank(request) for request in plain.requests]
    of_r0 = CrossFitted(np.array([one.mine for one in claims]), np.concatenate([one.right for one in claims]))
    if "R0" in wanted:
        yield Fitted("R0", baseline, of_r0)
    if "R0 temperature" in wanted:
        yield Fitted("R0 temperature", Calibrated(baseline, fit_temperature(*of_r0.claims(plain))), of_r0)
    for name, loss in (("R1", "r1"), ("R2", "r2"), ("R3", "r3")):
        if name not in wanted:
            continue
        settings = replace(_PLAIN, loss=loss, seed=seed)  # type: ignore[arg-type]  # the line above holds the literals
        folds = _cross_fit_plain(plain, settings) if unseen else None
        yield Fitted(name, train_loglinear(plain, settings), folds)
    boosted = any(name in wanted for name in BOOSTED)
    for name, one in select_each(evidence, Settings(seed=seed), unseen=unseen, boosted=boosted).items():
        if name in wanted:
            yield Fitted(name, one.reranker, one.unseen)


def _cross_fit_plain(evidence: Evidence, settings: Settings) -> CrossFitted:
    """Out-of-fold scores of a log-linear re-ranker; 0 where no request of the domain's own is left to learn from."""
    rows, fold = evidence.plain, np.random.default_rng(settings.seed).permutation(len(evidence.requests)) % FOLDS
    each = np.repeat(fold, evidence.batch.sizes)
    found = CrossFitted(np.zeros(len(fold)), np.zeros(len(each)))
    for f in range(FOLDS):
        rest, held = _part(evidence, rows, fold != f), _part(evidence, rows, fold == f)
        if len(held.requests) and rest.batch.mine.any():
            right = sigmoid(held.plain @ np.array(train_loglinear(rest, settings).weights.values))
            found.mine[fold == f], found.right[each == f] = bounded_groups(right, held.batch.starts)
    return found


def _part(evidence: Evidence, rows: Floats, chosen: NDArray[np.bool_]) -> Evidence:
    """The evidence of the chosen requests, with the features of a log-linear re-ranker that are computed already."""
    batch, each = evidence.batch.only(chosen)
    part = Evidence(evidence.spec, at_places(evidence.requests, np.flatnonzero(chosen)), batch, evidence.silent)
    part.__dict__["plain"] = taken(rows, each)
    return part


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
