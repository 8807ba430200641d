"""The slot tagger: a linear-chain CRF over BIO labels, decoded exactly (`arbitrank.nlu.crf`).

python-crfsuite trains it (`arbitrank.nlu.training`). Its weights are kept as plain arrays and decoded in batches, which
yields the k best readings and the probability of each span, neither of which crfsuite's own tagger returns.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from arbitrank.nlu.crf import Chain, Lattice, Path
from arbitrank.nlu.encoded import Encoded
from arbitrank.nlu.gazetteer import Gazetteer, Span
from arbitrank.nlu.text import tokenise
from arbitrank.values import Slot

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

    def read(self, encoded: Sequence[Encoded], k: int) -> list[list[Reading]]:
        """The k best slot readings of each utterance, best first; fewer where there are fewer."""
        order = sorted(range(len(encoded)), key=lambda i: len(encoded[i].attributes))
        readings: list[list[Reading]] = [[] for _ in encoded]
        for first in range(0, len(order), _BATCH):
            part = order[first : first + _BATCH]
            lattice = self._lattice([encoded[i] for i in part])
            for row, (i, paths) in enumerate(zip(part, lattice.best(k), strict=True)):
                readings[i] = self._readings(encoded[i].text, paths, lattice, row)
        return readings

    def log_probabilities(self, encoded: Sequence[Encoded], labelled: Sequence[Sequence[str]]) -> NDArray[np.float64]:
        """The log-probability of each utterance's label sequence; -inf where the tagger lacks a label."""
        lattice, place = self._lattice(encoded), self._chain.place
        return np.array(
            [
                lattice.log_probability(row, [place[label] for label in labels])
                if place.keys() >= set(labels)
                else -np.inf
                for row, labels in enumerate(labelled)
            ]
        )

    @cached_property
    def _chain(self) -> Chain:
        return Chain(self.labels, self.transitions)

    def _lattice(self, encoded: Sequence[Encoded]) -> Lattice:
        lengths = np.array([len(one.attributes) for one in encoded])
        scores = np.zeros((len(encoded), max(lengths.max(initial=0), 1), len(self.labels)))
        flat = np.concatenate([one.attributes for one in encoded])
        found = np.searchsorted(self.hashes, flat)
        known = found < len(self.hashes)
        known[known] = self.hashes[found[known]] == flat[known]
        inside = np.arange(scores.shape[1]) < lengths[:, None]
        scores[inside] = self.emissions[np.where(known, found, len(self.hashes))].sum(axis=1)
        for row, one in enumerate(encoded):
            for token, mark in self.gazetteer.marks(one.runs):
                scores[row, token] += self.marks[mark]
        return Lattice(self._chain, scores, lengths)

    def _readings(self, utterance: str, paths: Sequence[Path], lattice: Lattice, row: int) -> list[Reading]:
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


def spans(labels: Sequence[str]) -> list[Span]:
    """The slots that BIO labels make."""
    found: list[Span] = []
    for i, label in enumerate(labels):
        if label.startswith("B-"):
            found.append((label[2:], i, i))
        elif label.startswith("I-"):
            found[-1] = (found[-1][0], found[-1][1], i)
    return found
