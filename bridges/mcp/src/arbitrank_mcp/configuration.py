"""Configuration of the servers whose tools are gathered: TOML, or the JSON with `mcpServers` that MCP clients read.

[servers.files]
command = "mcp-server-files"
args = ["/data"]

[servers.tickets]
url = "https://tickets.example/mcp"
headers = { Authorization = "Bearer ${TICKETS_TOKEN}" }
"""

from __future__ import annotations

import json
import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from arbitrank.errors import InputError

__all__ = ["ServerConfiguration", "read_configuration"]

_SERVERS = 1_000  # at most
_BYTES = 1 << 20  # of a file at most
_EXPECTED = "expected servers by name: [servers.NAME] in TOML, or mcpServers in JSON; see docs/how-to/agent-tools.md"


class ServerConfiguration(msgspec.Struct, frozen=True):
    """The way to reach one server: a command whose standard input and output are MCP, or the URL of streamable HTTP.

    `env` is added to a small environment of the system's variables. `disabled` servers are left out. `deadline`, in
    seconds, is that of the command line unless it is given here. Other keys, which MCP clients have, are ignored.
    """

    command: str | None = None
    args: tuple[str, ...] = ()
    env: dict[str, str] = {}
    cwd: str | None = None
    url: str | None = None
    headers: dict[str, str] = {}
    disabled: bool = False
    deadline: Annotated[float, Meta(gt=0)] | None = None

    def __repr__(self) -> str:  # arguments, variables and headers may be secrets
        return f"ServerConfiguration({'a command' if self.command else 'a URL'})"


_Name = Annotated[str, Meta(min_length=1, max_length=200)]


def read_configuration(path: Path, environment: Mapping[str, str] = os.environ) -> dict[str, ServerConfiguration]:
    """The enabled servers of a file by name; `${NAME}` in env, headers, url and args is the environment's variable.

    Raises `InputError`, which quotes no value of the file.
    """
    try:
        raw = path.read_bytes()
        if len(raw) > _BYTES:
            raise InputError(f"{path}: {len(raw)} bytes, expected at most {_BYTES}")
        text = raw.decode()
        found = tomllib.loads(text) if path.suffix.lower() == ".toml" else json.loads(text)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}; {_EXPECTED}") from None
    except (ValueError, RecursionError) as error:  # of UTF-8, of TOML and of JSON
        raise InputError(f"{path}: neither TOML (*.toml) nor JSON: {type(error).__name__}; {_EXPECTED}") from None
    held = (
        next((found[key] for key in ("servers", "mcpServers") if key in found), None)
        if isinstance(found, dict)
        else None
    )
    if not isinstance(held, dict) or not 0 < len(held) <= _SERVERS:
        raise InputError(f"{path}: 1 to {_SERVERS} servers are missing; {_EXPECTED}")
    servers = {name: _server(f"{path}: {name}", name, one, environment) for name, one in held.items()}
    return {name: one for name, one in servers.items() if not one.disabled}


def _server(where: str, name: str, value: Any, environment: Mapping[str, str]) -> ServerConfiguration:
    try:
        msgspec.convert(name, _Name)
        one = msgspec.convert(value, ServerConfiguration)
    except msgspec.ValidationError as error:
        raise InputError(f"{where}: {error}; expected command and args, or url") from None
    if name.startswith("."):
        raise InputError(f"{where}: names with a leading dot are reserved, expected another")
    if (one.command is None) == (one.url is None):
        raise InputError(f"{where}: {'both' if one.command else 'neither'} command and url, expected one of them")
    if one.url is not None and not re.match(r"https?://[^/\s]", one.url):
        raise InputError(f"{where}: url: expected an http:// or https:// address")

    def filled(text: str) -> str:
        return re.sub(r"\$\{(\w+)\}", lambda match: _variable(where, match[1], environment), text)

    return msgspec.structs.replace(
        one,
        args=tuple(map(filled, one.args)),
        env={key: filled(text) for key, text in one.env.items()},
        url=one.url and filled(one.url),
        headers={key: filled(text) for key, text in one.headers.items()},
    )


def _variable(where: str, name: str, environment: Mapping[str, str]) -> str:
    if name not in environment:
        raise InputError(f"{where}: ${{{name}}}: no such variable in the environment; set it")
    return environment[name]
