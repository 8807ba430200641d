"""P(slot reading | intent), from how often each slot name occurs with each intent.

The tagger reads slots without knowing the intent, but an intent that never has a `time` makes a reading with one
unlikely. By Bayes' rule, with slot names taken as independent, a reading is as many times more likely under an intent
as its names are more frequent there than in the whole domain.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from arbitrank.nlu.tagger import Reading

PRIOR = 2.0
"""Pseudo-count: requests of the whole domain added to each intent, so that rare intents are smoothed."""


@dataclass(frozen=True, eq=False)
class IntentSlots:
    """Log-ratios of slot frequencies: with each intent, against the whole domain.

    `present`, `absent`: for a reading that has one of the slot `names` and for one that lacks it, float32 of shape
    (intents, names).
    """

    names: tuple[str, ...]
    present: NDArray[np.float32]
    absent: NDArray[np.float32]

    @cached_property
    def _place(self) -> dict[str, int]:
        return {name: i for i, name in enumerate(self.names)}

    @cached_property
    def _sums(self) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
        """The log-ratio of a reading without slots, and the term that each name adds."""
        return self.absent.sum(axis=1, keepdims=True), (self.present - self.absent).astype(np.float64)

    def given_intents(self, readings: Sequence[Reading]) -> NDArray[np.float64]:
        """P(reading | intent), shape (intents, readings); each row keeps the readings' total probability."""
        has = np.zeros((len(self.names), len(readings)))
        for j, reading in enumerate(readings):
            for slot in reading.slots:
                if (place := self._place.get(slot.name)) is not None:
                    has[place, j] = 1.0
        chances = np.array([reading.probability for reading in readings])
        lacking, having = self._sums
        logs = lacking + having.dot(has)
        logs -= np.maximum.reduce(logs, axis=1, keepdims=True)
        shares: NDArray[np.float64] = chances * np.exp(logs)
        shares *= np.add.reduce(chances) / np.add.reduce(shares, axis=1, keepdims=True)
        return shares


def learn_intent_slots(
    names: Sequence[str], intents: Sequence[str], rows: Sequence[tuple[str, Collection[str]]]
) -> IntentSlots:
    """The log-ratios, from each request's intent and the names of its slots."""
    place = {intent: i for i, intent in enumerate(intents)}
    requests, having = np.zeros((len(intents), 1)), np.zeros((len(intents), len(names)))
    for intent, slots in rows:
        requests[place[intent]] += 1
        having[place[intent]] += [name in slots for name in names]
    at_large = (having.sum(axis=0) + 0.5) / (requests.sum() + 1.0)
    here = (having + PRIOR * at_large) / (requests + PRIOR)
    present, absent = np.log(here / at_large), np.log((1.0 - here) / (1.0 - at_large))
    return IntentSlots(tuple(names), present.astype(np.float32), absent.astype(np.float32))
