"""The domain and intent classifiers: maximum-entropy models over hashed n-grams, evaluated together."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from arbitrank.nlu.encoded import Encoded
from arbitrank.nlu.text import BUCKETS

SHORTEST = 1e-6
"""The least length of an utterance's vector, so that one without a known n-gram is not divided by zero."""

_OVERFLOW = 700.0  # of the exponential


@dataclass(frozen=True, eq=False)
class Classifier:
    """P(the request is the domain's) and P(intent | it is), both linear in the utterance's n-grams.

    `buckets`: the n-grams the model knows, sorted, uint32 of shape (B,). `rarity`: the inverse document frequency of
    each, float32 of shape (B + 1,). `weights`: float32 of shape (B + 1, 1 + I), the domain's column first, each row
    multiplied by its n-gram's rarity already. The last of `rarity` and `weights` is zero, for unknown n-grams. `bias`:
    float32 of shape (1 + I,). `intents`: I names. An utterance is the vector of its known n-grams' rarities scaled to
    length 1, so that the number of its words has no effect.

    The domain's log-odds are its own score, and `joint` times the log of the sum of the intents' exponentiated scores.
    So with 0 the domain's model is alone, with 1 it is one softmax of the intents and "not mine", with 0.5 the mean of
    both.
    """

    intents: tuple[str, ...]
    buckets: NDArray[np.uint32]
    rarity: NDArray[np.float32]
    weights: NDArray[np.float32]
    bias: NDArray[np.float32]
    joint: float = 0.0

    def __post_init__(self) -> None:
        rows = np.full(BUCKETS, len(self.buckets), np.int32)
        rows[self.buckets] = np.arange(len(self.buckets), dtype=np.int32)
        object.__setattr__(self, "_rows", rows)

    _rows: NDArray[np.int32] = None  # type: ignore[assignment]  # filled above, from `buckets`

    def classify(self, encoded: Encoded) -> tuple[float, NDArray[np.float64]]:
        """P(the utterance is the domain's), and P(intent | it is), shape (I,), which sum to 1."""
        scores = self._scores(encoded.ngrams)
        top = scores[1:].max()
        intents = np.exp(scores[1:] - top)
        total = float(np.add.reduce(intents))
        odds = scores.item(0) + self.joint * (math.log(total) + top.item())
        return _logistic(odds), intents / total

    def _scores(self, grams: NDArray[np.uint32]) -> NDArray[np.float64]:
        rows = self._rows.take(grams)
        rarity = self.rarity.take(rows)
        total: NDArray[np.float64] = np.add.reduce(self.weights.take(rows, axis=0), axis=0, dtype=np.float64)
        return self.bias + total / max(float(np.sqrt(rarity.dot(rarity))), SHORTEST)


def _logistic(odds: float) -> float:
    return 1.0 / (1.0 + math.exp(-odds)) if odds > -_OVERFLOW else 0.0
