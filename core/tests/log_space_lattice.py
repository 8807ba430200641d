"""The lattice of a linear-chain CRF: exact k-best decoding and exact marginals.

Label sequences are BIO. Labels that cannot follow one another (an `I-x` after anything but `B-x` or `I-x`) have no
weight, so each label sequence is one slot reading and its probability is the reading's.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

_NEVER = -1e4
"""The log-weight of an impossible step: far below any real score, finite so that differences stay numbers."""


def transition_mask(labels: Sequence[str]) -> NDArray[np.bool_]:
    """The steps that BIO allows: bool of shape (L, L), from row to column."""
    return np.array([[not b.startswith("I-") or a[1:] == b[1:] for b in labels] for a in labels])


class Path(NamedTuple):
    """A label sequence, as places in `labels`, and its probability among all sequences."""

    labels: tuple[int, ...]
    probability: float


class Chain:
    """Transition weights between labels, float64, masked, in the forms that a lattice needs."""

    def __init__(self, labels: Sequence[str], transitions: NDArray[np.float32]) -> None:
        self.place = {label: y for y, label in enumerate(labels)}
        self.transitions = np.where(transition_mask(labels), transitions.astype(np.float64), _NEVER)
        self.ahead, self.behind = np.exp(self.transitions), np.exp(self.transitions.T)
        self.begin = np.array([_NEVER if label.startswith("I-") else 0.0 for label in labels])


class Lattice:
    """All label sequences of a batch of utterances, and the sums over them that probabilities need.

    `scores`: emissions, float64 of shape (utterances, tokens, labels), changed in place. `lengths`: tokens of each.
    """

    def __init__(self, chain: Chain, scores: NDArray[np.float64], lengths: NDArray[np.int64]) -> None:
        self.chain = chain
        self.lengths = lengths
        self.transitions = chain.transitions
        self.scores = scores
        self.scores[:, 0] += chain.begin
        self.forward = scores.copy()
        for t in range(1, scores.shape[1]):
            self.forward[:, t] += _log_product(self.forward[:, t - 1], chain.ahead)
        self.log_z = _logsumexp(self.forward[np.arange(len(lengths)), np.maximum(lengths - 1, 0)])

    @cached_property
    def backward(self) -> NDArray[np.float64]:
        """The log of the sum over all continuations after each position and label; 0 at the last token."""
        backward = np.zeros_like(self.scores)
        for t in range(backward.shape[1] - 2, -1, -1):
            ahead = _log_product(self.scores[:, t + 1] + backward[:, t + 1], self.chain.behind)
            backward[:, t] = self._inside(t, ahead)
        return backward

    def _inside(self, t: int, ahead: NDArray[np.float64]) -> NDArray[np.float64]:
        """`ahead` where the utterance continues after token t, 0 where it has ended."""
        return ahead if len(ahead) == 1 else np.where((t < self.lengths - 1)[:, None], ahead, 0.0)

    def best(self, k: int) -> list[list[Path]]:
        """The k most probable label sequences of each utterance: Viterbi that keeps k predecessors a label.

        Only the k labels of each token whose best sequences score highest are kept: a sequence through any other label
        has k better ones, so the result stays exact while the work does not grow with the number of labels.
        """
        rows, length, n = self.scores.shape
        places = self._likely(min(k, n))
        m = places.shape[2]
        scores = np.take_along_axis(self.scores, places, axis=2)
        kept = np.full((rows, k, m), -np.inf)
        kept[:, 0] = scores[:, 0]
        origins = np.zeros((length, rows, k, m), np.int64)
        stages = [kept]
        every, across = np.arange(rows)[:, None, None], np.arange(m)
        for t in range(1, length):
            steps = self.transitions[places[:, t - 1, :, None], places[:, t, None, :]]
            ways = (kept[:, :, :, None] + steps[:, None]).reshape(rows, k * m, m)
            origins[t] = np.argpartition(-ways, k - 1, axis=1)[:, :k]
            kept = ways[every, origins[t], across] + scores[:, t, None]
            stages.append(kept)
        return [self._paths(row, [stage[row] for stage in stages], origins[:, row], places[row]) for row in range(rows)]

    def _likely(self, m: int) -> NDArray[np.int64]:
        """The m labels of each token whose best whole sequence scores highest: shape (rows, tokens, m)."""
        if m == self.scores.shape[2]:
            return np.broadcast_to(np.arange(m), (*self.scores.shape[:2], m))
        ahead = np.zeros_like(self.scores)
        for t in range(ahead.shape[1] - 2, -1, -1):
            ways = self.transitions + (self.scores[:, t + 1] + ahead[:, t + 1])[:, None, :]
            ahead[:, t] = self._inside(t, np.maximum.reduce(ways, axis=2))
        places = np.empty((*self.scores.shape[:2], m), np.int64)
        reached = self.scores[:, 0]
        for t in range(ahead.shape[1]):
            if t:
                reached = self.scores[:, t] + np.maximum.reduce(reached[:, :, None] + self.transitions, axis=1)
            places[:, t] = np.argpartition(-(reached + ahead[:, t]), m - 1, axis=1)[:, :m]
        return places

    def _paths(
        self, row: int, stages: list[NDArray[np.float64]], origins: NDArray[np.int64], places: NDArray[np.int64]
    ) -> list[Path]:
        last = int(self.lengths[row]) - 1
        if last < 0:
            return [Path((), 1.0)]
        k, m = stages[last].shape
        final = stages[last].reshape(-1)
        paths = []
        chosen = np.argsort(-final, kind="stable")[:k]
        logs = final[chosen] - self.log_z[row]
        chances = np.exp(logs).tolist()
        label_at, origin_at = places[: last + 1].tolist(), origins[: last + 1].tolist()
        for at, score, chance in zip(chosen.tolist(), logs.tolist(), chances, strict=True):
            if score < _NEVER / 2:
                break
            labels, way = [], at
            for t in range(last, -1, -1):
                before, y = divmod(way, m)
                labels.append(label_at[t][y])
                way = origin_at[t][before][y]
            paths.append(Path(tuple(reversed(labels)), chance))
        return paths

    def log_probability(self, row: int, labels: Sequence[int]) -> float:
        """The log-probability of a whole label sequence, as places in `labels`."""
        if not labels:
            return 0.0
        score = self.scores[row, range(len(labels)), labels].sum() + self.transitions[labels[:-1], labels[1:]].sum()
        return float(score - self.log_z[row])

    def span_probability(self, row: int, name: str, first: int, last: int) -> float:
        """P(a slot of this name covers exactly these tokens)."""
        label = self.chain.place[f"B-{name}"]
        inside = self.chain.place.get(f"I-{name}")
        score = self.forward[row, first, label]
        for t in range(first + 1, last + 1):
            assert inside is not None
            score += self.transitions[label, inside] + self.scores[row, t, inside]
            label = inside
        end = last + 1
        if end < self.lengths[row]:
            ahead = self.transitions[label] + self.scores[row, end] + self.backward[row, end]
            if inside is not None:
                ahead = np.concatenate((ahead[:inside], ahead[inside + 1 :]))
            score += _logsumexp(ahead)
        return float(min(1.0, np.exp(score - self.log_z[row])))


def _log_product(logs: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """log(exp(logs) @ weights), shifted against overflow and floored against underflow."""
    top: NDArray[np.float64] = np.maximum.reduce(logs, axis=1, keepdims=True)
    return np.log(np.maximum(np.exp(logs - top) @ weights, 1e-300)) + top


def _logsumexp(logs: NDArray[np.float64]) -> NDArray[np.float64]:
    top = np.maximum.reduce(logs, axis=-1, keepdims=True)
    total: NDArray[np.float64] = np.log(np.add.reduce(np.exp(logs - top), axis=-1)) + top[..., 0]
    return total
