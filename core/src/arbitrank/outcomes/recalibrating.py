"""Recalibration of a domain from recent reactions: used where reactions of clients that were held out gain by it.

Clients are held out, not reactions, so that one of them confirms no map of its own. A map has to win by 1.64 times the
standard error of its gain over clients; each is bounded, pulled to doing nothing, and fitted to reactions that count
half after a week, so that it returns to nothing where none come.
"""

from __future__ import annotations

import msgspec
import numpy as np

from arbitrank.arbitration.recalibration import Recalibration, recalibration
from arbitrank.evaluate.intervals import Estimate
from arbitrank.outcomes.noise import MapKind, ReactionNoise, claimed, log_likelihoods, most_likely, rates_beside
from arbitrank.outcomes.reactions import Reactions
from arbitrank.probability import Floats

FOLDS = 5
MOST = 0.4
"""The mean P(right) of a domain's answers moves by at most this · (1 − spurious − missed)²."""

LEAST = 50
"""Reactions and truths of a domain, by their weight, below which nothing is fitted."""

KINDS: tuple[MapKind, ...] = ("shift", "scale", "both")
_SURE = 1.64  # standard errors, where there is no noise
_SMALL = 1e-3  # parts of a map between which nothing is told
_Z = 1.96


class OutcomeRecalibration(msgspec.Struct, frozen=True):
    """The recalibration that reactions to a domain's answers choose, None for none, and what it was fitted to.

    `gain` is that of the log-likelihood of held-out clients' reactions, in nats a reaction. `n` reactions and truths of
    `clients` clients weigh `weight` together. `spurious` and `missed` are the rates of false rejections and
    acceptances, of all domains; `distrusted` clients were left out, `capped` ones limited, `nameless` reactions had
    neither account nor session.
    """

    recalibration: Recalibration | None
    gain: Estimate
    n: int
    clients: int
    weight: float
    spurious: float
    missed: float
    distrusted: int
    capped: int
    nameless: int


def recalibrate(reactions: Reactions, noise: ReactionNoise, domain: str) -> OutcomeRecalibration:
    """The recalibration of a domain by all domains' reactions and their noise."""
    number = reactions.domains.index(domain) if domain in reactions.domains else -1
    maps = np.array([noise.maps[name] for name in reactions.domains]).reshape(-1, 2)
    p = claimed(reactions, *maps[reactions.domain].T)
    rates = rates_beside(reactions, number, p, noise.weight, noise.rates)
    own, weight = reactions.of(reactions.domain == number), noise.weight[reactions.domain == number]
    gain, by = np.zeros(len(own)), (1.0, 0.0)
    if weight.sum() >= LEAST:
        held = {kind: _held_out(own, weight, rates, kind) for kind in KINDS}
        best = max(KINDS, key=lambda kind: float(held[kind].sum()))
        told = max(1.0 - float(rates.sum()), 1e-3)  # of a reaction: 1 without noise, 0 where it says nothing
        if held[best].sum() > _SURE / told * _error(own, held[best]):
            found = most_likely(own, weight, rates, kind=best)
            gain, by = held[best], _bounded(own, weight, found, MOST * told**2)
    total = max(float(weight.sum()), 1e-9)
    mean, error = float(gain.sum()) / total, _error(own, gain) / total
    return OutcomeRecalibration(
        recalibration(round(by[0], 4), round(by[1], 4)), Estimate(mean, mean - _Z * error, mean + _Z * error),
        len(own), len(np.unique(own.client)), float(weight.sum()), noise.spurious, noise.missed, noise.distrusted,
        noise.capped, own.nameless,
    )  # fmt: skip


def _bounded(own: Reactions, weight: Floats, by: tuple[float, float], most: float) -> tuple[float, float]:
    """The map, or the greatest part of it that moves the mean P(right) of the answers by no more than `most`."""
    before = claimed(own, 1.0, 0.0)

    def moved(part: float) -> float:
        return abs(float(np.average(claimed(own, by[0] ** part, part * by[1]) - before, weights=weight)))

    part, step = 1.0, 1.0
    while moved(part) > most or (part < 1.0 and step > _SMALL):
        step /= 2.0
        part += step if moved(part) <= most else -step
    return by[0] ** part, part * by[1]


def _held_out(own: Reactions, weight: Floats, rates: Floats, kind: MapKind) -> Floats:
    """The weighted gains of reactions by the maps of other clients' reactions, shape (n,).

    Reactions without a name, and truths, are held out one by one.
    """
    single = (own.client == 0) | own.known
    group = np.where(single, len(own.clients) + np.arange(len(own)), own.client)
    _, group = np.unique(group, return_inverse=True)
    fold = (np.random.default_rng(0).permutation(len(own) + 1) % FOLDS)[group]
    found = -log_likelihoods(own, rates, (1.0, 0.0))
    for k in range(FOLDS):
        held = fold == k
        by = most_likely(own.of(~held), weight[~held], rates, kind=kind)
        found[held] += log_likelihoods(own.of(held), rates, by)
    return weight * found


def _error(own: Reactions, gain: Floats) -> float:
    """The standard error of the sum of gains; a client's are one observation."""
    sums = np.append(np.bincount(own.client, gain)[1:], gain[own.client == 0]) if len(gain) else gain
    sums = sums[sums != 0.0]
    return float(np.sqrt(((sums - sums.mean()) ** 2).sum())) if len(sums) else 0.0
