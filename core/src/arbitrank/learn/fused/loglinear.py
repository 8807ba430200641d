"""Log-linear re-rankers as one."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from arbitrank.domain import Scores
from arbitrank.learn.fused.block import Block, Found, bounded_all, places_of
from arbitrank.learn.fused.context import ContextSums
from arbitrank.learn.fused.extras import extra_sums, named
from arbitrank.learn.fused.parts import Part
from arbitrank.learn.fused.readings import Readings
from arbitrank.learn.rerankers import LogLinear
from arbitrank.probability import sigmoid
from arbitrank.values import Request

Floats = NDArray[np.float64]

PLAIN = 7  # features that every reading has


class LogLinearBlock(Block):
    """Log-linear re-rankers, in any of their forms."""

    def __init__(self, parts: Mapping[str, Part]) -> None:
        super().__init__(parts)
        rerankers = [one.reranker for one in parts.values() if isinstance(one.reranker, LogLinear)]
        weights = [np.array(one.weights.values) for one in rerankers]
        self._weights = np.array([one[:PLAIN] for one in weights]).T.copy()
        self._null = np.array([one.form == "null" for one in rerankers])
        self._each = np.array([one.form == "sigmoid" for one in rerankers])
        contexts: list[Floats | None] = []
        for spec, one in zip(self.specs, weights, strict=True):
            width = len(spec.context_names)
            crossed = one[PLAIN + width : PLAIN + 4 * width].reshape(width, 3).T
            contexts.append(np.vstack([one[PLAIN : PLAIN + width], crossed]))
        self._context = ContextSums(self.specs, contexts)
        self._extras = [named(spec.extras, one) for spec, one in zip(self.specs, weights, strict=True)]

    def scores(self, request: Request, found: Found) -> dict[str, Scores]:
        """What each domain in `found` says of its hypotheses."""
        readings = self.readings(found)
        group, columns = readings.group, readings.columns
        features = self.room.take(1, PLAIN, len(group))
        features[0], features[1:3] = readings.logits[0], readings.logs[1:]
        features[3:6] = 0.0 if readings.missing is None else readings.missing
        features[6] = 1.0
        z = np.add.reduce(features * self._weights.take(columns, axis=1), axis=0)
        by_context = self._context.sums(request.context).take(columns, axis=1)
        z += by_context[0] + np.add.reduce(by_context[1:] * features[:3], axis=0)
        if any(self._extras):
            z += extra_sums(readings.found, readings.sizes, [self._extras[d] for d in places_of(readings)])
        mine, right = bounded_all(np.zeros(len(readings.sizes)), self._shares(z, readings), readings)
        return self.said(found, readings, mine, right)

    def _shares(self, z: Floats, readings: Readings) -> Floats:
        """P of each reading, each domain in its form."""
        each, null = self._each[readings.columns], readings.of_domains(self._null)
        if each.all():
            return sigmoid(z)
        top = np.maximum.reduceat(z, readings.starts)
        top = np.where(null, np.maximum(top, 0.0), top)
        grown = np.exp(z - top[readings.group])
        total = np.add.reduceat(grown, readings.starts) + np.where(null, np.exp(-np.maximum(top, 0.0)), 0.0)
        shares = grown / total[readings.group]
        return np.where(each, sigmoid(z), shares) if each.any() else shares
