"""Tables of a watch on a terminal: alarms with their commands, every domain, shifts and remarks."""

from __future__ import annotations

from collections.abc import Iterator

from rich.table import Table

from arbitrank.cli.answer_tables import escape, when
from arbitrank.cli.outcome_recalibration import words
from arbitrank.cli.terminal import print_table, terminal
from arbitrank.watch.drift import Drift
from arbitrank.watch.outcomes import Band, Claims
from arbitrank.watch.report import DomainWatch, WatchReport

_WIDTH = 120  # of what is not a terminal
_CONTEXTS = 5  # new values of the context that are listed


def show_watch(report: WatchReport) -> None:
    """Print a report: the alarms first, then every domain, then what is no domain's fault."""
    console = terminal(_WIDTH)
    console.print(
        f"{when(report.begin)} to {when(report.end)}: {report.requests} requests, {report.labelled} of known truth; "
        f"compared with {report.requests_before} from {when(report.before)} on"
    )
    for alarm in report.alarms:
        console.print(f"[bold red]ALARM[/bold red] {escape(alarm.domain)}: {escape(alarm.text)}")
        console.print(f"  run: {escape(alarm.next[0])}")
        for other in alarm.next[1:]:
            console.print(f"  or:  {escape(other)}")
    if not report.alarms:
        console.print("quiet: no domain alarms")
    for one in report.proposals or ():
        console.print(f"PROPOSAL {escape(one.domain)}: {escape(words(one.by))}; now: {one.serves or 'none'}")
        console.print(f"  run: {escape(one.next)}")
    print_table(console, _domains(report))
    contexts = _contexts(report)
    if contexts.row_count:
        print_table(console, contexts)
    for text in _remarks(report):
        console.print(escape(text))
    if report.suites:
        passing = sum(one.passes for one in report.suites)
        console.print(f"{passing} of {len(report.suites)} cases of the suites pass")


def _domains(report: WatchReport) -> Table:
    table = Table(box=None, header_style="bold")
    for head in ("domain", "serves", "requests", "wins", "was", "P(mine)", "owned", "P(right)", "right", "drift"):
        table.add_column(head, justify="left" if head in ("domain", "serves", "drift") else "right")
    for name, one in report.domains.items():
        wins = one.wins
        table.add_row(
            escape(name) + (" [bold red]![/bold red]" if one.status == "alarm" else ""), escape(one.serving),
            str(one.requests), _rate(wins.now, wins.of_now), _rate(wins.before, wins.of_before),
            *_claim(one.mine), *_claim(one.right), _drift(one),
        )  # fmt: skip
    return table


def _contexts(report: WatchReport) -> Table:
    """Claims by context."""
    table = Table(box=None, header_style="bold")
    for head in ("domain", "context", "n", "P(mine)", "owned"):
        table.add_column(head, justify="left" if head in ("domain", "context") else "right")
    for name, one in report.domains.items():
        for text, band in one.mine.contexts.items() if one.mine is not None and one.status == "alarm" else ():
            table.add_row(escape(name), escape(text), str(band.n), f"{100 * band.claimed:.1f} %", _seen(band))
    return table


def _remarks(report: WatchReport) -> Iterator[str]:
    yield from report.notes
    for name in report.shifts:
        share = report.shares[name]
        yield (
            f"shift: {name}'s share of the traffic went from {100 * share.before:.1f} to {100 * share.now:.1f} %; its "
            "claims have not drifted, so this is no fault of it"
        )
    for value in report.new_contexts[:_CONTEXTS]:
        known = f"; {', '.join(value.unlearned)} learned other values of it" if value.unlearned else ""
        yield f"new context: {value.key}={value.value} in {100 * value.share:.1f} % of the requests{known}"
    for name, one in report.domains.items():
        if one.new_features:
            yield f"{name}: new features of its readings: {', '.join(one.new_features)}"
        if one.card is not None and one.card.worse:
            card = one.card
            yield (
                f"{name}: ECE of P(right) is {100 * card.ece:.1f} % on {card.n}, worse than its card says: "
                f"{100 * card.card_ece:.1f} % on {card.card_n}, up to {100 * card.card_high:.1f} %"
            )
        for note in one.notes:
            yield f"{name}: {note}"
    if report.skipped or report.bad:
        yield f"{report.skipped} lines without an answer or a time were left out, {report.bad} cannot be read"


def _rate(n: int, of: int) -> str:
    return f"{100 * n / of:.1f} %" if of else "-"


def _claim(one: Claims | None) -> tuple[str, str]:
    return ("-", "-") if one is None else (f"{100 * one.band.claimed:.1f} %", _seen(one.band))


def _seen(band: Band) -> str:
    few = f" of {band.n} only" if band.few else ""
    return f"{100 * band.seen.mean:.1f} [{100 * band.seen.low:.1f}, {100 * band.seen.high:.1f}]{few}"


def _drift(one: DomainWatch) -> str:
    if not one.drifts:
        return "not measured"
    most: Drift = max(one.drifts, key=lambda each: each.evidence)
    return f"{most.stream}: {most.evidence:.1f} of {most.level:.1f} nats" if most.evidence else "none"
