"""The features that factored re-rankers weigh, of all readings of a request together."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from arbitrank.learn.fused.readings import LEAST, ONE, Readings, Room

Floats = NDArray[np.float64]

READING, REQUEST = 12, 13
"""Features that every reading and every request has."""

_LOG_RANK = np.log1p(np.arange(256))


class Sums:
    """What the factored form is a weighted sum of.

    `of_readings`, (8, N): domain's logit, log of the product, logits of intent and slots, their logs, log of 1 + rank,
    number of slots. `of_domains`, (12, k): the greatest of the first six of these, null odds, entropy of the intents,
    number of slots of the best reading, 1, log of 1 + length, whether that is missing. `first`: the best readings.
    """

    def __init__(self, readings: Readings, length: int | None, room: Room) -> None:
        n, k = len(readings.found), len(readings.sizes)
        self._readings, starts = readings, readings.starts
        self.of_readings = each = room.take(1, 8, n)
        self.of_domains = whole = room.take(2, 12, k)
        p = readings.confidences
        product = p[1] * p[2]
        order = np.lexsort((-product, readings.group))
        self.first = order.take(starts)
        each[0], each[2:4], each[4:6] = readings.logits[0], readings.logits[1:], readings.logs[1:]
        np.add(each[4], each[5], out=each[1])
        places = np.arange(n) - starts.take(readings.group)
        each[6, order] = _LOG_RANK.take(places) if max(readings.sizes) <= len(_LOG_RANK) else np.log1p(places)
        each[7] = [len(h.slots) for h in readings.found]
        np.maximum.reduceat(each[:6], starts, axis=1, out=whole[:6])
        np.log(np.maximum(LEAST, ONE - np.add.reduceat(product, starts)), out=whole[6])
        whole[7] = self._entropies()
        each[7].take(self.first, out=whole[8])
        whole[9] = 1.0
        whole[10], whole[11] = (0.0, 1.0) if length is None else (math.log1p(length), 0.0)

    def _entropies(self) -> list[float]:
        """−Σ p log p over each domain's intents, each with the highest confidence of its readings."""
        found, begin, entropies = self._readings.found, 0, []
        chances, logs = self._readings.confidences[1].tolist(), self._readings.logs[1].tolist()
        for end in self._readings.ends:
            best: dict[str, int] = {}
            for i in range(begin, end):
                if (k := best.setdefault(found[i].intent, i)) != i and chances[i] > chances[k]:
                    best[found[i].intent] = i
            entropies.append(-sum([chances[i] * logs[i] for i in best.values()]))
            begin = end
        return entropies

    def features(self, room: Room) -> tuple[Floats, Floats]:
        """The features of readings, (12, N), and of requests, (13, k), that have names of their own, in their order."""
        each, whole, readings = self.of_readings, self.of_domains, self._readings
        of_readings, of_requests = (
            room.take(3, READING, len(readings.found)),
            np.empty((REQUEST, len(readings.sizes))),
        )
        spread = whole.take(readings.group, axis=1)
        np.subtract(each[1], spread[6], out=of_readings[0])
        of_readings[1:3], of_readings[3:5] = each[4:6], each[2:4]
        of_readings[5:7] = 0.0 if readings.missing is None else readings.missing[1:]
        of_readings[7] = spread[7]
        np.subtract(spread[1], each[1], out=of_readings[8])
        of_readings[9:11], of_readings[11] = each[6:8], 1.0
        of_requests[[0, 2, 3, 4, 6, 7, 9, 10, 11, 12]] = whole[[0, 4, 2, 7, 5, 3, 8, 10, 11, 9]]
        of_requests[[1, 5, 8]] = 0.0 if readings.missing is None else readings.missing.take(self.first, axis=1)
        return of_readings, of_requests
