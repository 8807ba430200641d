"""The central alternative: one LightGBM over all domains' hypotheses, which sees everything that anybody says.

Nobody can ship it alone: each change of a domain's confidences asks for another training on all domains' data.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from arbitrank.domain import Scores
from arbitrank.learn.boosted import feature_names, matrix
from arbitrank.learn.fitting import Evidence
from arbitrank.learn.lightgbm import lightgbm
from arbitrank.learn.probability import bounded

Floats32 = NDArray[np.float32]

_ROUNDS, _FEW_ROUNDS, _PATIENCE = 300, 50, 20
_HELD = 5  # one request in so many stops the training


class Part(NamedTuple):
    """One domain's rows: features called `names`, float32 of shape (N, F), outcomes, and the row's request."""

    names: tuple[str, ...]
    rows: Floats32
    right: NDArray[np.float32]
    request: NDArray[np.int32]


def part(evidence: Evidence, places: NDArray[np.int64]) -> Part:
    """A domain's rows; `places` are those of its requests among all, shape (R,)."""
    rows = matrix(*evidence.factored, evidence.batch.starts).astype(np.float32)
    request = np.repeat(places, evidence.batch.sizes).astype(np.int32)
    return Part(feature_names(evidence.spec), rows, evidence.batch.right.astype(np.float32), request)


def joint_scores(
    train: Sequence[Part],
    held: Sequence[Part],
    splits: Sequence[tuple[NDArray[np.bool_], NDArray[np.bool_]]],
    *,
    seed: int,
    threads: int,
) -> list[list[Scores | None]]:
    """Train on all domains' rows, and score the held-out ones: for each domain, the scores of each request.

    `splits` say which training requests teach and which held-out ones are then scored. Beside the features of the
    distributed re-rankers it has the domain as a category, and how far the domain is ahead of its best rival.
    """
    names = sorted({name for one in train for name in one.names})
    n_train, n_held = len(splits[0][0]), len(splits[0][1])
    learning, asking = _columns(train, names, n_train), _columns(held, names, n_held)
    right = np.concatenate([one.right for one in train])
    p = np.zeros(len(asking))
    for rest, chosen in splits:
        teach = np.concatenate([rest[one.request] for one in train])
        ask = np.concatenate([chosen[one.request] for one in held])
        requests = np.concatenate([one.request for one in train])[teach]
        booster = _grow(learning[teach], right[teach], requests % _HELD == 0, seed, threads)
        p[ask] = booster.predict(asking[ask], num_threads=threads)
    ends = np.cumsum([len(one.right) for one in held])[:-1]
    return [_by_request(one, values, n_held) for one, values in zip(held, np.split(p, ends), strict=True)]


def _grow(columns: Floats32, right: NDArray[np.float32], stop: NDArray[np.bool_], seed: int, threads: int) -> Any:
    """Trees on the rows that `stop` leaves, until those it chooses get no better."""
    lgb = lightgbm()
    parameters = {
        "objective": "binary",
        "learning_rate": 0.1,
        "num_leaves": 15,
        "min_data_in_leaf": 50,
        "lambda_l2": 1.0,
        "metric": "binary_logloss",
        "num_threads": threads,
        "deterministic": True,
        "force_row_wise": True,
        "seed": seed,
        "verbosity": -1,
    }
    data = lgb.Dataset(columns[~stop], right[~stop], categorical_feature=[columns.shape[1] - 1])
    if not right[stop].any():
        return lgb.train(parameters, data, _FEW_ROUNDS)
    stopping = lgb.early_stopping(_PATIENCE, verbose=False)
    return lgb.train(parameters, data, _ROUNDS, [data.create_valid(columns[stop], right[stop])], callbacks=[stopping])


def _columns(parts: Sequence[Part], names: Sequence[str], n: int) -> Floats32:
    """All rows under common names, then the lead over the best rival, then the domain's number."""
    best = np.full((len(parts), n), -30.0, np.float32)
    for d, one in enumerate(parts):
        logit = one.rows[:, one.names.index("domain.logit@request")]
        np.maximum.at(best[d], one.request, logit)
    blocks = []
    for d, one in enumerate(parts):
        block = np.zeros((len(one.rows), len(names) + 3), np.float32)
        block[:, [names.index(name) for name in one.names]] = one.rows
        rival = np.delete(best, d, axis=0).max(axis=0) if len(parts) > 1 else np.full(n, -30.0, np.float32)
        block[:, -3] = rival[one.request]
        block[:, -2] = best[d][one.request] - rival[one.request]
        block[:, -1] = d
        blocks.append(block)
    return np.concatenate(blocks)


def _by_request(one: Part, p: NDArray[np.float64], n: int) -> list[Scores | None]:
    scores: list[Scores | None] = [None] * n
    starts = np.flatnonzero(np.diff(one.request, prepend=-1))
    for place, right in zip(one.request[starts], np.split(p, starts[1:]), strict=True):
        scores[int(place)] = bounded(right)
    return scores
