"""Merge of all domains' readings into one list, best first, and conditioning of their probabilities on one another."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import repeat
from operator import attrgetter
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from arbitrank.arbitration.decide import ACTIONS, DecisionSettings, action_codes, choosable, margin, p_out_of_scope
from arbitrank.domain import Scores
from arbitrank.explanation import split
from arbitrank.probability import CLIP, Floats, Starts, log_odds, sigmoid
from arbitrank.values import Hypothesis, Ranked


class Contribution(NamedTuple):
    """One domain's part of the merged list: its readings, their scores and the version that scored them."""

    domain: str
    hypotheses: Sequence[Hypothesis]
    scores: Scores
    version: str | None = None
    why: Sequence[Mapping[str, float]] | None = None


_TINY = float(np.finfo(np.float64).tiny)


def after_winning(scores: Sequence[Scores], independence: float = 0.5) -> list[Scores]:
    """The scores conditioned on exactly one of these domains owning the request.

    Domains trained separately each reserve probability for the others, so the winner is under-confident. Its P(mine)
    becomes w / Σ w with w = P(mine) / (1 − P(mine))^independence. At 1 these are odds: right where each domain has
    evidence of its own, while evidence that all of them saw counts several times. At 0 they are the probabilities:
    right where all saw the same. P(right | mine) stays. A single domain, and several whose P(mine) are all 0, are
    returned as they are.
    """
    if len(scores) < 2:
        return list(scores)
    # On few numbers Python is quicker than NumPy; `_after_winning` does the same for many requests.
    weights = [one.mine / max(1.0 - one.mine, CLIP) ** independence for one in scores]
    total = sum(weights)
    if total == 0.0:
        return list(scores)
    return [
        Scores(weight / total, one.right / max(one.mine, float(one.right.sum()), _TINY) * (weight / total))
        for one, weight in zip(scores, weights, strict=True)
    ]


def temperature_scaled(scores: Scores, temperature: float) -> Scores:
    """The scores of an over-confident domain: log-odds of P(mine) and of each P(right) divided by `temperature` ≥ 1.

    The readings still sum to at most P(mine): where the division gives more, they are scaled down together.
    """
    if temperature == 1.0 or not len(scores.right):
        return scores
    scaled = _divided(np.append(scores.mine, scores.right), temperature)
    mine, right = float(scaled[0]), scaled[1:]
    return Scores(mine, right * min(1.0, mine / float(right.sum())))


def temperature_scaled_groups(mine: Floats, right: Floats, starts: Starts, temperature: float) -> tuple[Floats, Floats]:
    """`temperature_scaled` for R requests at once: P(mine), shape (R,), and P(right), shape (N,)."""
    mine, right = _divided(mine, temperature), _divided(right, temperature)
    scale = np.minimum(1.0, mine / np.add.reduceat(right, starts))
    return mine, right * np.repeat(scale, np.diff(np.append(starts, len(right))))


def _divided(p: Floats, temperature: float) -> Floats:
    return sigmoid(log_odds(p) / temperature)


def merge(contributions: Iterable[Contribution]) -> tuple[Ranked, ...]:
    """All readings by score = P(mine) · P(right): first whose request it is, then which reading.

    Equal scores are ordered by the domain's name, then by the domain's own order, so that the list does not depend on
    the order in which plugins were found.
    """
    with_readings = sorted((one for one in contributions if len(one.hypotheses)), key=_domain)
    if not with_readings:
        return ()
    ranked: list[Ranked] = []
    scores: list[float] = []
    for domain, hypotheses, of_domain, version, why in with_readings:
        mine, right = of_domain.mine, of_domain.right.tolist()
        products = [mine * p for p in right]
        scores += products
        reasons = map(split, why) if why else repeat((None, None))
        ranked += [
            Ranked(domain, h.intent, h.slots, score, mine, p, version, h.skill, groups, details)
            for h, score, p, (groups, details) in zip(hypotheses, products, right, reasons, strict=False)
        ]
    # A stable sort leaves equal scores in the order of domains and readings.
    order = np.argsort(np.negative(scores), kind="stable").tolist()
    return tuple([ranked[i] for i in order])


_domain = attrgetter("domain")


class BestReadings(NamedTuple):
    """Most probable reading of each of n requests by one domain.

    `mine` is P(mine), `right` P(right) of the reading, `best` its index, −1 where the domain has none; the numbers are
    0 there. `total` is the sum of P(right) over all its readings.
    """

    mine: Floats
    right: Floats
    best: NDArray[np.int32]
    total: Floats

    @classmethod
    def empty(cls, n: int) -> BestReadings:
        """No reading of any of n requests, to be filled in."""
        return cls(np.zeros(n), np.zeros(n), np.full(n, -1, np.int32), np.zeros(n))

    def put(self, places: Iterable[int], scores: Iterable[Scores | None]) -> None:
        """Fill in the scores of the requests at `places`; None for those that the domain has no reading of."""
        for i, one in zip(places, scores, strict=True):
            if one is not None:
                best = int(np.argmax(one.right))
                self.mine[i], self.right[i], self.best[i] = one.mine, one.right[best], best
                self.total[i] = one.right.sum()

    def at(self, places: NDArray[np.int64]) -> BestReadings:
        """The readings of some of the requests."""
        return BestReadings(self.mine[places], self.right[places], self.best[places], self.total[places])


class MergedHeads(NamedTuple):
    """The head of each request's merged list: the domain's number and the reading's index (−1 where there is none).

    `probability` is P(right) of that reading, `out_of_scope` is P(no domain owns the request), `closest` the least
    `arbitrank.arbitration.decide.margin` between the head's domain and another one that a user may be asked about.
    Where `fallback`, the fallback domain acts, and the reading is its best one.
    """

    domain: NDArray[np.int32]
    reading: NDArray[np.int32]
    probability: Floats
    out_of_scope: Floats
    closest: Floats
    fallback: NDArray[np.bool_]

    def actions(self, settings: DecisionSettings) -> NDArray[np.int64]:
        """The decision on each list, as an index in `arbitrank.arbitration.decide.ACTIONS`: what `decide` decides."""
        codes = action_codes(self.out_of_scope, self.domain < 0, self.probability, self.closest, settings)
        return np.where(self.fallback, ACTIONS.index("accept"), codes)


def merge_heads(
    domains: Sequence[BestReadings], decisions: DecisionSettings = DecisionSettings(), fallback: int | None = None
) -> MergedHeads:
    """The heads of the lists that `merge` makes, for many requests at once; after `after_winning` where it is set.

    The domains are in the order of their names, which breaks ties. `fallback` is the number of the fallback domain,
    which acts where the decision on the others' readings is `none`.
    """
    n = len(domains[0].mine)
    if fallback is not None:
        acting = domains[fallback]
        domains = [BestReadings.empty(n) if number == fallback else one for number, one in enumerate(domains)]
    no_index, out_of_scope = np.full(n, -1, np.int32), p_out_of_scope(one.mine for one in domains)
    heads = MergedHeads(
        no_index, no_index.copy(), np.zeros(n), out_of_scope, np.full(n, math.inf), np.zeros(n, np.bool_)
    )
    domains = conditioned_readings(domains, decisions)
    highest, mine = np.full(n, -1.0), np.zeros(n)
    for number, one in enumerate(domains):
        score = np.where(one.best >= 0, one.mine * one.right, -1.0)
        ahead = score > highest
        highest[ahead], heads.domain[ahead], mine[ahead] = score[ahead], number, one.mine[ahead]
        heads.reading[ahead], heads.probability[ahead] = one.best[ahead], one.right[ahead]
    for number, one in enumerate(domains):
        other = (one.best >= 0) & (heads.domain != number) & choosable(one.mine, one.right)
        distance = np.where(other, np.abs(margin(mine, one.mine, decisions.normalise)), math.inf)
        np.minimum(heads.closest, distance, out=heads.closest)
    if fallback is not None:
        acts = (heads.actions(decisions) == ACTIONS.index("none")) & (acting.best >= 0)
        heads.fallback[acts], heads.domain[acts] = True, fallback
        heads.reading[acts], heads.probability[acts] = acting.best[acts], acting.right[acts]
    return heads


def conditioned_readings(domains: Sequence[BestReadings], decisions: DecisionSettings) -> Sequence[BestReadings]:
    """The readings as the settings have them conditioned on one another: after `after_winning`, where it is set."""
    return _after_winning(domains, decisions.independence) if decisions.normalise else domains


def _after_winning(domains: Sequence[BestReadings], independence: float) -> list[BestReadings]:
    """`after_winning` for many requests at once."""
    weights = [one.mine / np.maximum(1.0 - one.mine, CLIP) ** independence for one in domains]
    total = np.add.reduce(weights)
    several = (np.add.reduce([one.best >= 0 for one in domains], dtype=np.int64) > 1) & (total > 0.0)
    changed = []
    for one, weight in zip(domains, weights, strict=True):
        share = weight / np.where(several, total, 1.0)
        right = one.right / np.maximum(np.maximum(one.mine, one.total), _TINY) * share
        changed.append(one._replace(mine=np.where(several, share, one.mine), right=np.where(several, right, one.right)))
    return changed
