"""Noise of reactions, estimated together with what the domains' claims have become: whom to believe, and how far.

A right answer is rejected with probability `spurious`, a wrong one accepted with probability `missed`, whoever reacts;
P(right) of a domain's answers has the log-odds scale · own + shift + beside, its readings together at most P(mine).
These, and for each client the probability that its reactions depend on the answers at all, are fitted to all reactions
by expectation maximisation (after Dawid & Skene 1979; the loss of a domain is the cross-entropy corrected for the
noise, Natarajan et al. 2013). A client's share of a domain's weight is capped. Noise explains what it can before a
domain has a map of its own: most domains have not changed, and clients are the same for all. With one domain and no
truth the two can hardly be told apart.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from arbitrank.outcomes.client_cap import CAP, PRIOR, capped_weights
from arbitrank.outcomes.reactions import Reactions
from arbitrank.probability import Floats, binary_loss, log_odds, sigmoid

PULL = 2.0
"""Strength of the pull of scale and shift to 1 and 0, in units of 1 / variance."""

SCALES = (1 / 3, 3.0)
SHIFTS = (-4.0, 4.0)
"""Bounds of a map."""

_SCALES_AT, _SHIFTS_AT = (1.0, 0.5, 0.7, 1.4, 2.0, 2.8), (0.0, -2.0, -1.0, 1.0, 2.0)
_BOUNDS, _IDENTITY = np.array([SCALES, SHIFTS]).T, np.array([1.0, 0.0])
_ROUNDS, _STEPS, _HALVINGS, _TOLERANCE, _SMALL = 300, 50, 8, 1e-3, 1e-4
_FEW, _AGAIN = 100.0, 10  # weight of other domains' reactions that tell noise; steps to their rates
_ENOUGH = 5_000  # reactions of a domain from which on its map is fitted to some of them
_EVIDENCE = 5.0  # nats beyond which a domain is believed to have changed: about BIC's for two numbers
_SPURIOUS, _MISSED = (1.0, 19.0), (1.0, 9.0)  # of the Beta distributions beforehand: 5 % and 10 %
_HONEST, _CARELESS, _REVERSED = 0.99, 0.009, 0.001  # clients beforehand: reactions by the answers, at random, lies
_MOST = 0.49  # of either error: beyond that, reactions would say the opposite of what they mean


@dataclass(frozen=True)
class ReactionNoise:
    """Rates of false reactions, the clients' trust in [0, 1], the domains' maps, and what follows for each reaction.

    `maps` are scale and shift by domain. `right` is P(the answer was entirely right), given all of this, `weight` what
    the reaction counts after trust and caps, shapes (n,). `capped` are the clients that the cap holds anywhere.
    """

    spurious: float
    missed: float
    trust: Floats
    maps: Mapping[str, tuple[float, float]]
    right: Floats
    weight: Floats
    capped: int

    @property
    def rates(self) -> Floats:
        """Both rates of false reactions, shape (2,)."""
        return np.array([self.spurious, self.missed])

    @property
    def distrusted(self) -> int:
        """The number of clients whose reactions say next to nothing about the answers."""
        return int((self.trust < 0.5).sum())


def fit_noise(reactions: Reactions, *, cap: float = CAP, pull: float = PULL) -> ReactionNoise:
    """Noise, clients and maps of reactions; without any, those expected beforehand."""
    n = len(reactions)
    maps = np.tile([1.0, 0.0], (len(reactions.domains), 1))
    rates = np.array([_mean(_SPURIOUS), _mean(_MISSED)])
    trust = np.full(len(reactions.clients), _HONEST)
    right, weight, changed = np.zeros(n), np.zeros(n), np.zeros(len(maps), bool)
    for _ in range(_ROUNDS if n else 0):
        before = np.concatenate([maps.ravel(), rates, trust])
        p = claimed(reactions, *maps[reactions.domain].T)
        right = posterior(reactions, p, *rates)
        trust = _trust(reactions, p, rates)
        weight = capped(reactions, np.where(reactions.known, 1.0, trust[reactions.client]) * reactions.weight, cap)
        rates = _rates(reactions, right, weight)
        for k in np.flatnonzero(changed):
            own = reactions.domain == k
            maps[k] = most_likely(reactions.of(own), weight[own], rates, pull=pull)
        if np.abs(np.concatenate([maps.ravel(), rates, trust]) - before).max() < _TOLERANCE:
            found, gain = _most_changed(reactions, p, weight, rates, pull, np.flatnonzero(~changed))
            if gain < _EVIDENCE:
                break
            changed[found] = True
    held = ~reactions.known & (weight < trust[reactions.client] * reactions.weight - 1e-9)
    return ReactionNoise(
        float(rates[0]), float(rates[1]), trust,
        {name: (float(maps[k, 0]), float(maps[k, 1])) for k, name in enumerate(reactions.domains)},
        right, weight, len(np.unique(reactions.client[held])),
    )  # fmt: skip


def capped(reactions: Reactions, weight: Floats, cap: float = CAP, beside: float = PRIOR) -> Floats:
    """The weights, scaled down so that no client has more than the share `cap` of a domain's, shape (n,).

    The weight of a domain includes that of its prior, `beside`, and that of truths, which are nobody's: with few
    clients each has next to no weight.
    """
    found = weight.copy()
    for k in range(len(reactions.domains)):
        of_domain = reactions.domain == k
        own = np.flatnonzero(of_domain & ~reactions.known)
        certain = beside + float(weight[of_domain & reactions.known].sum())
        found[own] = capped_weights(reactions.client[own], weight[own], cap, certain)
    return found


def posterior(reactions: Reactions, p: Floats, spurious: float, missed: float) -> Floats:
    """P(right | reaction) from P(right) before it, the truth in its place where that is known: shape (n,)."""
    if_right, if_wrong = likelihoods(reactions, spurious, missed)
    found = p * if_right / np.maximum(p * if_right + (1.0 - p) * if_wrong, 1e-300)
    return np.where(reactions.known, reactions.right, found)


def log_likelihoods(reactions: Reactions, rates: Floats, by: tuple[float, float]) -> Floats:
    """The log-likelihood of each reaction of one domain, or of its truth, with a map, shape (n,)."""
    return np.asarray(np.log(_evidence(reactions, claimed(reactions, *by), rates)))


def claimed(reactions: Reactions, scale: Floats | float, shift: Floats | float) -> Floats:
    """P(right) of the answers with these maps, shape (n,)."""
    return sigmoid(_log_odds(reactions, np.asarray(scale), np.asarray(shift)))


def _log_odds(reactions: Reactions, scale: Floats, shift: Floats) -> Floats:
    """Log-odds of the answers with these maps: readings that sum to more than P(mine) are scaled down together."""
    right = sigmoid(scale[..., None] * reactions.readings + shift[..., None]) * np.isfinite(reactions.readings)
    mine = sigmoid(scale * reactions.mine + shift)
    return log_odds(right[:, 0] * np.minimum(1.0, mine / np.maximum(right.sum(axis=1), 1e-300))) + reactions.beside


def likelihoods(reactions: Reactions, spurious: float, missed: float) -> tuple[Floats, Floats]:
    """Probabilities of each reaction where the answer was right, and where it was wrong; 1 where there is none."""
    yes = reactions.accepted
    if_right, if_wrong = np.where(yes, 1.0 - spurious, spurious), np.where(yes, missed, 1.0 - missed)
    return np.where(reactions.reacted, if_right, 1.0), np.where(reactions.reacted, if_wrong, 1.0)


def _evidence(reactions: Reactions, p: Floats, rates: Floats) -> Floats:
    """The probability of what was seen: of the truth where that is known, else of the reaction."""
    p = np.where(reactions.known, reactions.right * p + (1.0 - reactions.right) * (1.0 - p), p)
    if_right, if_wrong = likelihoods(reactions, *rates)
    return np.maximum(np.where(reactions.known, p, p * if_right + (1.0 - p) * if_wrong), 1e-12)


def _trust(reactions: Reactions, p: Floats, rates: Floats) -> Floats:
    """P(a client's reactions depend on the answers as everybody's do), shape (clients,)."""
    seen = reactions.reacted
    p = np.where(reactions.known, reactions.right, p)
    if_right, if_wrong = likelihoods(reactions, *rates)
    rate = float(np.average(reactions.accepted[seen], weights=reactions.weight[seen])) if seen.any() else 0.5
    rate = min(max(rate, 0.05), 0.95)
    honest = np.log(np.maximum(p * if_right + (1.0 - p) * if_wrong, 1e-12))
    reverse = np.log(np.maximum((1.0 - p) * if_right + p * if_wrong, 1e-12))
    careless = np.log(np.where(reactions.accepted, rate, 1.0 - rate))
    sums = [
        np.log(prior) + np.bincount(reactions.client[seen], each[seen], len(reactions.clients))
        for prior, each in ((_HONEST, honest), (_CARELESS, careless), (_REVERSED, reverse))
    ]
    top = np.maximum.reduce(sums)
    odds = [np.exp(one - top) for one in sums]
    return np.asarray(odds[0] / np.sum(odds, axis=0))


def _most_changed(
    reactions: Reactions, p: Floats, weight: Floats, rates: Floats, pull: float, domains: NDArray[np.int64]
) -> tuple[int, float]:
    """The domain whose reactions a map of their own explains best, in nats over none, given the others' noise."""
    found = -1, 0.0
    for k in domains.tolist():
        of_others = rates_beside(reactions, k, p, weight, rates)
        own, w = reactions.of(reactions.domain == k), weight[reactions.domain == k]
        by = most_likely(own, w, of_others, pull=pull)
        gain = float(w @ (log_likelihoods(own, of_others, by) - log_likelihoods(own, of_others, (1.0, 0.0))))
        found = max(found, (k, gain), key=lambda one: one[1])
    return found


def rates_beside(reactions: Reactions, domain: int, p: Floats, weight: Floats, rates: Floats) -> Floats:
    """The rates of false reactions to the other domains, by P(right); those of all where the others have few."""
    others = reactions.domain != domain
    if weight[others].sum() < _FEW:
        return rates
    beside, p, weight = reactions.of(others), p[others], weight[others]
    for _ in range(_AGAIN):
        rates = _rates(beside, posterior(beside, p, *rates), weight)
    return rates


def most_likely(reactions: Reactions, weight: Floats, rates: Floats, *, pull: float = PULL) -> tuple[float, float]:
    """Scale and shift of one domain by its reactions given the noise, within bounds, pulled to 1 and 0.

    Each step is one of expectation maximisation: labels by the map, then a step of Newton's method to them.
    """
    if (every := -(-len(weight) // _ENOUGH)) > 1:
        some = np.arange(len(weight)) % every == 0
        reactions, weight = reactions.of(some), weight[some] * every
    by = _best_start(reactions, weight, rates, pull)
    for _ in range(_STEPS):
        z = _log_odds(reactions, *by)
        right = posterior(reactions, sigmoid(z), *rates)
        new = _stepped(reactions, right, weight, pull, by, z)
        done = np.abs(new - by).max() < _TOLERANCE
        by = new
        if done:
            break
    return float(by[0]), float(by[1])


def _best_start(reactions: Reactions, weight: Floats, rates: Floats, pull: float) -> Floats:
    """The best map of a coarse grid by its penalised likelihood, where steps begin.

    Where readings sum to P(mine), as most do, the likelihood has a kink at the map that changes nothing: no step from
    there helps, though one far away is better by many nats.
    """

    def value(by: tuple[float, float]) -> float:
        away = np.array(by) - _IDENTITY
        return float(weight @ log_likelihoods(reactions, rates, by)) - 0.5 * pull * float(away @ away)

    return np.array(max(((scale, shift) for scale in _SCALES_AT for shift in _SHIFTS_AT), key=value))


def _stepped(reactions: Reactions, right: Floats, weight: Floats, pull: float, by: Floats, z: Floats) -> Floats:
    """A step of Newton's method on the cross-entropy of soft labels, halved until it helps; `z`: log-odds by now."""
    slopes = np.stack([(_log_odds(reactions, *(by + _SMALL * unit)) - z) / _SMALL for unit in np.eye(2)], axis=1)
    p, away = sigmoid(z), by - _IDENTITY
    gradient = slopes.T @ (weight * (p - right)) + pull * away
    curve = (slopes * (weight * p * (1.0 - p))[:, None]).T @ slopes + pull * np.eye(2)
    step = np.linalg.solve(curve, gradient)
    before = float(weight @ binary_loss(z, right)) + 0.5 * pull * float(away @ away)
    for _ in range(_HALVINGS):
        new = np.clip(by - step, *_BOUNDS)
        away = new - _IDENTITY
        loss = float(weight @ binary_loss(_log_odds(reactions, *new), right)) + 0.5 * pull * float(away @ away)
        if loss <= before:
            return np.asarray(new)
        step = 0.5 * step
    return by


def _rates(reactions: Reactions, right: Floats, weight: Floats) -> Floats:
    """The modes of both error rates, given which answers were right."""
    w, yes = np.where(reactions.reacted, weight, 0.0), reactions.accepted
    spurious = (_SPURIOUS[0] + float((w * right)[~yes].sum())) / (sum(_SPURIOUS) + float((w * right).sum()))
    missed = (_MISSED[0] + float((w * (1 - right))[yes].sum())) / (sum(_MISSED) + float((w * (1 - right)).sum()))
    return np.minimum([spurious, missed], _MOST)


def _mean(beta: tuple[float, float]) -> float:
    return beta[0] / sum(beta)
