"""Checks of a catalogue's tables, `works.tsv` and `elsewhere.tsv`: encoding, columns and values, with their lines."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from arbitrank.nlu.data_faults import DataFault, near, raise_for, read_text

_OPTIONAL = ("also", "share")  # columns whose cells may be missing at the end of a line


class Table(NamedTuple):
    """A tab-separated table: its columns, and its rows with their lines."""

    path: Path
    columns: tuple[str, ...]
    rows: tuple[tuple[int, Sequence[str]], ...]

    def works(self) -> list[dict[str, str]]:
        """One mapping of column to value a row; a cell that is missing is empty."""
        n = len(self.columns)
        return [
            dict(zip(self.columns, row if len(row) >= n else (*row, *[""] * (n - len(row))), strict=False))
            for _, row in self.rows
        ]


def read_table(path: Path) -> Table:
    """The table in a file. Raises `DataFilesError` where it is no UTF-8, has no column `title`, or a share is none."""
    faults: list[DataFault] = []
    text = read_text(path, faults)
    if text is not None:
        table = _table(path, text)
        if fault := _header_fault(table):
            faults.append(fault)
        place = table.columns.index("share") if "share" in table.columns else len(table.columns)
        for line, row in table.rows:
            if place < len(row) and row[place] and not _is_share(row[place]):
                faults += _share_faults(table, line, row[place])
        if not any(fault.fatal for fault in faults):
            return table
    raise_for([fault for fault in faults if fault.fatal])
    raise AssertionError  # a text is missing only with a fault


def columns_of(path: Path) -> tuple[str, ...]:
    """The columns of a table; none where it cannot be read."""
    text = read_text(path, [])
    return () if text is None else _table(path, text).columns


def _table(path: Path, text: str) -> Table:
    reader = csv.reader(text.splitlines(), delimiter="\t", quoting=csv.QUOTE_NONE)
    rows = [(reader.line_num, row) for row in reader if row]
    columns = tuple(rows[0][1]) if rows else ()
    return Table(path, columns, tuple(rows[1:]))


def _header_fault(table: Table) -> DataFault | None:
    if "title" in table.columns:
        return None
    seen = f"has the columns {', '.join(map(repr, table.columns[:8]))}" if table.columns else "is empty"
    fix = near("title", table.columns) if len(table.columns) > 1 else "separate the columns by tabs"
    return DataFault(str(table.path), 1, "title", seen, "a column 'title'", fix or "call the works' column 'title'")


def table_faults(path: Path, domain: str) -> Iterator[DataFault]:
    """All faults of a table of `domain`, its encoding's included."""
    faults: list[DataFault] = []
    text = read_text(path, faults)
    yield from faults
    if text is None:
        return
    table = _table(path, text)
    if fault := _header_fault(table):
        yield fault
        return
    yield from _row_faults(table, domain)


def _row_faults(table: Table, domain: str) -> Iterator[DataFault]:
    def at(line: int, key: str | None, seen: str, expected: str, fix: str, fatal: bool = True) -> DataFault:
        return DataFault(str(table.path), line, key, seen, expected, fix, fatal)

    if doubled := sorted({name for name in table.columns if table.columns.count(name) > 1}):
        yield at(1, doubled[0], f"names the column {doubled[0]!r} twice", "each column once", "rename one")
    if not table.rows:
        yield at(1, None, "has no work", "a work on each line below the header", "add some, or remove the file")
    first: dict[tuple[str, ...], int] = {}
    n = len(table.columns)
    for line, row in table.rows:
        missing = table.columns[len(row) :]
        if len(row) > n:
            yield at(line, None, f"has {len(row)} cells", f"{n}, one for each column", "remove a tab, or add a column")
        elif missing:
            fatal = any(name not in _OPTIONAL for name in missing)
            seen = f"has {len(row)} cells, none for {', '.join(missing)}"
            yield at(line, missing[0], seen, f"{n}, one for each column", "add the missing tabs and values", fatal)
        work = dict(zip(table.columns, row, strict=False))
        yield from _work_faults(table, line, work, domain)
        key = tuple(cell.strip().casefold() for cell in row)
        if (before := first.setdefault(key, line)) != line:
            seen = f"repeats line {before}: {row[0]!r}"
            yield at(line, "title", seen, "each work once", "remove it; `share` says how often a title is meant", False)


def _work_faults(table: Table, line: int, work: Mapping[str, str], domain: str) -> Iterator[DataFault]:
    path = str(table.path)
    title = work.get("title", "")
    if not title.strip():
        yield DataFault(path, line, "title", "is empty", "a title", "give the work its title, or remove the line")
    elif not title.isprintable():
        seen, expected = f"is {title!r}, with a control character", "a title as people say it"
        yield DataFault(path, line, "title", seen, expected, "remove it", fatal=False)
    elif title != title.strip():
        yield DataFault(path, line, "title", f"is {title!r}", "no blanks around it", "remove them", fatal=False)
    elif title[0] == title[-1] == '"':
        seen, expected = f"is {title!r}, in quotes", "a title as people say it: quotes are part of it"
        yield DataFault(path, line, "title", seen, expected, f"write {title.strip(chr(34))}", fatal=False)
    also = (work.get("also") or "").split(",")
    if domain in also:
        seen, expected = f"names {domain!r}, the domain itself", "other domains alone"
        yield DataFault(path, line, "also", seen, expected, "remove it")
    elif any(name != name.strip() for name in also):
        yield DataFault(path, line, "also", f"is {work['also']!r}", "names without blanks", "write them as a,b")
    if share := work.get("share"):
        yield from _share_faults(table, line, share)


def _is_share(text: str) -> bool:
    try:
        return 0.0 <= float(text) <= 1.0
    except ValueError:
        return False


def _share_faults(table: Table, line: int, share: str) -> Iterator[DataFault]:
    if not _is_share(share):
        path = str(table.path)
        yield DataFault(path, line, "share", f"is {share!r}", "a number in [0, 1]", "correct it, or leave it empty")
