"""How long and how deep what a request says may be; what is sent to `rank` by a file isn't bounded so."""

from __future__ import annotations

from typing import Any

from arbitrank.errors import InputError
from arbitrank.serve.settings import MAX_DEPTH, MAX_ID, MAX_UTTERANCE
from arbitrank.values import Request


def check(request: Request) -> None:
    """Raise `InputError` where something in a request is longer or deeper than is taken."""
    if request.utterance is not None and len(request.utterance) > MAX_UTTERANCE:
        raise InputError(f"utterance: {len(request.utterance)} characters, at most {MAX_UTTERANCE} are promised")
    if request.id is not None and len(request.id) > MAX_ID:
        raise InputError(f"id: {len(request.id)} characters, at most {MAX_ID} are promised")
    if isinstance(request.session, str) and len(request.session) > MAX_ID:
        raise InputError(f"session: {len(request.session)} characters, at most {MAX_ID} are promised")
    for value in request.context.values():
        if isinstance(value, dict | list):
            _check_depth("context", request.context)
            break
    for name in ("session", "account", "dialogue"):
        if isinstance(value := getattr(request, name), dict):
            _check_depth(name, value)


def _check_depth(name: str, value: Any) -> None:
    level, depth = [value], 0
    while level:
        depth += 1
        if depth > MAX_DEPTH:
            raise InputError(f"{name}: nested more than {MAX_DEPTH} levels deep, at most that is promised")
        level = [
            inner
            for one in level
            for inner in (one.values() if isinstance(one, dict) else one)
            if isinstance(inner, dict | list)
        ]
