"""Temperature of an over-confident domain: the divisor of its log-odds under which its scores are most likely."""

from __future__ import annotations

import msgspec
import numpy as np
from numpy.typing import NDArray

from arbitrank.evaluate.metrics import Calibration, calibration
from arbitrank.impact.flips import Rows
from arbitrank.probability import Floats, fit_logistic, log_odds, sigmoid

_PULL = 1e-12  # next to nothing: where all probabilities are 0.5 the slope stays 1
_SLOPES = (1e-3, 10.0)
_Z = 1.96


class Temperature(msgspec.Struct, frozen=True):
    """The most likely divisor of a domain's log-odds, above 1 where it is over-confident, with its 95 % interval."""

    fitted: float
    low: float
    high: float


def temperature(side: Rows, owned: NDArray[np.bool_]) -> Temperature | None:
    """The temperature of a domain's scores on requests with a truth, one side of `flips.ROW` each; None without any.

    P(mine), with `owned` for its outcome, and P(right) of the best reading count alike. The interval takes both scores
    of a request for one observation.
    """
    has = side["own_reading"]
    if not has.any():
        return None
    z = np.stack([log_odds(side["own_mine"][has]), log_odds(side["own_probability"][has])])
    y = np.stack([owned[has], side["own_right"][has]]).astype(np.float64)
    slope = float(fit_logistic(z.reshape(-1, 1), y.ravel(), np.ones(1), _PULL, bounds=_SLOPES)[0])
    p = sigmoid(slope * z)
    curve = float((z * z * p * (1.0 - p)).sum())
    gradients: Floats = (z * (p - y)).sum(axis=0)  # of each request's negative log-likelihood, by the slope
    error = float(np.sqrt((gradients**2).sum())) / curve if curve > 0.0 else np.inf
    return Temperature(1.0 / slope, 1.0 / (slope + _Z * error), 1.0 / max(slope - _Z * error, _SLOPES[0]))


def own_calibration(side: Rows, seed: int = 0) -> Calibration | None:
    """Calibration of a domain's best readings, one side of `flips.ROW` each; None without any."""
    own = side[side["own_reading"]]
    return calibration_of(own["own_probability"], own["own_right"], seed)


def calibration_of(p: Floats, right: NDArray[np.bool_], seed: int) -> Calibration | None:
    """Calibration of the probabilities, with fewer draws the more there are; None without any."""
    if not len(p):
        return None
    # Sorting takes the time; on many requests the intervals are narrow, so that fewer draws suffice.
    draws = int(np.clip(1_000_000 // len(p), 100, 400))
    return calibration(np.ascontiguousarray(p), right.astype(np.float64), seed=seed, draws=draws)
