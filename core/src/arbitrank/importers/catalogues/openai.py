"""Tool definitions of OpenAI: of chat completions (nested below `function`) and of responses (flat), and `functions`.

A list of tools, a request that has them, or one tool a line. Tools that OpenAI runs itself have no description and are
left out. `mcp__SERVER__TOOL` is a tool of that server.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from arbitrank.importers.catalogues.items import CatalogueItem, CatalogueOptions, documents_and_owner, skill_items
from arbitrank.importers.catalogues.schemas import schema_parameters
from arbitrank.importers.corpora.items import LeftOut
from arbitrank.wire.json_lines import BadLine
from arbitrank.wire.json_text import short

_SERVER = re.compile(r"mcp__(.+?)__(.+)", re.S)
_KNOWN = {"type", "name", "description", "parameters", "strict", "input_schema", "format", "defer_loading"}
_EXPECTED = "expected a list of tools, a request with tools or functions, or one tool"


def read(path: Path, options: CatalogueOptions) -> Iterator[CatalogueItem]:
    """The functions that the files define."""
    for found in documents_and_owner(path, options, "openai"):
        if isinstance(found, LeftOut | BadLine):
            yield found
        else:
            document, owner = found
            yield from _tools(document.where, document.value, owner, options)


def _tools(where: str, value: Any, owner: str, options: CatalogueOptions) -> Iterator[CatalogueItem]:
    if isinstance(value, list):
        for i, one in enumerate(value):
            yield from _tool(f"{where}[{i}]", one, owner, options)
        return
    if not isinstance(value, dict):
        yield BadLine(where, f"{short(value)} is invalid, {_EXPECTED}")
        return
    lists = [key for key in ("tools", "functions") if value.get(key) is not None]
    for key in lists:
        if isinstance(value[key], list):
            yield from _tools(f"{where}: {key}", value[key], owner, options)
        else:
            yield BadLine(where, f"{key}: {short(value[key])} is invalid, expected a list")
    if not lists and ({"function", "name", "type"} & value.keys()):
        yield from _tool(where, value, owner, options)
    elif not lists:
        yield BadLine(where, f"an object with {', '.join(list(map(str, value))[:8]) or 'nothing'}, {_EXPECTED}")


def _tool(where: str, tool: Any, owner: str, options: CatalogueOptions) -> Iterator[CatalogueItem]:
    if not isinstance(tool, dict):
        yield BadLine(where, f"{short(tool)} is invalid, expected a tool")
        return
    kind = tool.get("type", "function")
    if kind == "namespace" and isinstance(tool.get("tools"), list):
        name = tool.get("name") if isinstance(tool.get("name"), str) else None
        yield from _tools(f"{where}.tools", tool["tools"], options.owner or name or owner, options)
        return
    if kind not in ("function", "custom"):
        yield LeftOut("tool that OpenAI runs itself", f"{where}: {short(kind)}")
        return
    inner = tool.get(kind, tool) if isinstance(kind, str) else tool
    if not isinstance(inner, dict):
        yield BadLine(where, f"{kind}: {short(inner)} is invalid, expected an object with name and parameters")
        return
    schema = inner.get("parameters", inner.get("input_schema"))
    if schema is not None and not isinstance(schema, dict | bool):
        yield BadLine(where, f"parameters: {short(schema)} is invalid, expected a JSON schema")
        return
    yield from (LeftOut("key of a tool", f"{where}: {key}") for key in sorted(map(str, inner.keys() - _KNOWN)))
    line: Mapping[str, Any] = {
        "name": inner.get("name"),
        "owner": _owner(inner.get("name"), owner, options),
        "description": inner.get("description"),
        "parameters": {"properties": schema_parameters(schema)},
    }
    yield from skill_items(where, line)


def _owner(name: Any, owner: str, options: CatalogueOptions) -> str:
    found = _SERVER.fullmatch(name) if isinstance(name, str) and options.owner is None else None
    return found[1][:200] if found else owner
