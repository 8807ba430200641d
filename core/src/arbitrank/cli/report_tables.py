"""Tables of a domain's quality report on a terminal."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence

from rich.console import Console
from rich.table import Table

from arbitrank.cli.answer_tables import escape
from arbitrank.evaluate.metrics import band_text
from arbitrank.report.claims import ContextShares, WorstRequest
from arbitrank.report.measured import CountedShare
from arbitrank.report.readings import LabelConfusion, LabelScore
from arbitrank.report.report import QualityReport
from arbitrank.report.words import (
    curve_lines,
    merged_lines,
    neighbour_text,
    own_lines,
    pattern_lines,
    share_text,
    subject_line,
    worst_text,
)

_WIDTH = 120  # of what is not a terminal
_ROWS = 15
_CONFUSIONS = 8


def show_report(one: QualityReport) -> None:
    """Print the report: warnings first, then what the domain does well and badly, and the worst requests in words."""
    console = Console(highlight=False, width=None if sys.stdout.isatty() else _WIDTH)

    def lines(title: str, texts: Sequence[str]) -> None:
        if texts:
            console.print(f"\n[bold]{title}[/bold]")
        for text in texts:
            console.print(f"  {escape(text)}", soft_wrap=True)

    console.print(escape(subject_line(one)), soft_wrap=True)
    for text in one.warnings:
        console.print(f"[bold yellow]WARNING[/bold yellow] {escape(text)}", soft_wrap=True)
    for text in one.notes:
        console.print(f"[dim]{escape(text)}[/dim]", soft_wrap=True)
    lines("own requests", list(own_lines(one)))
    _labels(console, "intents", one.intents, one.intent_confusions)
    _labels(console, "slots", one.slots, one.slot_confusions)
    lines("probabilities", list(_probabilities(one)))
    lines("false claims, by owner", [neighbour_text(each) for each in one.false_claims[:_ROWS]])
    lines("beside its neighbours", list(merged_lines(one.merged)))
    if one.per_context:
        console.print("\n[bold]context[/bold]")
        console.print(_context(one.per_context))
    lines("learning curve", list(curve_lines(one.curve)))
    lines("patterns against what people say", list(pattern_lines(one.patterns)))
    lines("the worst", [_worst(each) for each in one.worst])


def _labels(console: Console, kind: str, scores: Sequence[LabelScore], confusions: Sequence[LabelConfusion]) -> None:
    if not scores:
        return
    console.print(f"\n[bold]{kind} of own requests[/bold]")
    table = _table("", "n", "precision", "recall", "F1")
    for each in scores[:_ROWS]:
        f1 = "" if each.f1 is None else f"{100 * each.f1:.1f}"
        table.add_row(escape(each.name), str(each.n), *map(_cell, (each.precision, each.recall)), f1)
    console.print(table)
    if len(scores) > _ROWS:
        console.print(f"[dim]  and {len(scores) - _ROWS} more; --json shows all[/dim]")
    for pair in confusions[:_CONFUSIONS]:
        said = f", as in “{pair.example}”" if pair.example else ""
        console.print(escape(f"  {pair.truth} -> {pair.read}: {pair.n}{said}"), soft_wrap=True)


def _probabilities(one: QualityReport) -> Iterator[str]:
    for name, each in one.calibration.items():
        figures = each.figures
        if figures.n:
            over = f"{100 * abs(figures.over):.1f} points {'over' if figures.over > 0 else 'under'}-confident"
            band = band_text(figures.ece, figures.ece_band)
            yield f"P({name}): {band}, NLL {figures.nll:.3f}, {over}, n = {figures.n}"


def _context(slices: Mapping[str, ContextShares]) -> Table:
    table = _table("", "own", "claimed and right", "claimed", "others", "false claims")
    for name, each in slices.items():
        cells = map(_cell, (each.own_right, each.own_claimed))
        table.add_row(escape(name), str(each.own), *cells, str(each.n - each.own), _cell(each.false_claims))
    return table


def _worst(each: WorstRequest) -> str:
    device = f" ({each.device})" if each.device else ""
    return f"“{each.utterance or each.id or 'without words'}”{device}: {worst_text(each)}"


def _cell(share: CountedShare | None) -> str:
    return "" if share is None else escape(share_text(share))


def _table(*headers: str) -> Table:
    table = Table(box=None, header_style="dim", padding=(0, 2, 0, 0))
    for k, header in enumerate(headers):
        table.add_column(header, justify="left" if k == 0 else "right")
    return table
