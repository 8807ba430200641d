"""Joint model, the central alternative: one LightGBM over all domains' hypotheses and confidences.

No team can ship it alone: each change of a domain's confidences calls for another training on all domains' data.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from arbitrank.arbitration.merge import BestReadings
from arbitrank.decisions.scope import LEAST
from arbitrank.errors import DataError
from arbitrank.evaluate.corpus import Corpus
from arbitrank.evaluate.labelled import LabelledReadings
from arbitrank.learn.boosted import feature_names, matrix
from arbitrank.learn.evidence import Evidence
from arbitrank.learn.lightgbm import lightgbm
from arbitrank.nlu.recogniser import N_BEST
from arbitrank.probability import bounded

Floats32 = NDArray[np.float32]
Masks = tuple[NDArray[np.bool_], NDArray[np.bool_]]

_ROUNDS, _FEW_ROUNDS, _PATIENCE = 300, 50, 20
_HELD = 5  # one request in so many stops the training
_ABSENT = np.float32(-30.0)  # the log-odds of a domain without a reading

ROWS = 4_000_000
"""Training rows that the joint model takes at most; with LightGBM's copy of them they stay under 2 GB."""


class JointRows(NamedTuple):
    """Rows of one domain: features called `names`, float32 of shape (N, F), outcomes, and each row's request."""

    names: tuple[str, ...]
    rows: Floats32
    right: NDArray[np.float32]
    request: NDArray[np.int32]


class JointParts(NamedTuple):
    """Rows of one domain: of the training requests, of those of the tuning split (None without one), and held out.

    `changed` are those of held-out requests that were changed, by the name of the change, where it concerns the domain.
    """

    train: JointRows
    tuning: JointRows | None
    held: JointRows
    changed: Mapping[str, JointRows] = MappingProxyType({})


def joint_rows(evidence: Evidence, places: NDArray[np.int64]) -> JointRows:
    """The rows of one domain; `places` are those of its requests among all, shape (R,)."""
    names = feature_names(evidence.spec)
    rows = np.zeros((0, len(names)), np.float32)
    if evidence.requests:
        rows = matrix(*evidence.factored, evidence.batch.starts).astype(np.float32)
    request = np.repeat(places, evidence.batch.sizes).astype(np.int32)
    return JointRows(names, rows, evidence.batch.right.astype(np.float32), request)


def sampled(n: int, domains: int, readings: int) -> NDArray[np.bool_]:
    """The training requests, of n, that the joint model learns from: all, or as many as fit in memory with their rows.

    Each domain may have `readings` of a request. The choice depends on nothing else.
    """
    enough = max(1, ROWS // (domains * readings))
    return np.random.default_rng(0).permutation(n) < enough


def taught_joint(corpus: Corpus) -> NDArray[np.bool_]:
    """Mask of the training requests that the joint model learns from."""
    if corpus.cross_fitted:  # the number of hypotheses in a file is limited already
        return np.ones(len(corpus.train), bool)
    return sampled(len(corpus.train), len(corpus.domains), N_BEST)


class JointReadings(NamedTuple):
    """The joint model's best readings by domain: of the held-out requests, and of those to tune its settings on.

    The latter are those of the tuning split, else the training requests that it learns from. `changed` are of the
    held-out requests as they were changed, by the name of the change.
    """

    held: list[BestReadings]
    tuning: list[LabelledReadings]
    changed: dict[str, list[BestReadings]]


def joint_readings(
    parts: Sequence[JointParts], tuned: int, splits: Sequence[Masks], taught: NDArray[np.bool_], *, seed: int
) -> JointReadings:
    """Train on all domains' rows and score the held-out requests, and the `tuned` ones of the tuning split.

    Without these, the training requests marked in `taught` are scored, each by a model that did not learn from it;
    where training and held-out requests are the same, the held-out ones. `splits` are pairs of masks: the training
    requests to learn from, and the held-out ones that are then scored. Beside the features of the distributed
    re-rankers the model has the domain as a category, and the domain's lead over its best rival. One thread, so that
    the figures are the same for any number of jobs.
    """
    train, held = [one.train for one in parts], [one.held for one in parts]
    names = sorted({name for one in train for name in one.names})
    right, request = np.concatenate([one.right for one in train]), np.concatenate([one.request for one in train])
    learning, filled = np.empty((len(right), len(names) + 3), np.float32), 0
    for block in _columns(train, names, len(splits[0][0])):
        learning[filled : filled + len(block)] = block
        filled += len(block)
    fold = request % _HELD
    boosters = [
        _grow(learning, right, teach[request] & (fold != 0), teach[request] & (fold == 0), seed) for teach, _ in splits
    ]
    unseen = None
    if len(splits) == 1 and not tuned:
        unseen = _unseen(learning, right, fold, boosters[0], taught, seed)
    del learning
    changed = {
        name: _scored(boosters, [one.changed.get(name, one.held) for one in parts], names, splits)
        for name in dict.fromkeys(name for one in parts for name in one.changed)
    }
    readings = _scored(boosters, held, names, splits)
    if unseen is not None:
        found, rows = _numbered(train, unseen, taught), [_only(one, taught) for one in train]
    elif tuned:
        rows = [one.tuning for one in parts if one.tuning is not None]
        found = _scored(boosters, rows, names, [(splits[0][0], np.ones(tuned, bool))])
    else:
        found, rows = readings, held
    labelled = [_labelled(*one) for one in zip(found, rows, strict=True)]
    return JointReadings(readings, labelled, changed)


def _unseen(
    learning: Floats32,
    right: NDArray[np.float32],
    fold: NDArray[np.int32],
    first: Any,
    taught: NDArray[np.bool_],
    seed: int,
) -> NDArray[np.float64]:
    """P(right) of each training row by a model that it only stopped, `first` being that of fold 0.

    All 0 where so few requests were `taught` that nothing is tuned on them.
    """
    p = np.zeros(len(right))
    if taught.sum() < LEAST:
        return p
    for f in range(_HELD):
        own = fold == f
        booster = first if f == 0 else _grow(learning, right, ~own, own, seed)
        if own.any():
            p[own] = booster.predict(learning[own], num_threads=1)
    return p


def _numbered(train: Sequence[JointRows], p: NDArray[np.float64], taught: NDArray[np.bool_]) -> list[BestReadings]:
    """The best readings of the taught requests by domain, from P(right) of all rows."""
    each = np.split(p, np.cumsum([len(one.request) for one in train])[:-1])
    n = int(taught.sum())
    return [_by_request(_only(one, taught).request, own, n) for one, own in zip(train, each, strict=True)]


def _only(one: JointRows, taught: NDArray[np.bool_]) -> JointRows:
    """The rows with their requests numbered among the taught ones, to which all belong."""
    return one._replace(request=(np.cumsum(taught) - 1)[one.request].astype(np.int32))


def _scored(
    boosters: Sequence[Any], parts: Sequence[JointRows], names: Sequence[str], splits: Sequence[Masks]
) -> list[BestReadings]:
    """The best readings of each domain's rows, each request being scored by the booster of its split."""
    n, readings = len(splits[0][1]), []
    for one, columns in zip(parts, _columns(parts, names, n), strict=True):
        p = np.zeros(len(columns))
        for booster, (_, chosen) in zip(boosters, splits, strict=True):
            rows = chosen[one.request]
            if rows.any():
                p[rows] = booster.predict(columns[rows], num_threads=1)
        readings.append(_by_request(one.request, p, n))
    return readings


def _labelled(readings: BestReadings, one: JointRows) -> LabelledReadings:
    """The best readings of the requests with their labels."""
    right, starts = np.zeros(len(readings.best)), np.flatnonzero(np.diff(one.request, prepend=-1))
    places = one.request[starts]
    right[places] = one.right[starts + readings.best[places]]
    return LabelledReadings(readings, right)


def _grow(
    columns: Floats32, right: NDArray[np.float32], learn: NDArray[np.bool_], stop: NDArray[np.bool_], seed: int
) -> Any:
    """Trees on the rows to `learn` from, until the loss on those to `stop` by no longer falls."""
    lgb = lightgbm()
    parameters = {
        "objective": "binary",
        "learning_rate": 0.1,
        "num_leaves": 15,
        "min_data_in_leaf": 50,
        "lambda_l2": 1.0,
        "metric": "binary_logloss",
        "num_threads": 1,
        "deterministic": True,
        "force_row_wise": True,
        "seed": seed,
        "verbosity": -1,
    }
    if not learn.any() and not stop.any():
        raise DataError("no domain has a reading of any request that is left to train the joint model; bring more")
    if not learn.any():  # so few requests that all of them would only stop it
        learn = stop
    data = lgb.Dataset(columns[learn], right[learn], categorical_feature=[columns.shape[1] - 1])
    if not right[stop].any():
        return lgb.train(parameters, data, _FEW_ROUNDS)
    stopping = lgb.early_stopping(_PATIENCE, verbose=False)
    return lgb.train(parameters, data, _ROUNDS, [data.create_valid(columns[stop], right[stop])], callbacks=[stopping])


def _columns(parts: Sequence[JointRows], names: Sequence[str], n: int) -> Iterator[Floats32]:
    """Each domain's rows under common names, then the best rival's log-odds, the lead over it, the domain's number."""
    # The best two of each request: the rival of the best domain is the second.
    best, second, leader = np.full(n, _ABSENT), np.full(n, _ABSENT), np.full(n, -1)
    own = []
    for d, one in enumerate(parts):
        logit = np.full(n, _ABSENT)
        np.maximum.at(logit, one.request, one.rows[:, one.names.index("domain.logit@request")])
        own.append(logit[one.request])
        ahead = logit > best
        second = np.where(ahead, best, np.maximum(second, logit))
        best, leader = np.where(ahead, logit, best), np.where(ahead, d, leader)
    for d, one in enumerate(parts):
        block = np.zeros((len(one.rows), len(names) + 3), np.float32)
        block[:, [names.index(name) for name in one.names]] = one.rows
        rival = np.where(leader == d, second, best)[one.request]
        block[:, -3], block[:, -2], block[:, -1] = rival, own[d] - rival, d
        yield block


def _by_request(request: NDArray[Any], p: NDArray[np.float64], n: int) -> BestReadings:
    readings = BestReadings.empty(n)
    starts = np.flatnonzero(np.diff(request, prepend=-1))
    if len(starts):
        readings.put(request[starts].tolist(), (bounded(right) for right in np.split(p, starts[1:])))
    return readings
