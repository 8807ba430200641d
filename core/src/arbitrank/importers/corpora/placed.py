"""JSON and YAML values with their place, for messages: `FILE: intents[3].name: 5 is invalid, expected a text`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from arbitrank.errors import DataError
from arbitrank.extras import required
from arbitrank.importers.corpora.files import SourceFile, lines_of
from arbitrank.wire.json_text import short, whole
from arbitrank.wire.notices import named

__all__ = ["Placed", "read_json", "read_json_lines", "read_yaml", "read_yamls"]

MAX_YAML = 32 << 20
"""Characters of a YAML file at most: its parser takes some twenty times as much memory."""

MAX_NODES = 5_000_000
"""Values of a YAML document at most, those that its aliases repeat counted each time."""


@dataclass(frozen=True)
class Placed:
    """A value of a document, with the file's name and the path of keys that leads to it."""

    value: Any
    file: str
    path: str = ""

    @property
    def where(self) -> str:
        """The place for messages: `FILE: PATH`."""
        return f"{self.file}: {self.path}" if self.path else self.file

    def invalid(self, expected: str) -> DataError:
        """The error that the value is not what was expected."""
        return DataError(f"{self.where}: {short(self.value)} is invalid, expected {expected}")

    def at(self, key: str) -> Placed:
        """The value of a key. Raises `DataError` where the object lacks it."""
        found = self.maybe(key)
        if found is None:
            seen = ", ".join(named(key) for key, _ in self.entries()) or "nothing"
            raise DataError(f"{self.where}: lacks the key {key}, has {seen[:200]}")
        return found

    def maybe(self, key: str) -> Placed | None:
        """The value of a key; None where it is absent or null."""
        if not isinstance(self.value, dict):
            raise self.invalid("an object")
        value = self.value.get(key)
        return None if value is None else Placed(value, self.file, f"{self.path}.{named(key)}".lstrip("."))

    def entries(self) -> Iterator[tuple[str, Placed]]:
        """The keys of an object with their values. Raises `DataError` where it is none."""
        if not isinstance(self.value, dict):
            raise self.invalid("an object")
        for key, value in self.value.items():
            yield key, Placed(value, self.file, f"{self.path}.{named(key)}".lstrip("."))

    def each(self, key: str | None = None) -> Iterator[Placed]:
        """The entries of a list, or of the list under a key, which may be absent. Raises `DataError`."""
        inner = self if key is None else self.maybe(key)
        if inner is None:
            return
        if not isinstance(inner.value, list):
            raise inner.invalid("a list")
        for i, value in enumerate(inner.value):
            yield Placed(value, inner.file, f"{inner.path}[{i}]")

    def text(self, key: str | None = None) -> str:
        """The text, or that under a key. Raises `DataError` where it is none, or has half of a surrogate pair."""
        inner = self if key is None else self.at(key)
        if not isinstance(inner.value, str):
            raise inner.invalid("a text")
        if not whole(inner.value):
            raise inner.invalid("a text without halves of surrogate pairs")
        return inner.value

    def text_or(self, key: str, default: str | None) -> str | None:
        """The text under a key; the default where that is absent, null or empty."""
        inner = self.maybe(key)
        return inner.text() or default if inner is not None else default

    def name(self, key: str | None = None) -> str:
        """The text, or that under a key, as a name: 1 to 200 characters."""
        inner = self if key is None else self.at(key)
        text = inner.text().strip()
        if not 0 < len(text) <= 200:
            raise inner.invalid("a name of 1 to 200 characters")
        return text

    def whole_number(self, key: str | None = None) -> int:
        """The whole number, or that under a key; of YAML, whose values are texts, by its digits."""
        inner = self if key is None else self.at(key)
        value = inner.value
        if isinstance(value, str) and value.removeprefix("-").isdecimal() and len(value) < 20:
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int):
            raise inner.invalid("a whole number")
        return value

    def flag(self, key: str) -> bool:
        """The boolean under a key; False where that is absent."""
        inner = self.maybe(key)
        if inner is None or inner.value in (False, "false", "False"):
            return False
        if inner.value in (True, "true", "True"):
            return True
        raise inner.invalid("true or false")


def read_json(file: SourceFile) -> Placed:
    """The JSON document in a file. Raises `DataError` with the line and column where it is none."""
    return _json(file.text, file.label, ":{line}")


def _json(text: str, label: str, line: str) -> Placed:
    try:
        return Placed(json.loads(text, object_pairs_hook=_distinct, parse_int=_integer), label)
    except RecursionError:
        raise DataError(f"{label}: nested too deeply to be read") from None
    except json.JSONDecodeError as problem:
        place = f"{label}{line.format(line=problem.lineno)}: column {problem.colno}"
        raise DataError(f"{place}: not JSON: {problem.msg}") from None
    except _RepeatedKey as repeated:
        raise DataError(f"{label}: the key {short(repeated.key)} occurs twice in an object") from None


def read_json_lines(file: SourceFile) -> Iterator[Placed]:
    """The JSON objects of a file, one on each line that is not blank. Raises `DataError` as `read_json` does."""
    for where, line in lines_of(file):
        if line.strip():
            yield _json(line, where, "")


def read_yaml(file: SourceFile) -> Placed:
    """The YAML document in a file, as `read_yamls` reads it. Raises `DataError` where there are none or several."""
    found = list(read_yamls(file))
    if len(found) != 1:
        raise DataError(f"{file.label}: {len(found)} YAML documents, expected one")
    return found[0]


def read_yamls(file: SourceFile) -> Iterator[Placed]:
    """The YAML documents in a file, all of their scalars as texts, so that `no` and `3.10` stay what they are.

    Raises `InputError` without PyYAML; `DataError` with the line where the file is no YAML, an object has a key twice,
    or its aliases repeat more than `MAX_NODES` values.
    """
    with required(file.label):
        import yaml
    if len(text := file.text) > MAX_YAML:
        raise DataError(f"{file.label}: more than {MAX_YAML >> 20} Mi characters; expected several smaller files")
    # The C parser, where there is one, is ten times as fast. Both build dicts, lists and texts alone.
    loader = (getattr(yaml, "CBaseLoader", None) or yaml.BaseLoader)(text)
    try:
        while loader.check_node():
            node = loader.get_node()
            if _size(node, file.label, {}, yaml.MappingNode) > MAX_NODES:
                raise DataError(f"{file.label}: its aliases repeat more than {MAX_NODES:,} values")
            yield Placed(loader.construct_document(node), file.label)
    except RecursionError:
        raise DataError(f"{file.label}: nested too deeply to be read") from None
    except yaml.MarkedYAMLError as problem:
        mark = problem.problem_mark or problem.context_mark
        place = f"{file.label}:{mark.line + 1}: column {mark.column + 1}" if mark else file.label
        what = " ".join(str(part) for part in (problem.context, problem.problem) if part)
        raise DataError(f"{place}: not YAML: {what}") from None
    except (yaml.YAMLError, ValueError) as problem:
        raise DataError(f"{file.label}: not YAML: {' '.join(str(problem).split())}") from None
    finally:
        loader.dispose()


class _RepeatedKey(ValueError):
    def __init__(self, key: str) -> None:
        self.key = key


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise _RepeatedKey(key)
        found[key] = value
    return found


def _integer(digits: str) -> int | float:
    return int(digits) if len(digits) < 400 else float(digits)


def _size(node: Any, label: str, sizes: dict[int, int | None], mapping: type) -> int:
    """The number of values under a node of YAML, repetitions by aliases included. Raises `DataError`."""
    known = sizes.get(id(node), 0)
    line = f"{label}:{node.start_mark.line + 1}"
    if known is None:
        raise DataError(f"{line}: an alias within its own anchor; expected a finite document")
    if known:
        return known
    sizes[id(node)] = None
    inner = node.value if isinstance(node.value, list) else []
    if isinstance(node, mapping):
        seen = set()
        for key, _ in inner:
            if isinstance(key.value, list):
                raise DataError(f"{line}: a key is an object or a list, expected a text")
            if key.value in seen:
                raise DataError(f"{label}:{key.start_mark.line + 1}: the key {short(key.value)} occurs twice")
            seen.add(key.value)
        inner = [value for _, value in inner]
    size = 1 + sum(_size(one, label, sizes, mapping) for one in inner)
    sizes[id(node)] = size
    return size
