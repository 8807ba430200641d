"""Checks of values in TOML: tables, keys and types, each error with the place of the value."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Any, TypeVar

import msgspec

from arbitrank.errors import InputError
from arbitrank.scales import short

T = TypeVar("T")


def checked_table(value: Any, where: str) -> dict[str, Any]:
    """The value, a table. Raises `InputError`, as all of these do."""
    if not isinstance(value, dict):
        raise InputError(f"{where}: {short(value)} is invalid, expected a table")
    return value


def checked_text(value: Any, where: str) -> str:
    """The value, a text that is not empty."""
    if not isinstance(value, str) or not value:
        raise InputError(f"{where}: {short(value)} is invalid, expected a text")
    return value


def converted(table: Mapping[str, Any], kind: type[T], where: str, *, strict: bool = True) -> T:
    """The table as a value of a type; the error names the key."""
    try:
        return msgspec.convert(table, kind, strict=strict)
    except msgspec.ValidationError as error:
        expected, _, path = str(error).partition(" - at `$")
        name = path.rstrip("`").lstrip(".").partition("[")[0]
        seen = short(table.get(name, table))
        raise InputError(f"{where}.{name}: {seen} is invalid, expected {_kind(expected)}") from None


def _kind(expected: str) -> str:
    """The kind of value in a message of msgspec, in the words of TOML."""
    kinds = {
        "array": "a list of texts",
        "float": "a number in [0, 1]",
        "str": "a text",
        "bool": "true or false",
        "object": "a table of texts",
    }
    wanted = expected.partition(", got")[0]
    return next((words for kind, words in kinds.items() if f"`{kind}" in wanted), wanted)


def check_keys(table: Mapping[str, Any], known: Iterable[str], what: str) -> None:
    """Refuse a key that is not known, with the one that was meant."""
    known = list(known)
    for key in table:
        if key not in known:
            near = get_close_matches(key, known, n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise InputError(f"{what} {short(key)}: unknown, expected {', '.join(known)}{hint}")


def with_place(check: Any, value: T, where: str) -> T:
    """The value, checked by a function whose `InputError` is raised again with the place in front."""
    try:
        check(value)
    except InputError as error:
        raise InputError(f"{where}: {error}") from None
    return value
