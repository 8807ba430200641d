"""Census of training requests: which features a domain's re-ranker gets, by what its data hold."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import zip_longest

from arbitrank.learn.feature_spec import HIGHEST, LOWEST, Confidences, FeatureSpec, Situation
from arbitrank.learn.features import CORE_KEYS, LARGE
from arbitrank.learn.standardisation import Number, Sample, finite
from arbitrank.semer import entirely_right
from arbitrank.values import Hypothesis, Request, Truth

_SUREST = 0.99  # of readings without a confidence: rightness that the stated ones understate is for weights to learn
_RARE = 5  # a context value seen in fewer requests than this is not worth a weight


def fit_features(
    domain: str,
    requests: Sequence[Request],
    truths: Sequence[Truth] = (),
    *,
    keys: Iterable[str] = CORE_KEYS,
    context: bool = True,
) -> FeatureSpec:
    """The features that the requests, holding the domain's own hypotheses, have data for.

    `truths`, one a request where there are any, tell what stands for a confidence that the domain never states. `keys`
    are the context keys to read; numbers are standardised, texts are taken by their values. Without `context` there
    are the features of confidences and hypotheses alone.
    """
    census = Census(domain, keys)
    for request, truth in zip_longest(requests, truths):
        census.count(request, truth)
    return census.spec(context=context)


class Census:
    """Counts of what requests hold, which decide the features; those of parts of the requests add up by `merge`."""

    def __init__(self, domain: str, keys: Iterable[str] = CORE_KEYS) -> None:
        self._domain, self._own = domain, f"preference.{domain}"
        self._sums, self._known = [0.0, 0.0, 0.0], [0, 0, 0]
        self._right, self._expected = 0, 0.0
        self._own_features: dict[str, Sample] = {}
        self._hypotheses = 0
        self._seen: dict[str, Counter[str | float | None]] = {key: Counter() for key in keys}
        self._booleans: set[str] = set()
        self._preferences, self._previous = False, 0

    def count(self, request: Request, truth: Truth | None = None) -> None:
        """Count a request that holds the domain's own hypotheses, with its truth where that is known."""
        own = truth if truth is not None and truth.owned_by(self._domain) else None
        for h in request.hypotheses or ():
            if own is not None and None in (h.intent_confidence, h.reading_confidence):
                self._count_unstated(h, own)
            for i, confidence in enumerate((h.domain_confidence, h.intent_confidence, h.reading_confidence)):
                if confidence is not None:
                    self._sums[i] += confidence
                    self._known[i] += 1
            self._hypotheses += 1
            for name, given in h.features.items():
                if (x := finite(given)) is not None:
                    self._own_features.setdefault(name, Sample()).add(x)
        context = request.context
        for key, seen in self._seen.items():
            value = context.get(key)
            seen[value if isinstance(value, str) else finite(value)] += 1
            if isinstance(value, bool):
                self._booleans.add(key)
        self._preferences |= any(key == self._own or key.startswith(f"{self._own}.") for key in context)
        self._previous += "previous_domain" in context

    def _count_unstated(self, reading: Hypothesis, truth: Truth) -> None:
        """Count a reading of the domain's own request that lacks a confidence: how far the other one expects it to be
        right, and whether it is."""
        stated = (reading.intent_confidence, reading.reading_confidence)
        self._expected += math.prod(c for c in stated if c is not None)
        self._right += entirely_right(reading, truth.seen_by(self._domain))

    def merge(self, other: Census) -> None:
        """Add the counts of another part of the requests."""
        self._sums = [a + b for a, b in zip(self._sums, other._sums, strict=True)]
        self._known = [a + b for a, b in zip(self._known, other._known, strict=True)]
        self._right += other._right
        self._expected += other._expected
        self._hypotheses += other._hypotheses
        self._booleans |= other._booleans
        for name, sample in other._own_features.items():
            self._own_features.setdefault(name, Sample()).merge(sample)
        for key, seen in other._seen.items():
            self._seen[key].update(seen)
        self._preferences |= other._preferences
        self._previous += other._previous

    def spec(self, *, context: bool = True) -> FeatureSpec:
        """The features that the counted requests have data for."""
        fill = self._fill()
        own = tuple(sample.number(name, self._hypotheses) for name, sample in sorted(self._own_features.items()))
        if not context:
            return FeatureSpec(self._domain, fill=fill, own=own)
        situations = tuple(s for key, seen in self._seen.items() for s in self._situations(key, seen))
        numbers = tuple(n for key, seen in self._seen.items() for n in self._numbers(key, seen))
        previous = self._previous >= _RARE
        return FeatureSpec(self._domain, situations, self._preferences, previous, (), fill, numbers, own)

    def _fill(self) -> Confidences:
        """Means of the stated confidences. One that the domain never states is what makes the product of R0 right as
        often as the domain's own readings are, by the rule of succession; 0.5 where no truths tell."""
        means = [s / n if n else 0.5 for s, n in zip(self._sums, self._known, strict=True)]
        unstated = [i for i in (1, 2) if not self._known[i]]
        if self._expected:
            share = min((self._right + 1.0) / (self._expected + 2.0), _SUREST)
            for i in unstated:
                means[i] = share ** (1.0 / len(unstated))
        return Confidences(*means)

    def _situations(self, key: str, seen: Counter[str | float | None]) -> list[Situation]:
        """The texts of a key, and its booleans."""
        texts = sorted(value for value, n in seen.items() if isinstance(value, str) and n >= _RARE)
        numbers = [max(-LARGE, min(value, LARGE)) for value in seen if isinstance(value, float)]
        found = []
        if key in self._booleans and _informative(seen):
            found = [Situation(key, low=min(LOWEST, *numbers), high=max(HIGHEST, *numbers))]
        constant = len(texts) == 1 and len(seen) == 1
        return found + ([] if constant else [Situation(key, text) for text in texts])

    def _numbers(self, key: str, seen: Counter[str | float | None]) -> list[Number]:
        """The number of a key that never holds a boolean; else it is one of the situations."""
        if key in self._booleans or not _informative(seen):
            return []
        sample = Sample()
        for value, n in seen.items():
            if isinstance(value, float):
                for _ in range(n):
                    sample.add(value)
        return [sample.number(key, seen.total())]


def _informative(seen: Counter[str | float | None]) -> bool:
    """True where a key holds several numbers, or a number here and nothing there."""
    numbers = {value for value in seen if isinstance(value, float)}
    return len(numbers) > 1 or (bool(numbers) and None in seen)
