"""Competition calibration: the domains' claims on one request, calibrated against each other and against "no domain".

    P(domain d) = exp(a_d · logit P(mine) + b_d) / (exp(null) + Σ_k exp(a_k · logit P(mine) + b_k))
    P(no domain) = exp(null) / the same sum
    P(right) = P(domain) · P(right | mine)

The sums are over the domains that have a reading of the request. At slope 1, bias 0 and `null` 0 the odds stay as the
domains stated them, conditioned on at most one domain owning the request. Where it is not known how requests out of
scope look, there is no `null`: P(no domain) stays Π(1 − P(mine)), and the domains share the rest in proportion to their
exponentials.

Domains of a group that state the same reading are one claim of the sum, with the log-odds of
`arbitrank.arbitration.claims.pooled`, and each has its probability. Where owners overlap without naming the same
reading, claims do not exclude each other: P(domain d) = 1 / (1 + exp(−log-odds)). The claim that wins was chosen for
being high; a `WinnerMap` corrects it. `compete` computes all this for one request, `compete_all` for many.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Annotated, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from arbitrank.arbitration.claims import ALONE, GroupClaims, Groups, group_numbers, pooled, pooled_all
from arbitrank.arbitration.recalibration import Recalibration, recalibration
from arbitrank.probability import Floats, clipped, log_odds, logit, sigmoid

Slope = Annotated[float, msgspec.Meta(ge=0.0, le=10.0)]
Bias = Annotated[float, msgspec.Meta(ge=-30.0, le=30.0)]

Share = Annotated[float, msgspec.Meta(gt=0.0, lt=1.0)]

IDENTITY = (1.0, 0.0)
"""Slope and bias that leave a domain's log-odds as they are."""

Served = tuple[str | None, Recalibration | None]
"""The version of a domain that serves, and its recalibration, None without one."""


UNVERSIONED: Served = (None, None)
"""A domain of which no version is known, as one that is not installed."""


class DomainTerm(NamedTuple):
    """Slope and bias of a domain's log-odds, the weight of its agreement, and the number of its group."""

    slope: float = 1.0
    bias: float = 0.0
    agreement: float = 0.0
    group: int = ALONE


Terms = Sequence[tuple[float, ...]]
"""Each domain's slope and bias, and where there are groups, as a `DomainTerm`, agreement and group."""


class Term(msgspec.Struct, frozen=True):
    """Slope and bias of one domain's log-odds, valid for the version and the recalibration that they were fitted on.

    A `temperature` is the recalibration in older settings.

    `agreement` is what each other domain of its group that states the same reading adds to the log-odds. A `version` of
    None is valid for any.
    """

    slope: Slope = 1.0
    bias: Bias = 0.0
    version: str | None = None
    temperature: float = 1.0
    agreement: Bias = 0.0
    recalibration: Recalibration | msgspec.UnsetType = msgspec.UNSET

    @property
    def fitted_on(self) -> Served:
        """The version and the recalibration that it was fitted on."""
        by = self.recalibration or recalibration(1.0 / self.temperature)
        return self.version, by

    def valid(self, served: Served) -> bool:
        """True where it was fitted on what serves now."""
        return self.version is None or served == self.fitted_on


def fitted_on(term: Term, served: Served) -> Term:
    """The term, valid for what serves."""
    version, by = served
    return msgspec.structs.replace(term, version=version, temperature=1.0, recalibration=by or msgspec.UNSET)


class WinnerMap(msgspec.Struct, frozen=True):
    """Slope and bias of the log-odds of every claim, fitted to those that won: the claim that is highest is too high.

    It is one map for all claims, so that their order stays.
    """

    slope: Slope = 1.0
    bias: Bias = 0.0


class Competition(msgspec.Struct, frozen=True):
    """Slopes and biases by domain, and the log-odds `null` of "no domain"; a domain that is not named keeps its own.

    A `null` of None leaves P(no domain) as it is without a competition. `share` is the share of out-of-scope requests,
    in (0, 1), that `null` is right for; None without. Claims that are `overlapping` do not exclude each other; `null`
    is then added to the log-odds of Π(1 − P(claim)). `winner` corrects the claim that wins for having been chosen.
    """

    terms: dict[str, Term] = {}
    null: Bias | None = None
    share: Share | None = None
    overlapping: bool = False
    winner: WinnerMap | None = None

    def term(self, name: str, served: Served = UNVERSIONED) -> tuple[float, float]:
        """Slope and bias of a domain; the identity where none were fitted on what serves."""
        one = self.terms.get(name)
        return (one.slope, one.bias) if one is not None and one.valid(served) else IDENTITY

    def all_terms(
        self, names: Iterable[str], served: Mapping[str, Served] = MappingProxyType({})
    ) -> list[tuple[float, float]]:
        """`term` of each of the domains; those not in `served` have no version."""
        return [self.term(name, served.get(name, UNVERSIONED)) for name in names]

    def domain_terms(
        self, names: Iterable[str], groups: Groups, served: Mapping[str, Served] = MappingProxyType({})
    ) -> list[DomainTerm]:
        """`all_terms` with the agreement and the group of each of the domains."""
        numbers = group_numbers(groups)
        found = []
        for name in names:
            one = self.terms.get(name)
            valid = one is not None and one.valid(served.get(name, UNVERSIONED))
            own = (one.slope, one.bias, one.agreement) if one is not None and valid else IDENTITY
            found.append(DomainTerm(*own)._replace(group=numbers.get(name, ALONE)))
        return found

    def outdated(self, served: Mapping[str, Served]) -> list[str]:
        """The domains that serve and have no valid slope and bias, sorted: those that are new or changed."""
        return sorted(name for name, one in served.items() if name not in self.terms or not self.terms[name].valid(one))


def compete(
    mine: Sequence[float],
    terms: Iterable[tuple[float, ...]],
    null: float | None,
    *,
    claims: Sequence[int] | None = None,
    overlapping: bool = False,
    winner: WinnerMap | None = None,
) -> tuple[list[float], float]:
    """P(domain) of each domain with a reading, from its P(mine), and P(no domain): together 1 where each has a claim.

    `claims` are those of `claims_of`: domains with the same one share its probability. Where claims are `overlapping`,
    or corrected by `winner`, they are no distribution.
    """
    terms = list(terms)
    z = [slope * logit(clipped(p)) + bias for p, (slope, bias, *_) in zip(mine, terms, strict=True)]
    if not z:
        return [], 1.0
    sizes = [1] * len(z)
    if claims is not None:
        z, sizes = pooled(z, [term[2] if len(term) > 2 else 0.0 for term in terms], claims)
    if overlapping:
        chances, none = _overlapping(z, sizes, mine, null)
    else:
        chances, none = _exclusive(z, sizes, mine, null)
    return ([_corrected(p, winner) for p in chances] if winner else chances), none


def _exclusive(
    z: Sequence[float], sizes: Sequence[int], mine: Sequence[float], null: float | None
) -> tuple[list[float], float]:
    top = max(z) if null is None else max(null, *z)
    e = [math.exp(value - top) for value in z]
    every = math.fsum(value / size for value, size in zip(e, sizes, strict=True))
    if null is None:
        none = math.prod(1.0 - p for p in mine)
        scale = (1.0 - none) / every
        return [value * scale for value in e], none
    nothing = math.exp(null - top)
    total = nothing + every
    return [value / total for value in e], nothing / total


def _overlapping(
    z: Sequence[float], sizes: Sequence[int], mine: Sequence[float], null: float | None
) -> tuple[list[float], float]:
    chances = [_sigmoid(value) for value in z]
    if null is None:
        return chances, math.prod(1.0 - p for p in mine)
    none = math.prod((1.0 - p) ** (1.0 / size) for p, size in zip(chances, sizes, strict=True))
    return chances, _sigmoid(logit(clipped(none)) + null)


def _corrected(p: float, winner: WinnerMap) -> float:
    return _sigmoid(winner.slope * logit(clipped(p)) + winner.bias)


def _sigmoid(z: float) -> float:
    return 0.5 * (1.0 + math.tanh(0.5 * z))


def compete_all(
    mine: Floats,
    has: NDArray[np.bool_],
    terms: Terms,
    null: float | None,
    *,
    claims: Sequence[GroupClaims] = (),
    overlapping: bool = False,
    winner: WinnerMap | None = None,
) -> tuple[Floats, Floats]:
    """`compete` for n requests: P(domain), shape (domains, n), 0 where `has` says no reading; P(no domain), shape (n,).

    `mine` and `has` have shape (domains, n).
    """
    slopes, biases = np.array([term[:2] for term in terms], np.float64).reshape(-1, 2).T
    z = np.where(has, slopes[:, None] * log_odds(mine) + biases[:, None], -np.inf)
    sizes: Floats | float = 1.0
    if claims:
        z, sizes = pooled_all(z, np.array([term[2] if len(term) > 2 else 0.0 for term in terms]), claims)
    raw = np.where(has, 1.0 - mine, 1.0).prod(axis=0) if null is None else None
    if overlapping:
        chances = np.where(has, sigmoid(np.where(has, z, 0.0)), 0.0)
        none = ((1.0 - chances) ** (1.0 / sizes)).prod(axis=0) if raw is None else raw
        none = none if null is None else sigmoid(log_odds(none) + null)
    else:
        top = np.maximum(z.max(axis=0, initial=-np.inf), -np.finfo(np.float64).max if null is None else null)
        e = np.exp(z - top)
        every = (e / sizes).sum(axis=0)
        if null is None or raw is not None:
            none = np.asarray(raw)
            chances = e * ((1.0 - none) / np.where(every > 0.0, every, 1.0))
        else:
            nothing = np.exp(null - top)
            total = nothing + every
            chances, none = e / total, nothing / total
    if winner is not None:
        chances = np.where(has, sigmoid(winner.slope * log_odds(chances) + winner.bias), 0.0)
    return chances, none
