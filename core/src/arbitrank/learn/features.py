"""What a re-ranker sees of a request: named numbers from the confidences and the context of one domain.

Nothing is normalised over another domain's candidates, so a domain's features are the same whoever else is installed.
A feature's name begins with its group (`domain.`, `intent.`, `slots.`, `context.`, `features.`, `bias`), which is how
contributions are summed for people. A missing confidence is replaced by the mean of the training data and has an
indicator; confidences are clipped to [1e-6, 1 - 1e-6] before logarithms are taken. The factored re-ranker sees those of
intents and slots as logs, which add up as a product does, and as logits, which still tell them apart where a recogniser
pushes them all towards 1.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from arbitrank.probability import CLIP, clipped, logit
from arbitrank.values import Context, Request

Floats = NDArray[np.float64]

CORE_KEYS = ("device", "has_screen", "locale")
"""Context keys that every domain looks at; `previous_*` and `preference.*` are read for the domain's own sake."""

LARGE = 1e9
"""Numbers are clipped to this, so that no sum of them overflows."""

_RARE = 5  # a context value seen in fewer requests than this is not worth a weight


class Confidences(NamedTuple):
    """A domain's mean confidences in its training data, in [0, 1]: what stands for a missing one."""

    domain: float = 0.5
    intent: float = 0.5
    slots: float = 0.5


class Situation(msgspec.Struct, frozen=True, omit_defaults=True):
    """One number from the context: that `key` has the text `value`, or, without a value, the number that it holds.

    A number is clipped to [`low`, `high`], the range it had in training, so that a wild one can't decide a request.
    """

    key: str
    value: str | None = None
    low: float = -1.0
    high: float = 1.0

    @property
    def name(self) -> str:
        """The feature's name: `context.KEY=VALUE`, or `context.KEY` for a number."""
        return f"context.{self.key}" if self.value is None else f"context.{self.key}={self.value}"


class FeatureSpec(msgspec.Struct, frozen=True):
    """Which features a domain's re-ranker has, fixed when it is trained and kept with its weights.

    `situations` are the context's numbers, `preferences` says whether the user's preferences are among them, `extras`
    are the names of the hypotheses' own features, `fill` stands for missing confidences.
    """

    domain: str
    situations: tuple[Situation, ...] = ()
    preferences: bool = False
    previous: bool = False
    extras: tuple[str, ...] = ()
    fill: Confidences = Confidences()

    @property
    def context_names(self) -> tuple[str, ...]:
        """The names of what `context_row` gives."""
        names = [situation.name for situation in self.situations]
        if self.preferences:
            names += ["context.preference", "context.preference_margin", "context.preference_missing"]
            names.append("context.favourite")
        if self.previous:
            names.append("context.previous_mine")
        return tuple(names)

    @property
    def request_names(self) -> tuple[str, ...]:
        """The names of `request_row`: what P(mine) is made of."""
        crossed = [f"{name}×logit" for name in self.context_names]
        return (*_REQUEST, *self.context_names, *crossed, *_named("features.", self.extras))

    @property
    def reading_names(self) -> tuple[str, ...]:
        """The names of `reading_rows`: what P(right | mine) is made of."""
        favourite = ("context.intent_favourite",) if self.preferences else ()
        return (*_READING, *_OWN_CONTEXT, *favourite, *_named("features.", self.extras))

    @property
    def plain_names(self) -> tuple[str, ...]:
        """The names of `plain_rows`: the article's three confidences, and the context crossed with them."""
        crossed = [f"{name}×{score}" for name in self.context_names for score in _PLAIN[:3]]
        return (*_PLAIN, *self.context_names, *crossed, *_named("features.", self.extras))


_PLAIN = ("domain.logit", "intent.log", "slots.log", "domain.missing", "intent.missing", "slots.missing", "bias")
_REQUEST = (
    "domain.logit",
    "domain.missing",
    "intent.best",
    "intent.best_logit",
    "intent.entropy",
    "intent.missing",
    "slots.best",
    "slots.best_logit",
    "slots.missing",
    "slots.count",
    "context.length",
    "context.length_missing",
    "bias",
)
_READING = (
    "reading.null_odds",
    "intent.log",
    "slots.log",
    "intent.logit",
    "slots.logit",
    "intent.missing",
    "slots.missing",
    "intent.entropy",
    "reading.gap",
    "reading.rank",
    "slots.count",
    "bias",
)
_OWN_CONTEXT = ("context.intent_preference", "context.intent_margin", "context.intent_previous")


def fit_features(
    domain: str, requests: Sequence[Request], *, keys: Iterable[str] = CORE_KEYS, context: bool = True
) -> FeatureSpec:
    """The features that the requests, holding the domain's own hypotheses, have data for.

    `keys` are the context keys to look at; numbers and booleans are taken as they are, texts by their values. Without
    `context` the re-ranker sees confidences and hypothesis features alone.
    """
    census = Census(domain, keys)
    for request in requests:
        census.count(request)
    return census.spec(context=context)


class Census:
    """What requests have, counted one after another: all that decides which features there are.

    Counts of parts of the requests, made anywhere, are added together by `merge`.
    """

    def __init__(self, domain: str, keys: Iterable[str] = CORE_KEYS) -> None:
        self._domain, self._own = domain, f"preference.{domain}"
        self._sums, self._known = [0.0, 0.0, 0.0], [0, 0, 0]
        self._extras: set[str] = set()
        self._seen: dict[str, Counter[str | float | None]] = {key: Counter() for key in keys}
        self._preferences, self._previous = False, 0

    def count(self, request: Request) -> None:
        """Count a request that holds the domain's own hypotheses."""
        for h in request.hypotheses or ():
            for i, confidence in enumerate((h.domain_confidence, h.intent_confidence, h.reading_confidence)):
                if confidence is not None:
                    self._sums[i] += confidence
                    self._known[i] += 1
            self._extras.update(h.features)
        context = request.context
        for key, seen in self._seen.items():
            seen[_scalar(context.get(key))] += 1
        self._preferences |= any(key == self._own or key.startswith(f"{self._own}.") for key in context)
        self._previous += "previous_domain" in context

    def merge(self, other: Census) -> None:
        """Add what another part of the requests has."""
        self._sums = [a + b for a, b in zip(self._sums, other._sums, strict=True)]
        self._known = [a + b for a, b in zip(self._known, other._known, strict=True)]
        self._extras |= other._extras
        for key, seen in other._seen.items():
            self._seen[key].update(seen)
        self._preferences |= other._preferences
        self._previous += other._previous

    def spec(self, *, context: bool = True) -> FeatureSpec:
        """The features that there are data for."""
        fill = Confidences(*(s / n if n else 0.5 for s, n in zip(self._sums, self._known, strict=True)))
        extras = tuple(sorted(self._extras))
        if not context:
            return FeatureSpec(self._domain, extras=extras, fill=fill)
        situations = tuple(s for key, seen in self._seen.items() for s in _situations(key, seen))
        return FeatureSpec(self._domain, situations, self._preferences, self._previous >= _RARE, extras, fill)


def _situations(key: str, seen: Counter[str | float | None]) -> list[Situation]:
    texts = sorted(value for value, n in seen.items() if isinstance(value, str) and n >= _RARE)
    numbers = {value for value in seen if isinstance(value, float)}
    found = []
    if len(numbers) > 1 or (numbers and None in seen):
        found = [Situation(key, low=min(-1.0, *numbers), high=max(1.0, *numbers))]
    constant = len(texts) == 1 and len(seen) == 1
    return found + ([] if constant else [Situation(key, text) for text in texts])


def _scalar(value: Any) -> str | float | None:
    if isinstance(value, str):
        return value
    return number(value)


def context_row(spec: FeatureSpec, context: Context) -> list[float]:
    """The context's numbers in the order of `spec.context_names`.

    An unknown device or a missing key is all zeros. A boolean counts ±1, so that absent, at 0, is neither. A preference
    counts as it is, by its margin to the strongest other domain's, and by whether it is the favourite: 1 where it is
    above all others, -1 where it is not, 0 where there is nothing to compare.
    """
    row = []
    for situation in spec.situations:
        value = context.get(situation.key)
        if situation.value is not None:
            row.append(1.0 if value == situation.value else 0.0)
        elif isinstance(value, bool):
            row.append(1.0 if value else -1.0)
        else:
            row.append(min(max(number(value) or 0.0, situation.low), situation.high))
    if spec.preferences:
        row += preference_row(spec, context)
    if spec.previous:
        row.append(1.0 if context.get("previous_domain") == spec.domain else 0.0)
    return row


def preference_row(spec: FeatureSpec, context: Context) -> list[float]:
    """The user's preference for the domain, its margin to the strongest other's, 1 where it is missing, the sign of
    the margin."""
    mine = number(context.get(f"preference.{spec.domain}"))
    if mine is None:
        return [0.0, 0.0, 1.0, 0.0]
    rivals = [number(v) for k, v in context.items() if _is_rival(k, spec.domain)]
    margin = mine - max((r for r in rivals if r is not None), default=mine)
    return [mine, margin, 0.0, _sign(margin)]


def _is_rival(key: str, domain: str) -> bool:
    return key.startswith("preference.") and key.count(".") == 1 and key != f"preference.{domain}"


def _sign(value: float) -> float:
    """1, 0 or -1. How far apart two preferences are is each provider's own scale; which is the greater is not."""
    return float((value > 0.0) - (value < 0.0))


def number(value: Any) -> float | None:
    """The value as a float that weights can be multiplied with, None where it is not a number."""
    return float(min(max(value, -LARGE), LARGE)) if isinstance(value, int | float) else None


class Parts(NamedTuple):
    """The confidences of a request's hypotheses, filled and clipped: lists of n numbers, flags of what is missing."""

    domain: list[float]
    intent: list[float]
    slots: list[float]
    missing: list[tuple[float, float, float]]


def parts(request: Request, fill: Confidences) -> Parts:
    """The three confidences of each hypothesis, a missing one filled with `fill`, clipped to [CLIP, 1 - CLIP]."""
    domain, intent, slots, missing = [], [], [], []
    for h in request.hypotheses or ():
        d, i, s = h.domain_confidence, h.intent_confidence, h.reading_confidence
        domain.append(clipped(fill.domain if d is None else d))
        intent.append(clipped(fill.intent if i is None else i))
        slots.append(clipped(fill.slots if s is None else s))
        missing.append((float(d is None), float(i is None), float(s is None)))
    return Parts(domain, intent, slots, missing)


def plain_rows(spec: FeatureSpec, request: Request) -> list[list[float]]:
    """A row for each hypothesis, in the order of `spec.plain_names`."""
    confidences = parts(request, spec.fill)
    context = context_row(spec, request.context)
    rows = []
    for h, d, i, s, missing in zip(request.hypotheses or (), *confidences, strict=True):
        scores = (logit(d), math.log(i), math.log(s))
        crossed = [c * score for c in context for score in scores]
        rows.append([*scores, *missing, 1.0, *context, *crossed, *extras(spec, h.features)])
    return rows


def rows(spec: FeatureSpec, request: Request) -> tuple[list[float], list[list[float]]]:
    """The features of the request, by `spec.request_names`, and of each reading, by `spec.reading_names`."""
    hypotheses = request.hypotheses or ()
    confidences = parts(request, spec.fill)
    context = context_row(spec, request.context)
    products = [i * s for i, s in zip(confidences.intent, confidences.slots, strict=True)]
    order = sorted(range(len(products)), key=lambda k: -products[k])
    first = order[0]
    rank = [0] * len(order)
    for place, k in enumerate(order):
        rank[k] = place
    intents: dict[str, float] = {}
    for h, i in zip(hypotheses, confidences.intent, strict=True):
        intents[h.intent] = max(i, intents.get(h.intent, 0.0))
    entropy = -sum(p * math.log(p) for p in intents.values())
    mine = logit(max(confidences.domain))
    best = math.log(max(products))
    null = math.log(max(CLIP, 1.0 - sum(products)))
    length = request.length
    missing = confidences.missing[first]
    of_request = [
        mine,
        missing[0],
        math.log(max(confidences.intent)),
        logit(max(confidences.intent)),
        entropy,
        missing[1],
        math.log(max(confidences.slots)),
        logit(max(confidences.slots)),
        missing[2],
        float(len(hypotheses[first].slots)),
        0.0 if length is None else math.log1p(length),
        float(length is None),
        1.0,
        *context,
        *(c * mine for c in context),
        *extras(spec, hypotheses[first].features),
    ]
    of_readings = [
        [
            math.log(product) - null,
            math.log(i),
            math.log(s),
            logit(i),
            logit(s),
            flags[1],
            flags[2],
            entropy,
            best - math.log(product),
            math.log1p(place),
            float(len(h.slots)),
            1.0,
            *intent_context(spec, request.context, h.intent, intents),
            *extras(spec, h.features),
        ]
        for h, product, i, s, flags, place in zip(
            hypotheses, products, confidences.intent, confidences.slots, confidences.missing, rank, strict=True
        )
    ]
    return of_request, of_readings


def intent_context(spec: FeatureSpec, context: Context, intent: str, intents: Mapping[str, float]) -> tuple[float, ...]:
    """The user's preference for the intent, its margin to the other readings' intents, whether it is asked again, and
    the share of them that it is preferred to, less the share that is preferred to it.

    The others weigh as the recogniser believes them: one that the words speak against is no rival.
    """
    again = spec.previous and context.get("previous_domain") == spec.domain and context.get("previous_intent") == intent
    if not spec.preferences:
        return 0.0, 0.0, float(again)
    preferred = {name: number(context.get(f"preference.{spec.domain}.{name}")) for name in intents}
    mine = preferred[intent]
    if mine is None:
        return 0.0, 0.0, float(again), 0.0
    rivals = [(intents[k], mine - v) for k, v in preferred.items() if k != intent and v is not None]
    weight = sum(p for p, _ in rivals) or 1.0
    margin = sum(p * ahead for p, ahead in rivals) / weight
    return mine, margin, float(again), sum(p * _sign(ahead) for p, ahead in rivals) / weight


def extras(spec: FeatureSpec, features: dict[str, float]) -> list[float]:
    """A hypothesis's own features in the order of `spec.extras`, 0 for one that it doesn't have."""
    return [number(features.get(name)) or 0.0 for name in spec.extras]


def _named(prefix: str, names: Iterable[str]) -> tuple[str, ...]:
    return tuple(prefix + name for name in names)
