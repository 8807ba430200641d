"""Translation of words of requests to words of descriptions, learned from skills that have both.

A request's word asks for a description's word where skills whose descriptions have that word get requests with this one
several times as often as others do. What holds for one skill alone says nothing of others, so at least two skills must
support a pair. A word that requests of all skills have alike is uninformative.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from arbitrank.shortlist.index import lookup

__all__ = ["LEAST_WEIGHT", "Translation"]

LEAST_WEIGHT = 0.15
"""The weight of a word that requests of all skills have alike."""


@dataclass(frozen=True)
class Translation:
    """`asks`: for a description's gram the requests' grams that ask for it, with weights in counts.

    `grams`, ascending, with the `weights` of how informative each is, from `LEAST_WEIGHT` to 1.
    """

    asks: Mapping[int, Mapping[int, float]] = field(default_factory=dict)
    grams: NDArray[np.uint32] = field(default_factory=lambda: np.zeros(0, np.uint32))
    weights: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))

    def asked_by(self, gram: int) -> Mapping[int, float]:
        """The requests' grams that ask for a description's gram, with their weights."""
        return self.asks.get(gram, {})

    def informative(self, grams: NDArray[np.uint32]) -> NDArray[np.float64]:
        """The weight of each gram, 1 for one that requests do not have."""
        at, known = lookup(self.grams, grams)
        return np.where(known, self.weights[at], 1.0) if len(self.grams) else np.ones(len(grams))
