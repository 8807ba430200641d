"""What a merge is set to by requests that the report isn't on: whether domains' claims are measured against one another
(after-winning calibration), and above which P(nobody) a request is nobody's.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from arbitrank.arbitration.decide import DecisionSettings
from arbitrank.arbitration.merge import after_winning
from arbitrank.domain import Scores
from arbitrank.evaluate.results import Claims, merged
from arbitrank.learn.linear_training import Evidence
from arbitrank.learn.losses import Floats
from arbitrank.probability import log_loss

INDEPENDENCES = (0.0, 0.25, 0.5, 0.75, 1.0)
"""What is tried: from domains that all saw the same to domains that each know something of their own."""

_ENOUGH = 5_000  # requests from which on more would change nothing


class Heads(NamedTuple):
    """What one domain claims of each of n requests, and 1.0 where its best reading is entirely right."""

    claims: Claims
    right: Floats


class AfterWinning(Struct, frozen=True):
    """What was chosen: the `independence` to measure claims with, None where they are better left alone.

    `nll_gain` is how much the best one tried lowers the NLL of the merged top reading, in nats a request, negative
    where it raises it; `error` is the standard error of that mean over the `n` requests.
    """

    independence: float | None
    nll_gain: float
    error: float
    n: int

    @property
    def decisions(self) -> DecisionSettings:
        """The decision settings that use it."""
        if self.independence is None:
            return DecisionSettings()
        return DecisionSettings(normalise=True, independence=self.independence)


def heads(n: int, places: Iterable[int], scores: Sequence[Scores], evidence: Evidence) -> Heads:
    """A domain's best readings of n requests, of which it has a reading of those at `places`."""
    claims, right = Claims.none(n), np.zeros(n)
    chosen = np.fromiter(places, np.int64)
    claims.put(chosen.tolist(), scores)
    right[chosen] = evidence.batch.right[evidence.batch.starts + claims.best[chosen]]
    return Heads(claims, right)


def choose(domains: Sequence[Heads], *, seed: int = 0) -> AfterWinning:
    """The independence with the lowest NLL of the merged top reading; it has to win by two standard errors.

    That is strict, as it also changes the order of the list, which the NLL of its head says little about.
    """
    # Files may be sorted, so not the first ones.
    chosen = np.random.default_rng(seed).permutation(len(domains[0].right))[:_ENOUGH]
    n = len(chosen)
    before = np.array([_loss(domains, i, None) for i in chosen])
    gains = {c: before - np.array([_loss(domains, i, c) for i in chosen]) for c in INDEPENDENCES}
    best = max(gains, key=lambda c: float(gains[c].mean()))
    gain, error = float(gains[best].mean()), float(gains[best].std() / np.sqrt(n))
    return AfterWinning(best if gain > 2.0 * error else None, gain, error, n)


NOBODY = tuple(round(0.05 * k, 2) for k in range(6, 20))
"""The thresholds of P(nobody) that are tried."""


class NoneChoice(Struct, frozen=True):
    """What was chosen: the `threshold` of P(nobody).

    `gain` is how much more often it decides for the right domain, or rightly for none, than the default threshold does,
    `error` the standard error of that mean over the `n` requests.
    """

    threshold: float
    gain: float
    error: float
    n: int


def choose_none(domains: Sequence[Claims], owners: NDArray[np.int64]) -> NoneChoice:
    """The threshold that decides best on requests whose owners are `owners`: the domain's number, −1 for nobody.

    P(nobody) takes the domains' claims for independent; as all of them read the same words it comes out too high. The
    threshold has to win over the default one by two standard errors, or that stays.
    """
    usual = DecisionSettings().none
    heads = merged(domains)

    def rightly(threshold: float) -> Floats:
        return np.asarray(np.where(heads.nobody > threshold, -1, heads.domain) == owners, np.float64)

    gains = {threshold: rightly(threshold) - rightly(usual) for threshold in NOBODY}
    best = max(gains, key=lambda threshold: float(gains[threshold].mean()))
    gain, error = float(gains[best].mean()), float(gains[best].std() / np.sqrt(len(owners)))
    return NoneChoice(best if gain > 2.0 * error else usual, gain, error, len(owners))


def _loss(domains: Sequence[Heads], i: int, independence: float | None) -> float:
    """The NLL of the merged top reading of request i."""
    speaking = [one for one in domains if one.claims.best[i] >= 0]
    if not speaking:
        return 0.0
    scores = [Scores(float(one.claims.mine[i]), one.claims.right[i : i + 1]) for one in speaking]
    if independence is not None:
        scores = after_winning(scores, independence)
    top = max(range(len(scores)), key=lambda k: scores[k].mine * float(scores[k].right[0]))
    return float(log_loss(scores[top].right[0], speaking[top].right[i]))
