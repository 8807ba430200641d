"""Fitting of competition calibration: penalised maximum likelihood of each request's owner, shrunk to the identity.

The penalty pulls the shared slope to 1, each domain's slope to the shared one, and all biases to 0, each as much as a
normal prior of the given deviation does, so that few requests change little. Agreement of the domains of a group is
pulled to 0, where two that agree count as one.

A domain that owns none of the requests is left out, and has the shared slope without a bias. That every claim of it was
wrong says that it is new, or that its requests are missing among the labelled ones, not that it claims too much.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from arbitrank.arbitration.claims import GroupClaims
from arbitrank.arbitration.competition import WinnerMap
from arbitrank.probability import CLIP, Floats, binary_loss, log_loss, log_odds, sigmoid

SHARED = 0.5
"""Deviation of the prior of the shared slope around 1, and of the term for "no domain" around 0 times 4."""

AGREEMENT = 1.0
"""Deviation of the prior of the shared weight of agreement around 0."""

LEAST_FITTED = 20
"""Requests out of scope among those fitted on below which the term for "no domain" is not fitted."""

LEAST_OUT_OF_SCOPE = 50
"""Labelled requests out of scope below which nothing is learned from them: half as many leave a fold without enough."""


class Form(NamedTuple):
    """Parameters fitted besides the shared slope: deviations of their priors, 0 for those that stay at the identity.

    In groups `agreements` are those of each domain's around the shared one. `overlapping` claims do not exclude each
    other.
    """

    name: str
    slopes: float = 0.0
    biases: float = 0.0
    agreements: float = 0.0
    overlapping: bool = False


FORMS = (
    Form("one slope"),
    Form("one slope, a bias each", 0.0, 0.3, 0.3),
    Form("a slope and a bias each", 0.15, 0.3, 0.3),
)
"""The forms that are tried, from few parameters to many."""


class Parameters(NamedTuple):
    """Slope and bias of each domain, shape (domains,), and the term for "no domain", None where none is known.

    `agreements` has shape (domains,) too, 0 for domains in no group.
    """

    slopes: Floats
    biases: Floats
    null: float | None
    agreements: Floats

    @property
    def terms(self) -> list[tuple[float, float]]:
        """Slope and bias by domain."""
        return list(zip(self.slopes.tolist(), self.biases.tolist(), strict=True))


class _Priors:
    """Places of the parameters in one vector, and the deviations of their priors, 0 for those that stay."""

    def __init__(self, count: int, form: Form, *, null: bool, grouped: NDArray[np.bool_]) -> None:
        self.count = count
        many = grouped.any()
        self.deviations = np.concatenate(
            [
                [SHARED, 4.0 * SHARED if null else 0.0, AGREEMENT if many else 0.0],
                np.full(count, form.slopes),
                np.full(count, form.biases),
                np.where(grouped, form.agreements, 0.0),
            ]
        )
        self.grouped = grouped
        self.free = self.deviations > 0.0
        self.pull = 1.0 / self.deviations[self.free] ** 2
        limits = np.repeat([0.9, 30.0, 30.0, 0.9, 30.0, 30.0], [1, 1, 1, count, count, count])[self.free]
        self.bounds = list(zip(-limits, limits, strict=True))

    def parameters(self, values: Floats, *, null: bool) -> Parameters:
        """The parameters at these values of the free ones."""
        away = np.zeros(len(self.deviations))
        away[self.free] = values
        slopes, biases, agreements = np.split(away[3:], 3)
        slopes = np.clip(1.0 + away[0] + slopes, 0.0, 10.0)
        agreements = np.where(self.grouped, away[2] + agreements, 0.0)
        return Parameters(slopes, biases, float(away[1]) if null else None, agreements)

    def gradient(self, by_slope: Floats, by_bias: Floats, by_agreement: Floats, by_null: float) -> Floats:
        """The slope of a loss by the free parameters, from those by each domain's and by the null."""
        shared = [by_slope.sum(), by_null, by_agreement.sum()]
        return np.concatenate([shared, by_slope, by_bias, by_agreement])[self.free]


class _Evidence(NamedTuple):
    """Log-odds of n requests, shape (n, domains), the domains that have a reading, and the claims of groups.

    `sizes` are how many domains state each one's claim.
    """

    z: Floats
    able: NDArray[np.bool_]
    claims: list[GroupClaims]
    sizes: Floats

    @classmethod
    def of(cls, mine: Floats, has: NDArray[np.bool_], claims: Sequence[GroupClaims]) -> _Evidence:
        """The evidence of P(mine) of domains that have a reading, shape (domains, n)."""
        sizes = np.ones_like(mine)
        for one in claims:
            sizes[one.domains] = one.size
        return cls(np.where(has, log_odds(mine), 0.0).T, has.T, list(claims), sizes.T)

    def at(self, places: NDArray[np.bool_]) -> _Evidence:
        """That of some of the requests."""
        claims = [one.at(places) for one in self.claims]
        return _Evidence(self.z[places], self.able[places], claims, self.sizes[places])

    def logits(self, parameters: Parameters) -> Floats:
        """The log-odds of each domain's claim."""
        logits = self.z * parameters.slopes + parameters.biases
        for one in self.claims:
            own = logits[:, one.domains].T
            added = np.broadcast_to(parameters.agreements[one.domains, None], own.shape)
            logits[:, one.domains] = ((one.total(own) + (one.size - 1.0) * one.total(added)) / one.size).T
        return logits

    def slopes(self, over: Floats) -> tuple[Floats, Floats, Floats]:
        """The slopes of a loss by each domain's slope, bias and agreement, from those by its claim's log-odds."""
        single, agreement = over.copy(), np.zeros(over.shape[1])
        for one in self.claims:
            own = over[:, one.domains].T / one.size
            single[:, one.domains] = one.total(own).T
            agreement[one.domains] += one.total(own * (one.size - 1.0)).sum(axis=1)
        return (single * self.z).sum(axis=0), single.sum(axis=0), agreement


def fit_competition(
    mine: Floats,
    has: NDArray[np.bool_],
    owners: NDArray[np.bool_],
    form: Form,
    weight: Floats | None = None,
    claims: Sequence[GroupClaims] = (),
) -> Parameters:
    """The most likely parameters, given which domains own n requests; shapes (domains, n) and (n, domains + 1).

    The last column of `owners` marks requests that are out of scope. Where fewer than `LEAST_FITTED` are, the
    likelihood is of the owner among the domains, and there is no term for "no domain". A request none of whose owners
    has a reading tells nothing, unless claims overlap: there each is right or not for itself.
    """
    known = int(owners[:, -1].sum()) >= LEAST_FITTED
    has = has & np.asarray(owners[:, :-1].any(axis=0))[:, None]
    evidence = _Evidence.of(mine, has, claims)
    grouped = np.zeros(len(mine), bool)
    for one in claims:
        grouped[one.domains] = True
    weights = np.ones(has.shape[1]) if weight is None else weight
    if form.overlapping:
        return _fit_overlapping(evidence, owners, weights, _Priors(len(mine), form, null=False, grouped=grouped), known)
    able = np.column_stack([evidence.able, np.full(has.shape[1], known)])
    told = (owners & able).any(axis=1) & (able.sum(axis=1) > 1)
    priors = _Priors(len(mine), form, null=known, grouped=grouped)
    evidence, able, w = evidence.at(told), able[told], weights[told]
    hits = (owners[told] & able).astype(np.float64)

    def loss(values: Floats) -> tuple[float, Floats]:
        parameters = priors.parameters(values, null=known)
        # Domains with the same claim share it, so that it counts once.
        own = evidence.logits(parameters) - np.log(evidence.sizes)
        logits = np.where(able, np.column_stack([own, np.full(len(own), parameters.null or 0.0)]), -np.inf)
        e = np.exp(logits - logits.max(axis=1, keepdims=True))
        chances = e / e.sum(axis=1, keepdims=True)
        right = hits * chances
        mass = np.maximum(right.sum(axis=1, keepdims=True), 1e-300)
        over = w[:, None] * (chances - right / mass)
        slope = priors.gradient(*evidence.slopes(over[:, :-1]), float(over[:, -1].sum()))
        value = -float(w @ np.log(mass[:, 0])) + 0.5 * float(priors.pull @ (values * values))
        return value, slope + priors.pull * values

    return priors.parameters(_minimum(loss, priors), null=known)


def _fit_overlapping(
    evidence: _Evidence, owners: NDArray[np.bool_], weight: Floats, priors: _Priors, known: bool
) -> Parameters:
    """The parameters of claims that do not exclude each other, each domain's by its own requests."""
    hits = owners[:, :-1].astype(np.float64)
    w = np.where(evidence.able, weight[:, None] / evidence.sizes, 0.0)

    def loss(values: Floats) -> tuple[float, Floats]:
        z = evidence.logits(priors.parameters(values, null=False))
        slope = priors.gradient(*evidence.slopes(w * (sigmoid(z) - hits)), 0.0)
        value = float((w * binary_loss(z, hits)).sum()) + 0.5 * float(priors.pull @ (values * values))
        return value, slope + priors.pull * values

    found = priors.parameters(_minimum(loss, priors), null=False)
    if not known:
        return found
    chances = np.where(evidence.able, sigmoid(evidence.logits(found)), 0.0)
    none = log_odds(((1.0 - chances) ** (1.0 / evidence.sizes)).prod(axis=1))
    out = owners[:, -1].astype(np.float64)

    def loss_of_null(null: Floats) -> tuple[float, Floats]:
        z = none + null
        value = float(weight @ binary_loss(z, out)) + 0.5 * float(null @ null) / (4.0 * SHARED) ** 2
        return value, np.array([float(weight @ (sigmoid(z) - out))]) + null / (4.0 * SHARED) ** 2

    return found._replace(null=float(minimize(loss_of_null, np.zeros(1), jac=True, bounds=[(-30.0, 30.0)]).x[0]))


def _minimum(loss: Callable[[Floats], tuple[float, Floats]], priors: _Priors) -> Floats:
    start = np.zeros(int(priors.free.sum()))
    return np.asarray(minimize(loss, start, jac=True, method="L-BFGS-B", bounds=priors.bounds).x)


def fit_winner(mine: Floats, given: Floats, right: NDArray[np.bool_], weight: Floats | None = None) -> WinnerMap:
    """The map under which P(mine) · P(right | mine) of the claims that won is calibrated, shrunk to the identity.

    `mine` and `given`, P(right | mine), are those of n claims that won; `right` marks those that are entirely right.
    """
    x, w = log_odds(mine), np.ones(len(mine)) if weight is None else weight
    pull = 1.0 / SHARED**2

    def loss(away: Floats) -> tuple[float, Floats]:
        chance = sigmoid((1.0 + away[0]) * x + away[1])
        p = np.clip(given * chance, CLIP, 1.0 - CLIP)
        # Of p = given · chance, by the log-odds of chance.
        over = w * np.where(right, -(1.0 - chance), p * (1.0 - chance) / (1.0 - p))
        value = float(w @ log_loss(p, right.astype(np.float64))) + 0.5 * pull * float(away @ away)
        return value, np.array([over @ x, over.sum()]) + pull * away

    found = minimize(loss, np.zeros(2), jac=True, method="L-BFGS-B", bounds=[(-0.9, 9.0), (-30.0, 30.0)]).x
    return WinnerMap(1.0 + float(found[0]), float(found[1]))
