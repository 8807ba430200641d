"""Recalibration of a domain from recent reactions, used where it is more likely than not that its claims have drifted.

The map is the posterior mean, that of no drift included (`arbitrank.outcomes.drift_posterior`): the less sure, the
less it does. It is bounded, and rests on reactions that count half after a week, so that it returns to nothing where
none come.
"""

from __future__ import annotations

import msgspec
import numpy as np

from arbitrank.arbitration.recalibration import Recalibration, recalibration
from arbitrank.evaluate.intervals import Estimate
from arbitrank.outcomes.drift_posterior import NoisePosterior, drift_posterior
from arbitrank.outcomes.noise import capped, claimed
from arbitrank.outcomes.reactions import Reactions
from arbitrank.probability import Floats

MOST = 0.4
"""The mean P(right) of a domain's answers moves by at most this · (1 − spurious − missed)²."""

LEAST = 50
"""Reactions and truths of a domain, by their weight, below which nothing is fitted."""

SURE = 0.5
"""P(the domain's claims have drifted) from which on it is recalibrated."""

_SMALL = 1e-3  # parts of a map between which nothing is told
_Z = 1.96


class OutcomeRecalibration(msgspec.Struct, frozen=True):
    """The recalibration that reactions to a domain's answers choose, None for none, and what it was fitted to.

    `drifted` is P(its claims have drifted). `gain` is that of the log-likelihood of each client's reactions by the
    posterior of the others', in nats a reaction. `n` reactions and truths of `clients` clients weigh `weight` together.
    `spurious` and `missed` are the rates of false rejections and acceptances, of all domains; `distrusted` clients
    were left out, `capped` ones limited, `nameless` reactions had neither account nor session.
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
    drifted: float = 0.0


def recalibrate(reactions: Reactions, noise: NoisePosterior, domain: str) -> OutcomeRecalibration:
    """The recalibration of a domain by its reactions and everybody's noise."""
    number = reactions.domains.index(domain) if domain in reactions.domains else -1
    own, (spurious, missed) = reactions.of(reactions.domain == number), noise.means
    if not len(own):
        none = Estimate(0.0, 0.0, 0.0)
        return OutcomeRecalibration(None, none, 0, 0, 0.0, spurious, missed, 0, 0, 0)
    found, by = drift_posterior(reactions, noise, number), (1.0, 0.0)
    if found.weight >= LEAST and found.drifted >= SURE:
        told = max(1.0 - spurious - missed, 1e-3)  # of a reaction: 1 without noise, 0 where it says nothing
        by = _bounded(own, capped(own, own.weight), (float(np.exp(found.log_scale)), found.shift), MOST * told**2)
    total = max(found.weight, 1e-9)
    mean, error = float(found.gains.sum()) / total, float(found.gains.std() * len(found.gains) ** 0.5) / total
    return OutcomeRecalibration(
        recalibration(round(by[0], 4), round(by[1], 4)), Estimate(mean, mean - _Z * error, mean + _Z * error),
        len(own), len(np.unique(own.client)), found.weight * len(own) / found.n, spurious, missed, found.distrusted,
        found.capped, own.nameless, found.drifted,
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
