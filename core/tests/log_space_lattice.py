"""A slow reference of `arbitrank.nlu.crf.Lattice`: every sum in log space, every label kept while decoding."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from arbitrank.nlu.crf import transition_mask

NEVER = -1e4


class LogSpaceLattice:
    """All label sequences of an utterance; `scores`: emissions of shape (tokens, labels)."""

    def __init__(self, labels: Sequence[str], transitions: NDArray[np.float32], scores: NDArray[np.float64]) -> None:
        self.labels, self.scores = labels, scores.copy()
        self.steps = np.where(transition_mask(labels), transitions.astype(np.float64), NEVER)
        self.scores[0] += [NEVER if label.startswith("I-") else 0.0 for label in labels]
        self.forward, self.backward = [self.scores[0]], [np.zeros(len(labels))]
        for emitted in self.scores[1:]:
            self.forward.append(emitted + summed(self.forward[-1][:, None] + self.steps, 0))
        for emitted in self.scores[:0:-1]:
            self.backward.append(summed(self.steps + emitted + self.backward[-1], 1))
        self.backward.reverse()
        self.log_z = float(summed(self.forward[-1], 0))

    def best(self, k: int) -> list[tuple[list[int], float]]:
        """The k most probable label sequences and their log-probabilities, by Viterbi with k predecessors a label."""
        n = len(self.labels)
        kept, origins = np.full((k, n), -np.inf), []
        kept[0] = self.scores[0]
        for emitted in self.scores[1:]:
            ways = (kept[:, :, None] + self.steps).reshape(k * n, n)
            origins.append(np.argsort(-ways, axis=0, kind="stable")[:k])
            kept = np.take_along_axis(ways, origins[-1], axis=0) + emitted
        final = kept.ravel()
        found = []
        for at in np.argsort(-final, kind="stable")[:k].tolist():
            if final[at] - self.log_z > NEVER / 2:
                way, path = at, [at % n]
                for origin in reversed(origins):
                    way = int(origin[way // n, way % n])
                    path.append(way % n)
                found.append((path[::-1], float(final[at] - self.log_z)))
        return found

    def run_probability(self, name: str, first: int, last: int) -> float:
        """P(a slot of this name covers exactly these tokens)."""
        at, inside = self.labels.index(f"B-{name}"), f"I-{name}"
        score = self.forward[first][at]
        for t in range(first + 1, last + 1):
            score += self.steps[at, self.labels.index(inside)] + self.scores[t, self.labels.index(inside)]
            at = self.labels.index(inside)
        if last + 1 < len(self.scores):
            ahead = self.steps[at] + self.scores[last + 1] + self.backward[last + 1]
            score += summed(ahead[[label != inside for label in self.labels]], 0)
        return math.exp(min(0.0, score - self.log_z))


def summed(logs: NDArray[np.float64], axis: int) -> NDArray[np.float64]:
    """The log of the sum of exponentials along an axis."""
    top = logs.max(axis=axis, keepdims=True)
    total: NDArray[np.float64] = np.log(np.exp(logs - top).sum(axis=axis)) + np.squeeze(top, axis)
    return total
