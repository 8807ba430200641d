"""What the context adds to many domains' weighted sums, found by what a context holds."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from arbitrank.learn.features import FeatureSpec, number
from arbitrank.values import Context

Floats = NDArray[np.float64]
Places = NDArray[np.intp]


class ContextSums:
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
