"""Many domains' re-rankers as one: what each would say of a request, computed for all of them together.

A re-ranker scores its own few hypotheses, and most of what that costs is the calling. Domains whose features are the
toolkit's are taken apart when they are loaded: their weights become the columns of one matrix, the context's weights a
table by what the context holds. The scores are the domains' own, to 1e-12; `arbitrank.learn.features` is the law, and
the names of the features below are its names, in its order.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import chain, islice, repeat
from math import exp, log, tanh
from operator import mul
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from arbitrank.domain import LinearForm, Model, Scores
from arbitrank.learn.boosted import Boosted
from arbitrank.learn.calibration import Affine, Calibrated, Calibrator, recalibrated
from arbitrank.learn.features import FeatureSpec, context_row, intent_context, number
from arbitrank.learn.probability import CLIP, log_odds, sigmoid
from arbitrank.learn.reference import ReferenceModel
from arbitrank.learn.rerankers import Factored, LogLinear, Weights
from arbitrank.values import Context, Hypothesis, Request

Floats = NDArray[np.float64]
Places = NDArray[np.intp]
Found = Mapping[str, Sequence[Hypothesis]]

FEW = 48
"""Readings of a request up to which factored domains are scored one by one."""

_LARGE = 1e9  # as in `arbitrank.learn.features`
_TOP = 1.0 - CLIP
_READING, _REQUEST, _PLAIN = 12, 13, 7  # features that every reading and every request has
_LOG_RANK = np.log1p(np.arange(256))
# numpy takes an array of no dimension sooner than a number.
_ZERO, _ONE, _LEAST, _MOST = np.array(0.0), np.array(1.0), np.array(CLIP), np.array(_TOP)


class Part(NamedTuple):
    """A domain that can be fused: its re-ranker and, where there is one, its calibrator."""

    reranker: Factored | LogLinear | Boosted
    calibrator: Calibrator | None


def part(name: str, model: Model) -> Part | None:
    """What of a model can be fused, None where `rerank` is more, or other, than the toolkit's.

    Never raises what a plugin's `linear` raises; such a model speaks for itself.
    """
    if not _speaks_for_rerank(type(model)):
        return None
    reranker: Any = None
    if isinstance(model, ReferenceModel) and type(model).rerank is ReferenceModel.rerank:
        reranker = model.reranker
    else:
        try:
            reranker = _of_form(model.linear())
        except KeyboardInterrupt:
            raise
        except BaseException:  # the plugin's code; without its weights it is asked as any other
            return None
    calibrator = None
    if type(reranker) is Calibrated:
        reranker, calibrator = reranker.reranker, reranker.calibrator
    if type(reranker) not in (Factored, LogLinear, Boosted) or not _plain(name, reranker):
        return None
    return Part(reranker, calibrator)


def _speaks_for_rerank(kind: type) -> bool:
    """Whether the class that says what `linear` is knows the `rerank` that counts, or is one that overrode it."""
    order = kind.__mro__
    linear = next(i for i, one in enumerate(order) if "linear" in vars(one))
    return linear <= next(i for i, one in enumerate(order) if "rerank" in vars(one))


def _of_form(form: LinearForm | None) -> Factored | LogLinear | None:
    """The toolkit's re-ranker with these weights."""
    if form is None or not isinstance(form.features, FeatureSpec):
        return None
    spec = form.features
    if form.kind != "factored":
        return LogLinear(spec, form.kind, _weights(spec.plain_names, form.right))
    if form.mine is None:
        return None
    return Factored(spec, _weights(spec.request_names, form.mine), _weights(spec.reading_names, form.right))


def _weights(names: tuple[str, ...], values: Floats) -> Weights:
    return Weights(names, tuple(map(float, values)), (0.0,) * len(names))


def _plain(name: str, reranker: Factored | LogLinear | Boosted) -> bool:
    """Whether a re-ranker is one that the tables below can hold; odd ones speak for themselves."""
    spec = reranker.spec
    known = [(s.key, s.value) for s in spec.situations]
    weights: list[tuple[Weights, tuple[str, ...]]] = []
    if isinstance(reranker, LogLinear):
        weights = [(reranker.weights, spec.plain_names)]
    else:
        base = reranker if isinstance(reranker, Factored) else reranker.base
        if base is not None:
            weights = [(base.mine, spec.request_names), (base.right, spec.reading_names)]
            if base.spec != spec:
                return False
    return (
        spec.domain == name
        and "." not in name
        and len(set(known)) == len(known)
        and all(s.low <= 0.0 <= s.high for s in spec.situations)
        and all(len(one.values) == len(names) and all(map(math.isfinite, one.values)) for one, names in weights)
    )


class Fused:
    """The fused re-rankers of some domains. Frozen once it is made; safe to call from any thread."""

    def __init__(self, models: Mapping[str, Model], few: int = FEW) -> None:
        parts = {name: found for name, model in models.items() if (found := part(name, model)) is not None}
        linear = {name: one for name, one in parts.items() if isinstance(one.reranker, LogLinear)}
        others = {name: one for name, one in parts.items() if name not in linear}
        self.models = {name: models[name] for name in parts}
        self._blocks: list[_Factored | _LogLinear] = []
        if others:
            self._blocks.append(_Factored(others, few))
        if linear:
            self._blocks.append(_LogLinear(linear))

    def scores(self, request: Request, found: Found) -> dict[str, Scores]:
        """What each domain in `found` says of its hypotheses; of each there is at least one, and all are in `models`.

        Raises `ValueError` or `TypeError` where a hypothesis or the context holds what its type forbids.
        """
        if len(self._blocks) == 1:
            return self._blocks[0].scores(request, found)
        scores: dict[str, Scores] = {}
        for block in self._blocks:
            own = {name: hypotheses for name, hypotheses in found.items() if name in block.index}
            if own:
                scores |= block.scores(request, own)
        return scores


class _Buffers(threading.local):
    """Matrices that are filled anew for each request, in memory that stays: some for each thread."""

    def __init__(self) -> None:
        self._memory = [np.empty(0)] * 5

    def take(self, which: int, rows: int, columns: int) -> Floats:
        """Room for a matrix whose rows lie one after another."""
        size = rows * columns
        if self._memory[which].size < size:
            self._memory[which] = np.empty(2 * size)
        return self._memory[which][:size].reshape(rows, columns)


class _Context:
    """The context's part of the weighted sums of D domains, found by what a context holds.

    What a domain adds is a column of `columns` numbers: for the sum itself, and for each score that the context is
    crossed with.
    """

    def __init__(self, specs: Sequence[FeatureSpec], weights: Sequence[Floats | None]) -> None:
        """`weights`: of each domain, shape (columns, context names), None where it has none."""
        self._specs = specs
        self._index = {spec.domain: d for d, spec in enumerate(specs)}
        columns = next((one.shape[0] for one in weights if one is not None), 0)
        self.absent = np.zeros((columns, len(specs)))
        self._preferences: dict[int, list[list[float]]] = {}
        self._previous: dict[int, Floats] = {}
        texts: dict[tuple[str, str], list[tuple[int, Floats]]] = {}
        numbers: dict[str, list[tuple[int, float, float, Floats]]] = {}
        for d, (spec, own) in enumerate(zip(specs, weights, strict=True)):
            if own is None:
                continue
            for j, s in enumerate(spec.situations):
                if s.value is not None:
                    texts.setdefault((s.key, s.value), []).append((d, own[:, j]))
                else:
                    numbers.setdefault(s.key, []).append((d, s.low, s.high, own[:, j]))
            rest = own[:, len(spec.situations) :]
            if spec.preferences:
                self._preferences[d] = rest[:, :4].tolist()
                self.absent[:, d] += rest[:, 2]  # without a preference of its own, `preference_missing` is 1
            if spec.previous:
                self._previous[d] = rest[:, -1]
        self._preferred = bool(self._preferences)
        n = len(specs)
        self._texts = {key: _Sparse(n, [d for d, _ in some], [w for _, w in some]) for key, some in texts.items()}
        self._numbers = {
            key: (_Sparse(n, [one[0] for one in some], [one[3] for one in some]), *np.array([o[1:3] for o in some]).T)
            for key, some in numbers.items()
        }

    def sums(self, context: Context) -> Floats:
        """What the context adds to each domain: shape (columns, D). Not to be written to where it is `absent`."""
        found = self.absent
        if not context or not (self._texts or self._numbers or self._preferences or self._previous):
            return found
        found = found.copy()
        for key, value in context.items():
            if isinstance(value, str):
                if (one := self._texts.get((key, value))) is not None:
                    one.add_to(found)
                if key == "previous_domain" and (d := self._index.get(value)) in self._previous:
                    found[:, d] += self._previous[d]
            elif (measured := self._numbers.get(key)) is not None:
                weights, low, high = measured
                if isinstance(value, bool):
                    weights.add_to(found, 1.0 if value else -1.0)
                else:
                    weights.add_to(found, np.minimum(np.maximum(number(value) or 0.0, low), high))
        if self._preferred:
            self._prefer(context, found)
        return found

    def _prefer(self, context: Context, found: Floats) -> None:
        stated = [(k[11:], v) for k, v in context.items() if k.startswith("preference.") and k.count(".") == 1]
        values = {name: x for name, v in stated if (x := number(v)) is not None} if stated else {}
        for name, mine in values.items():
            d = self._index.get(name, -1)
            if d in self._preferences:
                ahead = mine - max((x for other, x in values.items() if other != name), default=mine)
                sign = float((ahead > 0.0) - (ahead < 0.0))
                for row, (is_so, margin, missing, favourite) in enumerate(self._preferences[d]):
                    found[row, d] += is_so * mine + margin * ahead - missing + favourite * sign

    def personal(self, context: Context) -> set[int]:
        """The domains of whose intents the context says something; `intent_context` gives zeros of all others."""
        found = set()
        for key in context:
            if key.startswith("preference.") and key.count(".") > 1:
                d = self._index.get(key.split(".", 2)[1], -1)
                if d >= 0 and self._specs[d].preferences:
                    found.add(d)
        last = context.get("previous_domain")
        if isinstance(last, str) and (d := self._index.get(last, -1)) >= 0 and self._specs[d].previous:
            found.add(d)
        return found


class _Sparse:
    """Columns to add to some of `n` columns; to all at once, where they are most of them, as that is the faster way."""

    def __init__(self, n: int, places: Sequence[int], columns: Sequence[Floats]) -> None:
        self._columns = np.stack(columns, axis=1)
        self._places = None if list(places) == list(range(n)) else np.array(places, np.intp)

    def add_to(self, found: Floats, times: Floats | float = 1.0) -> None:
        """Add the columns, each multiplied."""
        added = self._columns * times
        if self._places is None:
            found += added
        else:
            found[:, self._places] += added


class _Readings:
    """One request's hypotheses of k domains, N in all: their confidences, one after another, and whose they are.

    `columns` are the places of each reading's domain among all, `at` those of the domains, None where it is all.
    """

    def __init__(self, groups: Sequence[Sequence[Hypothesis]], at: Places | None, fill: Floats, room: _Buffers) -> None:
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
        if math.isnan(_squares(p)):
            missing = np.isnan(p)
            self._check(int(missing.sum()))
            np.copyto(p, fill.take(self.columns, axis=1), where=missing)
            self.missing = missing.astype(np.float64)
        np.maximum(p, _LEAST, out=p)
        np.minimum(p, _MOST, out=p)
        self.logs = np.log(p)
        self.logits = self.logs - np.log(_ONE - p)

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


def _squares(values: Floats) -> float:
    """The sum of the squares: NaN where one value is, and found faster than by asking each."""
    flat = values.ravel()
    return float(flat.dot(flat))


class _Block:
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
        self.room = _Buffers()

    def readings(self, found: Found) -> _Readings:
        """The hypotheses of the domains in `found`."""
        names = list(found)
        at = None if names == self.names else np.array([self.index[name] for name in names], np.intp)
        return _Readings(list(found.values()), at, self.fill, self.room)

    def said(self, found: Found, readings: _Readings, mine: Floats, right: Floats) -> dict[str, Scores]:
        """The scores, calibrated, by domain."""
        if self._calibrated:
            mine, right = self._recalibrated(readings, mine, right)
        if math.isnan(_squares(right)):
            raise ValueError("a score is not a number")
        begin, said = 0, {}
        for name, end, p in zip(found, readings.ends, mine.tolist(), strict=True):
            said[name] = Scores(p, right[begin:end])
            begin = end
        return said

    def _recalibrated(self, readings: _Readings, mine: Floats, right: Floats) -> tuple[Floats, Floats]:
        columns = readings.columns
        affine = self._affine[columns]
        if affine.any():
            mapped = sigmoid(self._slope[columns] * log_odds(right) + self._shift[columns])
            right = np.where(affine, mapped, right)
        if self._other:
            right = right.copy()
            for d, begin, end in zip(_places(readings), readings.starts.tolist(), readings.ends, strict=True):
                if d in self._other:
                    right[begin:end] = self._other[d](right[begin:end])
        return _bounded(mine, right, readings)


def _places(readings: _Readings) -> Sequence[int]:
    """The places of the readings' domains among all."""
    return range(len(readings.sizes)) if readings.at is None else readings.at.tolist()


def _bounded(mine: Floats, right: Floats, readings: _Readings) -> tuple[Floats, Floats]:
    """As `arbitrank.learn.probability.bounded`, of many."""
    total = np.add.reduceat(right, readings.starts)
    return np.minimum(1.0, np.maximum(mine, total)), right / np.maximum(1.0, total)[readings.group]


class _Factored(_Block):
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
        right = [np.array(base.right.values) if base else np.zeros(_READING) for base in bases]
        mine = [np.array(base.mine.values) if base else np.zeros(_REQUEST) for base in bases]
        of_reading, of_request = np.array([one[:_READING] for one in right]).T, np.array([m[:_REQUEST] for m in mine]).T
        zero = np.zeros(len(bases))
        self._calibrators = [one.calibrator for one in parts.values()]
        # Trees need the rows of all features.
        self._singles = [] if self._trees else [_Single(base) for base in bases if base]
        # The rows of `_Sums`: null odds and gap both hold the log of the product; what is the domain's alone is apart.
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
            contexts.append(m[_REQUEST : _REQUEST + 2 * width].reshape(2, width) if base else None)
            self._own.append(r[_READING : len(r) - len(spec.extras)].tolist() if base else [])
            self._of_reading.append(_named(names, r))
            self._of_request.append(_named(names, m))
        self._context = _Context(self.specs, contexts)
        self._has_extras = any(self._of_reading) or any(self._of_request)

    def scores(self, request: Request, found: Found) -> dict[str, Scores]:
        """What each domain in `found` says of its hypotheses."""
        if self._singles and sum(map(len, found.values())) <= self._few:
            return self._one_by_one(request, found)
        readings = self.readings(found)
        sums = _Sums(readings, request.length, self.room)
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

    def _own_contexts(self, context: Context, readings: _Readings) -> dict[int, list[tuple[float, ...]]]:
        """By place in the request, what the context says of each reading's intent, where it says anything."""
        told = self._context.personal(context) if context else ()
        found = {}
        for j, d in enumerate(_places(readings)) if told else ():
            if d in told:
                part = readings.part(j)
                intents: dict[str, float] = {}
                for h, p in zip(readings.found[part], readings.confidences[1, part].tolist(), strict=True):
                    intents[h.intent] = max(p, intents.get(h.intent, 0.0))
                by_intent = {name: intent_context(self.specs[d], context, name, intents) for name in intents}
                found[j] = [by_intent[h.intent] for h in readings.found[part]]
        return found

    def _linear(
        self, context: Context, readings: _Readings, sums: _Sums, own: Mapping[int, list[tuple[float, ...]]]
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
        places = _places(readings)
        for j, rows in own.items():
            if weights := self._own[places[j]]:
                z[readings.part(j)] += [sum(map(mul, weights, row)) for row in rows]
        if self._has_extras:
            z += _extra_sums(readings.found, readings.sizes, [self._of_reading[d] for d in places])
            heads = [readings.found[i] for i in sums.first.tolist()]
            asked += _extra_sums(heads, repeat(1), [self._of_request[d] for d in places])
        z += apart.take(group)
        top = np.maximum(np.maximum.reduceat(z, starts), _ZERO)
        grown = np.exp(z - top.take(group))
        mine = sigmoid(asked)
        return mine, grown * (mine / (np.add.reduceat(grown, starts) + np.exp(-top))).take(group)

    def _corrected(
        self,
        request: Request,
        readings: _Readings,
        sums: _Sums,
        own: Mapping[int, list[tuple[float, ...]]],
        mine: Floats,
        right: Floats,
    ) -> tuple[Floats, Floats]:
        """The scores with those of trees in their places."""
        raw = np.zeros(len(right))
        features = sums.features(self.room)
        situations: dict[Any, list[float]] = {}
        first = sums.first.tolist()
        for j, d in enumerate(_places(readings)):
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
        return _bounded(mine, corrected if grown.all() else np.where(grown, corrected, right), readings)

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
        rows = self.room.take(4, len(hypotheses), _READING + wide + n + _REQUEST + 2 * len(situation) + n)
        rows[:, :_READING] = features[0].T
        rows[:, _READING : _READING + wide] = 0.0 if own is None else own
        of_request: list[float] = features[1].tolist()
        logit = of_request[0]
        of_request += situation
        of_request += [c * logit for c in situation]
        if n:
            of_each = [_own_features(h.features.get, spec.extras) for h in hypotheses]
            rows[:, _READING + wide : _READING + wide + n] = of_each
            of_request += of_each[head]
        rows[:, _READING + wide + n :] = of_request
        return rows


class _Single:
    """One factored re-ranker with its weights at hand, for a few readings: `arbitrank.learn.features.rows`, summed.

    The weights of what is linear in the same logarithms are one.
    """

    def __init__(self, reranker: Factored) -> None:
        spec = reranker.spec
        self.spec = spec
        self._reading = reranker.right.values[:_READING]
        self._request = reranker.mine.values[:_REQUEST]
        own = len(reranker.right.values) - len(spec.extras)
        self._own = reranker.right.values[_READING:own]
        self._of_reading = _named(spec.extras, np.array(reranker.right.values))
        self._of_request = _named(spec.extras, np.array(reranker.mine.values))

    def scores(
        self,
        hypotheses: Sequence[Hypothesis],
        length: float | None,
        by_context: tuple[float, float],
        context: Context | None,
    ) -> Scores:
        """The scores; `length` is the log of it, `context` is given where it says something of the domain's intents."""
        null, log_i, log_s, logit_i, logit_s, no_i, no_s, _, gap, _, by_count, bias = self._reading
        log_i, log_s, named = log_i + null - gap, log_s + null - gap, self._of_reading
        products: list[float] = []
        sums: list[float] = []
        best: dict[str, float] = {}
        domain = slots = 0.0
        missing = False
        for h in hypotheses:
            d, i, s, count = h.domain_confidence, h.intent_confidence, h.slots_confidence, len(h.slots)
            if s is None and count:
                s = h.reading_confidence
            total = bias + by_count * count
            if d is None or i is None or s is None:
                missing = True
                total += no_i * (i is None) + no_s * (s is None)
                d, i, s = self._filled(d, i, s)
            if i < CLIP or i > _TOP:
                i = min(max(i, CLIP), _TOP)
            if s < CLIP or s > _TOP:
                s = min(max(s, CLIP), _TOP)
            of_i, of_s = log(i), log(s)
            total += log_i * of_i + log_s * of_s + logit_i * (of_i - log(1.0 - i)) + logit_s * (of_s - log(1.0 - s))
            if named:
                get = h.features.get
                for name, weight in named:
                    if x := get(name):
                        total += weight * (x if -_LARGE <= x <= _LARGE else number(x) or 0.0)
            products.append(i * s)
            sums.append(total)
            if d > domain:  # noqa: PLR1730 - a call of `max` takes several times as long
                domain = d
            if s > slots:  # noqa: PLR1730 - as above
                slots = s
            if i > best.get(h.intent, 0.0):
                best[h.intent] = i
        order = sorted(range(len(products)), key=products.__getitem__, reverse=True)
        entropy = -sum([p * log(p) for p in best.values()])
        asked = self._asked(hypotheses[order[0]], min(max(domain, CLIP), _TOP), slots, best, entropy, missing)
        asked += self._request[11] if length is None else self._request[10] * length
        asked += by_context[0] + by_context[1] * _logit(min(max(domain, CLIP), _TOP))
        if context is not None and self._own:
            by_intent = {name: intent_context(self.spec, context, name, best) for name in best}
            sums = [x + sum(map(mul, self._own, by_intent[h.intent])) for x, h in zip(sums, hypotheses, strict=True)]
        return self._shared(sums, products, order, entropy, asked)

    def _filled(self, d: float | None, i: float | None, s: float | None) -> tuple[float, float, float]:
        domain, intent, slots = self.spec.fill
        return domain if d is None else d, intent if i is None else i, slots if s is None else s

    def _shared(
        self, sums: list[float], products: list[float], order: list[int], entropy: float, asked: float
    ) -> Scores:
        """The scores, from what each reading has of its own, and the log-odds of P(mine)."""
        null, _, _, _, _, _, _, by_entropy, gap, by_rank, _, _ = self._reading
        for place, k in enumerate(order[1:], 2):
            sums[k] += by_rank * log(place)
        apart = gap * log(products[order[0]]) - null * log(max(CLIP, 1.0 - sum(products))) + by_entropy * entropy
        top = max(apart + max(sums), 0.0)
        grown = [exp(apart + x - top) for x in sums]
        mine = 0.5 * (1.0 + tanh(0.5 * asked))
        share = mine / (sum(grown) + exp(-top))
        if math.isnan(share):
            raise ValueError("a score is not a number")
        return Scores(mine, np.array([g * share for g in grown]))

    def _asked(
        self, head: Hypothesis, domain: float, slots: float, intents: Mapping[str, float], entropy: float, missing: bool
    ) -> float:
        """The log-odds of P(mine) without the context; `head` is the best reading, the others the greatest."""
        d, no_d, log_i, logit_i, by_entropy, no_i, log_s, logit_s, no_s, by_count, _, _, bias = self._request
        intent = max(intents.values())
        of_i, of_s = log(intent), log(slots)
        asked = bias + d * _logit(domain) + by_entropy * entropy + by_count * len(head.slots)
        asked += log_i * of_i + logit_i * (of_i - log(1.0 - intent))
        asked += log_s * of_s + logit_s * (of_s - log(1.0 - slots))
        if missing:
            asked += no_d * (head.domain_confidence is None) + no_i * (head.intent_confidence is None)
            asked += no_s * (head.reading_confidence is None)
        return asked + _extra_sum(head.features, self._of_request) if self._of_request else asked


def _logit(p: float) -> float:
    return log(p / (1.0 - p))


class _LogLinear(_Block):
    """Log-linear re-rankers, in any of their forms."""

    def __init__(self, parts: Mapping[str, Part]) -> None:
        super().__init__(parts)
        rerankers = [one.reranker for one in parts.values() if isinstance(one.reranker, LogLinear)]
        weights = [np.array(one.weights.values) for one in rerankers]
        self._weights = np.array([one[:_PLAIN] for one in weights]).T.copy()
        self._null = np.array([one.form == "null" for one in rerankers])
        self._each = np.array([one.form == "sigmoid" for one in rerankers])
        contexts: list[Floats | None] = []
        for spec, one in zip(self.specs, weights, strict=True):
            width = len(spec.context_names)
            crossed = one[_PLAIN + width : _PLAIN + 4 * width].reshape(width, 3).T
            contexts.append(np.vstack([one[_PLAIN : _PLAIN + width], crossed]))
        self._context = _Context(self.specs, contexts)
        self._extras = [_named(spec.extras, one) for spec, one in zip(self.specs, weights, strict=True)]

    def scores(self, request: Request, found: Found) -> dict[str, Scores]:
        """What each domain in `found` says of its hypotheses."""
        readings = self.readings(found)
        group, columns = readings.group, readings.columns
        features = self.room.take(1, _PLAIN, len(group))
        features[0], features[1:3] = readings.logits[0], readings.logs[1:]
        features[3:6] = 0.0 if readings.missing is None else readings.missing
        features[6] = 1.0
        z = np.add.reduce(features * self._weights.take(columns, axis=1), axis=0)
        by_context = self._context.sums(request.context).take(columns, axis=1)
        z += by_context[0] + np.add.reduce(by_context[1:] * features[:3], axis=0)
        if any(self._extras):
            z += _extra_sums(readings.found, readings.sizes, [self._extras[d] for d in _places(readings)])
        mine, right = _bounded(np.zeros(len(readings.sizes)), self._shares(z, readings), readings)
        return self.said(found, readings, mine, right)

    def _shares(self, z: Floats, readings: _Readings) -> Floats:
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


class _Sums:
    """What the factored form is a weighted sum of.

    `of_readings`, (8, N): domain's logit, log of the product, logits of intent and slots, their logs, log of 1 + rank,
    number of slots. `of_domains`, (12, k): the greatest of the first six of these, null odds, entropy of the intents,
    number of slots of the best reading, 1, log of 1 + length, whether that is missing. `first`: the best readings.
    """

    def __init__(self, readings: _Readings, length: int | None, room: _Buffers) -> None:
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
        np.log(np.maximum(_LEAST, _ONE - np.add.reduceat(product, starts)), out=whole[6])
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

    def features(self, room: _Buffers) -> tuple[Floats, Floats]:
        """The features of readings, (12, N), and of requests, (13, k), that have names of their own, in their order."""
        each, whole, readings = self.of_readings, self.of_domains, self._readings
        of_readings, of_requests = (
            room.take(3, _READING, len(readings.found)),
            np.empty((_REQUEST, len(readings.sizes))),
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


def _named(names: Sequence[str], weights: Floats) -> list[tuple[str, float]]:
    """A hypothesis's own features, whose weights come last, with their weights."""
    last = weights[len(weights) - len(names) :].tolist()
    return [(name, weight) for name, weight in zip(names, last, strict=True) if weight]


def _own_features(get: Callable[[str, float], float], names: Sequence[str]) -> list[float]:
    """As `arbitrank.learn.features.extras`."""
    return [x if -_LARGE <= (x := get(name, 0.0)) <= _LARGE else number(x) or 0.0 for name in names]


def _extra_sums(
    found: Sequence[Hypothesis], sizes: Iterable[int], weights: Sequence[Sequence[tuple[str, float]]]
) -> list[float]:
    """What the hypotheses' own features add, of each."""
    sums: list[float] = []
    hypotheses = iter(found)
    for size, named in zip(sizes, weights, strict=False):
        sums += [_extra_sum(h.features, named) for h in islice(hypotheses, size)]
    return sums


def _extra_sum(features: Mapping[str, float], named: Sequence[tuple[str, float]]) -> float:
    """Σ weight · feature."""
    total, get = 0.0, features.get
    for name, weight in named:
        if x := get(name):
            total += weight * (x if -_LARGE <= x <= _LARGE else number(x) or 0.0)
    return total
