"""Results of MCP's `tools/list`: JSON-RPC messages or bare results, several pages and several servers.

A server is known by its `serverInfo` (from the result of `initialize` before it), by the key or `name` of the object
that holds its tools, or by the name of the file. Anthropic's tools (`input_schema`) are read too.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from arbitrank.importers.catalogues.items import (
    JSON_FILES,
    CatalogueItem,
    CatalogueOptions,
    files_and_owner,
    skill_items,
)
from arbitrank.importers.catalogues.schemas import schema_parameters
from arbitrank.importers.corpora.items import LeftOut
from arbitrank.importers.documents import documents_of
from arbitrank.wire.json_lines import BadLine
from arbitrank.wire.json_text import short

_KNOWN = {"name", "title", "description", "inputSchema", "input_schema", "inputschema"}
_IGNORED = {"outputSchema", "icons", "_meta", "cache_control", "type", "annotations"}
_OTHERS = ("prompts", "resources", "resourceTemplates")
_HOLDERS = ("servers", "mcpServers")
_DEEP = 6  # of objects that hold servers
_EXPECTED = "expected a result of tools/list: an object with tools, or a list of tools"


def read(path: Path, options: CatalogueOptions) -> Iterator[CatalogueItem]:
    """The tools of every server in the files, with what is left out of them."""
    for found in files_and_owner(path, options, JSON_FILES, "mcp"):
        if isinstance(found, LeftOut):
            yield found
            continue
        file, owner = found
        reader = _ToolsReader(owner, fixed=options.owner is not None)
        for document in documents_of(file.text.encode(), file.label):
            if isinstance(document, BadLine):
                yield document
            else:
                yield from reader.read(document.where, document.value, None)
        for where in reader.unread.values():
            yield LeftOut("next page of tools, which is not there", where)


def read_tools(server: str, tools: object) -> Iterator[CatalogueItem]:
    """The tools that a server listed, as JSON, with what is left out of them."""
    yield from _ToolsReader(server, fixed=True).read(server, tools, None)


@dataclass
class _ToolsReader:
    """Reader of one file. `server` is that of tools whose own is not stated, `unread` the last pages' cursors."""

    server: str
    fixed: bool
    unread: dict[str, str] = field(default_factory=dict)

    def read(self, where: str, value: Any, server: str | None, depth: int = 0) -> Iterator[CatalogueItem]:
        """The tools of a message, a result, a list of tools or of those, or an object of servers."""
        if depth > _DEEP:
            yield BadLine(where, f"nested too deeply, {_EXPECTED}")
        elif isinstance(value, list):
            for i, one in enumerate(value):
                each = f"{where}[{i}]"
                yield from self._tool(each, one, server) if _is_tool(one) else self.read(each, one, server, depth + 1)
        elif not isinstance(value, dict):
            yield BadLine(where, f"{short(value)} is invalid, {_EXPECTED}")
        elif value.get("error") is not None:
            error = value["error"]
            text = error.get("message") if isinstance(error, dict) else error
            yield BadLine(where, f"the server replied with an error: {short(text)}; {_EXPECTED}")
        elif "result" in value:
            info = value.get("serverInfo")
            server = self._named(info, server) if isinstance(info, dict) else server
            yield from self.read(f"{where}: result", value["result"], server, depth + 1)
        elif "method" in value and "tools" not in value:
            yield LeftOut("message that is no result", f"{where}: {short(value['method'])}")
        elif "tools" in value:
            yield from self._tools(where, value, server, depth)
        elif others := [key for key in _OTHERS if key in value]:
            yield LeftOut("list of something else than tools", f"{where}: {others[0]}")
        elif isinstance(value.get("serverInfo"), dict):  # the result of `initialize`
            self.server = self._named(value["serverInfo"], self.server)
        elif _is_tool(value):
            yield from self._tool(where, value, server)
        else:
            yield from self._servers(where, value, server, depth)

    def _tools(self, where: str, value: Mapping[str, Any], server: str | None, depth: int) -> Iterator[CatalogueItem]:
        """The tools of a result, one page of them."""
        info = value.get("serverInfo")
        server = self._named(info if isinstance(info, dict) else value, server)
        tools = value["tools"]
        if isinstance(tools, dict):  # by server
            yield from self._servers(f"{where}: tools", tools, server, depth)
            return
        if not isinstance(tools, list):
            yield BadLine(where, f"tools: {short(tools)} is invalid, expected a list of tools")
            return
        key = server or self.server
        self.unread.pop(key, None)
        if value.get("nextCursor"):
            self.unread[key] = f"{where}: nextCursor of {key}"
        for i, one in enumerate(tools):
            yield from self._tool(f"{where}: tools[{i}]", one, server)

    def _servers(self, where: str, value: Mapping[str, Any], server: str | None, depth: int) -> Iterator[CatalogueItem]:
        """The tools of servers by name."""
        inner = next((value[key] for key in _HOLDERS if isinstance(value.get(key), dict | list)), value)
        if isinstance(inner, list):
            yield from self.read(where, inner, server, depth + 1)
            return
        held = {key: one for key, one in inner.items() if isinstance(one, dict | list)}
        if any(
            isinstance(one, dict) and {"command", "url"} & one.keys() and "tools" not in one for one in held.values()
        ):
            yield BadLine(where, f"the configuration of servers, which lists no tools; {_EXPECTED}")
        elif not held or len(held) < len(inner):
            seen = ", ".join(list(map(str, value))[:8])
            yield BadLine(where, f"an object with {seen or 'nothing'}, {_EXPECTED}")
        else:
            for name, one in held.items():
                yield from self.read(f"{where}: {name}", one, self._named({"name": name}, server), depth + 1)

    def _named(self, info: Mapping[str, Any], server: str | None) -> Any:
        """The server that an object names, unless the caller stated one for all."""
        name = next((info[key] for key in ("name", "server", "serverName") if isinstance(info.get(key), str)), "")
        return server if self.fixed or not name.strip() else name.strip()[:200]

    def _tool(self, where: str, tool: Any, server: str | None) -> Iterator[CatalogueItem]:
        if not isinstance(tool, dict):
            yield BadLine(where, f"{short(tool)} is invalid, expected a tool with name, description and inputSchema")
            return
        schema = next((tool[key] for key in ("inputSchema", "input_schema", "inputschema") if key in tool), None)
        if schema is not None and not isinstance(schema, dict | bool):
            yield BadLine(where, f"inputSchema: {short(schema)} is invalid, expected an object")
            return
        for key in sorted(tool.keys() - _KNOWN - _IGNORED):
            yield LeftOut("key of a tool", f"{where}: {key}")
        annotations = tool.get("annotations")
        titles = [tool.get("title"), annotations.get("title") if isinstance(annotations, dict) else None]
        line = {
            "name": tool.get("name"),
            "owner": server or self.server,
            "description": tool.get("description"),
            "parameters": {"properties": schema_parameters(schema)},
            "tags": list(dict.fromkeys(one for one in titles if isinstance(one, str) and one != tool.get("name"))),
        }
        yield from skill_items(where, line)


def _is_tool(value: Any) -> bool:
    """True for an object that is a tool of a list, or would be one but for its fields."""
    return isinstance(value, dict) and "name" in value and not {"tools", "result", *_HOLDERS} & value.keys()
