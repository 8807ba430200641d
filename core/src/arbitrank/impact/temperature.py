"""Shrinking a domain that claims too much: the temperature that its log-odds have to be divided by."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from arbitrank.errors import DataError
from arbitrank.evaluate.metrics import Calibration, calibration
from arbitrank.impact.batch_scores import Floats
from arbitrank.impact.replay import Plan, Rows, replay
from arbitrank.probability import fit_logistic, log_odds, sigmoid

_PULL = 1e-12  # next to nothing: where all claims are 0.5 the slope stays 1
_SLOPES = (1e-3, 10.0)
_Z = 1.96


class Temperature(msgspec.Struct, frozen=True):
    """What claims have to be divided by, as log-odds, to be most likely; above 1 for too much. With a 95 % interval."""

    fitted: float
    low: float
    high: float


class Fit(msgspec.Struct, frozen=True):
    """A temperature, and the calibration of the domain's own claims as they are and as they would be with it."""

    temperature: Temperature
    before: Calibration
    after: Calibration


def temperature(side: Rows, owned: NDArray[np.bool_]) -> Temperature | None:
    """The temperature of a domain's claims on requests with a truth, one side of `replay.ROW` each; None without any.

    P(mine), with `owned` for its outcome, and P(right) of the best reading count alike. The interval takes what is
    said of one request for one observation.
    """
    spoke = side["spoke"]
    if not spoke.any():
        return None
    z = np.stack([log_odds(side["mine"][spoke]), log_odds(side["claim"][spoke])])
    y = np.stack([owned[spoke], side["claim_right"][spoke]]).astype(np.float64)
    slope = float(fit_logistic(z.reshape(-1, 1), y.ravel(), np.ones(1), _PULL, bounds=_SLOPES)[0])
    p = sigmoid(slope * z)
    curve = float((z * z * p * (1.0 - p)).sum())
    error = float(np.sqrt((_gradients(z, y, slope) ** 2).sum())) / curve if curve > 0.0 else np.inf
    return Temperature(1.0 / slope, 1.0 / (slope + _Z * error), 1.0 / max(slope - _Z * error, _SLOPES[0]))


def _gradients(z: Floats, y: Floats, slope: float) -> Floats:
    """By how much each request's negative log-likelihood grows with the slope."""
    return np.asarray((z * (sigmoid(slope * z) - y)).sum(axis=0))


def fit(plan: Plan, path: Path, *, jobs: int = 1) -> Fit:
    """The temperature, at least 1, under which what the plan's candidate claims of a file is most likely.

    Raises `DataError` where there is no request with a truth that the domain has a reading for.
    """
    alone = dataclasses.replace(plan, parts={}, silent={}, ranks_unserved=False)
    rows, owned = _claims(alone, path, jobs)
    found = temperature(rows["after"], owned)
    if found is None:
        raise DataError(f"{path}: no request with a truth that {plan.name} has a reading for; nothing to fit")
    found = msgspec.structs.replace(found, fitted=max(1.0, found.fitted))
    shrunken = dataclasses.replace(plan.candidate, temperature=found.fitted)
    then, _ = _claims(dataclasses.replace(alone, candidate=shrunken), path, jobs)
    return Fit(found, _calibration(rows["after"]), _calibration(then["after"]))


def _claims(plan: Plan, path: Path, jobs: int) -> tuple[Rows, NDArray[np.bool_]]:
    found = replay(plan, path, jobs=jobs)
    rows = found.rows[found.rows["labelled"]]
    number = found.names.index(plan.name) if plan.name in found.names else -2
    return rows, rows["owner"] == number


def _calibration(side: Rows) -> Calibration:
    spoke = side["spoke"]
    return calibration(side["claim"][spoke], side["claim_right"][spoke].astype(np.float64))
