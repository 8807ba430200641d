"""JSON as people send it: NaN and byte order marks are read, and what cannot be read is named with its remedy."""

from __future__ import annotations

import json
import re
from typing import Any, TypeVar

import msgspec

from arbitrank.errors import InputError

__all__ = ["BOM", "converted", "explained", "json_object", "parsed", "short", "whole"]

T = TypeVar("T")

BOM = b"\xef\xbb\xbf"
"""The byte order mark of UTF-8, which some editors put before a text."""

_ONE = "expected one complete JSON object per line"
_READ = 10_000  # characters of a malformed text that are looked at
_LONGEST = 400  # digits of an integer that a float can hold


def parsed(raw: bytes | str) -> Any:
    """The value of a JSON text; NaN and Infinity are read as floats, as is an integer that is too large for one.

    Raises `InputError` that names what the text seems to be instead, and how to make JSON of it.
    """
    text = _text(raw).rstrip()
    try:
        value = json.loads(text, parse_int=_integer)
        for one in value if isinstance(value, list) else [value]:
            _check_characters(one)
    except RecursionError:
        raise InputError("nested too deeply to be read") from None
    except json.JSONDecodeError as problem:
        seems = _seems(text.lstrip())
        where = f"not JSON: {problem.msg}: column {problem.colno}"
        raise InputError(f"{where}; {seems}; {_ONE}" if seems else f"{where}; {_ONE}") from None
    except ValueError as problem:
        raise InputError(f"not JSON: {problem}; {_ONE}") from None
    return value


def json_object(raw: bytes | str) -> dict[str, Any]:
    """The JSON object in a text, as `parsed` reads it. Raises `InputError`."""
    line = parsed(raw)
    if isinstance(line, dict):
        return line
    remedy = "; of a list make one object per line: jq -c '.[]'" if isinstance(line, list) else ""
    raise InputError(f"the line: {short(line)} is invalid, expected an object{remedy}")


def converted(line: Any, kind: type[T]) -> T:
    """The JSON value as a type. Raises `InputError` that names the field, the value seen and the value expected."""
    try:
        return msgspec.convert(line, kind)
    except msgspec.ValidationError as error:
        raise InputError(explained(str(error), line)) from None


def explained(message: str, value: Any) -> str:
    """A validation error of msgspec as `FIELD: VALUE is invalid, expected …`; `value` is what was validated."""
    expected, _, path = message.partition(" - at `$")
    expected = expected.replace("Expected ", "expected ").replace("`", "")
    path = path.rstrip("`")
    if "missing required field" in expected:
        field = expected.replace("Object missing required field ", "lacks the field ")
        return f"{path.lstrip('.') or 'the object'}: {field}"
    bounded = re.fullmatch(r"expected float (>=|<=).*|Number out of range", expected) is not None
    if bounded or re.fullmatch(r"expected float( \| null)?, got \w+", expected):
        expected = "expected a number in [0, 1]"
    expected = re.sub(r"expected object( \| null)?, got \w+", "expected an object", expected)
    expected = re.sub(r"expected object \| array( \| null)?, got \w+", "expected an object or a list of them", expected)
    for name, index in re.findall(r"\.([^.\[]+)|\[(\d+|\.\.\.)\]", path):
        if isinstance(value, dict) and name in value:
            value = value[name]
        elif isinstance(value, list) and index.isdigit() and int(index) < len(value):
            value = value[int(index)]
        else:
            break
    return f"{path.lstrip('.') or 'the line'}: {short(value)} is {'out of range' if bounded else 'invalid'}, {expected}"


def short(value: Any) -> str:
    """A value for a message, as JSON, shortened where it is long."""
    if isinstance(value, str):
        value = value[:80]
    elif isinstance(value, dict | list) and len(value) > 20:
        return f"{'an object' if isinstance(value, dict) else 'a list'} of {len(value)} entries"
    try:
        text = json.dumps(value, ensure_ascii=False)
    except (RecursionError, TypeError, ValueError):
        return "a value"
    text = text.encode(errors="backslashreplace").decode()  # of halves of surrogate pairs
    return text if len(text) <= 60 else f"{text[:59]}…"


def whole(value: Any) -> bool:
    """True where no text of a JSON value holds half of a surrogate pair, which cannot be written again."""
    try:
        msgspec.json.encode(value)
    except UnicodeEncodeError:
        return False
    return True


def _text(raw: bytes | str) -> str:
    if isinstance(raw, str):
        return raw.removeprefix("\ufeff")
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\0" in raw[:4]:
        raise InputError("not JSON: it seems to be UTF-16; expected UTF-8: iconv -f UTF-16 -t UTF-8")
    try:
        return raw.removeprefix(BOM).decode()
    except UnicodeDecodeError as problem:
        seen = f"byte 0x{raw[problem.start]:02x} at column {problem.start + 1} is no UTF-8"
        raise InputError(
            f"not JSON: {seen}; it seems to be Latin-1 or Windows-1252, expected UTF-8: iconv -f WINDOWS-1252 -t UTF-8"
        ) from None


def _check_characters(value: Any) -> None:
    """Raise `ValueError` for half of a surrogate pair, which cannot be written again; of hypotheses each is checked
    by itself."""
    if isinstance(value, dict) and isinstance(value.get("hypotheses"), list):
        value = {key: inner for key, inner in value.items() if key != "hypotheses"}
    msgspec.json.encode(value)


def _integer(digits: str) -> int | float:
    return int(digits) if len(digits) <= _LONGEST else float(digits)


_NEARLY = (  # a pattern of a text that is nearly JSON, and the remedy
    (r"[\[\]{}],?$", "it seems to be JSON over several lines; put one object on each, as jq -c does"),
    (r"(//|/\*|#)", "it seems to be a comment, which JSON has not; remove the line"),
    (r"(.*,\s*[}\]])|.*,$", "it seems to have a trailing comma; remove it"),
    (r".*[}\]\",]\s*(//|/\*|#)", "it seems to hold a comment, which JSON has not; remove it"),
    (r".*[{\[,:]\s*'", "it seems to be quoted with '; JSON has double quotes, as json.dumps writes them"),
    (r".*:\s*(None|True|False)\b", "it seems to be Python's; JSON has null, true and false, as json.dumps writes them"),
)


def _seems(text: str) -> str:
    """The remedy for a text that is nearly JSON; empty where it is like nothing known."""
    text = text[:_READ]
    return next((remedy for pattern, remedy in _NEARLY if re.match(pattern, text)), "")
