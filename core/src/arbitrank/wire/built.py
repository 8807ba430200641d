"""Requests that a program builds: what JSON could not hold, or not of that type, is read as it is from JSON."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from numbers import Real
from typing import Any

import msgspec
from msgspec.structs import replace

from arbitrank.errors import InputError
from arbitrank.values import Hypothesis, Request, Wording
from arbitrank.wire.lenient import read_request
from arbitrank.wire.notices import Notice

__all__ = ["as_from_json"]

_READ = ("id", "utterance", "context", "hypotheses", "utterance_length", "utterances", "refused")
_BITS = 1024  # of the largest float
_TEXT = (str, type(None))

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(tuple[Hypothesis, ...]).decode


def as_from_json(request: Request, notice: Notice) -> Request:
    """The request with valid types; of one that has them, itself. Raises `InputError` where it cannot be read.

    `session`, `account` and `dialogue` are the program's and the domains' own.
    """
    if not isinstance(request, Request):
        raise InputError(f"the request: {type(request).__name__}, expected a text or a Request")
    if _sound(request):
        return request
    line = {name: getattr(request, name) for name in _READ}
    line["id"] = _listed(line["id"])
    if isinstance(line["context"], Mapping):
        line["context"] = dict(line["context"])
        if odd := [key for key in line["context"] if not isinstance(key, str)]:
            raise InputError(f"context: the key {odd[0]!r} is invalid, expected a text")
    for name in ("hypotheses", "utterances"):
        if isinstance(line[name], Iterable) and not isinstance(line[name], str | bytes | Mapping):
            line[name] = [_plain(one) for one in line[name]]
    read = read_request(line, notice)
    return replace(request, **{name: getattr(read, name) for name in _READ})


def _sound(request: Request) -> bool:
    hypotheses, length = request.hypotheses, request.utterance_length
    return (
        type(request.utterance) in _TEXT
        and type(request.id) in _TEXT
        and isinstance(request.context, dict)
        and all(type(key) is str for key in request.context)
        and (length is None or (type(length) is int and length >= 0))
        and all(type(one) is Wording and type(one.text) is str for one in request.utterances)
        and (hypotheses is None or (type(hypotheses) in (tuple, list) and _sound_hypotheses(hypotheses)))
    )


def _sound_hypotheses(hypotheses: Any) -> bool:
    """True where they are as if decoded from JSON; a NaN never is."""
    try:
        return _decode(_encode(hypotheses)) == tuple(hypotheses)
    except (msgspec.MsgspecError, TypeError, ValueError, RecursionError):
        return False


def _plain(one: Any) -> Any:
    """A hypothesis or wording as JSON would hold it; anything else as it is."""
    if not isinstance(one, msgspec.Struct | dict):
        return one
    try:
        return _listed(msgspec.to_builtins(one, str_keys=True, enc_hook=_number))
    except (TypeError, ValueError, RecursionError) as error:
        raise InputError(f"hypotheses: cannot be read: {error}") from None


def _number(value: Any) -> Any:
    return float(value) if isinstance(value, Real) else type(value).__name__


def _listed(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _listed(inner) for key, inner in value.items()}
    if isinstance(value, int) and value.bit_length() > _BITS:
        return math.copysign(math.inf, 1 if value > 0 else -1)
    return [_listed(inner) for inner in value] if isinstance(value, list | tuple) else value
