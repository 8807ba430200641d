"""Scores of many requests at once, whose features go through a factored or boosted re-ranker as one matrix."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from arbitrank.domain import Model
from arbitrank.learn.boosted import Boosted
from arbitrank.learn.calibration import Calibrated, Calibrator
from arbitrank.learn.matrices import matrices
from arbitrank.learn.reference import ReferenceModel
from arbitrank.learn.rerankers import Factored
from arbitrank.probability import Floats, Starts, bounded_groups
from arbitrank.values import Hypothesis, Request

__all__ = ["MatrixReranker", "MatrixScores", "matrix_reranker", "matrix_scores"]

MatrixReranker = Factored | Boosted

_SLACK = 1e-9


class MatrixScores(NamedTuple):
    """Scores of requests with a hypothesis at least: `mine` and `sound` by request, `right` by hypothesis.

    Those of request i begin at `starts[i]`. Scores that are not `sound` violate the contract.
    """

    mine: Floats
    right: Floats
    starts: Starts
    sound: NDArray[np.bool_]


def matrix_reranker(model: Model) -> tuple[MatrixReranker, Calibrator | None] | None:
    """The re-ranker, and its calibrator, in a model that does nothing but call it; None for any other model."""
    if not isinstance(model, ReferenceModel) or type(model).rerank is not ReferenceModel.rerank:
        return None
    inner, calibrator = model.reranker, None
    if isinstance(inner, Calibrated):
        inner, calibrator = inner.reranker, inner.calibrator
    return (inner, calibrator) if isinstance(inner, MatrixReranker) else None


def matrix_scores(
    reranker: MatrixReranker,
    calibrator: Calibrator | None,
    requests: Sequence[Request],
    hypotheses: Sequence[Sequence[Hypothesis]],
) -> MatrixScores:
    """The scores of each request with its hypotheses, of which there is one at least; the same as of each alone."""
    sizes = np.array([len(some) for some in hypotheses])
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]]).astype(np.int64)
    with np.errstate(all="ignore"):  # requests with scores that are not finite are scored alone, for the reason
        mine, right = reranker.score(*matrices(reranker.spec, requests, starts, hypotheses), starts)
        if calibrator is not None:
            mine, right = bounded_groups(calibrator(right), starts, mine)
        total = np.add.reduceat(right, starts)
        sound = (mine >= 0.0) & (mine <= 1.0) & (np.minimum.reduceat(right, starts) >= 0.0) & (total <= mine + _SLACK)
    return MatrixScores(mine, right, starts, sound)
