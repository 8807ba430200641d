"""Regularisation of the weight of domain confidences that hardly differ."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from arbitrank.learn.standardisation import centre_and_spread
from arbitrank.probability import Floats

_NARROW = 0.5  # spread of log-odds below which confidences are not taken for probabilities
_LEAST = 0.01  # a weight by a smaller spread would make too much of a confidence that was never seen

MeanLoss = Callable[[Floats], tuple[float, Floats]]
"""Mean loss of a linear model at some weights, and its gradient by the weights."""

NARROW = "domain.logit"
"""The feature that may be narrow."""


class Narrow(NamedTuple):
    """Domain confidences that hardly differ, as cosines do: the centre and the spread of their log-odds.

    Their weight is then regularised by the spread, and about the centre, as those of standardised numbers are; in
    log-odds, the weight that they need would be far from R0's.
    """

    centre: float
    spread: float

    @classmethod
    def of(cls, values: Floats) -> Narrow | None:
        """The distribution of these log-odds; None where they are as wide as probabilities are."""
        centre, spread = centre_and_spread(values)
        return cls(centre, max(spread, _LEAST)) if spread < _NARROW else None

    def weights(self, v: Floats, start: Floats, places: tuple[int, int]) -> Floats:
        """The weights of weights by spread; `places` are those of the log-odds and of the bias."""
        w, (logit, bias) = v.copy(), places
        away = (v[logit] - start[logit]) / self.spread
        w[logit], w[bias] = start[logit] + away, v[bias] - self.centre * away
        return w

    def of_spreads(self, loss: MeanLoss, start: Floats, places: tuple[int, int]) -> MeanLoss:
        """The loss by weights by spread, and its gradient."""
        logit, bias = places

        def of(v: Floats) -> tuple[float, Floats]:
            value, slope = loss(self.weights(v, start, places))
            slope = slope.copy()
            slope[logit] = (slope[logit] - self.centre * slope[bias]) / self.spread
            return value, slope

        return of
