"""The gate: reasons why a candidate may not serve, by its effect on all domains and by its own calibration."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import msgspec

from arbitrank.evaluate.intervals import least_loss
from arbitrank.evaluate.metrics import Calibration, band_text
from arbitrank.evaluate.segment_calibration import TOLERANCE
from arbitrank.impact.report import Impact, Slice
from arbitrank.impact.valued import ValueReport
from arbitrank.store.artifact import unproven

_NAMED = 5  # neighbours that a reason names
_FEW = 200  # requests of an ECE below which its reason says that they decide little


class GateLimits(msgspec.Struct, frozen=True):
    """Limits for a candidate. `tolerance`: the increase of IRER that is tolerated, a rate (0.001 is 0.1 points).

    `max_ece` is the greatest calibration error of its scores, `max_temperature` the greatest temperature: at 2 every
    log-odds is twice what it should be.
    """

    tolerance: float = 0.001
    max_ece: float = 0.05
    max_temperature: float = 1.5


class GateReason(msgspec.Struct, frozen=True):
    """Reason of a refusal: the rule that was broken, a text, and the neighbours that it affects."""

    what: Literal[
        "self-test",
        "irer",
        "neighbour",
        "card",
        "limit",
        "failures",
        "recall",
        "tools",
        "catalogue",
        "risk",
        "suite",
        "segment",
        "value",
    ]
    text: str
    neighbours: tuple[str, ...] = ()


def judge(
    impact: Impact | None,
    card: Calibration | None,
    limits: GateLimits = GateLimits(),
    *,
    problem: str | None = None,
    domain: str = "DOMAIN",
) -> list[GateReason]:
    """The reasons why a candidate may not serve; none where it may.

    `problem` is the finding of its self-test. A candidate of the `domain` is refused whose training data held no
    request of another domain. With an impact, one is refused

    - that fails on more requests than the version that serves;
    - that increases the pooled IRER by more than the tolerance: the lower end of the 95 % interval of the paired
      difference is above it;
    - that does so for a neighbour, over the requests that the neighbour truly owns. The neighbours' intervals hold
      together with 95 % (Bonferroni), or one candidate in three would be refused by chance;
    - whose calibration is beyond its `card`: its ECE, over every request that it has a reading of, exceeds the upper
      end of the band that a perfectly calibrated domain would show on as many requests, by more than the true error
      that the card's interval admits (its upper end less its floor);
    - of whose answers users would have accepted certainly fewer, by more than the tolerance, as their reactions say
      (`arbitrank.outcomes.value`); where these are too little evidence, it is not judged by them;
    - whose ECE exceeds `max_ece` and that band, or whose temperature exceeds `max_temperature` by its lower end: an ECE
      over mostly easy requests hides the calibration of the difficult ones;
    - that is surely worse calibrated in a segment of the requests, as those of a device or of an intent
      (`arbitrank.evaluate.segment_calibration`); all segments together hold with 95 %;
    - with which the decision settings surely accept more wrong answers than the bound on risk that they have allows.
    """
    reasons = [GateReason("self-test", f"its self-test failed: {problem}")] if problem else []
    if alone := unproven(domain, card):
        reasons.append(GateReason("card", alone))
    if impact is not None:
        failed, before = impact.failures.get("candidate", 0), impact.failures.get(impact.domain, 0)
        if failed > before:
            text = f"it fails on {failed} of {impact.n} requests; the version that serves now fails on {before}"
            reasons.append(GateReason("failures", text))
        if impact.pooled is not None:
            reasons += _irer(impact, impact.pooled, limits.tolerance)
            reasons += _neighbours(impact, limits.tolerance)
        reasons += value_reasons(impact.value, limits)
        if impact.claims.after is not None:
            reasons += _calibration(impact, impact.claims.after, card, limits)
        reasons += [*_segments(impact), *_risk(impact)]
    return reasons


def over_limit(
    impact: Impact, limits: GateLimits = GateLimits(), *, now: bool = False, promoted: bool = False
) -> str | None:
    """A text saying that the candidate, or the version that answers `now`, is too sure; None where it is not.

    It names the command that shrinks the domain; of one whose claims are too low by more than the limit and chance, the
    one that trains it: a smaller slope would not find the requests that it misses. `promoted` says that the candidate
    has become stable.
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
    ece, limit = _points(calibration.ece), _points(limits.max_ece)
    seen = f"ECE is {ece} on {calibration.n} requests, at most {limit} is allowed"
    if too_strong:
        interval = f"[{temperature.low:.2f}, {temperature.high:.2f}], at most {limits.max_temperature:g} is allowed"
        seen = f"its log-odds are {temperature.fitted:.2f} times what they should be {interval}"
    version = f"{impact.domain} as it answers now" if now else impact.domain
    losses = "" if now else _losses(impact)
    few = _few(impact.domain, calibration)
    if misses(calibration, limits):
        low = f"its claims are {-100 * calibration.over:.1f} points under-confident on average"
        return (
            f"{version} misses requests: {low}, and {seen}{losses}; it does not know these wordings, which no "
            f"shrinking mends{few}; add such requests to its data, then run: arbitrank train {impact.domain}"
        )
    when = "" if now or promoted else "once it is stable, "
    how = "over-confident" if calibration.over > 0.0 else "too sure both of wrong answers and of right ones"
    return f"{version} is {how}: {seen}{losses}{few}; {when}run: arbitrank shrink {impact.domain}"


def misses(calibration: Calibration, limits: GateLimits = GateLimits()) -> bool:
    """True where a domain's claims are too low, on average by more than the limit and than chance explains."""
    return -calibration.over > max(limits.max_ece, calibration.ece_band[1])


def losing_neighbours(impact: Impact) -> tuple[str, ...]:
    """The neighbours that lose right answers, the greatest net loss first."""
    lost = {name: one for name, one in impact.per_domain.items() if one.right_to_wrong and name != impact.domain}
    return tuple(sorted(lost, key=lambda name: (lost[name].wrong_to_right - lost[name].right_to_wrong, name)))


def _irer(impact: Impact, pooled: Slice, tolerance: float) -> Iterator[GateReason]:
    worse = pooled.difference["irer"]
    if worse.low > tolerance:
        interval = f"{_signed(worse.mean)} points [{_signed(worse.low)}, {_signed(worse.high)}]"
        text = (
            f"IRER of all {pooled.n} requests increases {_both(pooled)}: by {interval}, at most {_points(tolerance)} "
            f"is tolerated{_losses(impact)}"
        )
        yield GateReason("irer", text, losing_neighbours(impact))


def _neighbours(impact: Impact, tolerance: float) -> Iterator[GateReason]:
    neighbours = {name: one for name, one in impact.per_domain.items() if name != impact.domain}
    for name, one in neighbours.items():
        low = least_loss(one.right_to_wrong, one.wrong_to_right, one.n, len(neighbours))
        if low > tolerance:
            text = (
                f"IRER of {name} increases {_both(one)} on its {one.n} requests: by at least {_signed(low)} points, at "
                f"most {_points(tolerance)} is tolerated; it loses {one.right_to_wrong} right answers and gains "
                f"{one.wrong_to_right}"
            )
            yield GateReason("neighbour", text, (name,))


def value_reasons(value: ValueReport | None, limits: GateLimits = GateLimits()) -> Iterator[GateReason]:
    """The reason against a candidate whose answers users would certainly accept less, by more than the tolerance.

    None where the reactions are too little evidence: then they judge nothing.
    """
    one = value.estimate if value is not None else None
    if one is not None and one.verdict == "worse" and -one.bounds[1] > limits.tolerance:
        fewer, few = one.difference.dr, f"an effective {one.effective_flips:.0f} of them answered differently"
        interval = f"{_signed(fewer.mean)} points [{_signed(one.bounds[0])}, {_signed(one.bounds[1])}]"
        yield GateReason("value", f"users would accept fewer of its answers: {interval} by {one.n} reactions, {few}")


def _calibration(
    impact: Impact, own: Calibration, card: Calibration | None, limits: GateLimits
) -> Iterator[GateReason]:
    chance = own.ece_band[1]
    seen = f"{band_text(own.ece, own.ece_band)} on {own.n} requests"
    if card is not None and card.n:
        admitted = max(0.0, card.ece_interval[1] - card.ece_floor)
        if own.ece > chance + admitted:
            text = (
                f"it is worse calibrated than its card says: {seen}; the card has {_points(card.ece)} on {card.n}, up "
                f"to {_points(card.ece_interval[1])}{_losses(impact)}{_few(impact.domain, own)}"
            )
            yield GateReason("card", text, losing_neighbours(impact))
    over = over_limit(impact, limits)
    if over is None and own.ece > max(limits.max_ece, chance):
        over = f"it is too badly calibrated: {seen}; at most {_points(limits.max_ece)} is allowed"
        over += _few(impact.domain, own)
    if over:
        yield GateReason("limit", over, losing_neighbours(impact))


def _segments(impact: Impact) -> Iterator[GateReason]:
    broken = () if impact.segments is None else impact.segments.broken
    if broken:
        first = broken[0]
        more = f"; so are {len(broken) - 1} more segments" if len(broken) > 1 else ""
        text = (
            f"it is worse calibrated in a segment: {first.after.text}; it was off by {_points(first.before.error)}, by "
            f"at least {_points(first.least)} less, at most {_points(TOLERANCE)} is tolerated{more}"
        )
        yield GateReason("segment", text)


def _risk(impact: Impact) -> Iterator[GateReason]:
    kept = impact.risk
    if kept is not None and kept.broken:
        text = (
            f"with it more than {100 * kept.risk:g} % of the accepted answers are wrong, which the decision settings "
            f"bound: {kept.wrong} of {kept.accepted}, at least {100 * kept.least:.2f} % with "
            f"{100 * kept.confidence:g} % confidence"
        )
        yield GateReason("risk", text)


def _few(domain: str, own: Calibration) -> str:
    """The end of a reason by an ECE on few requests, with the command that measures the domain on more."""
    if own.n >= _FEW:
        return ""
    text = f"{own.n} requests with a reading of it decide little: on more of them"
    return f"; {text}, run: arbitrank report {domain} --on LOG"


def _losses(impact: Impact) -> str:
    losers = losing_neighbours(impact)
    if not losers:
        return ""
    counts = [(name, impact.per_domain[name]) for name in losers[:_NAMED]]
    named = ", ".join(f"{name} (-{one.right_to_wrong} +{one.wrong_to_right})" for name, one in counts)
    more = f" and {len(losers) - _NAMED} more" if len(losers) > _NAMED else ""
    return f"; it takes right answers from {named}{more}"


def _both(one: Slice) -> str:
    return f"from {100 * one.before.irer:.2f} to {100 * one.after.irer:.2f} %"


def _points(share: float) -> str:
    return f"{100 * share:.2f}"


def _signed(share: float) -> str:
    return f"{100 * share:+.2f}"
