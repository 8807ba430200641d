"""The slot tagger: a linear-chain CRF over BIO labels, decoded exactly.

python-crfsuite trains it (`arbitrank.nlu.training`); its weights are kept as plain arrays and decoded here, in batches,
which gives what crfsuite's own tagger doesn't: the k best readings, and the probability of each span as a whole.
Labels that cannot follow one another (an `I-x` after anything but `B-x` or `I-x`) have no weight at all, so each label
sequence is one slot reading and its probability is the reading's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from arbitrank.nlu.seen import Seen
from arbitrank.nlu.text import tokenise
from arbitrank.values import Slot

_NEVER = -1e4
"""The log-weight of what cannot be; far below any real score, finite so that differences stay numbers."""

_BATCH = 256


class Reading(NamedTuple):
    """A slot reading of a whole utterance, with its probability among all readings."""

    slots: tuple[Slot, ...]
    probability: float


@dataclass(frozen=True, eq=False)
class Tagger:
    """The weights of a CRF.

    `labels`: "O", "B-name" and "I-name"; L of them. `hashes`: the known attributes, sorted, uint32 of shape (A,).
    `emissions`: float32 of shape (A + 1, L), the last row zero, for attributes that are not known. `transitions`:
    float32 of shape (L, L), from row to column.
    """

    labels: tuple[str, ...]
    hashes: NDArray[np.uint32]
    emissions: NDArray[np.float32]
    transitions: NDArray[np.float32]

    def read(self, seen: Sequence[Seen], k: int) -> list[list[Reading]]:
        """The k best slot readings of each utterance, best first; fewer where there are fewer."""
        rows = [one.attributes for one in seen]
        order = sorted(range(len(rows)), key=lambda i: len(rows[i]))
        readings: list[list[Reading]] = [[] for _ in rows]
        for first in range(0, len(order), _BATCH):
            part = order[first : first + _BATCH]
            lattice = self._lattice([rows[i] for i in part])
            for row, (i, paths) in enumerate(zip(part, lattice.best(k), strict=True)):
                readings[i] = [
                    Reading(self._slots(seen[i].text, path, lattice, row), path.probability) for path in paths
                ]
        return readings

    def _lattice(self, rows: Sequence[NDArray[np.uint32]]) -> _Lattice:
        lengths = np.array([len(row) for row in rows])
        scores = np.zeros((len(rows), max(lengths.max(initial=0), 1), len(self.labels)))
        flat = np.concatenate(rows)
        found = np.searchsorted(self.hashes, flat)
        known = found < len(self.hashes)
        known[known] = self.hashes[found[known]] == flat[known]
        inside = np.arange(scores.shape[1]) < lengths[:, None]
        scores[inside] = self.emissions[np.where(known, found, len(self.hashes))].sum(axis=1)
        return _Lattice(self.labels, self.transitions, scores, lengths)

    def _slots(self, utterance: str, path: _Path, lattice: _Lattice, row: int) -> tuple[Slot, ...]:
        tokens = tokenise(utterance)
        slots = []
        for name, first, last in _spans([self.labels[y] for y in path.labels]):
            start, end = tokens[first].start, tokens[last].end
            confidence = lattice.span_probability(row, name, first, last)
            slots.append(Slot(name, utterance[start:end], round(confidence, 6), start, end))
        return tuple(slots)


def slot_names(labels: Sequence[str]) -> tuple[str, ...]:
    """The names of the slots that BIO labels can make."""
    return tuple(label[2:] for label in labels if label.startswith("B-"))


def transition_mask(labels: Sequence[str]) -> NDArray[np.bool_]:
    """Which label may follow which: bool of shape (L, L), from row to column."""
    return np.array([[not b.startswith("I-") or a[1:] == b[1:] for b in labels] for a in labels])


class _Path(NamedTuple):
    labels: tuple[int, ...]
    probability: float


class _Lattice:
    """All label sequences of a batch of utterances, with the sums over them that probabilities need."""

    def __init__(
        self,
        labels: Sequence[str],
        transitions: NDArray[np.float32],
        scores: NDArray[np.float64],
        lengths: NDArray[np.int64],
    ) -> None:
        self.labels = list(labels)
        self.lengths = lengths
        self.transitions = np.where(transition_mask(labels), transitions.astype(np.float64), _NEVER)
        begin = np.array([_NEVER if label.startswith("I-") else 0.0 for label in labels])
        self.scores = scores
        self.scores[:, 0] += begin
        self.forward = self._forward()
        self.log_z = _logsumexp(self.forward[np.arange(len(lengths)), np.maximum(lengths - 1, 0)])
        self._backward: NDArray[np.float64] | None = None
        self._spans: dict[tuple[int, str, int, int], float] = {}

    def _forward(self) -> NDArray[np.float64]:
        weights = np.exp(self.transitions)
        forward = np.empty_like(self.scores)
        forward[:, 0] = self.scores[:, 0]
        for t in range(1, forward.shape[1]):
            forward[:, t] = self.scores[:, t] + _log_product(forward[:, t - 1], weights)
        return forward

    @property
    def backward(self) -> NDArray[np.float64]:
        """The log of the sum over all ways to go on after each position and label; 0 at the last token."""
        if self._backward is None:
            weights = np.exp(self.transitions.T)
            backward = np.zeros_like(self.scores)
            for t in range(backward.shape[1] - 2, -1, -1):
                ahead = _log_product(self.scores[:, t + 1] + backward[:, t + 1], weights)
                backward[:, t] = np.where((t < self.lengths - 1)[:, None], ahead, 0.0)
            self._backward = backward
        return self._backward

    def best(self, k: int) -> list[list[_Path]]:
        """The k most probable label sequences of each utterance: Viterbi that keeps k predecessors a label.

        Only the k labels of each token whose own best sequences score highest are looked at: a sequence through any
        other label has k better ones, so the answer stays exact while the work no longer grows with the labels.
        """
        rows, length, n = self.scores.shape
        places = self._likely(min(k, n))
        m = places.shape[2]
        scores = np.take_along_axis(self.scores, places, axis=2)
        kept = np.full((rows, k, m), -np.inf)
        kept[:, 0] = scores[:, 0]
        origins = np.zeros((length, rows, k, m), np.int64)
        stages = [kept]
        for t in range(1, length):
            steps = self.transitions[places[:, t - 1, :, None], places[:, t, None, :]]
            ways = (kept[:, :, :, None] + steps[:, None]).reshape(rows, k * m, m)
            origins[t] = np.argpartition(-ways, k - 1, axis=1)[:, :k]
            kept = np.take_along_axis(ways, origins[t], axis=1) + scores[:, t, None]
            stages.append(kept)
        return [
            self._paths(row, [stage[row] for stage in stages], origins[:, row], places[row], k) for row in range(rows)
        ]

    def _likely(self, m: int) -> NDArray[np.int64]:
        """For each token the m labels whose best whole sequence scores highest: shape (rows, tokens, m)."""
        if m == len(self.labels):
            return np.broadcast_to(np.arange(m), (*self.scores.shape[:2], m))
        ahead = np.zeros_like(self.scores)
        for t in range(ahead.shape[1] - 2, -1, -1):
            ways = self.transitions + (self.scores[:, t + 1] + ahead[:, t + 1])[:, None, :]
            ahead[:, t] = np.where((t < self.lengths - 1)[:, None], ways.max(axis=2), 0.0)
        places = np.empty((*self.scores.shape[:2], m), np.int64)
        reached = self.scores[:, 0]
        for t in range(ahead.shape[1]):
            if t:
                reached = self.scores[:, t] + (reached[:, :, None] + self.transitions).max(axis=1)
            places[:, t] = np.argpartition(-(reached + ahead[:, t]), m - 1, axis=1)[:, :m]
        return places

    def _paths(
        self,
        row: int,
        stages: list[NDArray[np.float64]],
        origins: NDArray[np.int64],
        places: NDArray[np.int64],
        k: int,
    ) -> list[_Path]:
        last = int(self.lengths[row]) - 1
        if last < 0:
            return [_Path((), 1.0)]
        m = places.shape[1]
        final = stages[last].reshape(-1)
        paths = []
        for place in np.argsort(-final, kind="stable")[:k]:
            if final[place] - self.log_z[row] < _NEVER / 2:
                break
            at, labels = int(place), []
            for t in range(last, -1, -1):
                labels.append(int(places[t, at % m]))
                at = int(origins[t, at // m, at % m])
            paths.append(_Path(tuple(reversed(labels)), float(np.exp(final[place] - self.log_z[row]))))
        return paths

    def span_probability(self, row: int, name: str, first: int, last: int) -> float:
        """P(a slot of this name covers just these tokens)."""
        span = (row, name, first, last)
        if span not in self._spans:  # the readings of an utterance share most of their slots
            self._spans[span] = self._span_probability(*span)
        return self._spans[span]

    def _span_probability(self, row: int, name: str, first: int, last: int) -> float:
        begin = self.labels.index(f"B-{name}")
        inside = self.labels.index(f"I-{name}") if f"I-{name}" in self.labels else None
        score, label = self.forward[row, first, begin], begin
        for t in range(first + 1, last + 1):
            assert inside is not None
            score += self.transitions[label, inside] + self.scores[row, t, inside]
            label = inside
        end = last + 1
        if end < self.lengths[row]:
            ahead = self.transitions[label] + self.scores[row, end] + self.backward[row, end]
            if inside is not None:
                ahead = np.delete(ahead, inside)
            score += _logsumexp(ahead[None])[0]
        return float(min(1.0, np.exp(score - self.log_z[row])))


def _spans(labels: Sequence[str]) -> list[tuple[str, int, int]]:
    spans: list[tuple[str, int, int]] = []
    for i, label in enumerate(labels):
        if label.startswith("B-"):
            spans.append((label[2:], i, i))
        elif label.startswith("I-"):
            spans[-1] = (spans[-1][0], spans[-1][1], i)
    return spans


def _log_product(logs: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """log(exp(logs) @ weights), shifted so that nothing overflows; what underflows is floored."""
    top: NDArray[np.float64] = logs.max(axis=1, keepdims=True)
    return np.log(np.maximum(np.exp(logs - top) @ weights, 1e-300)) + top


def _logsumexp(logs: NDArray[np.float64]) -> NDArray[np.float64]:
    top = logs.max(axis=-1, keepdims=True)
    total: NDArray[np.float64] = np.log(np.exp(logs - top).sum(axis=-1)) + top[..., 0]
    return total
