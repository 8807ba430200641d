"""Fitting of competition calibration: penalised maximum likelihood of each request's owner, shrunk to the identity.

The penalty pulls the shared slope to 1, each domain's slope to the shared one, and all biases to 0, each as much as a
normal prior of the given deviation does, so that few requests change little.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from arbitrank.probability import Floats, log_odds

SHARED = 0.5
"""Deviation of the prior of the shared slope around 1, and of the term for "no domain" around 0 times 4."""

LEAST_OUT_OF_SCOPE = 20
"""Requests out of scope below which the term for "no domain" is not fitted."""


class Form(NamedTuple):
    """Parameters fitted besides the shared slope: deviations of their priors, 0 for those that stay at the identity."""

    name: str
    slopes: float = 0.0
    biases: float = 0.0


FORMS = (
    Form("one slope"),
    Form("one slope, a bias each", 0.0, 0.3),
    Form("a slope and a bias each", 0.15, 0.3),
)
"""The forms that are tried, from few parameters to many."""


class Parameters(NamedTuple):
    """Slope and bias of each domain, shape (domains,), and the term for "no domain", None where none is known."""

    slopes: Floats
    biases: Floats
    null: float | None

    @property
    def terms(self) -> list[tuple[float, float]]:
        """Slope and bias by domain."""
        return list(zip(self.slopes.tolist(), self.biases.tolist(), strict=True))


def fit_competition(
    mine: Floats,
    has: NDArray[np.bool_],
    owners: NDArray[np.bool_],
    form: Form,
    weight: Floats | None = None,
) -> Parameters:
    """The most likely parameters, given which domains own n requests; shapes (domains, n) and (n, domains + 1).

    The last column of `owners` marks requests that are out of scope. Where fewer than `LEAST_OUT_OF_SCOPE` are, the
    likelihood is of the owner among the domains, and there is no term for "no domain". A request none of whose owners
    has a reading tells nothing.
    """
    count = len(mine)
    known = int(owners[:, -1].sum()) >= LEAST_OUT_OF_SCOPE
    able = np.vstack([has, np.full(has.shape[1], known)]).T
    hits = owners & able
    told = hits.any(axis=1) & (able.sum(axis=1) > 1)
    z = np.where(has, log_odds(mine), 0.0).T[told]
    able, hits = able[told], hits[told]
    w = np.ones(len(z)) if weight is None else weight[told]
    deviations = np.concatenate(
        [[SHARED, 4.0 * SHARED if known else 0.0], np.full(count, form.slopes), np.full(count, form.biases)]
    )
    free = deviations > 0.0
    pull = 1.0 / deviations[free] ** 2
    start = np.zeros(len(deviations))

    def loss(values: Floats) -> tuple[float, Floats]:
        away = start.copy()
        away[free] = values
        slopes, biases = 1.0 + away[0] + away[2 : 2 + count], away[2 + count :]
        logits = np.where(able, np.column_stack([z * slopes + biases, np.full(len(z), away[1])]), -np.inf)
        top = logits.max(axis=1, keepdims=True)
        e = np.exp(logits - top)
        chances = e / e.sum(axis=1, keepdims=True)
        right = np.where(hits, chances, 0.0)
        mass = np.maximum(right.sum(axis=1, keepdims=True), 1e-300)
        over = w[:, None] * (chances - right / mass)
        by_slope = (over[:, :-1] * z).sum(axis=0)
        slope = np.concatenate([[by_slope.sum(), over[:, -1].sum()], by_slope, over[:, :-1].sum(axis=0)])
        value = -float(w @ np.log(mass[:, 0])) + 0.5 * float(pull @ (values * values))
        return value, slope[free] + pull * values

    limits = np.concatenate([[0.9, 30.0], np.full(count, 0.9), np.full(count, 30.0)])[free]
    found = minimize(
        loss, np.zeros(int(free.sum())), jac=True, method="L-BFGS-B", bounds=list(zip(-limits, limits, strict=True))
    )
    away = start.copy()
    away[free] = found.x
    slopes = np.clip(1.0 + away[0] + away[2 : 2 + count], 0.0, 10.0)
    return Parameters(slopes, away[2 + count :], float(away[1]) if known else None)
