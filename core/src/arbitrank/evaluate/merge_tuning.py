"""Choice of decision settings on requests that the report is not on: after-winning calibration, threshold of "none"."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from arbitrank.arbitration.decide import ACTIONS, DecisionSettings, decide
from arbitrank.arbitration.merge import BestReadings, MergedHeads, conditioned_readings, merge_heads
from arbitrank.domain import Scores
from arbitrank.learn.evidence import Evidence
from arbitrank.probability import Floats, log_loss
from arbitrank.values import Ranked

INDEPENDENCES = (0.0, 0.25, 0.5, 0.75, 1.0)
"""Values of `independence` that are tried: from shared to independent evidence of the domains."""

THRESHOLDS = tuple(round(0.05 * k, 2) for k in range(6, 20))
"""Thresholds of P(out of scope) that are tried."""

_ENOUGH = 5_000  # requests from which on more would change nothing


class LabelledReadings(NamedTuple):
    """Best readings of n requests by one domain, and 1.0 where that reading is entirely right."""

    readings: BestReadings
    right: Floats

    def none(self) -> LabelledReadings:
        """No reading of the same requests."""
        return LabelledReadings(BestReadings.empty(len(self.right)), np.zeros(len(self.right)))


class AfterWinning(Struct, frozen=True):
    """The chosen `independence` of the domains' evidence, None where P(mine) is better left as it is.

    `nll_gain` is the decrease in NLL of the merged top reading under the best value tried, in nats a request; `error`
    is the standard error of that mean over the `n` requests.
    """

    independence: float | None
    nll_gain: float
    error: float
    n: int

    @property
    def decisions(self) -> DecisionSettings:
        """The decision settings that use it."""
        return _normalising(self.independence)


class NoneChoice(Struct, frozen=True):
    """The chosen `threshold` of P(out of scope).

    `gain` is the increase over the default threshold in the share of requests for which the right domain, or rightly
    none, is decided; `error` is the standard error of that mean over the `n` requests.
    """

    threshold: float
    gain: float
    error: float
    n: int


def label(n: int, places: Iterable[int], scores: Sequence[Scores], evidence: Evidence) -> LabelledReadings:
    """A domain's labelled best readings of n requests, of which it has readings of those at `places`."""
    readings, right = BestReadings.empty(n), np.zeros(n)
    chosen = np.fromiter(places, np.int64)
    readings.put(chosen.tolist(), scores)
    right[chosen] = evidence.batch.right[evidence.batch.starts + readings.best[chosen]]
    return LabelledReadings(readings, right)


def choose(domains: Sequence[LabelledReadings], *, seed: int = 0) -> AfterWinning:
    """The independence with the lowest NLL of the merged top reading; its gain has to exceed two standard errors.

    That is strict because it also changes the order of the list, of which the NLL of its head says little.
    """
    # Files may be sorted, so not the first ones.
    chosen = np.random.default_rng(seed).permutation(len(domains[0].right))[:_ENOUGH]
    sample = [LabelledReadings(one.readings.at(chosen), one.right[chosen]) for one in domains]
    before = _losses(sample, None)
    best, gain, error = _best({c: before - _losses(sample, c) for c in INDEPENDENCES})
    return AfterWinning(best if gain > 2.0 * error else None, gain, error, len(chosen))


def choose_none(domains: Sequence[BestReadings], owners: NDArray[Any], fallback: int | None = None) -> NoneChoice:
    """The threshold that decides best on requests whose owners are `owners`: the domain's number, −1 for none.

    `owners` of shape (n, domains + 1) marks each domain that owns a request, and in the last column those out of scope.

    P(out of scope) takes the domains' P(mine) for independent; as all of them read the same words it comes out too
    high. The gain over the default threshold has to exceed two standard errors, or the default stays. `fallback` is the
    number of the fallback domain, if there is one.
    """
    default = DecisionSettings()

    def rightly(decisions: DecisionSettings) -> Floats:
        heads = merge_heads(domains, decisions, fallback)
        none = heads.actions(decisions) == ACTIONS.index("none")
        decided = np.where(none, -1, heads.domain)
        right = decided == owners if owners.ndim == 1 else owners[np.arange(len(owners)), decided]
        return np.asarray(right, np.float64)

    before = rightly(default)
    best, gain, error = _best({t: rightly(DecisionSettings(none=t)) - before for t in THRESHOLDS})
    return NoneChoice(best if gain > 2.0 * error else default.none, gain, error, len(owners))


def contending(
    domains: Sequence[BestReadings],
    heads: MergedHeads,
    i: int,
    settings: DecisionSettings,
    fallback: int | None = None,
    terms: Sequence[tuple[float, float]] | None = None,
) -> tuple[int, ...]:
    """The numbers of the domains whose best readings of request i are the contenders of its decision."""
    if heads.fallback[i]:
        return (int(heads.domain[i]),)
    at = np.array([i])
    alone = [BestReadings.empty(1) if d == fallback else one.at(at) for d, one in enumerate(domains)]
    ranked = []
    for d, one in enumerate(conditioned_readings(alone, settings, terms)[0]):
        mine, right = float(one.mine[0]), float(one.right[0])
        if one.best[0] >= 0:
            ranked.append(Ranked(str(d), "", score=mine * right, domain_probability=mine, probability=right))
    ranked.sort(key=lambda entry: -(entry.score or 0.0))
    decision = decide(ranked, settings, out_of_scope=float(heads.out_of_scope[i]))
    return tuple(int(ranked[k].domain) for k in decision.contenders)


def _normalising(independence: float | None) -> DecisionSettings:
    return DecisionSettings() if independence is None else DecisionSettings(normalise=True, independence=independence)


def _best(gains: dict[float, Floats]) -> tuple[float, float, float]:
    """The value with the greatest mean gain, that mean and its standard error."""
    best = max(gains, key=lambda value: float(gains[value].mean()))
    return best, float(gains[best].mean()), float(gains[best].std() / np.sqrt(len(gains[best])))


def _losses(domains: Sequence[LabelledReadings], independence: float | None) -> Floats:
    """The log loss of each request's merged top reading, 0 where there is none."""
    heads = merge_heads([one.readings for one in domains], _normalising(independence))
    right = np.array([domains[d].right[i] for i, d in enumerate(heads.domain.tolist())])
    return np.where(heads.domain < 0, 0.0, log_loss(heads.probability, right))
