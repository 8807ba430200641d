"""Features of many requests as matrices: `arbitrank.learn.features.rows` in vectorised form, and log-linear models'.

`rows` is the reference; the numbers are the same but for the rounding of sums.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from itertools import count

import numpy as np

from arbitrank.learn.feature_spec import FeatureSpec
from arbitrank.learn.features import best_intents, context_row, intent_contexts, number
from arbitrank.learn.standardisation import standardised_columns
from arbitrank.probability import CLIP, Floats, Starts, log_odds
from arbitrank.values import Hypothesis, Request


def matrices(
    spec: FeatureSpec, requests: Sequence[Request], starts: Starts, own: Sequence[Sequence[Hypothesis]] | None = None
) -> tuple[Floats, Floats]:
    """The features of R requests, by `spec.request_names`, and of their N readings, by `spec.reading_names`.

    `starts`, shape (R,): where each request's hypotheses begin, `own` where it has others too. None has no hypotheses.
    """
    found = [h for some in (own or (request.hypotheses or () for request in requests)) for h in some]
    sizes = np.diff(np.append(starts, len(found)))
    group = np.repeat(np.arange(len(requests)), sizes)
    (domain, intent, slots), (no_domain, no_intent, no_slots) = _confidences(found, spec)
    product = intent * slots
    order = np.lexsort((-product, group))
    rank = np.empty(len(found))
    rank[order] = np.arange(len(found)) - np.repeat(starts, sizes)
    first = order[starts]
    count = np.array([len(h.slots) for h in found], np.float64)
    best = np.log(np.maximum.reduceat(product, starts))
    null = np.log(np.maximum(CLIP, 1.0 - np.add.reduceat(product, starts)))
    logit = log_odds(np.maximum.reduceat(domain, starts))
    best_intent, best_slots = np.maximum.reduceat(intent, starts), np.maximum.reduceat(slots, starts)
    entropy = _entropy(found, intent, group, len(requests))
    context = _contexts(spec, requests)
    lengths = [request.length for request in requests]
    of_requests = [
        logit,
        no_domain[first],
        np.log(best_intent),
        log_odds(best_intent),
        entropy,
        no_intent[first],
        np.log(best_slots),
        log_odds(best_slots),
        no_slots[first],
        count[first],
        np.log1p([length or 0 for length in lengths]),
        np.array([length is None for length in lengths], np.float64),
        np.ones(len(requests)),
        *context.T,
        *(context * logit[:, None]).T,
        *_own(spec, [found[i] for i in first.tolist()]),
    ]
    of_readings = [
        (log_product := np.log(product)) - null[group],
        np.log(intent),
        np.log(slots),
        log_odds(intent),
        log_odds(slots),
        no_intent,
        no_slots,
        entropy[group],
        best[group] - log_product,
        np.log1p(rank),
        count,
        np.ones(len(found)),
        *_intent_contexts(spec, requests, found, intent, starts).T,
        *_own(spec, found),
    ]
    return np.stack(of_requests, axis=1), np.stack(of_readings, axis=1)


def _contexts(spec: FeatureSpec, requests: Sequence[Request]) -> Floats:
    """`context_row` of each request: shape (R, C)."""
    return np.array([context_row(spec, request.context) for request in requests]).reshape(len(requests), -1)


def plain_matrix(spec: FeatureSpec, requests: Sequence[Request], starts: Starts) -> Floats:
    """The features of a log-linear re-ranker of N readings, by `spec.plain_names`."""
    found = [h for request in requests for h in request.hypotheses or ()]
    sizes = np.diff(np.append(starts, len(found)))
    (domain, intent, slots), (no_domain, no_intent, no_slots) = _confidences(found, spec)
    scores = (log_odds(domain), np.log(intent), np.log(slots))
    context = _contexts(spec, requests)
    each = np.repeat(context, sizes, axis=0).T
    crossed = [column * score for column in each for score in scores]
    columns = [*scores, no_domain, no_intent, no_slots, np.ones(len(found)), *each, *crossed, *_own(spec, found)]
    return np.stack(columns, axis=1)


def _confidences(found: Sequence[Hypothesis], spec: FeatureSpec) -> tuple[Floats, Floats]:
    """Confidences of domain, intent and slots, filled and clipped, and indicators of missing ones: shapes (3, N)."""
    domain, intent = [h.domain_confidence for h in found], [h.intent_confidence for h in found]
    slots = [h.slots_confidence for h in found]
    if None in slots:
        slots = [h.reading_confidence for h in found]
    values = np.array([domain, intent, slots], np.float64)  # None becomes NaN
    missing = np.isnan(values)
    return np.clip(np.where(missing, np.array(spec.fill)[:, None], values), CLIP, 1.0 - CLIP), missing.astype(
        np.float64
    )


def _entropy(found: Sequence[Hypothesis], intent: Floats, group: Starts, n: int) -> Floats:
    """−Σ p log p over the intents of each request, each with the highest confidence of its readings."""
    numbers = defaultdict[str, int](count().__next__)
    codes = np.array([numbers[h.intent] for h in found])
    keys = group * len(numbers) + codes
    order = np.argsort(keys, kind="stable")
    begins = np.flatnonzero(np.diff(keys[order], prepend=-1))
    p = np.maximum.reduceat(intent[order], begins)
    return np.asarray(-np.bincount(group[order][begins], p * np.log(p), minlength=n), np.float64)


def _own(spec: FeatureSpec, found: Sequence[Hypothesis]) -> list[Floats]:
    """The columns of the hypotheses' own features."""
    each = [h.features for h in found]
    columns = [np.array([number(features.get(name)) or 0.0 for features in each]) for name in spec.extras]
    return columns + standardised_columns(spec.own, each)


def _intent_contexts(
    spec: FeatureSpec, requests: Sequence[Request], found: Sequence[Hypothesis], intent: Floats, starts: Starts
) -> Floats:
    """`intent_contexts` of each reading; zeros where the context says nothing of the domain's intents."""
    rows = np.zeros((len(found), 4 if spec.preferences else 3))
    own = f"preference.{spec.domain}."
    for request, start, end in zip(requests, starts.tolist(), [*starts[1:].tolist(), len(found)], strict=True):
        context = request.context
        again = spec.previous and context.get("previous_domain") == spec.domain
        if not again and not (spec.preferences and any(key.startswith(own) for key in context)):
            continue
        readings = found[start:end]
        by_intent = intent_contexts(spec, context, best_intents(readings, intent[start:end].tolist()))
        rows[start:end] = [by_intent[h.intent] for h in readings]
    return rows
