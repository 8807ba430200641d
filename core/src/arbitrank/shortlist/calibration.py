"""Calibration of the kernels' scores, with what is known of the account, to P(skill is acceptable).

    P(acceptable) = sigmoid(v · x)

x are the features below, of one candidate of the first stage. v is fitted to utterances that the kernels were not
trained on, by ridge regression towards `DEFAULT`: the less data, the closer to it. An enabled skill thus weighs as
much as the data support, and no skill is ever excluded.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from arbitrank.probability import sigmoid
from arbitrank.values import Request

__all__ = ["DEFAULT", "FEATURES", "AccountProfile", "CandidateCalibration", "account_profile", "features", "fit"]

Floats = NDArray[np.float64]

FEATURES = ("bias", "posterior", "evidence", "learned", "learned_knows", "enabled", "used", "preferred")
"""1; log P(skill | words) among the candidates; log(1 + nats of evidence in the words); the classifier's log-odds, and
1 where it knows the skill; 1 where the account has it enabled; log(1 + times used); preference for its domain, −1 to 1.
"""

DEFAULT = (0.0, 0.5, 0.0, 0.5, 0.0, 1.0, 0.5, 1.0)
"""The weights without data to fit them to."""

_PULL = 1.0  # of the ridge, in candidates
_STEPS = 50


class CandidateCalibration(Struct, frozen=True, dict=True):
    """The weights v, in the order of `FEATURES`."""

    weights: tuple[float, ...] = DEFAULT

    def log_odds(self, x: Floats) -> Floats:
        """The log-odds of P(acceptable) of each candidate: x has shape (n, features)."""
        return x @ self._vector

    @cached_property
    def _vector(self) -> Floats:
        return np.array(self.weights)


class AccountProfile(Struct, frozen=True):
    """An account's enabled skills, how often it used each skill, and its preferences for domains in [0, 1]."""

    enabled: Collection[str] = ()
    used: Mapping[str, float] = {}
    preferred: Mapping[str, float] = {}


def account_profile(request: Request) -> AccountProfile:
    """The profile in a request: `account.enabled`, a list of skills, `account.used`, a list or a map to counts.

    Preferences are the context's `preference.DOMAIN`. Values of other types count as absent.
    """
    account = request.account or {}
    enabled, used = account.get("enabled"), account.get("used")
    if isinstance(used, list | tuple):
        used = dict.fromkeys(map(str, used), 1.0)
    preferred = {
        key.removeprefix("preference."): _number(value)
        for key, value in request.context.items()
        if key.startswith("preference.")
    }
    return AccountProfile(
        frozenset(map(str, enabled)) if isinstance(enabled, list | tuple) else (),
        {str(name): _number(times) for name, times in used.items()} if isinstance(used, Mapping) else {},
        preferred,
    )


def features(
    scores: Floats,
    evidence: Floats,
    learned: Floats | None = None,
    skills: Sequence[tuple[str, str]] = (),
    profile: AccountProfile = AccountProfile(),
) -> Floats:
    """x of n candidates, shape (n, features).

    `scores` and `evidence` are the index's, shape (n,), in nats; `learned` are the classifier's log-odds, NaN for
    skills that it does not know. `skills` are the candidates' names and domains, needed only with a non-empty profile.
    """
    x = np.zeros((len(scores), len(FEATURES)))
    if not len(scores):
        return x
    x[:, 0] = 1.0
    top = scores.max()
    x[:, 1] = np.maximum(scores - top - np.log(np.exp(scores - top).sum()), -30.0)
    x[:, 2] = np.log1p(np.maximum(evidence, 0.0))
    if learned is not None:
        known = np.isfinite(learned)
        x[:, 3] = np.where(known, np.clip(learned, -15.0, 15.0), 0.0)
        x[:, 4] = known
    if profile.enabled:
        x[:, 5] = [name in profile.enabled for name, _ in skills]
    if profile.used:
        x[:, 6] = [np.log1p(max(0.0, profile.used.get(name, 0.0))) for name, _ in skills]
    if profile.preferred:
        x[:, 7] = [2.0 * profile.preferred.get(domain, 0.5) - 1.0 for _, domain in skills]
    return x


def fit(x: Floats, acceptable: NDArray[np.bool_]) -> CandidateCalibration:
    """The weights that fit held-out candidates best; `DEFAULT` where no candidate is acceptable."""
    # Newton's method with a bounded step, not `fit_logistic`: another solver would change every trained version.
    start = np.array(DEFAULT)
    if not acceptable.any():
        return CandidateCalibration()
    v = start.copy()
    for _ in range(_STEPS):
        p = sigmoid(x @ v)
        gradient = x.T @ (p - acceptable) + _PULL * (v - start)
        curvature = (x * (p * (1.0 - p))[:, None]).T @ x + _PULL * np.eye(len(v))
        step = np.linalg.solve(curvature, gradient)
        v -= step * min(1.0, 2.0 / max(1e-12, float(np.abs(step).max())))
        if np.abs(step).max() < 1e-8:
            break
    return CandidateCalibration(tuple(v.tolist()))


def _number(value: Any) -> float:
    return float(value) if isinstance(value, int | float) and np.isfinite(value) else 0.0
