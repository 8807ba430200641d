"""Mean held-out gains with their intervals, by which one way of learning is preferred to another."""

from __future__ import annotations

import msgspec
import numpy as np

from arbitrank.probability import Floats

_Z = 1.96  # standard errors, 95 % two-sided


class Gain(msgspec.Struct, frozen=True):
    """Mean gain per request, with its 95 % interval."""

    mean: float
    low: float
    high: float

    @classmethod
    def of(cls, gains: Floats, weight: Floats | None = None) -> Gain:
        """The mean of gains, and its interval by the normal approximation; `weight` counts the requests."""
        w = np.ones(len(gains)) if weight is None else weight
        mean = float(w @ gains / w.sum())
        error = _Z * float(np.sqrt(((w * (gains - mean)) ** 2).sum()) / w.sum())
        return cls(mean, mean - error, mean + error)

    @property
    def error(self) -> float:
        """The standard error of the mean."""
        return (self.high - self.mean) / _Z

    def below(self, errors: float) -> bool:
        """True for a mean that is more than so many standard errors below 0."""
        return self.mean + errors * self.error < -1e-12
