"""A request as all domains of a process share it: read-only, and without hypotheses."""

from __future__ import annotations

from types import MappingProxyType
from typing import Any

from msgspec.structs import replace

from arbitrank.values import Request


def prepared(request: Request) -> Request:
    """The request without any hypotheses, in which no domain can change a value that another domain would see."""
    return replace(
        request,
        hypotheses=None,
        context=_frozen(request.context),
        session=_frozen(request.session),
        account=_frozen(request.account),
        dialogue=_frozen(request.dialogue),
    )


def _frozen(value: Any) -> Any:
    """A JSON value that is read-only: objects as mapping proxies, lists as tuples."""
    if isinstance(value, dict):
        return MappingProxyType({key: _frozen(inner) for key, inner in value.items()})
    return tuple(map(_frozen, value)) if isinstance(value, list) else value
