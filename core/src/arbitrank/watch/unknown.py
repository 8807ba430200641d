"""Features that ceased to come or are new, and values of the context that were never seen before."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

import msgspec

from arbitrank.watch.collector import LogSlot

_LOST = 0.1  # share of the rate before below which a feature counts as lost
_USUAL = 0.05  # rate before of a feature that can be lost
_NEW = 0.01  # rate of a new feature, and of a new value of the context
_ENOUGH = 50  # readings, or requests, from which on a rate says something


class FeatureRate(msgspec.Struct, frozen=True):
    """Rate of a feature among a domain's readings, before and now; `evidence` in nats that it is less than half."""

    name: str
    before: float
    now: float
    evidence: float


class ContextValue(msgspec.Struct, frozen=True):
    """A value of the context that did not come before: its share of the requests, and the domains that know its key.

    `unlearned` are those whose weights have a feature for the key's other values and none for this one.
    """

    key: str
    value: Any
    share: float
    unlearned: tuple[str, ...] = ()


def lost_features(name: str, before: Sequence[LogSlot], now: Sequence[LogSlot]) -> list[FeatureRate]:
    """The features that a domain's readings had and now hardly have."""
    found = []
    past, rates, n = _rates(name, before), _rates(name, now), sum(slot.readings[name] for slot in now)
    for feature, rate in sorted(past.items()):
        seen = rates.get(feature, 0.0)
        if rate >= _USUAL and seen < _LOST * rate and n >= _ENOUGH:
            found.append(FeatureRate(feature, rate, seen, n * _divergence(seen, rate / 2)))
    return found


def new_features(name: str, before: Sequence[LogSlot], now: Sequence[LogSlot]) -> list[str]:
    """The features that a domain's readings have and did not have before."""
    past = _rates(name, before)
    if not past and not any(slot.readings[name] for slot in before):
        return []
    return sorted(one for one, rate in _rates(name, now).items() if rate >= _NEW and one not in past)


def new_contexts(before: Sequence[LogSlot], now: Sequence[LogSlot]) -> list[ContextValue]:
    """The values of the context that come now and never came before, the most frequent first."""
    past: Counter[tuple[str, object]] = Counter()
    seen: Counter[tuple[str, object]] = Counter()
    for slots, counter in ((before, past), (now, seen)):
        for slot in slots:
            counter.update(slot.contexts)
    n, n_before = sum(slot.n for slot in now), sum(slot.n for slot in before)
    if n_before < _ENOUGH or n < _ENOUGH:
        return []
    found = [
        ContextValue(key, value, count / n) for (key, value), count in seen.most_common() if (key, value) not in past
    ]
    return [one for one in found if one.share >= _NEW]


def _rates(name: str, slots: Sequence[LogSlot]) -> dict[str, float]:
    readings = sum(slot.readings[name] for slot in slots)
    total: Counter[str] = Counter()
    for slot in slots:
        for (domain, feature), n in slot.features.items():
            if domain == name:
                total[feature] += n
    return {feature: n / readings for feature, n in total.items()} if readings else {}


def _divergence(seen: float, expected: float) -> float:
    """The divergence of one Bernoulli distribution from another, in nats: Chernoff's bound on a share so low."""
    return sum(p * math.log(p / q) for p, q in ((seen, expected), (1.0 - seen, 1.0 - expected)) if p > 0.0)
