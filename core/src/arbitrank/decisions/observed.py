"""Labelled requests as all domains read them: the best readings, which of them are right, and the owners."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from arbitrank.arbitration.claims import ALONE, GroupClaims, Groups, all_claims, group_numbers
from arbitrank.arbitration.competition import Terms
from arbitrank.arbitration.decide import ACTIONS, DecisionSettings, action_codes, choosable, margin
from arbitrank.arbitration.merge import BestReadings, agreeing_with, claims_in, conditioned_readings, merge_heads
from arbitrank.probability import Floats, log_loss

Mask = NDArray[np.bool_]


class DecidedNone(NamedTuple):
    """Requests on which the decision `none` leads to a right answer, and those on which it leads to the right domain.

    That is where they are out of scope, and where a fallback acts, where its reading, or its domain, is right.
    """

    right: Mask
    domain: Mask

    def at(self, places: NDArray[np.int64]) -> DecidedNone:
        """Some of the requests."""
        return DecidedNone(self.right[places], self.domain[places])


class Observed(NamedTuple):
    """Readings of n requests by each domain, in the order of their names; a fallback, which does not compete, is none.

    `right`, of shape (n, domains), marks best readings that are entirely right; `owners`, (n, domains + 1), the domains
    that own a request, and in the last column requests that are out of scope, the fallback's among them.
    `decided_none` is what the decision `none` leads to; None where there is no fallback.
    """

    domains: tuple[str, ...]
    readings: tuple[BestReadings, ...]
    right: Mask
    owners: Mask
    decided_none: DecidedNone | None = None

    def at(self, places: NDArray[np.int64]) -> Observed:
        """Some of the requests."""
        readings = tuple(one.at(places) for one in self.readings)
        none = None if self.decided_none is None else self.decided_none.at(places)
        return Observed(self.domains, readings, self.right[places], self.owners[places], none)

    def with_fallback(self, name: str | None) -> Observed:
        """The requests with one of the domains as the fallback: it competes no more, and acts where none is decided.

        A request that it owns is out of scope for all others.
        """
        if name not in self.domains:
            return self
        k = self.domains.index(name)
        kept = [d for d in range(len(self.domains)) if d != k]
        acts, owns, nobody = self.readings[k].best >= 0, self.owners[:, k], self.out_of_scope
        none = DecidedNone(np.where(acts, self.right[:, k], nobody), np.where(acts, owns, nobody))
        owners = self.owners[:, [*kept, -1]]
        owners[:, -1] |= owns
        domains, readings = tuple(self.domains[d] for d in kept), tuple(self.readings[d] for d in kept)
        return Observed(domains, readings, self.right[:, kept], owners, none)

    @property
    def mine(self) -> Floats:
        """P(mine), shape (domains, n)."""
        return np.array([one.mine for one in self.readings])

    @property
    def has(self) -> Mask:
        """The domains that have a reading, shape (domains, n)."""
        return np.array([one.best >= 0 for one in self.readings])

    def claims(self, groups: Groups) -> list[GroupClaims]:
        """The claims of the domains in groups, where their readings have keys."""
        numbers = group_numbers(groups)
        keys = [one.keys for one in self.readings]
        of = [ALONE if key is None else numbers.get(name, ALONE) for name, key in zip(self.domains, keys, strict=True)]
        none = np.zeros(len(self.right), np.int64)
        return all_claims(np.array([none if key is None else key for key in keys]), self.has, of)

    def claimants(self, claims: Sequence[GroupClaims]) -> Mask:
        """The domains whose claim is to be believed: owners, in a group those that are right where any is.

        Of shape (n, domains + 1) as `owners`. All domains that state such a claim are marked.
        """
        hits = self.owners.copy()
        for one in claims:
            own, right = hits[:, one.domains], self.right[:, one.domains]
            right = right & own
            own = np.where(right.any(axis=1, keepdims=True), right, own)
            hits[:, one.domains] = (one.same & own.T[None]).any(axis=1).T | own
        return hits

    @property
    def out_of_scope(self) -> Mask:
        """The requests that are out of scope."""
        return np.asarray(self.owners[:, -1])

    @property
    def on_none(self) -> DecidedNone:
        """The requests on which the decision `none` is right, by what it leads to."""
        return self.decided_none or DecidedNone(self.out_of_scope, self.out_of_scope)

    def shares(self, out_of_scope: float) -> Floats:
        """Weights of the requests, 1 on average, under which this share of them is out of scope."""
        return share_weights(self.out_of_scope, out_of_scope)


def share_weights(none: Mask, share: float) -> Floats:
    """Weights of requests, 1 on average, under which those that `none` marks are this share of them."""
    return np.asarray(np.where(none, share / none.sum(), (1.0 - share) / (~none).sum()) * len(none))


class Heads(NamedTuple):
    """Heads of n merged lists: P(right), P(no domain), the margin to the closest domain, and what of it is right.

    `right` marks lists whose head is entirely right, `owned` those whose head's domain owns the request, `rival` those
    where the closest other domain's reading is right. `domain` is the number of the head's domain, -1 where there is
    none.
    """

    probability: Floats
    out_of_scope: Floats
    closest: Floats
    empty: Mask
    right: Mask
    owned: Mask
    rival: Mask
    domain: NDArray[np.int32]

    @classmethod
    def together(cls, parts: Sequence[Heads], places: Sequence[NDArray[np.int64]]) -> Heads:
        """The heads of parts of the requests, in the order of the requests."""
        order = np.argsort(np.concatenate(places), kind="stable")
        return cls(*(np.concatenate(columns)[order] for columns in zip(*parts, strict=True)))

    def at(self, places: NDArray[np.int64]) -> Heads:
        """Some of the lists."""
        columns: tuple[Any, ...] = self
        return Heads(*(column[places] for column in columns))

    @property
    def losses(self) -> Floats:
        """Log loss of P(right) of each head, 0 where there is none."""
        return np.where(self.empty, 0.0, log_loss(self.probability, self.right.astype(np.float64)))

    def actions(self, settings: DecisionSettings, accept: Floats | None = None) -> NDArray[np.int64]:
        """The decision on each list, as an index in `ACTIONS`; `accept` are the lists' own thresholds, if any."""
        empty, probability = self.empty, self.probability
        return np.asarray(action_codes(self.out_of_scope, empty, probability, self.closest, settings, accept))

    def answers(self, settings: DecisionSettings, none: Mask | None) -> Floats:
        """1 where the answer is right: its head, or deciding none where `none` marks that as right.

        With None, as no request is out of scope, the head is the answer whatever is decided.
        """
        return self._answered(self.right, settings, none)

    def domains(self, settings: DecisionSettings, none: Mask | None) -> Floats:
        """1 where the domain of the answer is right, or deciding none, as of `answers`."""
        return self._answered(self.owned, settings, none)

    def _answered(self, right: Mask, settings: DecisionSettings, none: Mask | None) -> Floats:
        if none is None:
            return right.astype(np.float64)
        decided = self.actions(settings) == ACTIONS.index("none")
        return np.where(decided, none, right).astype(np.float64)


def heads_of(observed: Observed, settings: DecisionSettings, terms: Terms | None = None) -> Heads:
    """The heads of the merged lists, by the function that serves; `terms` are the domains' slopes and biases."""
    merged = merge_heads(observed.readings, settings, None, terms)
    conditioned, _ = conditioned_readings(observed.readings, settings, terms)
    n, count = observed.right.shape
    at, first = np.arange(n), np.maximum(merged.domain, 0)
    mine = np.array([one.mine for one in conditioned])
    distances = np.abs(margin(mine[first, at], mine, settings.exclusive))
    right = np.array([one.right for one in conditioned])
    agreeing = agreeing_with(merged.domain, claims_in(observed.readings, terms), count)
    other = observed.has & ~agreeing & choosable(mine, right)
    rival = np.where(other, distances, np.inf).argmin(axis=0)
    empty = merged.domain < 0
    return Heads(
        merged.probability,
        merged.out_of_scope,
        merged.closest,
        empty,
        observed.right[at, first] & ~empty,
        observed.owners[at, first] & ~empty,
        observed.right[at, rival] & np.isfinite(merged.closest),
        merged.domain,
    )
