"""Tables of the systems under shifts of the held-out traffic, on a terminal."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from arbitrank.cli.answer_tables import escape
from arbitrank.cli.terminal import print_table
from arbitrank.evaluate.shift import distinct_systems, remarks
from arbitrank.evaluate.tuning import tuned

_ARROW = "after an arrow: re-estimated, where that changes it"


def show_shift(rows: Sequence[Mapping[str, Any]], console: Console) -> None:
    """Print each system's ECE and its differences of IRER under each shift, and sentences on what stands out.

    The tuned baseline has no column, so that a line holds the others.
    """
    baseline = rows[0]["baseline"]
    shown = [name for name, same in distinct_systems(rows).items() if name == same and name != tuned(baseline)]
    console.print(f"under shift: ECE, ≤ or > the upper end of its band, per cent; {_ARROW}")
    print_table(console, _table(rows, shown, _calibration))
    console.print(f"under shift: IRER of {baseline}, and differences from it in points; {_ARROW}")
    print_table(console, _table(rows, shown, _errors))
    for text in remarks(rows):
        console.print(escape(text))


def _table(rows: Sequence[Mapping[str, Any]], shown: Sequence[str], cell: Callable[[Mapping[str, Any]], str]) -> Table:
    table = Table(box=None, header_style="dim", padding=(0, 2, 0, 0))
    table.add_column("shift", no_wrap=True)
    for header in ("n", *shown):
        table.add_column(header, justify="right", no_wrap=True)
    for row in rows:
        cells = (cell(row["systems"][name]) for name in shown)
        table.add_row(*map(escape, (row["shift"], f"{row['effective_n']:.0f}", *cells)))
    return table


def _calibration(one: Mapping[str, Any]) -> str:
    text, again = f"{100 * one['ece']:.1f} {_sign(one)} {100 * one['ece_band'][1]:.1f}", one["re_estimated"]
    if again is None or again["ece"] == one["ece"]:
        return text
    return f"{text} → {100 * again['ece']:.1f} {_sign(again)}"


def _sign(one: Mapping[str, Any]) -> str:
    return "≤" if one["ece_in_band"] else ">"


def _errors(one: Mapping[str, Any]) -> str:
    gain, again = one["against_baseline"].get("irer"), one["re_estimated"]
    if gain is None:
        return f"{100 * one['irer']:.1f}"
    text = f"{100 * gain.mean:+.1f} [{100 * gain.low:+.1f}, {100 * gain.high:+.1f}]"
    if again is None or again["irer"] == one["irer"]:
        return text
    return f"{text} → {100 * again['against_baseline']['irer'].mean:+.1f}"
