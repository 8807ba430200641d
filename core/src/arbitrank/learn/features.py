"""Features of a request: named numbers from the confidences and the context of one domain, in the order of its spec.

Nothing is normalised over another domain's candidates, so a domain's features do not depend on the others installed. A
missing confidence is replaced by the mean of the training data and has an indicator; confidences are clipped to
[1e-6, 1 - 1e-6] before logarithms are taken. The factored re-ranker gets those of intents and slots as logs, which add
up as a product does, and as logits, which still differ where a recogniser pushes them all towards 1.

`rows` is the reference for `arbitrank.learn.matrices` and `arbitrank.learn.scoring`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from arbitrank.learn.feature_spec import Confidences, FeatureSpec
from arbitrank.learn.standardisation import standardised_row
from arbitrank.probability import CLIP, clipped, logit
from arbitrank.values import Context, Hypothesis, Request

CORE_KEYS = ("device", "has_screen", "locale")
"""Context keys that every domain reads; `previous_*` and `preference.*` are read only for the domain itself."""

LARGE = 1e9
"""Numbers are clipped to this, so that no sum of them overflows."""


def context_row(spec: FeatureSpec, context: Context) -> list[float]:
    """The context's numbers in the order of `spec.context_names`.

    An unknown device or a missing key is all zeros, but for the indicator of a missing number. A boolean counts ±1, so
    that absent, at 0, is neither. A preference counts as it is, by its margin to the strongest other domain's, and by
    whether it is the favourite: 1 where it is above all others, -1 where it is not, 0 where there is nothing to
    compare.
    """
    row = []
    for situation in spec.situations:
        value = context.get(situation.key)
        if situation.value is not None:
            row.append(1.0 if value == situation.value else 0.0)
        else:
            row.append(situation_number(value, situation.low, situation.high))
    if spec.numbers:
        row += standardised_row(spec.numbers, context)
    if spec.preferences:
        row += preference_row(spec, context)
    if spec.previous:
        row.append(1.0 if context.get("previous_domain") == spec.domain else 0.0)
    return row


def situation_number(value: Any, low: float, high: float) -> float:
    """±1 for a boolean; a number clipped to [low, high], 0 standing for anything else."""
    if value is True or value is False:
        return 1.0 if value else -1.0
    return min(max(number(value) or 0.0, low), high)


def preference_row(spec: FeatureSpec, context: Context) -> list[float]:
    """The user's preference for the domain, its margin to the strongest other's, 1 where it is missing, the sign of
    the margin."""
    own = f"preference.{spec.domain}"
    mine = number(context.get(own))
    if mine is None:
        return [0.0, 0.0, 1.0, 0.0]
    rivals = [number(v) for k, v in context.items() if k.startswith("preference.") and k.count(".") == 1 and k != own]
    margin = mine - max((r for r in rivals if r is not None), default=mine)
    return [mine, margin, 0.0, _sign(margin)]


def _sign(value: float) -> float:
    """1, 0 or -1. How far apart two preferences are is each provider's own scale; which is the greater is not."""
    return float((value > 0.0) - (value < 0.0))


def number(value: Any) -> float | None:
    """The value as a float that weights can be multiplied with, None where it is not a number."""
    if type(value) is float and -LARGE <= value <= LARGE:
        return value
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
        missing.append((float(d is None), float(i is None), float(s is None)))
        domain.append(clipped(fill.domain if d is None else d))
        intent.append(clipped(fill.intent if i is None else i))
        slots.append(clipped(fill.slots if s is None else s))
    return Parts(domain, intent, slots, missing)


def rows(spec: FeatureSpec, request: Request) -> tuple[list[float], list[list[float]]]:
    """The features of the request, by `spec.request_names`, and of each reading, by `spec.reading_names`."""
    hypotheses = request.hypotheses or ()
    domain, intent, slots, missing = parts(request, spec.fill)
    context = context_row(spec, request.context)
    products = [i * s for i, s in zip(intent, slots, strict=True)]
    order = sorted(range(len(products)), key=products.__getitem__, reverse=True)
    first = order[0]
    rank = [0] * len(order)
    for place, k in enumerate(order):
        rank[k] = place
    intents = best_intents(hypotheses, intent)
    entropy = -sum(p * math.log(p) for p in intents.values())
    best = math.log(products[first])
    null = math.log(max(CLIP, 1.0 - sum(products)))
    own = intent_contexts(spec, request.context, intents)
    of_readings = []
    for h, i, s, flags, place in zip(hypotheses, intent, slots, missing, rank, strict=True):
        log_i, log_s, log_product = math.log(i), math.log(s), math.log(i * s)
        of_reading = [
            log_product - null,
            log_i,
            log_s,
            logit(i),
            logit(s),
            flags[1],
            flags[2],
            entropy,
            best - log_product,
            math.log1p(place),
            float(len(h.slots)),
            1.0,
            *own[h.intent],
            *own_row(spec, h.features),
        ]
        of_readings.append(of_reading)
    mine, best_intent, best_slots, length = logit(max(domain)), max(intent), max(slots), request.length
    of_request = [
        mine,
        missing[first][0],
        math.log(best_intent),
        logit(best_intent),
        entropy,
        missing[first][1],
        math.log(best_slots),
        logit(best_slots),
        missing[first][2],
        float(len(hypotheses[first].slots)),
        0.0 if length is None else math.log1p(length),
        float(length is None),
        1.0,
        *context,
        *(c * mine for c in context),
        *own_row(spec, hypotheses[first].features),
    ]
    return of_request, of_readings


def best_intents(hypotheses: Sequence[Hypothesis], confidences: Sequence[float]) -> dict[str, float]:
    """Each intent of the hypotheses with its greatest confidence."""
    best: dict[str, float] = {}
    for h, confidence in zip(hypotheses, confidences, strict=True):
        best[h.intent] = max(confidence, best.get(h.intent, 0.0))
    return best


def intent_contexts(spec: FeatureSpec, context: Context, intents: Mapping[str, float]) -> dict[str, tuple[float, ...]]:
    """For each intent: the user's preference for it, its margin to the other readings' intents, whether it is requested
    again, and the share of them that it is preferred to, less the share that is preferred to it.

    `intents` holds the recogniser's confidences, by which the others weigh: an intent that the words speak against is
    no rival.
    """
    blank = (0.0,) * (4 if spec.preferences else 3)
    found = dict.fromkeys(intents, blank)
    if not context:
        return found
    if spec.preferences:
        own = f"preference.{spec.domain}."
        preferred = {name: x for name in intents if (x := number(context.get(own + name))) is not None}
        for name, mine in preferred.items():
            rivals = [(intents[k], mine - v) for k, v in preferred.items() if k != name]
            weight = sum(p for p, _ in rivals) or 1.0
            margin = sum(p * ahead for p, ahead in rivals) / weight
            found[name] = mine, margin, 0.0, sum(p * _sign(ahead) for p, ahead in rivals) / weight
    again = context.get("previous_intent")
    if spec.previous and context.get("previous_domain") == spec.domain and isinstance(again, str) and again in found:
        found[again] = (*found[again][:2], 1.0, *found[again][3:])
    return found


def own_row(spec: FeatureSpec, features: Mapping[str, float]) -> list[float]:
    """A hypothesis's own features in the order of `spec.own_names`; of `extras`, 0 for one that it doesn't have."""
    row = [number(features.get(name)) or 0.0 for name in spec.extras] if spec.extras else []
    return row + standardised_row(spec.own, features) if spec.own else row
