"""Exact binomial tests and limits of a share of wrong answers (Clopper & Pearson 1934)."""

from __future__ import annotations

import numpy as np
from scipy.special import betainc, betaincinv

from arbitrank.probability import Floats


def p_value(wrong: Floats | float, accepted: Floats | float, risk: float) -> Floats:
    """The probability of at most so many wrong among the accepted ones, each being wrong with probability `risk`."""
    n, k = np.asarray(accepted, np.float64), np.asarray(wrong, np.float64)
    return np.where(k >= n, 1.0, betainc(np.maximum(n - k, 1e-9), k + 1.0, 1.0 - risk))


def most_wrong(wrong: int, accepted: int, level: float) -> float:
    """The upper limit of the share of wrong answers, exceeded with probability `level` (Clopper & Pearson)."""
    return 1.0 if wrong >= accepted else float(betaincinv(wrong + 1.0, accepted - wrong, 1.0 - level))


def least_wrong(wrong: int, accepted: int, level: float) -> float:
    """The lower limit of the share of wrong answers, undercut with probability `level` (Clopper & Pearson)."""
    return 0.0 if not wrong else float(betaincinv(wrong, accepted - wrong + 1.0, level))
