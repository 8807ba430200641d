"""Output for people: lines that are not broken, and tables broken between words alone, so that all can be copied."""

from __future__ import annotations

import sys

from rich.console import Console
from rich.measure import Measurement
from rich.table import Table

_ENDLESS = 100_000
_READABLE = 30  # columns of text that is wrapped, at least


def terminal(width: int = 110) -> Console:
    """A console for text that is printed as it is, however narrow the terminal; `width` is that of a pipe."""
    return Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else width)


def print_table(console: Console, table: Table) -> None:
    """Print a table, where it must be wider than the terminal: columns that are not wrapped, and words, stay whole."""
    endless = console.options.update(max_width=_ENDLESS)
    for column in table.columns:
        cells = [column.header, *column.cells]
        widest = max(Measurement.get(console, endless, cell).maximum for cell in cells)
        column.min_width = widest if column.no_wrap else min(widest, _READABLE)
    before = console.size
    console.size = before._replace(width=max(before.width, Measurement.get(console, endless, table).minimum))
    console.print(table, soft_wrap=False)
    console.size = before
