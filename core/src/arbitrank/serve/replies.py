"""Replies of handlers."""

from __future__ import annotations

from typing import Any

import msgspec
from starlette.responses import Response

_encode = msgspec.json.Encoder().encode


def json_reply(value: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """A reply with a value as JSON."""
    return Response(_encode(value), status, headers, "application/json")
