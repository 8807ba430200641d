"""One request's hypotheses of many domains as arrays, in memory that is used again."""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from arbitrank.probability import CLIP
from arbitrank.values import Hypothesis

Floats = NDArray[np.float64]
Places = NDArray[np.intp]

TOP = 1.0 - CLIP
# numpy takes an array of no dimension sooner than a number.
ONE, LEAST, _MOST = np.array(1.0), np.array(CLIP), np.array(TOP)


class Room(threading.local):
    """Matrices that are filled anew for each request, in memory that stays: some for each thread."""

    def __init__(self) -> None:
        self._memory = [np.empty(0)] * 5

    def take(self, which: int, rows: int, columns: int) -> Floats:
        """Room for a matrix whose rows lie one after another."""
        size = rows * columns
        if self._memory[which].size < size:
            self._memory[which] = np.empty(2 * size)
        return self._memory[which][:size].reshape(rows, columns)


class Readings:
    """One request's hypotheses of k domains, N in all: their confidences, one after another, and whose they are.

    `columns` are the places of each reading's domain among all, `at` those of the domains, None where it is all.
    """

    def __init__(self, groups: Sequence[Sequence[Hypothesis]], at: Places | None, fill: Floats, room: Room) -> None:
        self.sizes = list(map(len, groups))
        self.found = found = list(chain.from_iterable(groups))
        sizes = np.array(self.sizes)
        ends = sizes.cumsum()
        self.ends: list[int] = ends.tolist()
        self.starts: Places = ends - sizes
        self.group: Places = np.arange(len(sizes)).repeat(sizes)
        self.at = at
        self.columns = self.group if at is None else at.take(self.group)
        self.confidences = p = room.take(0, 3, len(found))
        p[0] = [h.domain_confidence for h in found]  # None becomes NaN
        p[1] = [h.intent_confidence for h in found]
        p[2] = [s if (s := h.slots_confidence) is not None or not h.slots else h.reading_confidence for h in found]
        self.missing: Floats | None = None
        if math.isnan(squares(p)):
            missing = np.isnan(p)
            self._check(int(missing.sum()))
            np.copyto(p, fill.take(self.columns, axis=1), where=missing)
            self.missing = missing.astype(np.float64)
        np.maximum(p, LEAST, out=p)
        np.minimum(p, _MOST, out=p)
        self.logs = np.log(p)
        self.logits = self.logs - np.log(ONE - p)

    def part(self, j: int) -> slice:
        """Where the readings of the j-th of these domains stand."""
        return slice(self.ends[j] - self.sizes[j], self.ends[j])

    def of_domains(self, values: Floats) -> Floats:
        """The columns of these domains, of one for each of all."""
        return values if self.at is None else values.take(self.at, axis=-1)

    def _check(self, missing: int) -> None:
        """What is not a number, in place of being missing, is the domain's own to judge."""
        confidences = [(h.domain_confidence, h.intent_confidence, h.reading_confidence) for h in self.found]
        if sum(one.count(None) for one in confidences) != missing:
            raise ValueError("a confidence is not a number")


def squares(values: Floats) -> float:
    """The sum of the squares: NaN where one value is, and found faster than by asking each."""
    flat = values.ravel()
    return float(flat.dot(flat))
