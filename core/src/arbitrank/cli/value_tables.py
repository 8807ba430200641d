"""Table of a value report on a terminal."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from arbitrank.cli.answer_tables import escape
from arbitrank.cli.terminal import print_table, terminal
from arbitrank.evaluate.intervals import Estimate
from arbitrank.impact.valued import ValueReport
from arbitrank.outcomes.value import AcceptedShare, ValueEstimate

_WIDTH = 120  # of what is not a terminal

_VERDICTS = {
    "better": "[green]users would accept more of its answers[/green]",
    "worse": "[red]users would accept fewer of its answers[/red]",
    "same": "both versions answer alike",
    "undecided": "[yellow]undecided[/yellow]: the interval holds no difference",
    "too little evidence": "[yellow]not judged[/yellow]: the log holds too little evidence",
}


def show_value(report: ValueReport) -> None:
    """Print the shares of accepted answers before and after, and what they rest on."""
    console = terminal(_WIDTH)
    place = f"{escape(report.domain)}: {report.after} in the place of {report.before or 'nothing'}"
    console.print(f"{place}, on {escape(report.on)}: {report.n} requests, {report.reactions} with a reaction")
    for note in report.notes:
        console.print(f"[dim]{escape(note)}[/dim]")
    if report.estimate is None:
        console.print("[yellow]not judged[/yellow]: no reaction can be used")
    else:
        show_estimate(report.estimate, console)


def show_estimate(one: ValueEstimate, console: Console) -> None:
    """Print an estimate with the evidence that it rests on, and its verdict."""
    table = Table(box=None, header_style="dim", padding=(0, 1, 0, 0))
    for i, header in enumerate(("accepted, %", "IPS", "SNIPS", "DR", "by the model")):
        table.add_column(header, justify="right" if i else "left", no_wrap=True)
    rows = {"before": one.before, "after": one.after, "difference": one.difference}
    for name, share in rows.items():
        table.add_row(name, *_cells(share, signed=name == "difference"))
    print_table(console, table)
    console.print(
        f"{one.n} reactions in {one.sessions} sessions; effective sample size {one.effective:.0f}, overlap "
        f"{100 * one.overlap:.1f} %"
    )
    low, high = one.bounds
    console.print(
        f"{one.flips} of them are answered differently, an effective {one.effective_flips:.0f} of these served either "
        f"way; {100 * one.without_evidence:.1f} % without evidence, so the difference is in "
        f"\\[{100 * low:+.2f}, {100 * high:+.2f}] points"
    )
    console.print(_VERDICTS[one.verdict])


def _cells(share: AcceptedShare, *, signed: bool) -> list[str]:
    sign = "+" if signed else ""

    def cell(one: Estimate) -> str:
        return f"{100 * one.mean:{sign}.2f} \\[{100 * one.low:{sign}.2f}, {100 * one.high:{sign}.2f}]"

    return [*map(cell, (share.ips, share.snips, share.dr)), f"{100 * share.model:{sign}.2f}"]
