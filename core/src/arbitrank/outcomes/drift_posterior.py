"""Posterior of reactions: how noisy they are, whether a domain's claims have drifted, and by which scale and shift.

All of it is summed over grids, so that nothing depends on where a search begins. A right answer is rejected with
probability `spurious`, a wrong one accepted with probability `missed`, the same for all domains. A domain's claims are
as they should be with probability 1 − DRIFTED, or else have the log-odds scale · own + shift, log scale and shift being
normal (a spike and a slab: Mitchell & Beauchamp 1988). A client reacts to a domain's answers by these, or with
probability CONTRARY regardless of them, accepting a share of its own that may be any: so whatever it says, its
likelihood speaks for one map against another by a few nats. That likelihood has the power by which its share of the
weight is capped.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import lgamma
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from arbitrank.outcomes.noise import SCALES, SHIFTS, capped, claimed, likelihoods
from arbitrank.outcomes.reactions import Reactions
from arbitrank.probability import Floats

DRIFTED = 0.2
"""P(a domain's claims have drifted) beforehand."""

LOG_SCALE, SHIFT = 0.5, 1.0
"""Standard deviations of log scale and shift where they have."""

CONTRARY = 0.01
"""P(a client's reactions to a domain do not depend on its answers) beforehand."""

RATES = np.array([0.005, 0.02, 0.05, 0.1, 0.17, 0.25, 0.33, 0.41, 0.48])
"""Rates of false rejections, and of false acceptances, that are considered."""

_SPURIOUS, _MISSED = 18.0, 8.0  # exponents of 1 − rate beforehand: means of 5 % and 10 %
_POINTS = (13, 17)  # scales and shifts of a grid
_NOISE, _OWN = 400, 2_000  # reactions of a domain that tell noise, and that tell its map
_LIKELY, _FINE, _ROUNDS = 1e-3, 12.0, 4  # rates and maps that are looked at closely: P, nats; grids


class Maps(NamedTuple):
    """Maps of log-odds and the logarithms of their probabilities beforehand; the last one changes nothing."""

    log_scale: Floats
    shift: Floats
    prior: Floats

    @classmethod
    def between(cls, low: Floats, high: Floats) -> Maps:
        """A grid of log scale and shift, and the map that changes nothing."""
        axes = [np.linspace(a, b, n) for a, b, n in zip(low, high, _POINTS, strict=True)]
        log_scale, shift = (one.ravel() for one in np.meshgrid(*axes, indexing="ij"))
        area = np.prod([axis[1] - axis[0] for axis in axes]) / (2.0 * np.pi * LOG_SCALE * SHIFT)
        prior = np.log(DRIFTED * area) - 0.5 * ((log_scale / LOG_SCALE) ** 2 + (shift / SHIFT) ** 2)
        return cls(np.append(log_scale, 0.0), np.append(shift, 0.0), np.append(prior, np.log(1.0 - DRIFTED)))


_CORNERS = np.array([(np.log(scale), shift) for scale, shift in zip(SCALES, SHIFTS, strict=True)])
_WHOLE = Maps.between(*_CORNERS)


@dataclass(frozen=True)
class ClientReactions:
    """Reactions to one domain, by client: P(right) of n answers with each of m maps, and what C clients did.

    Answers of known truth are each a client's of its own: `p` is 1 or 0, and `truths` the log-likelihood of what is
    known. `power` is the share of a client's weight that the cap leaves, `weight` what is left of it.
    """

    own: Reactions
    maps: Maps
    p: Floats
    truths: Floats
    starts: NDArray[np.int64]
    power: Floats
    weight: Floats
    careless: Floats

    @classmethod
    def of(cls, own: Reactions, maps: Maps) -> ClientReactions:
        """Those of a domain."""
        client = np.where(own.known, len(own.clients) + np.arange(len(own)), own.client)
        order = np.argsort(client, kind="stable")
        own, starts = own.of(order), np.flatnonzero(np.diff(client[order], prepend=-1))
        p = np.stack([claimed(own, *by) for by in zip(np.exp(maps.log_scale), maps.shift, strict=True)], axis=1)
        total, weight = (np.add.reduceat(one, starts) for one in (own.weight, capped(own, own.weight)))
        reacted = own.weight * own.reacted
        yes, no = (np.add.reduceat(reacted * one, starts) for one in (own.accepted, ~own.accepted))
        known, right = own.known[:, None], own.right[:, None]
        truths = np.where(
            known, own.weight[:, None] * np.log(np.maximum(np.where(right > 0.5, p, 1.0 - p), 1e-12)), 0.0
        )
        return cls(
            own, maps, np.where(known, right, p), np.add.reduceat(truths, starts), starts,
            weight / np.maximum(total, 1e-300), weight, log_shares(yes, no),
        )  # fmt: skip

    def kinds(self, rates: Floats) -> tuple[Floats, Floats]:
        """Log-likelihoods of clients who react by the answers, shape (C, m), and of careless ones, shape (C,)."""
        if_right, if_wrong = likelihoods(self.own, *rates)
        of_each = self.p * (if_right - if_wrong)[:, None]
        of_each += if_wrong[:, None]
        np.log(of_each, out=of_each)
        of_each *= self.own.weight[:, None]
        return np.log(1.0 - CONTRARY) + np.add.reduceat(of_each, self.starts), np.log(CONTRARY) + self.careless

    def log_likelihoods(self, rates: Floats) -> Floats:
        """The log-likelihood of each client with each map, shape (C, m)."""
        honest, careless = self.kinds(rates)
        return np.asarray(self.power[:, None] * (np.logaddexp(honest, careless[:, None]) + self.truths))


@dataclass(frozen=True)
class NoisePosterior:
    """log P(rates | the reactions to each domain), by domain, and beforehand: rows are `spurious`, columns `missed`."""

    beforehand: Floats
    by_domain: dict[int, Floats]

    def beside(self, domain: int) -> Floats:
        """The logarithms of the rates' probabilities by the reactions to the other domains, but for a constant."""
        return np.asarray(self.beforehand + sum(one for k, one in self.by_domain.items() if k != domain))

    @property
    def chances(self) -> Floats:
        """P(rates | all reactions)."""
        found = self.beside(-1)
        return np.asarray(np.exp(found - np.logaddexp.reduce(found, axis=None)))

    @property
    def means(self) -> tuple[float, float]:
        """The mean rates of false rejections and false acceptances."""
        return float(self.chances.sum(axis=1) @ RATES), float(self.chances.sum(axis=0) @ RATES)


def noise_posterior(reactions: Reactions) -> NoisePosterior:
    """The noise of all reactions, whichever domains have drifted."""
    between = np.concatenate([[0.0], (RATES[1:] + RATES[:-1]) / 2.0, [0.5]])
    before = [np.log(-np.diff((1.0 - between) ** (1.0 + power))) for power in (_SPURIOUS, _MISSED)]
    found = {}
    for k in np.unique(reactions.domain).tolist():
        seen = ClientReactions.of(_some(reactions.of(reactions.domain == k), _NOISE), _WHOLE)
        found[k] = np.array([[_evidence(seen, np.array([s, m])) for m in RATES] for s in RATES])
    return NoisePosterior(before[0][:, None] + before[1], found)


class DriftPosterior(NamedTuple):
    """P(a domain's claims have drifted), and the means of log scale and shift, those of no drift included.

    `gains` are the clients' log-likelihoods by all others' reactions, over those by the claims as they are. `weight`
    is that of the clients who react by the answers, `distrusted` the number of others, `capped` that of limited ones,
    among the `n` reactions that are looked at.
    """

    drifted: float
    log_scale: float
    shift: float
    gains: Floats
    weight: float
    distrusted: int
    capped: int
    n: int


def drift_posterior(reactions: Reactions, noise: NoisePosterior, domain: int) -> DriftPosterior:
    """The drift of a domain's claims by its reactions, of which there is one at least, and everybody's noise."""
    own, beside = _some(reactions.of(reactions.domain == domain), _OWN), noise.beside(domain)
    likely = np.argwhere(noise.chances >= _LIKELY)
    corners, found = _CORNERS, np.zeros(0)
    for _ in range(_ROUNDS):
        seen = ClientReactions.of(own, Maps.between(*corners))
        found = np.array([seen.log_likelihoods(RATES[at]).sum(axis=0) + beside[tuple(at)] for at in likely])
        found += seen.maps.prior
        closer = _close(seen.maps, np.logaddexp.reduce(found, axis=0)[:-1], corners)
        if closer is None:
            break
        corners = closer
    chance = np.exp(found - np.logaddexp.reduce(found, axis=None))
    of_maps, rates = chance.sum(axis=0), RATES[likely[chance.sum(axis=1).argmax()]]
    honest, careless = seen.kinds(rates)
    trusted = honest[:, of_maps.argmax()] > careless
    each = seen.log_likelihoods(rates)
    every = each.sum(axis=0) + seen.maps.prior
    gains = np.logaddexp.reduce(every) - np.logaddexp.reduce(every - each, axis=1) - each[:, -1]
    return DriftPosterior(
        float(of_maps[:-1].sum()), float(of_maps @ seen.maps.log_scale), float(of_maps @ seen.maps.shift), gains,
        float(seen.weight[trusted].sum()), int((~trusted).sum()), int((seen.power < 1.0 - 1e-9).sum()), len(own),
    )  # fmt: skip


def _evidence(seen: ClientReactions, rates: Floats) -> float:
    """The log-likelihood of a domain's reactions, whichever map it has."""
    return float(np.logaddexp.reduce(seen.log_likelihoods(rates).sum(axis=0) + seen.maps.prior))


def _close(maps: Maps, found: Floats, corners: Floats) -> Floats | None:
    """The corners of the grid around the likely maps, a step wider; None where that is most of the present one."""
    likely = found > found.max() - _FINE
    at = np.stack([maps.log_scale[:-1], maps.shift[:-1]], axis=1)[likely]
    step = (corners[1] - corners[0]) / (np.array(_POINTS) - 1)
    low, high = np.maximum(at.min(axis=0) - step, corners[0]), np.minimum(at.max(axis=0) + step, corners[1])
    return None if (high - low > 0.7 * (corners[1] - corners[0])).all() else np.stack([low, high])


def _some(reactions: Reactions, most: int) -> Reactions:
    """At most so many reactions, at even distances."""
    every = -(-len(reactions) // most)
    return reactions.of(np.arange(len(reactions)) % every == 0) if every > 1 else reactions


def log_shares(yes: Floats, no: Floats) -> Floats:
    """The log-likelihood of so many acceptances and rejections by a client that accepts any share: log B(1 + …)."""
    each = zip(yes.tolist(), no.tolist(), strict=True)
    return np.array([lgamma(1.0 + a) + lgamma(1.0 + b) - lgamma(2.0 + a + b) for a, b in each])
