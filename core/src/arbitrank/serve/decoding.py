"""Whole numbers that are written with a fraction: to JSON Schema 5.0 is an integer, to a typed reader it isn't."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import msgspec

from arbitrank.errors import InputError

T = TypeVar("T")

_EXACT = 1 << 53


def read(decode: Callable[[bytes], T], raw: bytes) -> T:
    """What `decode` makes of some JSON, and where it refuses a 5.0, of the same JSON with 5 in its place.

    Only what is refused is looked at again, so that nobody else pays for it. Raises what `decode` raises.
    """
    try:
        return decode(raw)
    except (InputError, msgspec.ValidationError) as error:
        text = str(error)
        if "int" not in text or "float" not in text:
            raise
    try:
        written = msgspec.json.encode(_whole(msgspec.json.decode(raw)))
    except (msgspec.MsgspecError, ValueError, RecursionError):  # it is wrong in other ways too, which is said
        written = raw
    return decode(written)


def _whole(value: Any) -> Any:
    if isinstance(value, float):
        return int(value) if value.is_integer() and abs(value) <= _EXACT else value
    if isinstance(value, dict):
        return {key: _whole(inner) for key, inner in value.items()}
    return [_whole(inner) for inner in value] if isinstance(value, list) else value
