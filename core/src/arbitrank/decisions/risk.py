"""Thresholds with a bound on the share of wrong answers among those that are accepted: learn, then test.

The labelled requests are split at random. On one part a path of thresholds is chosen, from strict to loose, with the
order in which they are tested; on the other part each is tested in that order, and the first that fails ends it
("fixed-sequence testing", Angelopoulos et al. 2021, arXiv 2110.01052). Whatever passes, the probability that one of
them has a greater risk is at most 1 − confidence: each test is exact, its p-value being the probability of as few wrong
among as many accepted (Clopper & Pearson 1934), and of a sequence only the first false one can err. Groups with
thresholds of their own share that probability (Bonferroni).

The requests have to be drawn as those to come are, independently, and the settings must not have been fitted to those
that are tested.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import msgspec
import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from arbitrank.arbitration.decide import ACTIONS, DecisionSettings
from arbitrank.arbitration.risk_bound import AcceptBy, GroupBound, RiskBound, accept_thresholds
from arbitrank.decisions.binomial import most_wrong, p_value
from arbitrank.decisions.observed import Heads, Mask
from arbitrank.decisions.risk_groups import Grouped, RiskLimit
from arbitrank.decisions.thresholds import values
from arbitrank.errors import DataError
from arbitrank.learn.gains import Gain
from arbitrank.probability import Floats

LEARNED = 0.2
"""The share of the requests on which thresholds are chosen; the others test them."""

LEAST = 100
"""Requests below which nothing is chosen or tested."""

STEPS = 60
"""Thresholds of a path at most."""

_CLARIFY, _NONE = (0.0, 0.1, 0.2, 0.35, 0.5), (0.3, 0.5, 0.7, 0.9)  # thresholds that are tried beside those in force
_ENOUGH = 1.5  # times the accepted answers that pass with none wrong, from which on a group has its own threshold
_PRIOR = 0.5  # wrong answers that are counted beside those seen, in choosing where a path begins
_MOST = 10_000_000  # requests up to which it is told how many are missing


class ThresholdTest(msgspec.Struct, frozen=True):
    """The threshold of a group, "" for all that have none of their own: of `accepted` answers `wrong` were wrong.

    `most` is the upper limit of the share of wrong ones at the group's confidence. Where no threshold passes, `accept`
    is None and the figures are those of the most certain answers; `missing` is how many more labelled requests may
    suffice, None where none would.
    """

    group: str
    accept: float | None
    accepted: int
    wrong: int
    most: float
    missing: int | None = None


class BoundedSettings(msgspec.Struct, frozen=True):
    """Settings with a bound on risk: the tests by group, and the shares of accepted and of wrong answers among them.

    The shares are those of the requests that were tested on, `before` with the settings in force. `refusal` says why no
    threshold keeps the bound, None where some does; `notes` names the groups in which none does.
    """

    settings: DecisionSettings
    limit: RiskLimit
    tests: tuple[ThresholdTest, ...]
    learned_on: int
    tested_on: int
    accepted: float
    accepted_before: float
    wrong: float
    wrong_before: float
    notes: tuple[str, ...]
    refusal: str | None


def bounded(
    heads: Heads,
    base: DecisionSettings,
    limit: RiskLimit,
    *,
    domains: Sequence[str] = (),
    contexts: Sequence[Mapping[str, object]] = (),
    none: Mask | None = None,
    fresh: Mask | None = None,
    seed: int = 0,
) -> BoundedSettings:
    """The settings in force (`base`) with thresholds that keep the bound, by the heads of labelled requests.

    `none` marks requests on which deciding none is right, None where no request is out of scope. `fresh` marks requests
    that `base` was not fitted to, None for all: the others do not test. Raises `DataError` for too few of them.
    """
    learn, test = _split(np.ones(len(heads.right), np.bool_) if fresh is None else fresh, seed)
    base = replace(base, accept_by=None, bound=None)
    out = np.zeros(len(heads.right), np.bool_) if none is None else none
    free = _learned(heads.at(learn), base, limit, out[learn])
    groups = Grouped.by(limit, heads, domains, contexts)
    ends = heads.actions(replace(free, accept=0.0)) == ACTIONS.index("accept")
    tests = _tested(heads, free, limit, groups, ends, (learn, test))
    settings, refusal = _settings(free, limit, tests), _refusal(limit, tests)
    thresholds = accept_thresholds(settings.accept_by, settings.accept, domains, heads.domain, contexts)
    shares = [_shares(heads, one, accept, test) for one, accept in ((base, None), (settings, thresholds))]
    return BoundedSettings(
        base if refusal else settings, limit, tuple(tests), len(learn), len(test),
        accepted_before=shares[0][0], wrong_before=shares[0][1], accepted=shares[1][0], wrong=shares[1][1],
        notes=tuple(_unmet(limit, one) for one in tests if one.accept is None), refusal=refusal,
    )  # fmt: skip


def _split(fresh: Mask, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The places of the requests that thresholds are chosen on, and of those that test them."""
    own = np.flatnonzero(fresh)
    missing = max(0, max(LEAST, math.ceil(LEARNED * len(fresh))) - (len(fresh) - len(own)))
    drawn = np.random.default_rng(seed).permutation(own)[: min(missing, len(own))]
    learn = np.union1d(np.flatnonzero(~fresh), drawn)
    test = np.setdiff1d(own, drawn)
    if len(learn) < LEAST or len(test) < LEAST:
        fitted = len(fresh) - len(own)
        besides = f", besides {fitted} that the settings in force were tuned on" if fitted else ""
        raise DataError(
            f"{len(own)} requests with a truth{besides}, expected at least {2 * LEAST - min(fitted, LEAST)}: too few "
            "to choose thresholds on some and to test them on the others"
        )
    return learn, test


def _learned(heads: Heads, base: DecisionSettings, limit: RiskLimit, none: Mask) -> DecisionSettings:
    """The settings with the thresholds `none` and `clarify` under which the decisions are worth most within the risk.

    They stay as they are where others are not surely worth more.
    """

    def worth(settings: DecisionSettings) -> Floats:
        eligible = np.flatnonzero(heads.actions(replace(settings, accept=0.0)) == ACTIONS.index("accept"))
        order = eligible[np.argsort(-heads.probability[eligible], kind="stable")]
        wrong = np.cumsum(~heads.right[order])
        within = np.flatnonzero(wrong <= limit.risk * np.arange(1, len(order) + 1))
        accept = float(heads.probability[order[within[-1]]]) if len(within) else 1.0
        return values(heads, replace(settings, accept=max(accept, base.accept)), none)

    best, at = base, worth(base)
    for clarify in (base.clarify,) if "clarify" in base.stated else sorted({base.clarify, *_CLARIFY}):
        for null in (base.none,) if "none" in base.stated or not none.any() else sorted({base.none, *_NONE}):
            tried = replace(base, clarify=clarify, none=null)
            value = worth(tried)
            if Gain.of(value - at).low > 0.0:
                best, at = tried, value
    return best


def _tested(
    heads: Heads,
    settings: DecisionSettings,
    limit: RiskLimit,
    groups: Grouped,
    eligible: Mask,
    parts: tuple[NDArray[np.int64], NDArray[np.int64]],
) -> list[ThresholdTest]:
    """The tests of each group, and of all requests that are in none with enough of them."""
    learn, test = parts
    ratio, enough = len(test) / len(learn), math.log(1.0 - limit.confidence) / math.log(1.0 - limit.risk)
    expected = np.bincount(groups.of[learn][eligible[learn] & (groups.of[learn] >= 0)], minlength=len(groups.names))
    own = np.flatnonzero(ratio * expected >= _ENOUGH * enough)
    members = [(groups.names[k], groups.of == k) for k in own.tolist()]
    rest = ~np.isin(groups.of, own)
    if not members or (rest & eligible)[learn].any():
        members.append(("", rest))
    level = (1.0 - limit.confidence) / len(members)
    found = []
    for name, mask in members:
        inside = mask & eligible
        places = learn[inside[learn]], test[inside[test]]
        found.append(_sequence(name, heads, (settings.accept, limit.risk, level), places, ratio))
    return found


def _sequence(
    name: str,
    heads: Heads,
    limits: tuple[float, float, float],
    parts: tuple[NDArray[np.int64], NDArray[np.int64]],
    ratio: float,
) -> ThresholdTest:
    """The loosest threshold of a path that passes, each before it having passed.

    `limits` are the least threshold, the risk and the level of a test. The path is of the requests of the first part,
    of which each stands for `ratio` of the second; it begins with the threshold that will most surely pass.
    """
    (least, risk, level), (learn, test) = limits, parts
    path, accepted, wrong = _path(heads, learn, least)
    tested, right = heads.probability[test], heads.right[test]
    if not len(path):
        return ThresholdTest(name, None, 0, 0, 1.0)
    first = int(np.argmin(p_value((wrong + _PRIOR) * ratio, accepted * ratio, risk)))
    passed: ThresholdTest | None = None
    for threshold in path[first:].tolist():
        inside = tested >= threshold
        n, k = int(inside.sum()), int((inside & ~right).sum())
        if not n or float(p_value(k, n, risk)) > level:
            break
        passed = ThresholdTest(name, threshold, n, k, most_wrong(k, n, level))
    if passed is not None:
        return passed
    rate = (wrong[first] + k) / (accepted[first] + n)  # of both parts: the test alone failed, perhaps by chance
    missing = _missing(rate, n, risk, level, len(test))
    return ThresholdTest(name, None, n, k, most_wrong(k, n, level), missing)


def _path(
    heads: Heads, learn: NDArray[np.int64], least: float
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Thresholds from strict to loose, and the accepted and the wrong answers by each, among the requests."""
    order = learn[np.argsort(-heads.probability[learn], kind="stable")]
    p = heads.probability[order]
    n = int((p >= least).sum())
    if not n:
        nothing = np.zeros(0)
        return nothing, nothing, nothing
    counts = np.unique(np.geomspace(min(20, n), n, STEPS).round().astype(np.int64))
    path = np.unique(np.append(p[counts - 1], least))[::-1]
    accepted = np.searchsorted(-p, -path, side="right").astype(np.float64)
    wrong = np.concatenate([[0.0], np.cumsum(~heads.right[order])])[accepted.astype(np.int64)]
    return path, accepted, wrong


def _missing(rate: float, accepted: int, risk: float, level: float, tested: int) -> int | None:
    """The further labelled requests with which the most certain answers would pass, None where none would do.

    Their share of wrong answers is taken to be `rate`, or half of the risk where it is less: with none wrong so far, it
    is not nothing.
    """
    rate = max(rate, 0.5 * risk)
    if rate >= risk or not accepted:
        return None
    n = accepted
    while n < _MOST and float(p_value(rate * n, n, risk)) > level:
        n = math.ceil(1.1 * n) + 1
    return None if n >= _MOST else math.ceil(tested * (n - accepted) / accepted / (1.0 - LEARNED))


def _settings(free: DecisionSettings, limit: RiskLimit, tests: Sequence[ThresholdTest]) -> DecisionSettings:
    """The settings with the thresholds that passed; where none did, nothing is accepted."""
    thresholds = {one.group: 1.0 if one.accept is None else min(one.accept, 1.0) for one in tests}
    groups = {one.group: GroupBound(one.accepted, one.wrong, one.most) for one in tests if one.accept is not None}
    accept = thresholds.pop("", 1.0)
    by = None if limit.per is None else AcceptBy(limit.per, thresholds)
    return replace(free, accept=accept, accept_by=by, bound=RiskBound(limit.risk, limit.confidence, groups))


def _shares(
    heads: Heads, settings: DecisionSettings, accept: Floats | None, test: NDArray[np.int64]
) -> tuple[float, float]:
    """The shares of accepted answers, and of wrong ones among these, of the requests that were tested on."""
    accepted = (heads.actions(settings, accept) == ACTIONS.index("accept"))[test]
    wrong = (~heads.right[test])[accepted]
    return float(accepted.mean()), float(wrong.mean()) if len(wrong) else 0.0


def _refusal(limit: RiskLimit, tests: Sequence[ThresholdTest]) -> str | None:
    if any(one.accept is not None for one in tests):
        return None
    return "; ".join(_unmet(limit, one) for one in tests)


def _unmet(limit: RiskLimit, one: ThresholdTest) -> str:
    """The reason why no threshold of a group keeps the bound, by how much it is missed, and what is missing."""
    where = f"{limit.per} {one.group}: " if one.group else ""
    if not one.accepted:
        return f"{where}no labelled request would be accepted: nothing can be tested; give more with --on FILE"
    seen = (
        f"{where}of the {one.accepted} most certain answers {one.wrong} are wrong, so at most {100 * one.most:.1f} % "
        f"are: {100 * (one.most - limit.risk):.1f} points above the limit of {100 * limit.risk:g} %"
    )
    if one.missing is None:
        return f"{seen}; more labelled requests would not help: better weights do, or a higher --risk"
    return f"{seen}; about {one.missing} more labelled requests are missing, or a higher --risk"
