"""Value of a version from a log: the share of its answers that users would have accepted, beside another version's.

Three estimators, each a mean over requests, with importance weights w = 1 / propensity where the version's action is
the one that was served, else 0, and reactions r, 1 where accepted:

    IPS     w · r                   unbiased where every action might have been served; weights are clipped
    SNIPS   Σ w · r / Σ w           a little biased, less scattered
    DR      q + w · (r − q)         q is P(accepted) by the model; right where the propensities or the model are

Of each weight no client has more than a capped share (`LoggedChoices.trust`).

D. Horvitz and D. Thompson 1952; A. Swaminathan and T. Joachims 2015; M. Dudík, J. Langford and L. Li 2011.
"""

from __future__ import annotations

from typing import Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from arbitrank.evaluate.intervals import Estimate
from arbitrank.outcomes.acceptance_model import predicted_acceptance
from arbitrank.outcomes.choices import LoggedChoices, VersionChoices
from arbitrank.outcomes.session_intervals import effective_size, session_mean
from arbitrank.probability import Floats

Verdict = Literal["better", "worse", "same", "undecided", "too little evidence"]
"""`same`: both answer alike. `undecided`: the interval holds 0. `too little evidence`: it is not judged."""


class ValueSettings(msgspec.Struct, frozen=True):
    """`clip` is the greatest importance weight, `least` the effective number of flips below which none is judged."""

    clip: float = 100.0
    least: float = 30.0


class AcceptedShare(msgspec.Struct, frozen=True):
    """A version's share of accepted answers, or a difference of shares, by each estimator; `model` is q alone."""

    ips: Estimate
    snips: Estimate
    dr: Estimate
    model: float


class ValueEstimate(msgspec.Struct, frozen=True):
    """The value of version `after` beside `before`, on `n` answers to which users reacted, of so many `sessions`.

    `flips` counts the requests on which their actions differ, `without_evidence` is the share of these of which one
    action could not have been served, `overlap` the share of all requests on which `after` could. `effective` is the
    effective sample size of `after`, `effective_flips` that of the sessions with a flip that was served either way, and
    no more than what these weigh once each client's share is capped. `capped` are the clients that the cap holds.
    `clipped` is the share of weights that were clipped. `bounds` are of the difference by DR, with its interval, where
    each flip without evidence may have become wrong or right.
    """

    n: int
    sessions: int
    flips: int
    without_evidence: float
    overlap: float
    effective: float
    effective_flips: float
    clipped: float
    before: AcceptedShare
    after: AcceptedShare
    difference: AcceptedShare
    bounds: tuple[float, float]
    verdict: Verdict
    capped: int = 0


def estimate(choices: LoggedChoices, settings: ValueSettings = ValueSettings()) -> ValueEstimate | None:
    """The value of `after` beside `before`; None without any reaction."""
    n = len(choices.accepted)
    if not n:
        return None
    trust = choices.trust(settings.clip)
    models = predicted_acceptance(choices, trust.factor)
    sides = [
        _Side(choices, one, q, settings.clip, trust.factor) for one, q in zip(_versions(choices), models, strict=True)
    ]
    before, after = sides
    flips, missing = choices.flipped, choices.without_evidence
    shown = flips & ~missing
    effective = [_effective_sessions(choices.session[shown], one.weights[shown]) for one in sides]
    effective_flips = min(*effective, trust.evidence)
    delta = np.where(flips, after.dr - before.dr, 0.0)
    low, high = _bounds(choices, delta, before, after)
    used = np.where(after.weights > 0.0, 1.0 / choices.propensity, 0.0)
    n_flips = int(flips.sum())
    return ValueEstimate(
        n=n,
        sessions=int(choices.session.max()) + 1,
        flips=n_flips,
        without_evidence=float(missing.sum()) / n_flips if n_flips else 0.0,
        overlap=float(choices.after.possible.mean()),
        effective=effective_size(after.weights),
        effective_flips=effective_flips,
        clipped=float((used > settings.clip).mean()),
        before=before.share(choices),
        after=after.share(choices),
        difference=_difference(choices, before, after, delta),
        bounds=(low, high),
        verdict=_verdict(n_flips, effective_flips, low, high, settings),
        capped=trust.capped,
    )


class _Side:
    """Contributions of the requests to one version's value, by each estimator."""

    def __init__(self, choices: LoggedChoices, version: VersionChoices, q: Floats, clip: float, trust: Floats) -> None:
        self.weights, self.q = trust * choices.weights(version, clip), q
        self.ips = self.weights * choices.accepted
        self.snips = _ratio(choices.accepted, self.weights)
        self.dr = q + self.weights * (choices.accepted - q)

    def share(self, choices: LoggedChoices) -> AcceptedShare:
        """The version's value."""
        ips, snips, dr = (session_mean(one, choices.session) for one in (self.ips, self.snips, self.dr))
        return AcceptedShare(ips, snips, dr, float(self.q.mean()))


def _effective_sessions(session: NDArray[np.int64], weights: Floats) -> float:
    return effective_size(np.bincount(session, weights).astype(np.float64))


def _versions(choices: LoggedChoices) -> tuple[VersionChoices, VersionChoices]:
    return choices.before, choices.after


def _difference(choices: LoggedChoices, before: _Side, after: _Side, delta: Floats) -> AcceptedShare:
    """The difference of the values, on the requests that the versions answer differently: elsewhere it is 0."""
    flips, session = choices.flipped, choices.session
    ips = np.where(flips, after.ips - before.ips, 0.0)
    snips = np.zeros(len(flips))
    if flips.any():
        snips[flips] = _ratio(choices.accepted[flips], after.weights[flips])
        snips[flips] -= _ratio(choices.accepted[flips], before.weights[flips])
    return AcceptedShare(
        session_mean(ips, session),
        session_mean(snips, session),
        session_mean(delta, session),
        model=float((after.q - before.q).mean()),
    )


def _ratio(accepted: Floats, weights: Floats) -> Floats:
    """Contributions to Σ w · r / Σ w: that ratio and its linear part, which the interval needs."""
    total = float(weights.sum())
    if total <= 0.0:
        return np.zeros(len(accepted))
    mean = float((weights * accepted).sum()) / total
    return np.asarray(mean + weights * (accepted - mean) * (len(accepted) / total))


def _bounds(choices: LoggedChoices, delta: Floats, before: _Side, after: _Side) -> tuple[float, float]:
    """The least and greatest difference where a flip without evidence may become anything (C. Manski 1990).

    The reaction to the one of its two actions that might have been served is known where it was.
    """
    missing = choices.without_evidence
    least, most = delta.copy(), delta.copy()
    least[missing], most[missing] = -1.0, 1.0
    lost, won = missing & choices.before.possible, missing & choices.after.possible
    least[lost], most[lost] = -before.ips[lost], (before.weights - before.ips)[lost]
    least[won], most[won] = (after.ips - after.weights)[won], after.ips[won]
    return session_mean(least, choices.session).low, session_mean(most, choices.session).high


def _verdict(flips: int, effective_flips: float, low: float, high: float, settings: ValueSettings) -> Verdict:
    if not flips:
        return "same"
    if effective_flips < settings.least:
        return "too little evidence"
    return "better" if low > 0.0 else "worse" if high < 0.0 else "undecided"
