"""Calibration maps from a re-ranker's claimed probability to the observed frequency.

They are fitted and selected in `arbitrank.learn.calibration_fitting`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np

from arbitrank.domain import Scores
from arbitrank.explanation import all_staged
from arbitrank.probability import Floats, bounded, log_odds, sigmoid
from arbitrank.values import Request


class Affine(msgspec.Struct, frozen=True, tag="affine", tag_field="kind"):
    """log-odds · slope + shift; a temperature T is slope 1/T without a shift."""

    slope: float = 1.0
    shift: float = 0.0

    def __call__(self, p: Floats) -> Floats:
        """The calibrated probabilities, of p's shape."""
        return sigmoid(self.slope * log_odds(p) + self.shift)


class Isotonic(msgspec.Struct, frozen=True, tag="isotonic", tag_field="kind"):
    """A rising polyline through knots (x, y)."""

    x: tuple[float, ...]
    y: tuple[float, ...]

    def __call__(self, p: Floats) -> Floats:
        """The calibrated probabilities, of p's shape."""
        return np.interp(p, self.x, self.y)


Calibrator = Affine | Isotonic
IDENTITY = Affine()


@dataclass(frozen=True)
class Calibrated:
    """A re-ranker whose P(right) goes through a calibrator; P(mine) grows where the readings' sum does."""

    reranker: Any
    calibrator: Calibrator

    def rerank(self, request: Request) -> Scores:
        """P(mine) and the calibrated P(right)."""
        return recalibrated(self.reranker.rerank(request), self.calibrator)

    def explain(self, request: Request) -> list[Mapping[str, float]]:
        """Contributions to the re-ranker's own scores, and `calibration`."""
        before = self.reranker.rerank(request)
        after = recalibrated(before, self.calibrator)
        rows = all_staged(self.reranker.explain(request), "calibration", before.right, after.right)
        return list(rows or ())


def recalibrated(scores: Scores, calibrator: Calibrator) -> Scores:
    """The scores with P(right) calibrated."""
    return bounded(calibrator(scores.right), scores.mine)
