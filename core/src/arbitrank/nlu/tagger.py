"""The slot tagger: a linear-chain CRF over BIO labels, decoded exactly (`arbitrank.nlu.crf`).

python-crfsuite trains it (`arbitrank.nlu.training`). Its weights are kept as plain arrays. Decoding them here gives the
k best readings and the probability of each span, neither of which crfsuite's own tagger returns.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from arbitrank.nlu.crf import Chain, Lattice, Run
from arbitrank.nlu.encoded import Encoded
from arbitrank.nlu.gazetteer import Gazetteer, Span
from arbitrank.nlu.text import tokenise_cached
from arbitrank.values import Slot


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

    def read(self, encoded: Encoded, k: int) -> list[Reading]:
        """The k best slot readings of an utterance, best first; fewer where there are fewer."""
        if not len(encoded.attributes):
            return [Reading((), 1.0)]
        lattice, tokens = Lattice(self._chain, self._emissions(encoded)), tokenise_cached(encoded.text)
        slots: dict[Run, Slot] = {}  # the readings of an utterance share most of their slots
        readings = []
        for labels, probability in lattice.best(k):
            found = self._chain.runs(labels)
            for run in found:
                if run not in slots:
                    label, first, last = run
                    start, end = tokens[first].start, tokens[last].end
                    confidence = round(lattice.run_probability(run), 6)
                    slots[run] = Slot(self._chain.names[label], encoded.text[start:end], confidence, start, end)
            readings.append(Reading(tuple([slots[run] for run in found]), probability))
        return readings

    def log_probability(self, encoded: Encoded, labels: Sequence[str]) -> float:
        """The log-probability of an utterance's label sequence; -inf where the tagger lacks a label."""
        place = self._chain.place
        if not labels:
            return 0.0
        if not place.keys() >= set(labels):
            return -math.inf
        lattice = Lattice(self._chain, self._emissions(encoded))
        return lattice.log_probability([place[label] for label in labels])

    @cached_property
    def _chain(self) -> Chain:
        return Chain(self.labels, self.transitions)

    @cached_property
    def _ended(self) -> NDArray[np.uint32]:
        """The known attributes, and one more, so that each place that a search gives is one of it."""
        return np.append(self.hashes, np.uint32(0))

    def _emissions(self, encoded: Encoded) -> NDArray[np.float64]:
        """The score of each label by itself at each token: shape (tokens, L)."""
        flat = encoded.attributes.ravel()
        order = flat.argsort()  # a search for sorted values takes a third of the time
        found = np.empty(len(flat), np.intp)
        found[order] = self.hashes.searchsorted(flat[order])
        found[self._ended.take(found) != flat] = len(self.hashes)
        weights = self.emissions.take(found.reshape(encoded.attributes.shape), axis=0)
        scores: NDArray[np.float64] = np.add.reduce(weights, axis=1).astype(np.float64)
        for token, mark in self.gazetteer.marks(encoded.runs):
            scores[token] += self.marks[mark]
        return scores


def slot_names(labels: Sequence[str]) -> tuple[str, ...]:
    """The names of the slots that BIO labels can make."""
    return tuple(label[2:] for label in labels if label.startswith("B-"))


def spans(labels: Sequence[str]) -> list[Span]:
    """The slots that BIO labels make."""
    found: list[Span] = []
    for i, label in enumerate(labels):
        if label.startswith("B-"):
            found.append((label[2:], i, i))
        elif label.startswith("I-"):
            found[-1] = (found[-1][0], found[-1][1], i)
    return found
