"""The domain and intent classifiers: maximum-entropy models over hashed n-grams, evaluated together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from arbitrank.nlu.encoded import Encoded
from arbitrank.nlu.text import BUCKETS

SHORTEST = 1e-6
"""The least length of an utterance's vector, so that one without a known n-gram is not divided by zero."""


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

    def classify(self, encoded: Sequence[Encoded]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """P(mine) of each utterance, shape (n,), and P(intent | mine), shape (n, I), rows summing to 1."""
        scores = np.array([self._score(one.ngrams) for one in encoded]).reshape(-1, len(self.bias))
        top = scores[:, 1:].max(axis=1, keepdims=True)
        intents = np.exp(scores[:, 1:] - top)
        total = intents.sum(axis=1, keepdims=True)
        odds = scores[:, 0] + self.joint * (np.log(total) + top)[:, 0]
        return 1.0 / (1.0 + np.exp(-odds)), intents / total

    def _score(self, grams: NDArray[np.uint32]) -> NDArray[np.float64]:
        rows = self._rows[grams]
        total: NDArray[np.float64] = self.weights[rows].sum(axis=0, dtype=np.float64)
        return self.bias + total / max(float(np.linalg.norm(self.rarity[rows])), SHORTEST)
