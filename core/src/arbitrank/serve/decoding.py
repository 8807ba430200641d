"""Decoding of JSON bodies: bounds on a request's lengths and depths, and what other bodies may hold besides."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import parse_qsl

import msgspec

from arbitrank.errors import InputError
from arbitrank.serve.settings import MAX_DEPTH, MAX_ID, MAX_UTTERANCE
from arbitrank.values import Request, Slot
from arbitrank.wire.json_text import BOM, parsed, short
from arbitrank.wire.notices import Notice, unnoticed
from arbitrank.wire.requests import decode_request, identity

if TYPE_CHECKING:
    from arbitrank.importers.payloads import PayloadFormat

T = TypeVar("T")

_decode_batch = msgspec.json.Decoder(list[msgspec.Raw]).decode

_EXACT = 1 << 53
_GIVEN_AS = {"id": (int, float), "session": (int, float, dict)}
_SLOT = frozenset(Slot.__struct_fields__)
_LENGTHS = (("utterance", MAX_UTTERANCE), ("id", MAX_ID), ("session", MAX_ID))


def read_request(raw: bytes, notice: Notice = unnoticed, payloads: PayloadFormat | None = None) -> Request:
    """The request in a body, or that a payload of another system makes.

    Raises `InputError` where it is malformed, or exceeds the service's bounds.
    """
    request = decode_request(raw, notice) if payloads is None else payloads.read(raw, notice)
    for i, wording in enumerate(request.utterances):
        if len(wording.text) > MAX_UTTERANCE:
            raise InputError(f"utterances[{i}]: {len(wording.text)} characters, expected at most {MAX_UTTERANCE}")
    for name, most in _LENGTHS:
        value = getattr(request, name)
        if isinstance(value, str) and len(value) > most:
            raise InputError(f"{name}: {len(value)} characters, expected at most {most}")
    for name in ("context", "session", "account", "dialogue"):
        value = getattr(request, name)
        if isinstance(value, dict) and _too_deep(value, MAX_DEPTH):
            raise InputError(f"{name}: nested too deeply, expected at most {MAX_DEPTH} levels")
    return request


def payload_formats(stated: Iterable[tuple[str, Path]]) -> tuple[PayloadFormat, ...]:
    """The formats of other systems with the operator's names, of each format's name and its file."""
    if not (pairs := list(stated)):
        return ()
    from arbitrank.importers.payloads import PayloadFormat

    return tuple(PayloadFormat.stated(name, mapping=path) for name, path in pairs)


def payload_format(query: bytes, stated: Sequence[PayloadFormat]) -> PayloadFormat | None:
    """The format of payloads of another system, from a query `format=NAME&domain=NAME`; None without a format.

    `stated` are formats with the operator's options. Raises `InputError` for an unknown format or a bad name.
    """
    given = dict(parse_qsl(query.decode("latin-1")))
    if "format" not in given:
        return None
    from arbitrank.importers.payloads import PayloadFormat

    found = PayloadFormat.stated(given["format"], given.get("domain"))
    own = next((one for one in stated if one.name == found.name), found)
    return own.named(found.options.domain)


def is_batch(body: bytes, payloads: PayloadFormat | None) -> bool:
    """True of a body that is a list of requests, or of payloads, which may themselves be lists."""
    if payloads is None or not payloads.listed:
        return body.lstrip()[:1] == b"["
    return re.match(rb"\s*\[\s*\[", body) is not None


def read_batch(raw: bytes) -> list[bytes]:
    """The bodies in a list of requests, each to be read by `read_request`. Raises `InputError`."""
    try:
        return [bytes(item) for item in _decode_batch(raw)]
    except (msgspec.MsgspecError, ValueError, RecursionError):
        items = parsed(raw)  # which reads NaN, and explains what cannot be read
        if not isinstance(items, list):
            raise InputError(f"the body: {short(items)} is invalid, expected a list of requests") from None
        return [json.dumps(item).encode() for item in items]


def decode(decoder: Callable[[bytes], T], raw: bytes) -> T:
    """`decoder(raw)`, with integral floats accepted as integers, as JSON Schema has it, and unknown keys of slots.

    The body's own id and session may be numbers, and its session an object, as those of a request may. Only a body that
    the decoder rejects is converted, so valid ones cost nothing more. Raises what `decoder` raises.
    """
    raw = raw.removeprefix(BOM)
    try:
        return decoder(raw)
    except (InputError, msgspec.ValidationError):
        with suppress(msgspec.MsgspecError, ValueError, RecursionError):  # malformed otherwise, which it reports again
            raw = msgspec.json.encode(_with_texts(_mended(msgspec.json.decode(raw))))
    return decoder(raw)


def _with_texts(body: Any) -> Any:
    """The body, with the texts by which its numeric id and its session are told from others."""
    if not isinstance(body, dict):
        return body
    return {name: identity(value) if type(value) in _GIVEN_AS.get(name, ()) else value for name, value in body.items()}


def _mended(value: Any, inside: str = "") -> Any:
    """The value with integral floats as integers, as far as floats are exact, and without unknown keys of slots."""
    if isinstance(value, float):
        return int(value) if value.is_integer() and abs(value) <= _EXACT else value
    if isinstance(value, dict):
        return {key: _mended(inner, key) for key, inner in value.items() if inside != "slots" or key in _SLOT}
    return [_mended(inner, inside) for inner in value] if isinstance(value, list) else value


def _too_deep(value: dict[str, Any] | list[Any], levels: int) -> bool:
    """True where objects and lists are nested in more than `levels` levels."""
    inner = value.values() if isinstance(value, dict) else value
    return levels == 0 or any(_too_deep(each, levels - 1) for each in inner if isinstance(each, dict | list))
