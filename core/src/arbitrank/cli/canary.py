"""arbitrank canary: give a candidate a share of the requests, and compare the two versions that answer."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import click
import msgspec
from rich.table import Table

from arbitrank.cli import options
from arbitrank.cli.answer_tables import when
from arbitrank.cli.terminal import print_table, terminal
from arbitrank.errors import InputError
from arbitrank.evaluate.intervals import Estimate
from arbitrank.live.canary_report import CanaryPeriod, CanaryReport, canary_period, from_log
from arbitrank.live.comparison import ArmReport
from arbitrank.live.domain_state import PACKAGE
from arbitrank.store.store import Store

_WIDTH = 120  # of what is not a terminal


@click.command("canary")
@options.name
@click.argument("share", type=options.Share(0, 1), required=False)
@options.reason
@click.option(
    "--on",
    "log",
    type=options.PATH,
    metavar="LOG",
    help="Without SHARE: the folder of a service's --log, from which the two versions are compared.",
)
@options.changed_store
@options.as_json
def canary(domain: str, share: float | None, reason: str | None, log: Path | None, store: Store, as_json: bool) -> None:
    """Answer SHARE of the requests, 0 to 1, with DOMAIN's candidate, in every process that follows the store.

    DOMAIN is a domain, .shortlist, .hyprank or .decisions. A session keeps its version as long as the candidate stays,
    also when the share grows. 0 ends it; so does promoting the candidate or publishing another.

    Without SHARE: report the last canary. With --on, the answers, decisions, reactions and truths of both versions are
    compared, with 95 % intervals, as all workers and hosts that write the log answered; and the share of the requests
    that the candidate did answer.

    Example: arbitrank canary podcasts 0.05
    """
    if share is not None:
        if log is not None or as_json:
            raise InputError("canary: SHARE and a report; expected one of them: without SHARE it reports")
        change = store.canary(domain, share, reason=reason)
        click.echo(f"{domain}: {change.state} (change {change.number})")
        return
    if reason is not None:
        raise InputError("--reason: no SHARE; expected one, 0 to 1")
    period = canary_period(store.history(domain))
    if period is None:
        raise InputError(f"{domain}: no canary in {store}; run: arbitrank canary {domain} 0.05")
    if log is None:
        _show_period(domain, period, as_json)
        return
    from arbitrank.answerlog.joining import view
    from arbitrank.answerlog.reader import UnreadableLines

    unreadable = UnreadableLines()
    report = from_log(domain, period, view(log), unreadable)
    if unreadable.n:
        options.note(unreadable)
    if as_json:
        click.echo(msgspec.json.encode(report))
    else:
        _show(report)
    if not report.arms:
        sys.exit(1)


def _show_period(domain: str, period: CanaryPeriod, as_json: bool) -> None:
    if as_json:
        click.echo(msgspec.json.encode({"domain": domain, **period._asdict()}))
        return
    click.echo(_heading(domain, period.candidate, period.stable, period.share, period.since, period.until))
    click.echo(f"compare the two on a service's log: arbitrank canary {domain} --on LOG")


def _heading(
    domain: str, candidate: str, stable: str | None, share: float, since: float | None, until: float | None
) -> str:
    ended = "" if until is None else f", until {when(until)}"
    beside = stable or PACKAGE
    return f"{domain}: {100 * share:g} % of the requests to {candidate} beside {beside}, since {when(since)}{ended}"


def _show(report: CanaryReport) -> None:
    """Print both arms side by side."""
    console = terminal(_WIDTH)
    heading = _heading(report.domain, report.candidate, report.stable, report.share, report.since, report.until)
    console.print(heading, highlight=False)
    if report.answered is None:
        console.print("the log holds no answer of that time in which it took part")
        return
    n = sum(one.answers for one in report.arms.values())
    console.print(f"the candidate answered {_percent(report.answered)} of {n} requests", highlight=False)
    table = Table(box=None, header_style="dim", padding=(0, 2, 0, 0))
    table.add_column("")
    for arm, one in report.arms.items():
        table.add_column(f"{arm} {one.version}", justify="right", no_wrap=True)
    for title, text in _ROWS.items():
        cells = [text(one) for one in report.arms.values()]
        if any(cells):
            table.add_row(title, *cells)
    print_table(console, table)
    for name, gap in report.differences.items():
        points = f"{100 * gap.mean:+.1f} [{100 * gap.low:+.1f}, {100 * gap.high:+.1f}] points"
        console.print(f"{name}, the canary's minus the stable version's: {points}", highlight=False, markup=False)


def _percent(one: Estimate) -> str:
    return f"{100 * one.mean:.1f} % \\[{100 * one.low:.1f}, {100 * one.high:.1f}]"


def _reactions(arm: ArmReport) -> str:
    return "" if arm.acceptance is None else f"{_percent(arm.acceptance)} of {arm.accepted + arm.rejected}"


def _right(arm: ArmReport) -> str:
    return "" if arm.outcomes is None else f"{_percent(arm.outcomes.accuracy)} of {arm.outcomes.n}"


def _nll(arm: ArmReport) -> str:
    if arm.outcomes is None:
        return ""
    one = arm.outcomes.nll
    return f"{one.mean:.3f} \\[{one.low:.3f}, {one.high:.3f}]"


_ROWS: dict[str, Callable[[ArmReport], str]] = {
    "answers": lambda arm: str(arm.answers),
    "accept": lambda arm: str(arm.accept),
    "clarify": lambda arm: str(arm.clarify),
    "none": lambda arm: str(arm.none),
    "failed": lambda arm: str(arm.failed),
    "mean P(mine)": lambda arm: f"{arm.domain_probability:.3f}",
    "accepted by users": _reactions,
    "right, of known truth": _right,
    "NLL of P(right)": _nll,
    "ECE of P(right)": lambda arm: "" if arm.outcomes is None else f"{arm.outcomes.calibration.ece:.3f}",
}
