"""Catalogues as CSV or TSV: a header line of field names, a skill a row, read row by row.

Cells of phrases, parameters and tags hold JSON, or several texts with `|` between them.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from arbitrank.errors import DataError
from arbitrank.importers.catalogues.items import CatalogueItem, CatalogueOptions, skill_items
from arbitrank.wire.json_lines import MAX_LINE, BadLine, opened, other_kind

_LISTS = ("phrases", "parameters", "tags")


def read(path: Path, options: CatalogueOptions) -> Iterator[CatalogueItem]:
    """The skills of a file, `-` for standard input. Raises `DataError` where it has no column `name`, or is no CSV."""
    name = "standard input" if str(path) == "-" else str(path)
    with opened(path) as raw:
        if kind := other_kind(raw.peek(4)[:4], name):  # type: ignore[attr-defined]
            raise DataError(f"{name}: {kind.replace('JSON Lines', 'CSV')}")
        text = io.TextIOWrapper(raw, "utf-8-sig", newline="")
        try:
            yield from _rows(text, name, options)
        except UnicodeDecodeError as problem:
            raise DataError(
                f"{name}: a byte 0x{problem.object[problem.start]:02x} is no UTF-8; it seems to be Latin-1 or "
                "Windows-1252, expected UTF-8: iconv -f WINDOWS-1252 -t UTF-8"
            ) from None
        finally:
            text.detach()


def _rows(text: io.TextIOWrapper, name: str, options: CatalogueOptions) -> Iterator[CatalogueItem]:
    first = text.readline(MAX_LINE)
    reader = csv.reader(chain([first], text), delimiter=max("\t,;", key=first.count), strict=True)
    csv.field_size_limit(MAX_LINE)
    try:
        header = [cell.strip().lower() for cell in next(reader, [])]
        if "name" not in header:
            shown = ", ".join(map(repr, header[:10])) or "nothing"
            raise DataError(f"{name}: no column name in the header, has {shown}; expected name, owner, description, …")
        if len(set(header)) < len(header):
            raise DataError(f"{name}: a column occurs twice in the header: {', '.join(header[:20])}")
        for row in reader:
            where = f"{name}:{reader.line_num}"
            if not any(cell.strip() for cell in row):
                continue
            if len(row) != len(header):
                yield BadLine(where, f"{len(row)} columns, expected {len(header)} as in the header; quote cells that "
                                     f"hold the separator")  # fmt: skip
                continue
            yield from skill_items(where, _line(header, row), options.owner)
    except csv.Error as error:
        raise DataError(f"{name}:{reader.line_num}: not CSV: {error}") from None


def _line(header: Sequence[str], row: Sequence[str]) -> dict[str, Any]:
    return {
        field: _listed(cell) if field in _LISTS else cell.strip()
        for field, cell in zip(header, row, strict=True)
        if field and cell.strip()
    }


def _listed(cell: str) -> Any:
    """The value of a cell of several texts: JSON where it is a list or an object."""
    if cell.lstrip().startswith(("[", "{")):
        try:
            return json.loads(cell)
        except (ValueError, RecursionError):
            pass  # a text that begins with a bracket
    return [part.strip() for part in cell.split("|") if part.strip()]
