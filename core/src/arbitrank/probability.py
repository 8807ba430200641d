"""Small laws of probability that the re-rankers share."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from arbitrank.domain import Scores

Floats = NDArray[np.float64]

CLIP = 1e-6
"""Probabilities are kept this far from 0 and 1 before logarithms are taken."""


def sigmoid(z: Floats) -> Floats:
    """1 / (1 + exp(-z)), without overflow."""
    return np.asarray(0.5 * (1.0 + np.tanh(0.5 * z)))


def log_odds(p: Floats) -> Floats:
    """log(p / (1 − p)), with p clipped to [CLIP, 1 − CLIP]."""
    p = np.clip(p, CLIP, 1.0 - CLIP)
    return np.asarray(np.log(p / (1.0 - p)))


def binary_loss(z: Floats, y: Floats) -> Floats:
    """The cross-entropy log(1 + exp(z)) − y·z of outcomes y under log-odds z, in the form that doesn't overflow."""
    return np.asarray(np.maximum(z, 0.0) - y * z + np.log1p(np.exp(-np.abs(z))))


def bounded(right: Floats, mine: float = 0.0) -> Scores:
    """Scores whose P(mine) is at least the readings' sum; the readings are brought down where that is above 1."""
    total = float(right.sum())
    return Scores(min(1.0, max(mine, total)), right / max(1.0, total))
