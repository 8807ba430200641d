"""95 % intervals of means over requests whose sessions are independent of each other, unlike the requests within."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from arbitrank.evaluate.intervals import Estimate
from arbitrank.probability import Floats

_Z = 1.959964


def session_mean(values: Floats, session: NDArray[np.int64]) -> Estimate:
    """The mean of the values, shape (n,), with Student's interval over the sessions' sums of deviations.

    The degrees of freedom are those of the variance's estimate (Satterthwaite), so that an interval that rests on a few
    requests is as wide as so few allow. Infinitely wide for one session.
    """
    n, mean = len(values), float(values.mean()) if len(values) else 0.0
    sums = np.bincount(session, values - mean)
    k, squares = len(sums), sums * sums
    total = float(squares.sum())
    if k < 2:
        return Estimate(mean, -math.inf, math.inf)
    if total == 0.0:
        return Estimate(mean, mean, mean)
    spread = float((squares * squares).sum()) - total * total / k
    freedom = 2.0 * total * total / spread if spread > 0.0 else math.inf
    half = student(min(freedom, k - 1.0)) * math.sqrt(total * k / (k - 1)) / n
    return Estimate(mean, mean - half, mean + half)


def student(freedom: float) -> float:
    """The 97.5 % quantile of Student's distribution, by the expansion of Cornish and Fisher; at least 2 degrees."""
    if math.isinf(freedom):
        return _Z
    v, z = max(freedom, 2.0), _Z
    return (
        z
        + (z**3 + z) / (4 * v)
        + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * v**2)
        + (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * v**3)
    )


def effective_size(weights: Floats) -> float:
    """Kish's effective sample size, (Σw)² / Σw²; 0 where all weights are 0."""
    squares = float((weights * weights).sum())
    return float(weights.sum()) ** 2 / squares if squares > 0.0 else 0.0
