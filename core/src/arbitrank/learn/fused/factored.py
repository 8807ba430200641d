"""Factored re-rankers, and boosted ones, as one."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import repeat
from operator import mul
from typing import Any

import numpy as np
from numpy.typing import NDArray

from arbitrank.domain import Scores
from arbitrank.learn.boosted import Boosted
from arbitrank.learn.calibration import recalibrated
from arbitrank.learn.features import FeatureSpec, context_row, intent_context
from arbitrank.learn.fused.block import Block, Found, bounded_all, places_of
from arbitrank.learn.fused.context import ContextSums
from arbitrank.learn.fused.extras import extra_sums, named, own_features
from arbitrank.learn.fused.parts import Part
from arbitrank.learn.fused.readings import Readings
from arbitrank.learn.fused.single import Single
from arbitrank.learn.fused.sums import READING, REQUEST, Sums
from arbitrank.learn.rerankers import Factored, LogLinear
from arbitrank.probability import log_odds, sigmoid
from arbitrank.values import Context, Hypothesis, Request

Floats = NDArray[np.float64]

_ZERO = np.array(0.0)  # numpy takes an array of no dimension sooner than a number


class FactoredBlock(Block):
    """Factored re-rankers, and boosted ones, which have the same features."""

    def __init__(self, parts: Mapping[str, Part], few: int) -> None:
        super().__init__(parts)
        self._few = few
        rerankers = [one.reranker for one in parts.values()]
        bases = [one if isinstance(one, Factored) else one.base for one in rerankers if not isinstance(one, LogLinear)]
        self._trees = {d: one for d, one in enumerate(rerankers) if isinstance(one, Boosted)}
        self._based = np.array([base is not None for base in bases])
        self._any_based = bool(self._based.any())
        self._grown = np.array([d in self._trees for d in range(len(bases))])
        right = [np.array(base.right.values) if base else np.zeros(READING) for base in bases]
        mine = [np.array(base.mine.values) if base else np.zeros(REQUEST) for base in bases]
        of_reading, of_request = np.array([one[:READING] for one in right]).T, np.array([m[:REQUEST] for m in mine]).T
        zero = np.zeros(len(bases))
        self._calibrators = [one.calibrator for one in parts.values()]
        # Trees need the rows of all features.
        self._singles = [] if self._trees else [Single(base) for base in bases if base]
        # The rows of `Sums`: null odds and gap both hold the log of the product; what is the domain's alone is apart.
        null, log_i, log_s, logit_i, logit_s, no_i, no_s, entropy, gap, rank, number_of, bias = of_reading
        self._right = np.array([null - gap, logit_i, logit_s, log_i, log_s, rank, number_of])
        self._right_missing = np.array([zero, no_i, no_s])
        apart = [zero, gap, zero, zero, zero, zero, -null, entropy, zero, bias, zero, zero]
        d, no_d, log_i, logit_i, entropy, no_i, log_s, logit_s, no_s, number_of, length, no_length, bias = of_request
        asked = [d, zero, logit_i, logit_s, log_i, log_s, zero, entropy, number_of, bias, length, no_length]
        self._of_domains = np.array([apart, asked])
        self._mine_missing = np.array([no_d, no_i, no_s])
        contexts: list[Floats | None] = []
        self._own, self._of_reading, self._of_request = [], [], []
        for spec, base, r, m in zip(self.specs, bases, right, mine, strict=True):
            width = len(spec.context_names)
            names = spec.extras if base else ()
            contexts.append(m[REQUEST : REQUEST + 2 * width].reshape(2, width) if base else None)
            self._own.append(r[READING : len(r) - len(spec.extras)].tolist() if base else [])
            self._of_reading.append(named(names, r))
            self._of_request.append(named(names, m))
        self._context = ContextSums(self.specs, contexts)
        self._has_extras = any(self._of_reading) or any(self._of_request)

    def scores(self, request: Request, found: Found) -> dict[str, Scores]:
        """What each domain in `found` says of its hypotheses."""
        if self._singles and sum(map(len, found.values())) <= self._few:
            return self._one_by_one(request, found)
        readings = self.readings(found)
        sums = Sums(readings, request.length, self.room)
        own = self._own_contexts(request.context, readings)
        mine, right = np.zeros(len(readings.sizes)), np.full(len(readings.found), 0.5)
        if self._any_based:
            mine, right = self._linear(request.context, readings, sums, own)
        if self._trees and self._grown[readings.columns].any():
            mine, right = self._corrected(request, readings, sums, own, mine, right)
        return self.said(found, readings, mine, right)

    def _one_by_one(self, request: Request, found: Found) -> dict[str, Scores]:
        """The same for a few readings, for which to call numpy costs more than to reckon."""
        context = request.context
        sums = self._context.sums(context)
        told = self._context.personal(context) if context else ()
        length = None if (n := request.length) is None else math.log1p(n)
        said = {}
        for name, hypotheses in found.items():
            d = self.index[name]
            scores = self._singles[d].scores(
                hypotheses, length, (float(sums[0, d]), float(sums[1, d])), context if d in told else None
            )
            calibrator = self._calibrators[d]
            said[name] = scores if calibrator is None else recalibrated(scores, calibrator)
        return said

    def _own_contexts(self, context: Context, readings: Readings) -> dict[int, list[tuple[float, ...]]]:
        """By place in the request, what the context says of each reading's intent, where it says anything."""
        told = self._context.personal(context) if context else ()
        found = {}
        for j, d in enumerate(places_of(readings)) if told else ():
            if d in told:
                part = readings.part(j)
                intents: dict[str, float] = {}
                for h, p in zip(readings.found[part], readings.confidences[1, part].tolist(), strict=True):
                    intents[h.intent] = max(p, intents.get(h.intent, 0.0))
                by_intent = {name: intent_context(self.specs[d], context, name, intents) for name in intents}
                found[j] = [by_intent[h.intent] for h in readings.found[part]]
        return found

    def _linear(
        self, context: Context, readings: Readings, sums: Sums, own: Mapping[int, list[tuple[float, ...]]]
    ) -> tuple[Floats, Floats]:
        group, starts, columns = readings.group, readings.starts, readings.columns
        apart, asked = np.add.reduce(readings.of_domains(self._of_domains) * sums.of_domains, axis=1)
        z = np.add.reduce(self._right.take(columns, axis=1) * sums.of_readings[1:], axis=0)
        by_context = readings.of_domains(self._context.sums(context))
        asked += by_context[0] + sums.of_domains[0] * by_context[1]
        if readings.missing is not None:
            z += (self._right_missing.take(columns, axis=1) * readings.missing).sum(axis=0)
            of_best = readings.missing.take(sums.first, axis=1)
            asked += (readings.of_domains(self._mine_missing) * of_best).sum(axis=0)
        places = places_of(readings)
        for j, rows in own.items():
            if weights := self._own[places[j]]:
                z[readings.part(j)] += [sum(map(mul, weights, row)) for row in rows]
        if self._has_extras:
            z += extra_sums(readings.found, readings.sizes, [self._of_reading[d] for d in places])
            heads = [readings.found[i] for i in sums.first.tolist()]
            asked += extra_sums(heads, repeat(1), [self._of_request[d] for d in places])
        z += apart.take(group)
        top = np.maximum(np.maximum.reduceat(z, starts), _ZERO)
        grown = np.exp(z - top.take(group))
        mine = sigmoid(asked)
        return mine, grown * (mine / (np.add.reduceat(grown, starts) + np.exp(-top))).take(group)

    def _corrected(
        self,
        request: Request,
        readings: Readings,
        sums: Sums,
        own: Mapping[int, list[tuple[float, ...]]],
        mine: Floats,
        right: Floats,
    ) -> tuple[Floats, Floats]:
        """The scores with those of trees in their places."""
        raw = np.zeros(len(right))
        features = sums.features(self.room)
        situations: dict[Any, list[float]] = {}
        first = sums.first.tolist()
        for j, d in enumerate(places_of(readings)):
            if d in self._trees:
                spec = self.specs[d]
                shared = d if spec.preferences or spec.previous else spec.situations
                if (situation := situations.get(shared)) is None:
                    situation = situations[shared] = context_row(spec, request.context)
                part = readings.part(j)
                head, hypotheses = first[j] - part.start, readings.found[part]
                rows = self._rows(
                    spec, situation, (features[0][:, part], features[1][:, j]), head, hypotheses, own.get(j)
                )
                raw[part] = self._trees[d].trees(rows)
        if self._any_based:
            base = self._based[readings.columns]
            mine, right = np.where(readings.of_domains(self._based), mine, 0.0), np.where(base, right, 0.5)
            raw += log_odds(right)
        grown = self._grown[readings.columns]
        corrected = sigmoid(raw)
        return bounded_all(mine, corrected if grown.all() else np.where(grown, corrected, right), readings)

    def _rows(
        self,
        spec: FeatureSpec,
        situation: Sequence[float],
        features: tuple[Floats, Floats],
        head: int,
        hypotheses: Sequence[Hypothesis],
        own: list[tuple[float, ...]] | None,
    ) -> Floats:
        """The features that a domain's trees see, as `arbitrank.learn.boosted.matrix` orders them."""
        wide, n = 4 if spec.preferences else 3, len(spec.extras)
        rows = self.room.take(4, len(hypotheses), READING + wide + n + REQUEST + 2 * len(situation) + n)
        rows[:, :READING] = features[0].T
        rows[:, READING : READING + wide] = 0.0 if own is None else own
        of_request: list[float] = features[1].tolist()
        logit = of_request[0]
        of_request += situation
        of_request += [c * logit for c in situation]
        if n:
            of_each = [own_features(h.features.get, spec.extras) for h in hypotheses]
            rows[:, READING + wide : READING + wide + n] = of_each
            of_request += of_each[head]
        rows[:, READING + wide + n :] = of_request
        return rows
