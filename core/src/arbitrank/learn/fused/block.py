"""What the two kinds of fused re-rankers share: domains by their place, calibrators, and scores cut into their own."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from arbitrank.domain import Scores
from arbitrank.learn.calibration import Affine
from arbitrank.learn.fused.parts import Part
from arbitrank.learn.fused.readings import Readings, Room, squares
from arbitrank.probability import log_odds, sigmoid
from arbitrank.values import Hypothesis

Floats = NDArray[np.float64]
Places = NDArray[np.intp]
Found = Mapping[str, Sequence[Hypothesis]]


class Block:
    """What the two kinds share: domains by their place, calibrators, and scores cut into the domains' own."""

    def __init__(self, parts: Mapping[str, Part]) -> None:
        self.names = list(parts)
        self.index = {name: d for d, name in enumerate(parts)}
        self.specs = [one.reranker.spec for one in parts.values()]
        self.fill = np.array([spec.fill for spec in self.specs]).T
        calibrators = [one.calibrator for one in parts.values()]
        self._affine = np.array([isinstance(one, Affine) for one in calibrators])
        self._slope = np.array([one.slope if isinstance(one, Affine) else 1.0 for one in calibrators])
        self._shift = np.array([one.shift if isinstance(one, Affine) else 0.0 for one in calibrators])
        self._other = {d: one for d, one in enumerate(calibrators) if one is not None and not isinstance(one, Affine)}
        self._calibrated = any(one is not None for one in calibrators)
        self.room = Room()

    def readings(self, found: Found) -> Readings:
        """The hypotheses of the domains in `found`."""
        names = list(found)
        at = None if names == self.names else np.array([self.index[name] for name in names], np.intp)
        return Readings(list(found.values()), at, self.fill, self.room)

    def said(self, found: Found, readings: Readings, mine: Floats, right: Floats) -> dict[str, Scores]:
        """The scores, calibrated, by domain."""
        if self._calibrated:
            mine, right = self._recalibrated(readings, mine, right)
        if math.isnan(squares(right)):
            raise ValueError("a score is not a number")
        begin, said = 0, {}
        for name, end, p in zip(found, readings.ends, mine.tolist(), strict=True):
            said[name] = Scores(p, right[begin:end])
            begin = end
        return said

    def _recalibrated(self, readings: Readings, mine: Floats, right: Floats) -> tuple[Floats, Floats]:
        columns = readings.columns
        affine = self._affine[columns]
        if affine.any():
            mapped = sigmoid(self._slope[columns] * log_odds(right) + self._shift[columns])
            right = np.where(affine, mapped, right)
        if self._other:
            right = right.copy()
            for d, begin, end in zip(places_of(readings), readings.starts.tolist(), readings.ends, strict=True):
                if d in self._other:
                    right[begin:end] = self._other[d](right[begin:end])
        return bounded_all(mine, right, readings)


def places_of(readings: Readings) -> Sequence[int]:
    """The places of the readings' domains among all."""
    return range(len(readings.sizes)) if readings.at is None else readings.at.tolist()


def bounded_all(mine: Floats, right: Floats, readings: Readings) -> tuple[Floats, Floats]:
    """As `arbitrank.probability.bounded`, of many."""
    total = np.add.reduceat(right, readings.starts)
    return np.minimum(1.0, np.maximum(mine, total)), right / np.maximum(1.0, total)[readings.group]
