"""Merge of all domains' readings into one list, best first, and conditioning of their probabilities on one another."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import repeat
from operator import attrgetter
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from arbitrank.arbitration.competition import IDENTITY, Served, compete, compete_all
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
        Scores(weight / total, one.right / _given(one) * (weight / total))
        for one, weight in zip(scores, weights, strict=True)
    ]


def competing(
    scores: Sequence[Scores], terms: Sequence[tuple[float, float]], null: float | None
) -> tuple[list[Scores], float]:
    """The scores after the domains' competition, and P(no domain); `terms` are each domain's slope and bias.

    P(mine) becomes P(domain), P(right | mine) stays.
    """
    # On few numbers Python is quicker than NumPy; `_competing` does the same for many requests.
    chances, none = compete([one.mine for one in scores], terms, null)
    return [Scores(p, one.right * (p / _given(one))) for p, one in zip(chances, scores, strict=True)], none


def _given(scores: Scores) -> float:
    """The probability that P(right) is divided by to give P(right | mine)."""
    return max(scores.mine, float(scores.right.sum()), _TINY)


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
    domains: Sequence[BestReadings],
    decisions: DecisionSettings = DecisionSettings(),
    fallback: int | None = None,
    terms: Sequence[tuple[float, float]] | None = None,
) -> MergedHeads:
    """The heads of the lists that `merge` makes, for many requests at once, conditioned as the settings say.

    The domains are in the order of their names, which breaks ties. `fallback` is the number of the fallback domain,
    which acts where the decision on the others' readings is `none`. `terms` are the domains' slopes and biases in the
    settings' competition, None the identity.
    """
    n = len(domains[0].mine)
    if fallback is not None:
        acting = domains[fallback]
        domains = [BestReadings.empty(n) if number == fallback else one for number, one in enumerate(domains)]
    no_index = np.full(n, -1, np.int32)
    domains, out_of_scope = conditioned_readings(domains, decisions, terms)
    heads = MergedHeads(
        no_index, no_index.copy(), np.zeros(n), out_of_scope, np.full(n, math.inf), np.zeros(n, np.bool_)
    )
    highest, mine = np.full(n, -1.0), np.zeros(n)
    for number, one in enumerate(domains):
        score = np.where(one.best >= 0, one.mine * one.right, -1.0)
        ahead = score > highest
        highest[ahead], heads.domain[ahead], mine[ahead] = score[ahead], number, one.mine[ahead]
        heads.reading[ahead], heads.probability[ahead] = one.best[ahead], one.right[ahead]
    for number, one in enumerate(domains):
        other = (one.best >= 0) & (heads.domain != number) & choosable(one.mine, one.right)
        distance = np.where(other, np.abs(margin(mine, one.mine, decisions.exclusive)), math.inf)
        np.minimum(heads.closest, distance, out=heads.closest)
    if fallback is not None:
        acts = (heads.actions(decisions) == ACTIONS.index("none")) & (acting.best >= 0)
        heads.fallback[acts], heads.domain[acts] = True, fallback
        heads.reading[acts], heads.probability[acts] = acting.best[acts], acting.right[acts]
    return heads


def terms_of(
    decisions: DecisionSettings, names: Iterable[str], served: Mapping[str, Served] = MappingProxyType({})
) -> list[tuple[float, float]] | None:
    """Slope and bias of each of the domains in the settings' competition; None where there is none."""
    return None if decisions.competition is None else decisions.competition.all_terms(names, served)


def conditioned_readings(
    domains: Sequence[BestReadings], decisions: DecisionSettings, terms: Sequence[tuple[float, float]] | None = None
) -> tuple[Sequence[BestReadings], Floats]:
    """The readings as the settings have them conditioned on one another, and P(no domain owns the request).

    That is after the competition, with the domains' `terms`, and `after_winning`, each where it is set.
    """
    if decisions.competition is None:
        out_of_scope = np.asarray(p_out_of_scope(one.mine for one in domains), np.float64)
    else:
        terms = [IDENTITY] * len(domains) if terms is None else terms
        domains, out_of_scope = _competing(domains, terms, decisions.competition.null)
    return _after_winning(domains, decisions.independence) if decisions.normalise else domains, out_of_scope


def _competing(
    domains: Sequence[BestReadings], terms: Sequence[tuple[float, float]], null: float | None
) -> tuple[list[BestReadings], Floats]:
    """`competing` for many requests at once."""
    has = np.array([one.best >= 0 for one in domains])
    chances, none = compete_all(np.array([one.mine for one in domains]), has, terms, null)
    changed = []
    for one, chance in zip(domains, chances, strict=True):
        given = np.maximum(np.maximum(one.mine, one.total), _TINY)
        share = chance / given
        changed.append(one._replace(mine=chance, right=one.right * share, total=one.total * share))
    return changed, none


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
