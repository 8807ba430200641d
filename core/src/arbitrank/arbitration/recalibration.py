"""Recalibration of a domain's version: one scale and one shift for the log-odds of all its probabilities."""

from __future__ import annotations

import math
from typing import Annotated

import msgspec
import numpy as np
from msgspec import UNSET

from arbitrank.domain import Scores
from arbitrank.probability import Floats, Starts, log_odds, sigmoid
from arbitrank.values import DomainReport


class Recalibration(msgspec.Struct, frozen=True):
    """log-odds · scale + shift, of P(mine) and of each P(right): a scale below 1 for an over-confident domain.

    A temperature T is the scale 1 / T without a shift. A scale above 1 comes from users' reactions alone.
    """

    scale: Annotated[float, msgspec.Meta(gt=0.0, le=4.0)] = 1.0
    shift: Annotated[float, msgspec.Meta(ge=-20.0, le=20.0)] = 0.0

    @property
    def temperature(self) -> float:
        """1 / scale."""
        return round(1.0 / self.scale, 10)

    def __str__(self) -> str:
        parts = [] if self.scale == 1.0 else [f"temperature {self.temperature:g}"]
        return ", ".join([*parts, *([] if self.shift == 0.0 else [f"shift {self.shift:+g}"])]) or "none"

    def __call__(self, p: Floats) -> Floats:
        """The recalibrated probabilities, of p's shape."""
        return sigmoid(self.scale * log_odds(p) + self.shift)


def recalibration(scale: float, shift: float = 0.0) -> Recalibration | None:
    """The recalibration; None for that which leaves everything as it is."""
    return None if scale == 1.0 and shift == 0.0 else Recalibration(scale, shift)


def alike(one: Recalibration | None, other: Recalibration | None, scale: float = 1e-3, shift: float = 1e-3) -> bool:
    """True where scales differ by at most the factor 1 + `scale`, and shifts by at most `shift`."""
    a, b = one or Recalibration(), other or Recalibration()
    return abs(math.log(a.scale / b.scale)) <= math.log1p(scale) and abs(a.shift - b.shift) <= shift


def as_reported(report: DomainReport) -> Recalibration | None:
    """The recalibration that an answer reports of a domain."""
    if report.shrunk is None and report.shift is UNSET:
        return None
    return recalibration(1.0 / (report.shrunk or 1.0), report.shift or 0.0)


def recalibrated(scores: Scores, by: Recalibration | None) -> Scores:
    """The recalibrated scores of one request.

    The readings still sum to at most P(mine): where the map gives more, they are scaled down together.
    """
    if by is None or not len(scores.right):
        return scores
    mapped = by(np.append(scores.mine, scores.right))
    mine, right = float(mapped[0]), mapped[1:]
    return Scores(mine, right * min(1.0, mine / float(right.sum())))


def recalibrated_groups(mine: Floats, right: Floats, starts: Starts, by: Recalibration) -> tuple[Floats, Floats]:
    """`recalibrated` for R requests at once: P(mine), shape (R,), and P(right), shape (N,)."""
    mine, right = by(mine), by(right)
    scale = np.minimum(1.0, mine / np.add.reduceat(right, starts))
    return mine, right * np.repeat(scale, np.diff(np.append(starts, len(right))))
