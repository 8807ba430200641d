"""Tools of foreign servers, mended before the SDK reads them: a malformed one costs itself alone, texts are bounded."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import anyio
from mcp import types
from mcp.client import Transport

from arbitrank.wire.catalogue_lines import LIMITS

__all__ = ["readable_tools", "tolerant"]

_SCHEMA = 200_000  # characters of an input schema
_LISTED = 20_000_000  # characters of all tools of a page


def tolerant(transport: AbstractAsyncContextManager[Any]) -> Transport:
    """A transport whose lists of tools have only tools that can be read, with bounded texts.

    Results are not checked against the tools' output schemas, which are left out: they are the agent's to judge.
    """
    return _mended(transport)


@asynccontextmanager
async def _mended(transport: AbstractAsyncContextManager[Any]) -> AsyncIterator[Any]:
    async with transport as (read, write):
        send, receive = anyio.create_memory_object_stream[Any](0)

        async def pump() -> None:
            async with send:
                async for one in read:
                    message = getattr(one, "message", None)
                    if isinstance(message, types.JSONRPCResponse) and isinstance(message.result.get("tools"), list):
                        message.result["tools"] = readable_tools(message.result["tools"])
                    await send.send(one)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(pump)
            try:
                yield receive, write
            finally:
                tasks.cancel_scope.cancel()


def readable_tools(tools: list[Any]) -> list[dict[str, Any]]:
    """The tools that can be read, in their order, until the bound of the page."""
    found, size = [], 0
    for one in tools:
        tool = _tool(one)
        if tool is None:
            continue
        size += len(str(tool))
        if size > _LISTED:
            break
        found.append(tool)
    return found


def _tool(one: object) -> dict[str, Any] | None:
    """A tool without what is not needed, with bounded texts and a schema of the protocol; None where it has no name."""
    if not isinstance(one, dict) or not isinstance(one.get("name"), str):
        return None
    texts = {key: str(one[key])[: LIMITS.description] for key in ("title", "description") if one.get(key) is not None}
    return {"name": one["name"], **texts, "inputSchema": _schema(one.get("inputSchema"))}


def _schema(value: object) -> dict[str, Any]:
    """The schema of an object; that of any object where it is none, or too large to show."""
    if not isinstance(value, dict) or len(json.dumps(value)) > _SCHEMA:
        return {"type": "object"}
    properties, required = value.get("properties"), value.get("required")
    schema = {key: one for key, one in value.items() if key not in ("type", "properties", "required")}
    schema["type"] = "object"
    if isinstance(properties, dict):
        schema["properties"] = {key: one if isinstance(one, dict) else {} for key, one in properties.items()}
    if isinstance(required, list):
        schema["required"] = [name for name in required if isinstance(name, str)]
    return schema
