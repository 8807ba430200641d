"""Parts of a request that are sent, by an entry, and calls of vendors that are made of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote

import msgspec

from arbitrank.remote_entry import PLACEHOLDER, RemoteEntry
from arbitrank.values import Request

__all__ = ["SentParts", "encode", "filled", "target"]

encode = msgspec.json.Encoder(enc_hook=dict).encode
"""Encoder of calls; a context may be a read-only mapping."""

_TEXT = "{utterance}"
_BODIES: Mapping[str, dict[str, Any]] = {"rasa": {"text": _TEXT}}
"""Bodies of calls by format, where the entry states none."""


class SentParts:
    """The parts of a request that an entry has sent, as an object of JSON without those that it lacks."""

    def __init__(self, entry: RemoteEntry) -> None:
        self._keys = entry.context_keys
        self._utterance = entry.allows("utterance")
        self._others = tuple(name for name in ("session", "account", "dialogue", "id") if entry.allows(name))

    def __call__(self, request: Request) -> dict[str, Any]:
        """The parts of one request."""
        found: dict[str, Any] = {}
        if self._utterance and request.utterance is not None:
            found["utterance"] = request.utterance
        if self._utterance and request.utterances:
            found["utterances"] = request.utterances
        context = request.context
        if self._keys is not None:
            context = {key: context[key] for key in self._keys if key in context}
        if context:
            found["context"] = context
        for name in self._others:
            if (value := getattr(request, name)) is not None:
                found[name] = value
        return found


def target(entry: RemoteEntry, path: str, parts: Mapping[str, Any]) -> tuple[str, str]:
    """The method of a call of a vendor, and its target: a GET where the query has a part of the request."""
    query = entry.parts.query
    if not PLACEHOLDER.search(query):
        return "POST", f"{path}?{query}" if query else path
    filled_query = _replaced(query, parts, lambda text: quote(text, safe=""))
    return "GET", f"{path}?{filled_query}"


def filled(entry: RemoteEntry, parts: Mapping[str, Any]) -> Any:
    """The body of a call of a vendor, with parts of a request in the places of the texts that stand for them."""
    body = entry.body if entry.body is not None else _BODIES.get(entry.format or "")
    return dict(parts) if body is None else _filled(body, parts)


def _filled(value: Any, parts: Mapping[str, Any]) -> Any:
    if isinstance(value, dict):
        return {key: _filled(inner, parts) for key, inner in value.items()}
    if isinstance(value, list):
        return [_filled(inner, parts) for inner in value]
    if not isinstance(value, str):
        return value
    whole = PLACEHOLDER.fullmatch(value)
    return _part(whole[1], parts) if whole else _replaced(value, parts, lambda text: text)


def _replaced(text: str, parts: Mapping[str, Any], written: Callable[[str], str]) -> str:
    """A text with the parts of a request in it, each as it is `written`."""

    def part(found: Any) -> str:
        value = _part(found[1], parts)
        return written("" if value is None else value if isinstance(value, str) else encode(value).decode())

    return PLACEHOLDER.sub(part, text)


def _part(word: str, parts: Mapping[str, Any]) -> Any:
    """A part of the request by its word; None where the request lacks it."""
    name, _, key = word.partition(".")
    return parts.get("context", {}).get(key) if name == "context" else parts.get(name)
