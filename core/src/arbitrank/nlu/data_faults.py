"""Faults of an author's data files: with file, line and key, the value seen, the one expected, and the edit."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from arbitrank.errors import DataError

_HEADER = re.compile(r"\s*\[\[?\s*([^\[\]]+?)\s*\]\]?\s*(?:#.*)?$")
_KEY = re.compile(r"\s*((?:[\w-]+|\"[^\"]*\"|'[^']*')(?:\s*\.\s*(?:[\w-]+|\"[^\"]*\"|'[^']*'))*)\s*=")
_AT_LINE = re.compile(r"\s*\(at line (\d+), column (\d+)\)|\s*\(at end of document\)")
_CURLY = re.compile("[\u2018\u2019\u201a\u201c\u201d\u201e\u00ab\u00bb]")
_SHOWN = 80  # characters of a value
_NAMED = 3  # faults that one line of error names
_MARKS = ((b"\xff\xfe", "UTF-16"), (b"\xfe\xff", "UTF-16"))


@dataclass(frozen=True)
class DataFault:
    """One fault of a data file; `fatal` where nothing should be trained on it, else a remark.

    `key` is the dotted name in a TOML file, or the column of a table. `line` counts from 1, None where the fault is the
    file's or the line is unknown.
    """

    file: str
    line: int | None
    key: str | None
    seen: str
    expected: str
    fix: str
    fatal: bool = True

    def __str__(self) -> str:
        where = self.file if self.line is None else f"{self.file}:{self.line}"
        key = f"{self.key}: " if self.key else ""
        return f"{where}: {key}{self.seen}, expected {self.expected}; {self.fix}"


class DataFilesError(DataError):
    """Raised when data files hold what cannot be trained on; `faults` are all of them, remarks included."""

    def __init__(self, faults: Sequence[DataFault]) -> None:
        self.faults = tuple(faults)
        fatal = [fault for fault in faults if fault.fatal]
        more = f"; and {len(fatal) - _NAMED} more: arbitrank check names all" if len(fatal) > _NAMED else ""
        super().__init__("; ".join(map(str, fatal[:_NAMED])) + more)


class DataFilesWarning(UserWarning):
    """Remark on data files that can be trained on all the same; `fault` is what it is about."""

    def __init__(self, fault: DataFault) -> None:
        self.fault = fault
        super().__init__(str(fault))


@dataclass(frozen=True)
class TomlText:
    """The text of a TOML file with its values, and the lines of its sections and keys."""

    path: Path
    values: dict[str, Any]
    lines: tuple[str, ...]

    def line_of(self, *keys: str) -> int | None:
        """The line of a key or section, else of the nearest one around it."""
        places = self._places()
        for n in range(len(keys), 0, -1):
            around = keys[:n]
            if (line := next((line for key, line in places.items() if key[:n] == around), None)) is not None:
                return line
        return None

    def line_with(self, text: str, *keys: str, nth: int = 0) -> int | None:
        """The line, from a key on, on which a text stands for the `nth` time, else that of the key."""
        begin = self.line_of(*keys) or 1
        spelt = (text, json.dumps(text, ensure_ascii=False)[1:-1])
        found = [i for i, line in enumerate(self.lines[begin - 1 :], begin) if any(one in line for one in spelt)]
        return found[nth] if len(found) > nth else self.line_of(*keys)

    def _places(self) -> dict[tuple[str, ...], int]:
        places: dict[tuple[str, ...], int] = {}
        section: tuple[str, ...] = ()
        for number, line in enumerate(self.lines, 1):
            if header := _HEADER.match(line):
                section = _parts(header[1])
                places.setdefault(section, number)
            elif key := _KEY.match(line):
                places.setdefault((*section, *_parts(key[1])), number)
        return places


def _parts(dotted: str) -> tuple[str, ...]:
    return tuple(part.strip().strip("\"'") for part in dotted.split("."))


def read_text(path: Path, faults: list[DataFault]) -> str | None:
    """The text of a file in UTF-8, without a byte order mark; None, and a fault, where it cannot be read."""
    try:
        raw = path.read_bytes()
    except OSError as error:
        reason = "no such file" if not path.exists() else f"cannot be read: {error.strerror}"
        fix = misnamed(path) or f"create {path.name}, or ship it"
        faults.append(DataFault(str(path), None, None, reason, "a file in UTF-8", fix))
        return None
    remedy = f"save {path.name} as UTF-8"
    if mark := next((name for mark, name in _MARKS if raw.startswith(mark)), None):
        faults.append(DataFault(str(path), 1, None, f"is in {mark}", "UTF-8", remedy))
        return None
    if raw.startswith(b"\xef\xbb\xbf"):
        fault = DataFault(
            str(path), 1, None, "begins with a byte order mark", "plain UTF-8", f"{remedy} without it", fatal=False
        )
        faults.append(fault)
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        seen = f"byte {raw[error.start]:#04x} is no UTF-8, as in a file in Latin-1"
        faults.append(DataFault(str(path), line, None, seen, "UTF-8", remedy))
        return None


def misnamed(path: Path) -> str:
    """The edit where another file of the folder seems to be meant by a missing one; empty where none is."""
    names = [] if path.exists() or not path.parent.is_dir() else sorted(one.name for one in path.parent.iterdir())
    found = next((one for one in names if one.casefold().split(".")[0] == path.stem), None)
    found = found or next(iter(get_close_matches(path.name, names, n=1, cutoff=0.85)), None)
    if found is None:
        return ""
    tabs = ", its columns separated by tabs" if path.suffix == ".tsv" else ""
    return f"rename {found} to {path.name}{tabs}"


def read_toml(path: Path, faults: list[DataFault]) -> TomlText | None:
    """A TOML file; None, and a fault with its line, where it cannot be read."""
    if (text := read_text(path, faults)) is None:
        return None
    import tomllib  # here, as answers need no TOML

    try:
        return TomlText(path, tomllib.loads(text), tuple(text.splitlines()))
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        reason, line = _placed(str(error))
        seen = f"is no TOML: {reason}"
        faults.append(DataFault(str(path), line, None, seen, "valid TOML", _toml_fix(text, line)))
        return None


def _toml_fix(text: str, line: int | None) -> str:
    """The edit of a line that the TOML reader refuses."""
    lines = text.splitlines()
    if line is not None and line <= len(lines) and _CURLY.search(lines[line - 1]):
        return 'write straight quotes, ", in the place of curly ones'
    return "correct this line or the one before"


def _placed(reason: str) -> tuple[str, int | None]:
    """A reason of the TOML reader without its line, and that line."""
    place = _AT_LINE.search(reason)
    column = f" at column {place[2]}" if place and place[2] else ""
    return f"{_AT_LINE.sub('', reason)}{column}", int(place[1]) if place and place[1] else None


def raise_for(faults: Sequence[DataFault]) -> None:
    """Raise `DataFilesError` where a fault is fatal; warn of each remark otherwise."""
    import warnings

    if any(fault.fatal for fault in faults):
        raise DataFilesError(faults)
    for fault in faults:
        warnings.warn(DataFilesWarning(fault), stacklevel=3)


def shown(value: object) -> str:
    """A value as a message names it: its text, cut, with its kind where that is the fault."""
    kinds = {str: "a text", bool: "true or false", int: "a number", float: "a number", list: "a list", dict: "a table"}
    text = json.dumps(value, ensure_ascii=False, default=str)
    text = text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"
    return f"is {text} ({kinds.get(type(value), type(value).__name__)})"


def near(name: str, known: Iterable[str]) -> str:
    """The suggestion for a misspelt name; empty where none is near."""
    names = list(known)
    found = get_close_matches(name, names, n=1, cutoff=0.6) or [one for one in names if one.lower() == name.lower()]
    return f"did you mean {found[0]!r}?" if found else ""
