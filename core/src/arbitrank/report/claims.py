"""Claims of a domain: its probabilities against the outcomes, others' requests that it claims, and its worst ones."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence

import msgspec
import numpy as np

from arbitrank.evaluate.reliability import ReliabilityCurve, reliability_curve
from arbitrank.evaluate.results import text
from arbitrank.probability import Floats, log_loss
from arbitrank.report.measured import CountedShare, MeasuredDomain, neighbour_of

_SLICE = 30  # requests below which a value of the context is not reported
_WORST = 20
_INTENTS = 3  # of a neighbour's requests


class NeighbourClaims(msgspec.Struct, frozen=True):
    """Requests of one neighbour: the share that the domain claims, its mean P(mine), and the intents read most often.

    P(mine) counts as 0 where it has no reading.
    """

    neighbour: str
    claimed: CountedShare
    mean_mine: float
    intents: dict[str, int]


class ContextShares(msgspec.Struct, frozen=True):
    """Requests with one value of the context: shares of the own ones, and of others' that the domain claims."""

    n: int
    own: int
    own_right: CountedShare | None
    own_claimed: CountedShare | None
    false_claims: CountedShare | None


class WorstRequest(msgspec.Struct, frozen=True):
    """A request on which the domain errs with confidence, in words. `cost` is its greater log loss, in nats."""

    id: str | None
    utterance: str | None
    device: str | None
    kind: str
    mine: float
    right: float
    reading: str
    truth: str
    cost: float


def probabilities(one: MeasuredDomain, seed: int) -> dict[str, ReliabilityCurve]:
    """Reliability of P(mine) and of P(right) of the best reading, on the requests that it has a reading of."""
    outcomes = {"mine": (one.best.mine, one.own), "right": (one.best.right, one.right)}
    weight = None if one.weights is None else one.weights[one.read]
    return {
        name: reliability_curve(every[one.read], hits[one.read].astype(np.float64), weight, seed=seed)
        for name, (every, hits) in outcomes.items()
    }


def false_claims(one: MeasuredDomain) -> list[NeighbourClaims]:
    """Others' requests by their owner, those with most false claims first."""
    places = defaultdict[str, list[int]](list)
    for i in np.flatnonzero(~one.own).tolist():
        places[neighbour_of(one.examples[i])].append(i)
    found = []
    for neighbour, at in places.items():
        claimed = one.claimed[at]
        tops = (one.top(i) for i, taken in zip(at, claimed.tolist(), strict=True) if taken)
        intents = Counter(top.intent for top in tops if top)
        share = CountedShare.in_mask(claimed)
        assert share is not None  # no neighbour is without a request
        found.append(
            NeighbourClaims(neighbour, share, float(one.best.mine[at].mean()), dict(intents.most_common(_INTENTS)))
        )
    return sorted(found, key=lambda each: (-each.claimed.share * each.claimed.of, each.neighbour))


def by_context(one: MeasuredDomain) -> dict[str, ContextShares]:
    """The shares by `KEY=VALUE` of the context, for texts and booleans that enough requests have, but not all."""
    places = defaultdict[tuple[str, str | bool], list[int]](list)
    for i, example in enumerate(one.examples):
        for key, value in example.request.context.items():
            if isinstance(value, str | bool):
                places[key, value].append(i)
    found = {}
    for (key, value), at in sorted(places.items(), key=str):
        if _SLICE <= len(at) < len(one):
            own = one.own[at]
            right, claimed = (one.claimed & one.right)[at], one.claimed[at]
            said = str(value).lower() if isinstance(value, bool) else value
            found[f"{key}={said}"] = ContextShares(
                len(at),
                int(own.sum()),
                CountedShare.in_mask(right[own]),
                CountedShare.in_mask(claimed[own]),
                CountedShare.in_mask(claimed[~own]),
            )
    return found


def costs(one: MeasuredDomain) -> Floats:
    """The greater log loss of each request: of P(mine), or of P(right) of the best reading."""
    mine = log_loss(one.best.mine, one.own.astype(np.float64))
    right = log_loss(one.best.right, one.right.astype(np.float64))
    return np.asarray(np.maximum(mine, np.where(one.read, right, 0.0)))


def worst(one: MeasuredDomain, most: int = _WORST) -> list[WorstRequest]:
    """The requests on which the domain errs at the greatest cost, each wording once."""
    cost, seen = costs(one), set[str]()
    found: list[WorstRequest] = []
    erring = np.flatnonzero(one.wrong > 0.0)
    for i in erring[np.argsort(-cost[erring], kind="stable")].tolist():
        example, top = one.examples[i], one.top(i)
        request = example.request
        words = (request.utterance or request.id or str(i)).casefold()
        if words in seen:
            continue
        seen.add(words)
        device = request.context.get("device")
        found.append(
            WorstRequest(
                request.id,
                request.utterance,
                device if isinstance(device, str) else None,
                _kind(one, i),
                float(one.best.mine[i]),
                float(one.best.right[i]),
                "no reading" if top is None else text(top),
                text(example.truth),
                float(cost[i]),
            )
        )
        if len(found) == most:
            break
    return found


def _kind(one: MeasuredDomain, i: int) -> str:
    if not one.own[i]:
        return "false claim"
    if not one.read[i]:
        return "no reading"
    return "not claimed" if not one.claimed[i] else "misread"


def summed(claims: Sequence[NeighbourClaims]) -> CountedShare | None:
    """The share of all neighbours' requests that the domain claims."""
    of = sum(each.claimed.of for each in claims)
    return CountedShare.counted(round(sum(each.claimed.of * each.claimed.share for each in claims)), of)
