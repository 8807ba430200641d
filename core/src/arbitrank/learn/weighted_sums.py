"""Weighted sums of a context and of a hypothesis's own features, by what they hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import inf
from operator import mul

from arbitrank.learn.feature_spec import FeatureSpec
from arbitrank.learn.features import LARGE, context_row, number, preference_row, situation_number
from arbitrank.learn.standardisation import Number, finite
from arbitrank.values import Context

Columns = Sequence[Sequence[float]]


class ContextSums:
    """The context's part of one or more weighted sums, by what the context holds.

    `columns` holds the weights of each sum, in the order of `spec.context_names`.
    """

    def __init__(self, spec: FeatureSpec, columns: Columns) -> None:
        self._spec = spec
        rows = list(zip(*columns, strict=True))
        empty = context_row(spec, {})
        self.absent = tuple(sum(map(mul, empty, column)) for column in columns)
        self._texts: dict[str, dict[str, list[float]]] = {}
        self._numbers: dict[str, list[tuple[float, float, float, Sequence[float]]]] = {}
        for situation, weights, absent in zip(spec.situations, rows, empty, strict=False):
            if situation.value is None:
                numeric = situation.low, situation.high, absent, weights
                self._numbers.setdefault(situation.key, []).append(numeric)
            else:
                texts = self._texts.setdefault(situation.key, {})
                known = texts.get(situation.value, [0.0] * len(columns))
                texts[situation.value] = [a + b for a, b in zip(known, weights, strict=True)]
        first = len(spec.situations)
        self._scaled: dict[str, tuple[Number, Sequence[float], Sequence[float]]] = {}
        for one in spec.numbers:
            missing = rows[first + 1] if one.missing else (0.0,) * len(columns)
            self._scaled[one.name] = one, rows[first], missing
            first += 1 + one.missing
        self._preference = rows[first : first + 4] if spec.preferences else []
        self._own = f"preference.{spec.domain}" if spec.preferences else ""
        self._previous = rows[-1] if spec.previous else None

    def __call__(self, context: Context) -> tuple[Sequence[float], bool]:  # noqa: PLR0912 - a call a key costs too much
        """The sums, and whether the context says anything of the domain's intents."""
        if not context:
            return self.absent, False
        sums, texts, numbers, own, personal = list(self.absent), self._texts, self._numbers, self._own, False
        for key, value in context.items():
            if isinstance(value, str):
                if (by_text := texts.get(key)) is not None and (weights := by_text.get(value)) is not None:
                    for j, weight in enumerate(weights):
                        sums[j] += weight
            elif (numeric := numbers.get(key)) is not None:
                for low, high, absent, per_unit in numeric:
                    x = situation_number(value, low, high)
                    for j, weight in enumerate(per_unit):
                        sums[j] += weight * (x - absent)
            elif (one := self._scaled.get(key)) is not None and (given := finite(value)) is not None:
                _add(sums, one[1], one[0].standardised(given))
                _add(sums, one[2], -1.0)
            if own and key.startswith(own):
                if key == own:
                    self._prefer(sums, context)
                elif key[len(own)] == ".":
                    personal = True
        if self._previous is not None and context.get("previous_domain") == self._spec.domain:
            _add(sums, self._previous)
            personal = True
        return sums, personal

    def _prefer(self, sums: list[float], context: Context) -> None:
        """Add the user's preference for the domain; without one, only the indicator of its absence is 1."""
        for weights, x, absent in zip(
            self._preference, preference_row(self._spec, context), (0.0, 0.0, 1.0, 0.0), strict=True
        ):
            _add(sums, weights, x - absent)


def _add(sums: list[float], weights: Sequence[float], times: float = 1.0) -> None:
    for j, weight in enumerate(weights):
        sums[j] += weight * times


Own = tuple[float, float, float, float, float, Number | None]
"""A hypothesis's own feature x: the least and the greatest x for which its part is weight · x + offset; weight, offset;
what its presence adds; its distribution."""

_COARSE = 1e3  # spreads between a centre and 0 from which on weight · x + offset would lose digits


class OwnWeights:
    """Weights of hypotheses' own features in one weighted sum.

    `known` holds those that have a weight, by name, `absent` is the sum where all are missing; `zeros` is True where
    one counts though it is 0.
    """

    def __init__(self, spec: FeatureSpec, values: Sequence[float]) -> None:
        """`values` are the weights of all features, of which the own ones come last."""
        self.known: dict[str, Own] = {}
        self.absent = 0.0
        weights = iter(values[len(values) - len(spec.own_names) :])
        for name in spec.extras:
            if weight := next(weights):
                self.known[name] = -LARGE, LARGE, weight, 0.0, 0.0, None
        for one in spec.own:
            weight, missing = next(weights), next(weights) if one.missing else 0.0
            self.absent += missing
            slope, (low, high) = weight / one.spread, one.linear
            if abs(one.centre) > _COARSE * one.spread:
                low, high = inf, -inf
            if weight or missing:
                self.known[one.name] = low, high, slope, -missing - slope * one.centre, -missing, one
        self.zeros = any(offset or not low <= 0.0 <= high for low, high, _, offset, _, _ in self.known.values())

    def __call__(self, features: Mapping[str, float]) -> float:
        """The part of a hypothesis's features in the sum, beside `absent`."""
        total, known, zeros = 0.0, self.known, self.zeros
        for name, x in features.items():
            if (x or zeros) and (own := known.get(name)) is not None:
                low, high, weight, offset, _, _ = own
                total += weight * x + offset if low <= x <= high else beyond(x, own)
        return total


def beyond(x: float, own: Own) -> float:
    """The part of a feature in the weighted sum where it isn't weight · x + offset."""
    _, _, weight, _, present, one = own
    if one is None:
        return weight * (number(x) or 0.0)
    given = finite(x)
    return 0.0 if given is None else present + weight * one.spread * one.standardised(given)
