"""Report of a canary: the candidate's answers beside the stable version's, from the answer log or from one process.

    period = canary_period(store.history("weather"))
    report = from_log("weather", period, view(Path("log")))

The log is that of all workers, and of all hosts that write into its folder, so its counts are of all of them. One
process alone knows its own answers, and only the feedback that came to itself.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import msgspec
from msgspec import UNSET

from arbitrank.answerlog.joining import LogView, joined_lines, written_since
from arbitrank.answerlog.reader import UnreadableLines, decoded_at
from arbitrank.evaluate.intervals import Estimate
from arbitrank.live.comparison import Arm, ArmReport, ComparedVersions, Comparison, ComparisonReport
from arbitrank.live.domain_state import PACKAGE
from arbitrank.store.kinds import DECISIONS, SHORTLIST
from arbitrank.store.state import Change
from arbitrank.values import Answer
from arbitrank.wire.json_lines import BadLine
from arbitrank.wire.requests import Logged


class CanaryPeriod(NamedTuple):
    """A time in which one candidate had a share of the requests beside one stable version, None being the package's.

    `share` is the last one; `until` is None while it lasts.
    """

    stable: str | None
    candidate: str
    share: float
    since: float
    until: float | None


class CanaryReport(msgspec.Struct, frozen=True):
    """The arms `stable` and `canary` of a candidate's last canary.

    `share` is the share of the requests that it was to answer, `answered` the share that it did answer, of those in
    which the name took part. `differences` are of the canary's figures minus the stable version's. `source`: `log`, of
    all processes that write it, or `worker`, of the replying worker alone. `until` is None while the canary lasts.
    """

    domain: str
    stable: str
    candidate: str
    share: float
    since: float
    until: float | None
    source: str
    answered: Estimate | None
    arms: dict[Arm, ArmReport]
    differences: dict[str, Estimate]
    bad_lines: int = 0


def canary_period(changes: Sequence[Change]) -> CanaryPeriod | None:
    """The last canary in a history, oldest change first; None where there was none."""
    found: CanaryPeriod | None = None
    for change in changes:
        state = change.state
        if found is not None and found.until is None and not _goes_on(found, change):
            found = found._replace(until=change.time)
        if state.candidate is None or not state.canary:
            continue
        if found is None or found.until is not None:
            found = CanaryPeriod(state.stable, state.candidate, state.canary, change.time, None)
        else:
            found = found._replace(share=state.canary)
    return found


def _goes_on(period: CanaryPeriod, change: Change) -> bool:
    state = change.state
    return state.canary > 0 and (state.stable, state.candidate) == (period.stable, period.candidate)


def from_log(name: str, period: CanaryPeriod, log: LogView, unreadable: UnreadableLines | None = None) -> CanaryReport:
    """The report of a canary from a log; reads its segments from that time on. `unreadable` counts bad lines."""
    comparison, bad = Comparison(remembered=None), UnreadableLines() if unreadable is None else unreadable
    for _, where, line in joined_lines(written_since(log, period.since)):
        logged = decoded_at(where, line)
        if isinstance(logged, BadLine):
            bad.add(logged)
        elif logged.answer is not None and _within(period, logged.time):
            side = _side(name, period, logged, logged.answer)
            if side is not None:
                comparison.logged(logged.answer, {name: side}, logged.truth, logged.outcome)
    return _report(name, comparison.report().get(name) or _empty(period), period, "log", bad.n)


def from_process(name: str, report: ComparisonReport | None, period: CanaryPeriod) -> CanaryReport:
    """The report of a canary from what one process has counted, which may be of an earlier one."""
    if report is None or report.candidate != period.candidate:
        report = _empty(period)
    return _report(name, report, period, "worker", 0)


def _empty(period: CanaryPeriod) -> ComparisonReport:
    return ComparisonReport(period.stable or PACKAGE, period.candidate, period.share, {})


def _report(name: str, report: ComparisonReport, period: CanaryPeriod, source: str, bad: int) -> CanaryReport:
    arms: dict[Arm, ArmReport] = {arm: one for arm, one in report.arms.items() if arm in ("stable", "canary")}
    stable, canary = arms.get("stable"), arms.get("canary")
    differences = {}
    if stable is not None and canary is not None:
        if stable.outcomes is not None and canary.outcomes is not None:
            differences["accuracy"] = difference(canary.outcomes.accuracy, stable.outcomes.accuracy)
        if stable.acceptance is not None and canary.acceptance is not None:
            differences["acceptance"] = difference(canary.acceptance, stable.acceptance)
    return CanaryReport(
        name, report.stable, report.candidate, report.share, period.since, period.until, source, report.answered, arms,
        differences, bad,
    )  # fmt: skip


def difference(one: Estimate, other: Estimate) -> Estimate:
    """The difference of two independent shares, with Newcombe's interval.

    R. Newcombe, Interval estimation for the difference between independent proportions, Statistics in Medicine 17
    (1998), method 10.
    """
    mean = one.mean - other.mean
    low = mean - math.hypot(one.mean - one.low, other.high - other.mean)
    return Estimate(mean, low, mean + math.hypot(one.high - one.mean, other.mean - other.low))


def _side(name: str, period: CanaryPeriod, logged: Logged, answer: Answer) -> ComparedVersions | None:
    """The arm of an answer, None where the name took no part in it, or another version answered."""
    version = _version(name, answer)
    stated = None if logged.arms is None else logged.arms.get(name)
    if version is None:
        if stated is None:
            return None
        arm: Arm = stated
    elif version == period.candidate:
        arm = "canary"
    elif period.stable in (None, version):
        arm = "stable"
    else:
        return None
    return ComparedVersions(period.stable or PACKAGE, period.candidate, period.share, arm)


def _version(name: str, answer: Answer) -> str | None:
    """The version of a name in an answer; None where it has none, as a HypRank's."""
    if name == SHORTLIST:
        return answer.shortlist.version if answer.shortlist is not UNSET else None
    if name == DECISIONS:
        return answer.settings if answer.settings is not UNSET else None
    report = answer.domains.get(name)
    return None if report is None else report.version


def _within(period: CanaryPeriod, time: float | None) -> bool:
    return time is not None and period.since <= time and (period.until is None or time < period.until)
