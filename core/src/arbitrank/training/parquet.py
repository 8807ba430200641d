"""Rows of Parquet files as the JSON lines that they stand for."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import IO, Any

import msgspec

from arbitrank.errors import DataError
from arbitrank.extras import required
from arbitrank.wire import BadLine, place

_ROWS = 1024  # decoded at a time


def row_lines(file: IO[bytes], where: str) -> Iterator[tuple[int, bytes | BadLine]]:
    """The rows of a Parquet file as numbered lines, in small batches; a null is an absent value.

    Raises `InputError` without pyarrow, `DataError` where the file cannot be read.
    """
    with required(where):
        import pyarrow
        from pyarrow import parquet
    try:
        batches = parquet.ParquetFile(file, pre_buffer=False).iter_batches(batch_size=_ROWS, use_threads=False)
        rows = (row for batch in batches for row in batch.to_pylist(maps_as_pydicts="lossy"))
        for number, row in enumerate(rows, 1):
            try:
                yield number, msgspec.json.encode(_bare(row))
            except ValueError as error:
                yield number, BadLine(place(where, number), str(error))
    except pyarrow.ArrowException as error:
        raise DataError(f"{where}: not a readable Parquet file: {' '.join(str(error).split())[:300]}") from error


def _bare(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row as the object on a line; context, truth and hypotheses may be JSON in a text."""
    found = {key: _value(value, key) for key, value in row.items() if value is not None}
    for key in ("context", "truth", "hypotheses"):
        if isinstance(found.get(key), str):
            found[key] = msgspec.Raw(found[key].encode())
    if "truth" in found and isinstance(found["truth"], dict):
        found["truth"].setdefault("domain", None)
    elif "text" in found:
        found.setdefault("domain", None)
    return found


def _value(value: Any, path: str) -> Any:
    if isinstance(value, dict):
        return {key: _value(inner, f"{path}.{key}") for key, inner in value.items() if inner is not None}
    if isinstance(value, list):
        return [_value(inner, f"{path}[{i}]") for i, inner in enumerate(value)]
    if isinstance(value, datetime):
        return value.timestamp()
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{path}: {value} is out of range, expected a finite number")
    return value
