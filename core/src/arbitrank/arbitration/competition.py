"""Competition calibration: the domains' claims on one request, calibrated against each other and against "no domain".

    P(domain d) = exp(a_d · logit P(mine) + b_d) / (exp(null) + Σ_k exp(a_k · logit P(mine) + b_k))
    P(no domain) = exp(null) / the same sum
    P(right) = P(domain) · P(right | mine)

The sums are over the domains that have a reading of the request. At slope 1, bias 0 and `null` 0 the odds stay as the
domains stated them, conditioned on at most one domain owning the request. Where it is not known how requests out of
scope look, there is no `null`: P(no domain) stays Π(1 − P(mine)), and the domains share the rest in proportion to their
exponentials. `compete` computes it for one request, `compete_all` for many.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Annotated

import msgspec
import numpy as np
from numpy.typing import NDArray

from arbitrank.probability import Floats, clipped, log_odds, logit

Slope = Annotated[float, msgspec.Meta(ge=0.0, le=10.0)]
Bias = Annotated[float, msgspec.Meta(ge=-30.0, le=30.0)]

Share = Annotated[float, msgspec.Meta(gt=0.0, lt=1.0)]

IDENTITY = (1.0, 0.0)
"""Slope and bias that leave a domain's log-odds as they are."""

Served = tuple[str | None, float]
"""The version of a domain that serves, and the temperature that divides its log-odds."""


UNVERSIONED: Served = (None, 1.0)
"""A domain of which no version is known, as one that is not installed."""


class Term(msgspec.Struct, frozen=True):
    """Slope and bias of one domain's log-odds, valid for the version and the temperature that they were fitted on.

    A `version` of None is valid for any.
    """

    slope: Slope = 1.0
    bias: Bias = 0.0
    version: str | None = None
    temperature: float = 1.0

    def valid(self, served: Served) -> bool:
        """True where it was fitted on what serves now."""
        return self.version is None or served == (self.version, self.temperature)


class Competition(msgspec.Struct, frozen=True):
    """Slopes and biases by domain, and the log-odds `null` of "no domain"; a domain that is not named keeps its own.

    A `null` of None leaves P(no domain) as it is without a competition. `share` is the share of out-of-scope requests,
    in (0, 1), that `null` is right for; None without.
    """

    terms: dict[str, Term] = {}
    null: Bias | None = None
    share: Share | None = None

    def term(self, name: str, served: Served = UNVERSIONED) -> tuple[float, float]:
        """Slope and bias of a domain; the identity where none were fitted on what serves."""
        one = self.terms.get(name)
        return (one.slope, one.bias) if one is not None and one.valid(served) else IDENTITY

    def all_terms(
        self, names: Iterable[str], served: Mapping[str, Served] = MappingProxyType({})
    ) -> list[tuple[float, float]]:
        """`term` of each of the domains; those not in `served` have no version."""
        return [self.term(name, served.get(name, UNVERSIONED)) for name in names]

    def outdated(self, served: Mapping[str, Served]) -> list[str]:
        """The domains that serve and have no valid slope and bias, sorted: those that are new or changed."""
        return sorted(name for name, one in served.items() if name not in self.terms or not self.terms[name].valid(one))


def compete(
    mine: Sequence[float], terms: Iterable[tuple[float, float]], null: float | None
) -> tuple[list[float], float]:
    """P(domain) of each domain with a reading, from its P(mine), and P(no domain): together 1."""
    z = [slope * logit(clipped(p)) + bias for p, (slope, bias) in zip(mine, terms, strict=True)]
    if not z:
        return [], 1.0
    top = max(z) if null is None else max(null, *z)
    e = [math.exp(value - top) for value in z]
    if null is None:
        none = math.prod(1.0 - p for p in mine)
        scale = (1.0 - none) / math.fsum(e)
        return [value * scale for value in e], none
    nothing = math.exp(null - top)
    total = nothing + math.fsum(e)
    return [value / total for value in e], nothing / total


def compete_all(
    mine: Floats, has: NDArray[np.bool_], terms: Sequence[tuple[float, float]], null: float | None
) -> tuple[Floats, Floats]:
    """`compete` for n requests: P(domain), shape (domains, n), 0 where `has` says no reading; P(no domain), shape (n,).

    `mine` and `has` have shape (domains, n).
    """
    slopes, biases = np.array(terms, np.float64).reshape(-1, 2).T
    z = np.where(has, slopes[:, None] * log_odds(mine) + biases[:, None], -np.inf)
    top = np.maximum(z.max(axis=0, initial=-np.inf), -np.finfo(np.float64).max if null is None else null)
    e = np.exp(z - top)
    if null is None:
        none = np.where(has, 1.0 - mine, 1.0).prod(axis=0)
        total = e.sum(axis=0)
        return e * ((1.0 - none) / np.where(total > 0.0, total, 1.0)), none
    nothing = np.exp(null - top)
    total = nothing + e.sum(axis=0)
    return e / total, nothing / total
