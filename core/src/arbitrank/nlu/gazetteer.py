"""A gazetteer: the slot values that a domain knows, found again in an utterance before its slots are read.

A run of tokens that was the value of a slot in training marks each of its tokens: with the slot's name, whether the
token begins the run or goes on with it, and how long the run is. The tagger learns a weight for each mark. In training
an utterance's own slots do not count: a value that occurs nowhere else is as unknown there as a new one when serving.
Values of a catalogue are added after training, so that the tagger does not learn to rely on a list being complete.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from arbitrank.nlu.text import LONGEST_RUN, tokenise
from arbitrank.nlu.text import runs as hashed_runs

Span = tuple[str, int, int]
"""A slot's name and its first and last token."""

Slotted = tuple[NDArray[np.uint32], Sequence[Span]]
"""An utterance's `Encoded.runs` and its slots."""

LENGTHS = 3
"""Distinct lengths of runs; longer ones count as the longest of them."""

PER_NAME = 2 * LENGTHS
"""Marks of each slot name."""


@dataclass(frozen=True, eq=False)
class Gazetteer:
    """The known values of the slots `names`.

    `runs`: the hashes of the values' tokens, sorted, uint32 of shape (E,). `places`: of which name, an index into
    `names`, uint16 of shape (E,); a value of two names stands twice.
    """

    names: tuple[str, ...]
    runs: NDArray[np.uint32]
    places: NDArray[np.uint16]

    def marks(self, runs: NDArray[np.uint32], own: Iterable[Span] = ()) -> list[tuple[int, int]]:
        """The distinct pairs of token and mark, sorted, of an utterance whose `Encoded.runs` these are.

        A mark is below `PER_NAME` · number of names. Spans in `own` are not marked.
        """
        known = self._known
        hidden = {(name, start, end - start) for name, start, end in own}
        here = [
            (start, more, place)
            for start, row in enumerate(runs.tolist())
            for more, run in enumerate(row[: len(runs) - start])  # not past the end of the utterance
            if run in known
            for place in known[run]
        ]
        found = set()
        for start, more, place in here:
            if (self.names[place], start, more) not in hidden:
                begin = PER_NAME * place + min(more, LENGTHS - 1)
                found.add((start, begin))
                found.update((start + i, begin + LENGTHS) for i in range(1, more + 1))
        return sorted(found)

    @cached_property
    def _known(self) -> dict[int, tuple[int, ...]]:
        """The places of each run's names."""
        known: dict[int, tuple[int, ...]] = {}
        alone = [(place,) for place in range(len(self.names))]  # most values have one name: few tuples serve all
        for run, place in zip(self.runs.tolist(), self.places.tolist(), strict=True):
            known[run] = (*known[run], place) if run in known else alone[place]
        return known

    def with_values(self, values: Mapping[str, Iterable[str]]) -> Gazetteer:
        """The gazetteer with further values of its slots, by name; longer ones than `LONGEST_RUN` are left out."""
        entries = set(zip(self.runs.tolist(), self.places.tolist(), strict=True))
        for place, name in enumerate(self.names):
            for value in values.get(name, ()):
                words = [token.text for token in tokenise(value)]
                if 0 < len(words) <= LONGEST_RUN:
                    entries.add((int(hashed_runs(words)[0, -1]), place))
        return _gazetteer(self.names, entries)


def _gazetteer(names: Sequence[str], entries: Iterable[tuple[int, int]]) -> Gazetteer:
    """The gazetteer of pairs of a run's hash and the place of its name."""
    order = sorted(entries)
    found = np.array([run for run, _ in order], np.uint32), np.array([place for _, place in order], np.uint16)
    return Gazetteer(tuple(names), *found)


def learn_gazetteer(
    names: Sequence[str], utterances: Sequence[Slotted]
) -> tuple[Gazetteer, list[list[tuple[int, int]]]]:
    """The gazetteer of utterances, and their marks as if each were new to it."""
    index = {name: i for i, name in enumerate(names)}
    counts: Counter[tuple[int, int]] = Counter()
    for runs, spans in utterances:
        counts.update((int(runs[start, end - start]), index[name]) for name, start, end in _short(spans))
    gazetteer = _gazetteer(names, counts)
    marks = []
    for runs, spans in utterances:
        alone = [span for span in _short(spans) if counts[int(runs[span[1], span[2] - span[1]]), index[span[0]]] == 1]
        marks.append(gazetteer.marks(runs, alone))
    return gazetteer, marks


def _short(spans: Sequence[Span]) -> list[Span]:
    return [span for span in spans if span[2] - span[1] < LONGEST_RUN]
