"""The slot tagger: a linear-chain CRF over BIO labels, decoded exactly.

python-crfsuite trains it (`arbitrank.nlu.training`); its weights are kept as plain arrays and decoded here, in batches,
which gives what crfsuite's own tagger doesn't: the k best readings, and the probability of each span as a whole.
Labels that cannot follow one another (an `I-x` after anything but `B-x` or `I-x`) have no weight at all, so each label
sequence is one slot reading and its probability is the reading's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from arbitrank.nlu.encoded import Seen
from arbitrank.nlu.gazetteer import Gazetteer, Span
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
    """The weights of a CRF, and the values that it knows.

    `labels`: "O", "B-name" and "I-name"; L of them. `hashes`: the known attributes, sorted, uint32 of shape (A,).
    `emissions`: float32 of shape (A + 1, L), the last row zero, for attributes that are not known. `transitions`:
    float32 of shape (L, L), from row to column. `marks`: float32 of shape (M, L), what each of the gazetteer's M marks
    adds to its token.
    """

    labels: tuple[str, ...]
    hashes: NDArray[np.uint32]
    emissions: NDArray[np.float32]
    transitions: NDArray[np.float32]
    gazetteer: Gazetteer
    marks: NDArray[np.float32]

    def read(self, seen: Sequence[Seen], k: int) -> list[list[Reading]]:
        """The k best slot readings of each utterance, best first; fewer where there are fewer."""
        order = sorted(range(len(seen)), key=lambda i: len(seen[i].attributes))
        readings: list[list[Reading]] = [[] for _ in seen]
        for first in range(0, len(order), _BATCH):
            part = order[first : first + _BATCH]
            lattice = self._lattice([seen[i] for i in part])
            for row, (i, paths) in enumerate(zip(part, lattice.best(k), strict=True)):
                readings[i] = self._readings(seen[i].text, paths, lattice, row)
        return readings

    @cached_property
    def _chain(self) -> _Chain:
        return _Chain(self.labels, self.transitions)

    def _lattice(self, seen: Sequence[Seen]) -> _Lattice:
        lengths = np.array([len(one.attributes) for one in seen])
        scores = np.zeros((len(seen), max(lengths.max(initial=0), 1), len(self.labels)))
        flat = np.concatenate([one.attributes for one in seen])
        found = np.searchsorted(self.hashes, flat)
        known = found < len(self.hashes)
        known[known] = self.hashes[found[known]] == flat[known]
        inside = np.arange(scores.shape[1]) < lengths[:, None]
        scores[inside] = self.emissions[np.where(known, found, len(self.hashes))].sum(axis=1)
        for row, one in enumerate(seen):
            for token, mark in self.gazetteer.marks(one.runs):
                scores[row, token] += self.marks[mark]
        return _Lattice(self._chain, scores, lengths)

    def _readings(self, utterance: str, paths: Sequence[_Path], lattice: _Lattice, row: int) -> list[Reading]:
        tokens = tokenise(utterance)
        slots: dict[Span, Slot] = {}  # the readings of an utterance share most of their slots
        readings = []
        for path in paths:
            found = spans([self.labels[y] for y in path.labels])
            for span in found:
                if span not in slots:
                    name, first, last = span
                    start, end = tokens[first].start, tokens[last].end
                    confidence = lattice.span_probability(row, name, first, last)
                    slots[span] = Slot(name, utterance[start:end], round(confidence, 6), start, end)
            readings.append(Reading(tuple([slots[span] for span in found]), path.probability))
        return readings


def slot_names(labels: Sequence[str]) -> tuple[str, ...]:
    """The names of the slots that BIO labels can make."""
    return tuple(label[2:] for label in labels if label.startswith("B-"))


def transition_mask(labels: Sequence[str]) -> NDArray[np.bool_]:
    """Which label may follow which: bool of shape (L, L), from row to column."""
    return np.array([[not b.startswith("I-") or a[1:] == b[1:] for b in labels] for a in labels])


class _Path(NamedTuple):
    labels: tuple[int, ...]
    probability: float


class _Chain:
    """The labels and what it costs to go from one to another, float64, in the forms that a lattice needs."""

    def __init__(self, labels: Sequence[str], transitions: NDArray[np.float32]) -> None:
        self.place = {label: y for y, label in enumerate(labels)}
        self.transitions = np.where(transition_mask(labels), transitions.astype(np.float64), _NEVER)
        self.ahead, self.behind = np.exp(self.transitions), np.exp(self.transitions.T)
        self.begin = np.array([_NEVER if label.startswith("I-") else 0.0 for label in labels])


class _Lattice:
    """All label sequences of a batch of utterances, with the sums over them that probabilities need."""

    def __init__(self, chain: _Chain, scores: NDArray[np.float64], lengths: NDArray[np.int64]) -> None:
        self.chain = chain
        self.lengths = lengths
        self.transitions = chain.transitions
        self.scores = scores
        self.scores[:, 0] += chain.begin
        self.forward = self._forward()
        self.log_z = _logsumexp(self.forward[np.arange(len(lengths)), np.maximum(lengths - 1, 0)])
        self._backward: NDArray[np.float64] | None = None

    def _forward(self) -> NDArray[np.float64]:
        weights = self.chain.ahead
        forward = np.empty_like(self.scores)
        forward[:, 0] = self.scores[:, 0]
        for t in range(1, forward.shape[1]):
            forward[:, t] = self.scores[:, t] + _log_product(forward[:, t - 1], weights)
        return forward

    @property
    def backward(self) -> NDArray[np.float64]:
        """The log of the sum over all ways to go on after each position and label; 0 at the last token."""
        if self._backward is None:
            weights = self.chain.behind
            backward = np.zeros_like(self.scores)
            for t in range(backward.shape[1] - 2, -1, -1):
                ahead = _log_product(self.scores[:, t + 1] + backward[:, t + 1], weights)
                backward[:, t] = self._inside(t, ahead)
            self._backward = backward
        return self._backward

    def _inside(self, t: int, ahead: NDArray[np.float64]) -> NDArray[np.float64]:
        """What lies ahead of token t, 0 in utterances of which it is the last, or that have ended before."""
        return ahead if len(ahead) == 1 else np.where((t < self.lengths - 1)[:, None], ahead, 0.0)

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
        every, across = np.arange(rows)[:, None, None], np.arange(m)
        for t in range(1, length):
            steps = self.transitions[places[:, t - 1, :, None], places[:, t, None, :]]
            ways = (kept[:, :, :, None] + steps[:, None]).reshape(rows, k * m, m)
            origins[t] = np.argpartition(-ways, k - 1, axis=1)[:, :k]
            kept = ways[every, origins[t], across] + scores[:, t, None]
            stages.append(kept)
        return [
            self._paths(row, [stage[row] for stage in stages], origins[:, row], places[row], k) for row in range(rows)
        ]

    def _likely(self, m: int) -> NDArray[np.int64]:
        """For each token the m labels whose best whole sequence scores highest: shape (rows, tokens, m)."""
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
            paths.append(_Path(tuple(reversed(labels)), chance))
        return paths

    def span_probability(self, row: int, name: str, first: int, last: int) -> float:
        """P(a slot of this name covers just these tokens)."""
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


def spans(labels: Sequence[str]) -> list[Span]:
    """The slots that BIO labels make."""
    found: list[Span] = []
    for i, label in enumerate(labels):
        if label.startswith("B-"):
            found.append((label[2:], i, i))
        elif label.startswith("I-"):
            found[-1] = (found[-1][0], found[-1][1], i)
    return found


def _log_product(logs: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """log(exp(logs) @ weights), shifted so that nothing overflows; what underflows is floored."""
    top: NDArray[np.float64] = np.maximum.reduce(logs, axis=1, keepdims=True)
    return np.log(np.maximum(np.exp(logs - top) @ weights, 1e-300)) + top


def _logsumexp(logs: NDArray[np.float64]) -> NDArray[np.float64]:
    top = np.maximum.reduce(logs, axis=-1, keepdims=True)
    total: NDArray[np.float64] = np.log(np.add.reduce(np.exp(logs - top), axis=-1)) + top[..., 0]
    return total
