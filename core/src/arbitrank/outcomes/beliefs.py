"""Labels that reactions give to answers, and how much each counts, by everybody's noise and each domain's drift."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from arbitrank.outcomes.drift_posterior import CONTRARY, drift_posterior, log_shares, noise_posterior
from arbitrank.outcomes.noise import capped, claimed, likelihoods, posterior
from arbitrank.outcomes.reactions import Reactions
from arbitrank.probability import Floats, log_odds, sigmoid


class Beliefs(NamedTuple):
    """P(the answer was entirely right | its reaction), and what the reaction counts after trust and caps, shapes (n,).

    `spurious` and `missed` are the mean rates of false rejections and acceptances; `distrusted` the number of clients
    whose reactions say next to nothing about a domain's answers, `capped` that of those whom the cap holds.
    """

    right: Floats
    weight: Floats
    spurious: float
    missed: float
    distrusted: int
    capped: int


def beliefs(reactions: Reactions) -> Beliefs:
    """The labels and weights of reactions, by the posterior means of noise and of the drifts of the domains' claims."""
    noise = noise_posterior(reactions)
    rates, n = noise.means, len(reactions)
    right, trust, weight = np.zeros(n), np.ones(n), np.zeros(n)
    for k in np.unique(reactions.domain).tolist():
        places = np.flatnonzero(reactions.domain == k)
        own, drift = reactions.of(places), drift_posterior(reactions, noise, k)
        p = claimed(own, float(np.exp(drift.log_scale)), drift.shift)
        right[places], trust[places] = posterior(own, p, *rates), client_trust(own, p, rates)
        weight[places] = capped(own, trust[places] * own.weight)
    held = ~reactions.known & (weight < trust * reactions.weight - 1e-9)
    distrusted = np.unique(reactions.client[trust < 0.5])
    return Beliefs(right, weight, *rates, len(distrusted), len(np.unique(reactions.client[held])))


def client_trust(own: Reactions, p: Floats, rates: tuple[float, float]) -> Floats:
    """P(a reaction's client reacts to the domain by its answers, and not regardless of them), 1 for truths, shape (n,).

    `p` is P(right) of the answers. A client that reacts regardless of them accepts any share of its own.
    """

    def of_clients(each: Floats | NDArray[np.bool_]) -> Floats:
        return np.asarray(np.bincount(own.client, own.weight * each, len(own.clients)), np.float64)

    right = np.where(own.known, own.right, p)
    if_right, if_wrong = likelihoods(own, *rates)
    by_answers = of_clients(np.log(np.maximum(right * if_right + (1.0 - right) * if_wrong, 1e-12)))
    regardless = log_shares(of_clients(own.reacted & own.accepted), of_clients(own.reacted & ~own.accepted))
    trust = sigmoid(log_odds(np.array(1.0 - CONTRARY)) + by_answers - regardless)
    return np.where(own.known, 1.0, trust[own.client])
