"""From what the kernels say of a skill, and what is known of the account, to the probability that it is acceptable.

    P(acceptable) = sigmoid(v · x)

x are the features below, of one candidate among the survivors of the first stage. v is learnt on utterances that the
kernels weren't trained on, by ridge regression towards `DEFAULT`: with little data a little, with much data all is
learnt. So an enabled skill weighs in by as much as the data say, and no skill is ever excluded.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from arbitrank.probability import fit_logistic
from arbitrank.values import Request

__all__ = ["DEFAULT", "FEATURES", "Calibration", "Personal", "features", "fit", "personal"]

Floats = NDArray[np.float64]

FEATURES = ("bias", "posterior", "evidence", "learned", "learned_knows", "enabled", "used", "preferred")
"""1; log P(skill | words) among the survivors; log(1 + nats that the words tell); the second kernel's log-odds, and
whether it knows the skill; whether the account has it enabled; log(1 + times used); preference for its domain, −1 to 1.
"""

DEFAULT = (0.0, 0.5, 0.0, 0.5, 0.0, 1.0, 0.5, 1.0)
"""The weights where there is nothing to learn them from."""

_PULL = 1.0  # of the ridge, in candidates


class Calibration(Struct, frozen=True, dict=True):
    """The weights v, in the order of `FEATURES`."""

    weights: tuple[float, ...] = DEFAULT

    def log_odds(self, x: Floats) -> Floats:
        """The log-odds of P(acceptable) of each candidate: x has shape (n, features)."""
        return x @ self._vector

    @cached_property
    def _vector(self) -> Floats:
        return np.array(self.weights)


class Personal(Struct, frozen=True):
    """What an account tells of its skills: those enabled, how often each was used, and preferences for domains."""

    enabled: Collection[str] = ()
    used: Mapping[str, float] = {}
    preferred: Mapping[str, float] = {}


def personal(request: Request) -> Personal:
    """What a request tells: `account.enabled`, a list of skills, `account.used`, the same or a map to how often.

    Preferences are the context's `preference.DOMAIN`. What is of another kind says nothing.
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
    return Personal(
        frozenset(map(str, enabled)) if isinstance(enabled, list | tuple) else (),
        {str(name): _number(times) for name, times in used.items()} if isinstance(used, Mapping) else {},
        preferred,
    )


def features(
    scores: Floats,
    evidence: Floats,
    learned: Floats | None = None,
    skills: Sequence[tuple[str, str]] = (),
    known: Personal = Personal(),
) -> Floats:
    """x of n survivors, shape (n, features).

    `scores` and `evidence` are the index's, shape (n,), in nats; `learned` is the second kernel's, NaN where it knows
    nothing. `skills` are the survivors' names and domains, needed only where something is `known` of the account.
    """
    x = np.zeros((len(scores), len(FEATURES)))
    if not len(scores):
        return x
    x[:, 0] = 1.0
    top = scores.max()
    x[:, 1] = np.maximum(scores - top - np.log(np.exp(scores - top).sum()), -30.0)
    x[:, 2] = np.log1p(np.maximum(evidence, 0.0))
    if learned is not None:
        knows = np.isfinite(learned)
        x[:, 3] = np.where(knows, np.clip(learned, -15.0, 15.0), 0.0)
        x[:, 4] = knows
    if known.enabled:
        x[:, 5] = [name in known.enabled for name, _ in skills]
    if known.used:
        x[:, 6] = [np.log1p(max(0.0, known.used.get(name, 0.0))) for name, _ in skills]
    if known.preferred:
        x[:, 7] = [2.0 * known.preferred.get(domain, 0.5) - 1.0 for _, domain in skills]
    return x


def fit(x: Floats, acceptable: NDArray[np.bool_]) -> Calibration:
    """The weights that fit held-out candidates best, by Newton's method; `DEFAULT` where nothing is acceptable."""
    start = np.array(DEFAULT)
    if not acceptable.any():
        return Calibration()
    v = fit_logistic(x, acceptable.astype(np.float64), start, _PULL, tolerance=1e-8)
    return Calibration(tuple(v.tolist()))


def _number(value: Any) -> float:
    return float(value) if isinstance(value, int | float) and np.isfinite(value) else 0.0
