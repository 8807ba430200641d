"""The gate: whether a candidate may serve, judged by what it does to everybody and by how true its claims are."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import msgspec
import numpy as np

from arbitrank.evaluate.metrics import Calibration
from arbitrank.impact.report import Impact, Slice

_DRAWS = 20_000
_ALPHA = 0.05
_NAMED = 5  # neighbours that a reason names


class Limits(msgspec.Struct, frozen=True):
    """What a candidate may do. `tolerance`: how much worse IRER may surely be, a rate (0.001 is 0.1 points).

    `max_ece` is the highest calibration error of its claims, `max_temperature` how much too strong they may surely be:
    at 2 every log-odds is twice what it should be.
    """

    tolerance: float = 0.001
    max_ece: float = 0.05
    max_temperature: float = 1.5


class Reason(msgspec.Struct, frozen=True):
    """Why the gate refuses: what was broken, in words, and the neighbours that it is about."""

    what: Literal["self-test", "irer", "neighbour", "card", "limit", "failures", "recall"]
    text: str
    neighbours: tuple[str, ...] = ()


def judge(
    impact: Impact | None, card: Calibration | None, limits: Limits = Limits(), *, problem: str | None = None
) -> list[Reason]:
    """Why a candidate may not serve; nothing where it may.

    `problem` is what its self-test found. With an impact, refused is a candidate

    - that fails on requests on which what serves does not;
    - that surely makes the pooled IRER worse by more than the tolerance: the lower end of the 95 % interval of the
      paired difference is above it;
    - that surely does so to a neighbour, over the requests that are truly the neighbour's. As there are many of them,
      their intervals are made to hold together with 95 % (Bonferroni), or one candidate in three would be refused for
      chance alone;
    - whose calibration is beyond its `card`: its ECE, over every request that it has a reading for, is above the upper
      end of the band that a perfectly calibrated one would show on as many requests, by more than the card's interval
      admits of true error (its upper end less its floor);
    - whose ECE is above `max_ece` and above that band, or whose claims are surely too strong by more than
      `max_temperature`: an ECE over mostly easy requests hides what a domain does where it counts.
    """
    reasons = [Reason("self-test", f"its self-test failed: {problem}")] if problem else []
    if impact is not None:
        reasons += _failures(impact)
        if impact.pooled is not None:
            reasons += _irer(impact, impact.pooled, limits.tolerance)
            reasons += _neighbours(impact, limits.tolerance)
        if impact.claims.after is not None:
            reasons += _calibration(impact, impact.claims.after, card, limits)
    return reasons


def over_limit(impact: Impact, limits: Limits = Limits(), *, now: bool = False, promoted: bool = False) -> str | None:
    """That the candidate, or what answers `now`, claims too much, and the command that shrinks it; None where not.

    `promoted` says that the candidate is stable by now.
    """
    claims = impact.claims
    calibration = claims.before if now else claims.after
    temperature = claims.temperature_before if now else claims.temperature_after
    if calibration is None or temperature is None:
        return None
    too_far = calibration.over > 0.0 and calibration.ece > max(limits.max_ece, calibration.ece_band[1])
    too_strong = temperature.low > limits.max_temperature
    if not too_far and not too_strong:
        return None
    seen = (
        f"ECE is {_points(calibration.ece)} on {calibration.n} requests, at most {_points(limits.max_ece)} is allowed"
    )
    if too_strong:
        seen = (
            f"its log-odds are {temperature.fitted:.2f} times what they should be [{temperature.low:.2f}, "
            f"{temperature.high:.2f}], at most {limits.max_temperature:g} is allowed"
        )
    who = f"{impact.domain} as it answers now" if now else impact.domain
    robs = "" if now else _robbing(impact)
    when = "" if now or promoted else "once it is stable, "
    return f"{who} claims too much: {seen}{robs}; {when}it can be shrunk: arbitrank shrink {impact.domain}"


def robbed(impact: Impact) -> tuple[str, ...]:
    """The neighbours that lose right answers, those that lose most, less what they gain, first."""
    lost = {name: one for name, one in impact.per_domain.items() if one.right_to_wrong and name != impact.domain}
    return tuple(sorted(lost, key=lambda name: (lost[name].wrong_to_right - lost[name].right_to_wrong, name)))


def _failures(impact: Impact) -> Iterator[Reason]:
    failed, before = impact.failures.get("candidate", 0), impact.failures.get(impact.domain, 0)
    if failed > before:
        yield Reason("failures", f"it fails on {failed} of {impact.n} requests; what serves now fails on {before}")


def _irer(impact: Impact, pooled: Slice, tolerance: float) -> Iterator[Reason]:
    worse = pooled.difference["irer"]
    if worse.low > tolerance:
        interval = f"{_signed(worse.mean)} points [{_signed(worse.low)}, {_signed(worse.high)}]"
        yield Reason(
            "irer",
            f"IRER of all {pooled.n} requests gets worse, {_both(pooled)}: by {interval}, {_points(tolerance)} are "
            f"tolerated{_robbing(impact)}",
            robbed(impact),
        )


def _neighbours(impact: Impact, tolerance: float) -> Iterator[Reason]:
    neighbours = {name: one for name, one in impact.per_domain.items() if name != impact.domain}
    for name, one in neighbours.items():
        low = surely_worse(one, len(neighbours))
        if low > tolerance:
            yield Reason(
                "neighbour",
                f"IRER of {name} gets worse, {_both(one)} on its {one.n} requests: by at least {_signed(low)} points, "
                f"{_points(tolerance)} are tolerated; it loses {one.right_to_wrong} right answers and gains "
                f"{one.wrong_to_right}",
                (name,),
            )


def surely_worse(one: Slice, together: int = 1) -> float:
    """The lower end of the interval of the IRER's difference, that of `together` slices holding at once with 95 %.

    A request's difference is -1, 0 or 1, so to draw requests again is to draw these three counts. It is drawn from one
    request more, on which nothing changed; else a neighbour whose only request is lost would be surely worse.
    """
    return surely_lost(one.right_to_wrong, one.wrong_to_right, one.n, together)


def surely_lost(lost: int, won: int, n: int, together: int = 1) -> float:
    """What `surely_worse` says, of how many of `n` requests were lost and won; -1 where no more were lost than won."""
    if lost <= won:
        return -1.0
    shares = np.array([lost, won, n - lost - won + 1]) / (n + 1)
    drawn = np.random.default_rng(0).multinomial(n, shares, _DRAWS)
    return float(np.quantile((drawn[:, 0] - drawn[:, 1]) / n, 0.5 * _ALPHA / together))


def _calibration(impact: Impact, claims: Calibration, card: Calibration | None, limits: Limits) -> Iterator[Reason]:
    chance = claims.ece_band[1]
    seen = f"ECE {_points(claims.ece)} on {claims.n} requests (chance alone gives up to {_points(chance)})"
    if card is not None and card.n:
        admitted = max(0.0, card.ece_interval[1] - card.ece_floor)
        if claims.ece > chance + admitted:
            yield Reason(
                "card",
                f"its claims are not as true as its card says: {seen}; the card has {_points(card.ece)} on {card.n}, "
                f"up to {_points(card.ece_interval[1])}{_robbing(impact)}",
                robbed(impact),
            )
    over = over_limit(impact, limits)
    if over is None and claims.ece > max(limits.max_ece, chance):
        over = f"its claims are too far from the truth: {seen}; at most {_points(limits.max_ece)} is allowed"
    if over:
        yield Reason("limit", over, robbed(impact))


def _robbing(impact: Impact) -> str:
    losers = robbed(impact)
    if not losers:
        return ""
    counts = [(name, impact.per_domain[name]) for name in losers[:_NAMED]]
    named = ", ".join(f"{name} (-{one.right_to_wrong} +{one.wrong_to_right})" for name, one in counts)
    more = f" and {len(losers) - _NAMED} more" if len(losers) > _NAMED else ""
    return f"; it robs {named}{more}"


def _both(one: Slice) -> str:
    return f"from {100 * one.before.irer:.2f} to {100 * one.after.irer:.2f} %"


def _points(share: float) -> str:
    return f"{100 * share:.2f}"


def _signed(share: float) -> str:
    return f"{100 * share:+.2f}"
