"""Calibration of the kernels' scores, with what is known of the account, to P(skill is acceptable).

    share(i)        = softmax of v · x over the candidates that the linear kernel knows, times the mass that the
                      index leaves them; of another candidate, its tempered posterior of the index
    P(acceptable i) = P(a skill fits) · sigmoid(a + g · s + b · z + (c + h · s) · max(z, 0)),   z = logit(share(i))
    P(a skill fits) = sigmoid(w · t)

x are the features of one candidate of the first stage, t the signs that any skill fits; s are these and the entropy of
the shares: a share says less of requests that are unlike those of the training, or where many skills share the rest. v
is fitted by conditional likelihood, all others by logistic regression, to utterances that the kernels were not trained
on, by ridge regression towards the defaults: the less data, the closer to them. An enabled skill thus weighs as much as
the data support, and no skill is ever excluded. Fitting is in `arbitrank.shortlist.calibration_fitting`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from arbitrank.probability import log_odds, sigmoid
from arbitrank.values import Request

__all__ = [
    "DEFAULT",
    "FEATURES",
    "SIGNS",
    "AccountProfile",
    "CandidateCalibration",
    "account_profile",
    "entropy",
    "features",
    "needed",
    "request_signs",
    "softmax",
]

Floats = NDArray[np.float64]

FEATURES = (
    "bias",
    "posterior",
    "evidence",
    "learned",
    "learned_knows",
    "enabled",
    "used",
    "preferred",
    "linear",
    "linear_knows",
)
"""1; log P(skill | words) among the candidates; log(1 + nats of evidence in the words); the classifier's log-odds, and
1 where it knows the skill; 1 where the account has it enabled; log(1 + times used); preference for its domain, −1 to 1;
the linear kernel's logit less its highest, and 1 where it knows the skill.
"""

SIGNS = ("bias", "evidence", "linear", "known")
"""1; log(1 + the nats of evidence for the best skill); the linear kernel's highest logit; the share of known words."""

DEFAULT = (0.0, 0.5, 0.0, 0.5, 0.0, 1.0, 0.5, 1.0, 1.0, 0.0)
"""The weights without data to fit them to."""

_POSTERIOR, _ACCOUNT, _LINEAR_KNOWS = 1, slice(5, 8), 9
_SURE = 1e-12
_FLOOR = -100.0  # of a log posterior
_FLOOR_BEFORE = -30.0  # the same in artifacts of before


class CandidateCalibration(Struct, frozen=True, dict=True):
    """The weights v, in the order of `FEATURES`; in artifacts of before, fewer, of a sigmoid for each candidate.

    `alone` tempers the index's posterior for skills that the linear kernel lacks. `odds` are a, b and c. `signs` are g
    and then h, of all `SIGNS` but the first, where they were fitted, `entropy` those of the entropy, in nats. `fits`,
    in the order of `SIGNS`, are w, where requests that fit no skill were known, and `outside` is the share of such
    requests that it expects.
    """

    weights: tuple[float, ...] = DEFAULT
    alone: float = 0.5
    odds: tuple[float, float, float] | None = (0.0, 1.0, 0.0)
    fits: tuple[float, ...] | None = None
    outside: float = 0.0
    signs: tuple[float, ...] | None = None
    entropy: tuple[float, float] = (0.0, 0.0)

    @property
    def fitted(self) -> bool:
        """False where there were no data to fit it to, so that it holds the defaults."""
        return self != CandidateCalibration()

    def probabilities(self, x: Floats, signs: Floats) -> Floats:
        """P(acceptable), given that a skill fits, of each candidate of one request: x has shape (n, features).

        `signs`, of shape (signs,), are read where `self.signs` were fitted. Of two candidates, that with the greater
        share is never less likely.
        """
        if self.odds is None:
            x = x.copy()
            x[:, _POSTERIOR] = np.maximum(x[:, _POSTERIOR], _FLOOR_BEFORE)
            return sigmoid(x @ self._vector)
        a, b, c = self.odds
        shares = self.shares(x)
        if self.signs is not None:
            of_odds = self._of_signs @ signs[1:] + entropy(shares) * np.array(self.entropy)
            # One share at most exceeds one half: with c ≥ −2b it is no less likely than the others.
            a, c = a + of_odds[0], max(c + of_odds[1], -2.0 * b)
        z = log_odds(np.clip(shares, _SURE, 1.0 - _SURE))
        return sigmoid(a + b * z + c * np.maximum(z, 0.0))

    def shares(self, x: Floats) -> Floats:
        """The share of each candidate in the probability of all: shape (n,), with a sum of 1."""
        if not len(x):
            return np.empty(0)
        u, known = x @ self._vector, x[:, _LINEAR_KNOWS] > 0
        if known.all() or not known.any():
            return softmax(u if known.any() else u + (self.alone - self._vector[_POSTERIOR]) * x[:, _POSTERIOR])
        share = softmax(self.alone * x[:, _POSTERIOR] + x[:, _ACCOUNT] @ self._vector[_ACCOUNT])
        share[known] = share[known].sum() * softmax(u[known])
        return share

    def none(self, signs: Floats, outside: float | None = None) -> float:
        """P(no skill fits): `signs` has shape (signs,), `outside` is the expected share of such requests if known."""
        if self.fits is None:
            return 0.0
        share = min(max(self.outside if outside is None else outside, _SURE), 1.0 - _SURE)
        z = float(signs @ self._fits) + np.log((1.0 - share) / share)
        return float(sigmoid(np.array(-z)))

    @cached_property
    def _vector(self) -> Floats:
        return np.array([*self.weights, *([0.0] * (len(FEATURES) - len(self.weights)))])

    @cached_property
    def _of_signs(self) -> Floats:
        return np.array(self.signs).reshape(2, -1)

    @cached_property
    def _fits(self) -> Floats:
        return np.array(self.fits)


def softmax(u: Floats) -> Floats:
    """Shares in proportion to exp(u)."""
    p = np.exp(u - u.max())
    return np.asarray(p / p.sum())


def entropy(shares: Floats) -> float:
    """The entropy of shares, in nats."""
    return float(-(shares * np.log(np.maximum(shares, _SURE))).sum())


def needed(p: Floats, none: float, mass: float) -> int:
    """The number of probabilities, best first, that make up that share of their sum, that of none included.

    Several skills may be acceptable: together they count as the probability that one is, at most.
    """
    if mass >= 1.0:
        return len(p)
    reached = none + min(1.0, (1.0 - none) / max(float(p.sum()), _SURE)) * np.concatenate([[0.0], np.cumsum(p)])
    return int(np.searchsorted(reached, mass * reached[-1]))


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
    linear: Floats | None = None,
    skills: Sequence[tuple[str, str]] = (),
    profile: AccountProfile = AccountProfile(),
) -> Floats:
    """x of n candidates, shape (n, features).

    `scores` and `evidence` are the index's, shape (n,), in nats; `learned` are the classifier's log-odds, `linear`
    the linear kernel's logits less its highest, NaN for skills that they do not know. `skills` are the candidates'
    names and domains, needed only with a non-empty profile.
    """
    x = np.zeros((len(scores), len(FEATURES)))
    if not len(scores):
        return x
    x[:, 0] = 1.0
    top = scores.max()
    x[:, 1] = np.maximum(scores - top - np.log(np.exp(scores - top).sum()), _FLOOR)
    x[:, 2] = np.log1p(np.maximum(evidence, 0.0))
    if learned is not None:
        known = np.isfinite(learned)
        x[:, 3] = np.where(known, np.clip(learned, -15.0, 15.0), 0.0)
        x[:, 4] = known
    if linear is not None:
        known = np.isfinite(linear)
        x[:, 8] = np.where(known, linear, 0.0)
        x[:, 9] = known
    if profile.enabled:
        x[:, 5] = [name in profile.enabled for name, _ in skills]
    if profile.used:
        x[:, 6] = [np.log1p(max(0.0, profile.used.get(name, 0.0))) for name, _ in skills]
    if profile.preferred:
        x[:, 7] = [2.0 * profile.preferred.get(domain, 0.5) - 1.0 for _, domain in skills]
    return x


def request_signs(
    evidence: Floats, linear: Floats | None, highest: float, known_words: float, described: bool = False
) -> Floats:
    """The signs that a skill fits, in the order of `SIGNS`; `evidence` and `linear` are those of `features`.

    The evidence is that for the linear kernel's best candidate: a request that fits no skill has words of some skill,
    but seldom of that one. Skills that the kernel lacks count beside it, unless descriptions tell whether they fit
    (`described`); without the kernel, all count.
    """
    if linear is not None and not (lacking := np.isnan(linear)).all():
        evidence = evidence[(linear == np.nanmax(linear)) | (lacking & (not described))]
    return np.array((1.0, np.log1p(max(0.0, float(evidence.max(initial=0.0)))), highest, known_words))


def _number(value: Any) -> float:
    return float(value) if isinstance(value, int | float) and np.isfinite(value) else 0.0
