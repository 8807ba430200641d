"""Merge of all domains' readings into one list, best first, and conditioning of their probabilities on one another."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from operator import attrgetter
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from arbitrank.arbitration.claims import ALONE, GroupClaims, Keys, all_claims, claims_of, key_number
from arbitrank.arbitration.competition import (
    IDENTITY,
    Competition,
    DomainTerm,
    Served,
    Terms,
    compete_all,
)
from arbitrank.arbitration.conditioning import TINY, rest_factor
from arbitrank.arbitration.decide import ACTIONS, DecisionSettings, action_codes, choosable, margin, p_out_of_scope
from arbitrank.domain import Scores
from arbitrank.explanation import split
from arbitrank.probability import CLIP, Floats
from arbitrank.values import Hypothesis, Ranked


class Contribution(NamedTuple):
    """One domain's part of the merged list: its readings, their scores and the version that scored them."""

    domain: str
    hypotheses: Sequence[Hypothesis]
    scores: Scores
    version: str | None = None
    why: Sequence[Mapping[str, float]] | None = None


def agreements(contributions: Sequence[Contribution], groups: Mapping[str, int]) -> list[int] | None:
    """The claims of the domains' most probable readings, `groups` being their numbers; None where no two agree."""
    best = [one.hypotheses[int(one.scores.right.argmax())] for one in contributions]
    return claims_of([one.domain for one in contributions], best, groups)


def merge(contributions: Iterable[Contribution]) -> tuple[Ranked, ...]:
    """All readings by score = P(mine) · P(right): first whose request it is, then which reading.

    Equal scores are ordered by the domain's name, then by the domain's own order, so that the list does not depend on
    the order in which plugins were found.
    """
    with_readings = sorted([one for one in contributions if len(one.hypotheses)], key=_domain)
    ranked: list[Ranked] = []
    for domain, hypotheses, of_domain, version, why in with_readings:
        mine, right = of_domain.mine, of_domain.right.tolist()
        if why:
            reasons = map(split, why)
            ranked += [
                Ranked(domain, h.intent, h.slots, mine * p, mine, p, version, h.skill, groups, details)
                for h, p, (groups, details) in zip(hypotheses, right, reasons, strict=False)
            ]
        else:
            ranked += [
                Ranked(domain, h.intent, h.slots, mine * p, mine, p, version, h.skill)
                for h, p in zip(hypotheses, right, strict=False)
            ]
    ranked.sort(key=_score, reverse=True)  # a stable sort leaves equal scores in the order of domains and readings
    return tuple(ranked)


_domain, _score = attrgetter("domain"), attrgetter("score")


class BestReadings(NamedTuple):
    """Most probable reading of each of n requests by one domain.

    `mine` is P(mine), `right` P(right) of the reading, `best` its index, −1 where the domain has none; the numbers are
    0 there. `total` is the sum of P(right) over all its readings. `keys` are equal for equal readings of domains that
    mean the same; None where there are none, as they are needed only for groups.
    """

    mine: Floats
    right: Floats
    best: NDArray[np.int32]
    total: Floats
    keys: Keys | None = None

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
        keys = None if self.keys is None else self.keys[places]
        return BestReadings(self.mine[places], self.right[places], self.best[places], self.total[places], keys)

    @classmethod
    def together(cls, parts: Iterable[BestReadings]) -> BestReadings:
        """The readings of several parts of the requests."""
        mine, right, best, total, keys = zip(*parts, strict=True)
        every = None if any(one is None for one in keys) else np.concatenate(keys)
        return cls(np.concatenate(mine), np.concatenate(right), np.concatenate(best), np.concatenate(total), every)

    def keyed(self, readings: Sequence[Sequence[Hypothesis | Ranked]]) -> BestReadings:
        """These readings with their keys; `readings` are all that the domain has of each request."""
        keys = [key_number(own[k]) if k >= 0 else 0 for own, k in zip(readings, self.best.tolist(), strict=True)]
        return self._replace(keys=np.array(keys, np.int64))


class MergedHeads(NamedTuple):
    """The head of each request's merged list: the domain's number and the reading's index (−1 where there is none).

    `probability` is P(right) of that reading, `out_of_scope` is P(no domain owns the request), `closest` the least
    `arbitrank.arbitration.decide.margin` between the head's domain and another one that a user may be asked about.
    Where `fallback`, the fallback domain acts, and the reading is its best one. `accept` holds the threshold of each
    list in place of the settings', None where all have that.
    """

    domain: NDArray[np.int32]
    reading: NDArray[np.int32]
    probability: Floats
    out_of_scope: Floats
    closest: Floats
    fallback: NDArray[np.bool_]
    accept: Floats | None = None

    def actions(self, settings: DecisionSettings) -> NDArray[np.int64]:
        """The decision on each list, as an index in `arbitrank.arbitration.decide.ACTIONS`: what `decide` decides."""
        empty = self.domain < 0
        codes = action_codes(self.out_of_scope, empty, self.probability, self.closest, settings, self.accept)
        return np.where(self.fallback, ACTIONS.index("accept"), codes)


def merge_heads(
    domains: Sequence[BestReadings],
    decisions: DecisionSettings = DecisionSettings(),
    fallback: int | None = None,
    terms: Terms | None = None,
) -> MergedHeads:
    """The heads of the lists that `merge` makes, for many requests at once, conditioned as the settings say.

    The domains are in the order of their names, which breaks ties. `fallback` is the number of the fallback domain,
    which acts where the decision on the others' readings is `none`. `terms` are those of `terms_of`, the domains'
    slopes and biases in the settings' competition and their groups; None is the identity, without groups.
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
    scores = [np.where(one.best >= 0, one.mine * one.right, -1.0) for one in domains]
    for number, (one, score) in enumerate(zip(domains, scores, strict=True)):
        ahead = score > highest
        highest[ahead], heads.domain[ahead], mine[ahead] = score[ahead], number, one.mine[ahead]
        heads.reading[ahead], heads.probability[ahead] = one.best[ahead], one.right[ahead]
    claims = claims_in(domains, terms)
    passed = agreeing_with(heads.domain, claims, len(domains)) | agreeing_behind(np.array(scores), claims)
    for number, one in enumerate(domains):
        other = (one.best >= 0) & ~passed[number] & choosable(one.mine, one.right)
        distance = np.where(other, np.abs(margin(mine, one.mine, decisions.exclusive)), math.inf)
        np.minimum(heads.closest, distance, out=heads.closest)
    if fallback is not None:
        acts = (heads.actions(decisions) == ACTIONS.index("none")) & (acting.best >= 0)
        heads.fallback[acts], heads.domain[acts] = True, fallback
        heads.reading[acts], heads.probability[acts] = acting.best[acts], acting.right[acts]
    return heads


def terms_of(
    decisions: DecisionSettings, names: Iterable[str], served: Mapping[str, Served] = MappingProxyType({})
) -> Terms | None:
    """Slope and bias of each of the domains in the settings' competition, and its group; None without either."""
    if decisions.groups:
        return (decisions.competition or Competition()).domain_terms(names, decisions.groups, served)
    return None if decisions.competition is None else decisions.competition.all_terms(names, served)


def claims_in(domains: Sequence[BestReadings], terms: Terms | None) -> list[GroupClaims]:
    """The claims of domains that are in groups by their terms."""
    groups = [term.group if isinstance(term, DomainTerm) else ALONE for term in terms or ()]
    if not any(group != ALONE for group in groups):
        return []
    no_key = np.zeros(len(domains[0].mine), np.int64)
    keys = [no_key if one.keys is None else one.keys for one in domains]
    # Without keys nothing is known to be the same.
    groups = [ALONE if one.keys is None else group for one, group in zip(domains, groups, strict=True)]
    return all_claims(np.array(keys), np.array([one.best >= 0 for one in domains]), groups)


def agreeing_with(heads: NDArray[np.int32], claims: Sequence[GroupClaims], count: int) -> NDArray[np.bool_]:
    """Marks of the domains that state the claim of each list's head, itself included; shape (count, n)."""
    agreeing = np.arange(count)[:, None] == heads
    for one in claims:
        for row, number in enumerate(one.domains.tolist()):
            agreeing[one.domains] |= one.same[row] & (heads == number)
    return np.asarray(agreeing)


def agreeing_behind(scores: Floats, claims: Sequence[GroupClaims]) -> NDArray[np.bool_]:
    """Marks of the domains that state the claim of one before them in the list; shape (count, n)."""
    behind = np.zeros(scores.shape, np.bool_)
    for one in claims:
        for row, number in enumerate(one.domains.tolist()):
            own = scores[one.domains]
            before = (own > scores[number]) | ((own == scores[number]) & (one.domains < number)[:, None])
            behind[number] = (one.same[row] & before).any(axis=0)
    return behind


def conditioned_readings(
    domains: Sequence[BestReadings], decisions: DecisionSettings, terms: Terms | None = None
) -> tuple[Sequence[BestReadings], Floats]:
    """The readings as the settings have them conditioned on one another, and P(no domain owns the request).

    That is after the competition, with the domains' `terms`, and `after_winning`, each where it is set.
    """
    claims = claims_in(domains, terms) if decisions.conditions else []
    if decisions.competition is None:
        out_of_scope = np.asarray(p_out_of_scope(one.mine for one in domains), np.float64)
    else:
        terms = [IDENTITY] * len(domains) if terms is None else terms
        domains, out_of_scope = _competing(domains, terms, decisions.competition, claims)
    return _after_winning(domains, decisions.independence, claims) if decisions.normalise else domains, out_of_scope


def _competing(
    domains: Sequence[BestReadings], terms: Terms, competition: Competition, claims: Sequence[GroupClaims]
) -> tuple[list[BestReadings], Floats]:
    """`competing` for many requests at once."""
    has = np.array([one.best >= 0 for one in domains])
    chances, none = compete_all(
        np.array([one.mine for one in domains]),
        has,
        terms,
        competition.null,
        claims=claims,
        overlapping=competition.overlapping,
        winner=competition.winner,
    )
    changed = []
    for one, chance in zip(domains, chances, strict=True):
        given = np.maximum(np.maximum(one.mine, one.total), TINY)
        share = chance / given
        changed.append(one._replace(mine=chance, right=one.right * share, total=one.total * share))
    for one_group in claims:
        own = [domains[d] for d in one_group.domains]
        given = np.maximum(np.maximum([one.mine for one in own], [one.total for one in own]), TINY)
        before = np.array([one.right for one in own]) / given
        best = np.where(has[one_group.domains], one_group.most(before), 0.0)
        rest = (np.array([one.total for one in own]) / given - before) * rest_factor(best, before)
        for row, d in enumerate(one_group.domains):
            right = best[row] * chances[d]
            changed[d] = changed[d]._replace(right=right, total=right + rest[row] * chances[d])
    return changed, none


def _after_winning(
    domains: Sequence[BestReadings], independence: float, claims: Sequence[GroupClaims] = ()
) -> list[BestReadings]:
    """`after_winning` for many requests at once."""
    weights = [one.mine / np.maximum(1.0 - one.mine, CLIP) ** independence for one in domains]
    counted = list(weights)
    for one_group in claims:
        most = one_group.most(np.array([weights[d] for d in one_group.domains]))
        for row, d in enumerate(one_group.domains):
            weights[d] = np.where(domains[d].best >= 0, most[row], weights[d])
            counted[d] = weights[d] / one_group.size[row]
    total = np.add.reduce(counted)
    several = (np.add.reduce([one.best >= 0 for one in domains], dtype=np.int64) > 1) & (total > 0.0)
    changed = []
    for one, weight in zip(domains, weights, strict=True):
        share = weight / np.where(several, total, 1.0)
        right = one.right / np.maximum(np.maximum(one.mine, one.total), TINY) * share
        changed.append(one._replace(mine=np.where(several, share, one.mine), right=np.where(several, right, one.right)))
    return changed
