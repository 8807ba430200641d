"""Files of JSON Lines: their lines undecoded, gzip accepted; a file of another kind is named with the remedy."""

from __future__ import annotations

import gzip
import re
import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, NamedTuple

from arbitrank.errors import DataError
from arbitrank.wire.json_text import BOM

__all__ = ["MAX_LINE", "BadLine", "lines_in", "opened", "other_kind", "place", "read_lines"]

MAX_LINE = 1 << 20
"""Bytes of one JSON object at most."""

_KINDS = (  # of a file that begins so: what it is, and the command that makes JSON Lines of it
    (b"\xff\xfe\0\0", "UTF-32, expected UTF-8; convert it: iconv -f UTF-32 -t UTF-8 {path} > NEW"),
    (b"\0\0\xfe\xff", "UTF-32, expected UTF-8; convert it: iconv -f UTF-32 -t UTF-8 {path} > NEW"),
    (b"\xff\xfe", "UTF-16, expected UTF-8; convert it: iconv -f UTF-16 -t UTF-8 {path} > NEW"),
    (b"\xfe\xff", "UTF-16, expected UTF-8; convert it: iconv -f UTF-16 -t UTF-8 {path} > NEW"),
    (b"\0", "UTF-16, expected UTF-8; convert it: iconv -f UTF-16BE -t UTF-8 {path} > NEW"),
    (b"{\0", "UTF-16, expected UTF-8; convert it: iconv -f UTF-16LE -t UTF-8 {path} > NEW"),
    (b"\x1f\x8b", "gzip, expected text; give the file a name that ends in .gz"),
    (b"PAR1", "Parquet, expected JSON Lines; give the file a name that ends in .parquet, which `train` reads"),
    (b"PK\3\4", "a zip archive, expected JSON Lines; unpack it"),
)


class BadLine(NamedTuple):
    """A line that cannot be read: its place, as `FILE:LINE`, and the reason."""

    where: str
    reason: str

    def __str__(self) -> str:
        return f"{self.where}: {self.reason}"


def read_lines(path: str | Path) -> Iterator[tuple[int, bytes | BadLine]]:
    """The lines of a JSON Lines file that are not blank, undecoded, each with its number; a too long one is bad."""
    with opened(path) as file:
        yield from lines_in(file, str(path))


@contextmanager
def opened(path: str | Path) -> Iterator[IO[bytes]]:
    """A file that is open, `-` for standard input, gzip by its name. Raises `DataError` where it cannot be read."""
    path = str(path)
    try:
        with _open(path) as file:
            yield file
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path}: cannot be read: {error}") from error


def lines_in(file: IO[bytes], path: str) -> Iterator[tuple[int, bytes | BadLine]]:
    """The lines of an open file as `read_lines` gives them, without byte order marks; messages call it `path`.

    Of a file of another kind, such as UTF-16 or one JSON array, one bad line says so, and no more of it is read.
    """
    number, first = 0, True
    while line := file.readline(MAX_LINE + 1):
        number += 1
        if line.startswith(BOM):
            line = line[len(BOM) :]
        if first and line.strip():
            first = False
            if kind := other_kind(line, path) or _several_lines(line, path):
                yield number, BadLine(place(path, number), kind)
                return
        if len(line.removesuffix(b"\n")) > MAX_LINE:
            while line and not line.endswith(b"\n"):
                line = file.readline(MAX_LINE)
            yield number, BadLine(place(path, number), f"longer than the {MAX_LINE} bytes allowed")
        elif line.strip():
            yield number, line


def place(path: str | Path, number: int) -> str:
    """The place of a line for messages: `FILE:LINE`."""
    return f"{'standard input' if str(path) == '-' else path}:{number}"


def other_kind(line: bytes, path: str) -> str | None:
    """The kind of a file that is no text of JSON, with the remedy, by its first line; None where it may be some."""
    name = "FILE" if path == "-" else path
    for start, kind in _KINDS:
        if line.startswith(start):
            return f"it seems to be {kind.format(path=name)}"
    return None


def _several_lines(line: bytes, path: str) -> str | None:
    """The remedy for JSON that is no JSON Lines, by its first line; None where it may be some."""
    name, text = "FILE" if path == "-" else path, line.strip()
    if re.match(rb"\[(\s*[\[{]|$)", text):
        return f"a JSON array, expected one object per line; convert it: jq -c '.[]' {name} > NEW"
    if text == b"{":
        return f"an object over several lines, expected one per line; convert it: jq -c . {name} > NEW"
    return None


def _open(path: str) -> IO[bytes]:
    if path == "-":
        return sys.stdin.buffer
    return gzip.open(path, "rb") if path.endswith(".gz") else open(path, "rb")  # type: ignore[return-value]
