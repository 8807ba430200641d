"""Supervised connection to one server: its tools, its calls, and its return after it died or hung."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import anyio
import httpx2
from mcp import Client, MCPError, StdioServerParameters, types
from mcp.client.stdio import stdio_client
from mcp.client.streamable_http import streamable_http_client

from arbitrank_mcp.configuration import ServerConfiguration
from arbitrank_mcp.tolerance import tolerant

__all__ = ["Connection", "Misbehaved", "Unavailable"]

_TOOLS, _PAGES = 10_000, 1_000  # of one server at most
_FIRST, _LAST = 1.0, 60.0  # seconds between two attempts to connect
_PAUSE = 1.0  # seconds between two lists, however often a server says that its tools have changed
_EVERY = 30.0  # seconds after which a server is asked for its tools, unless there is a reason before
_LOG = logging.getLogger(__name__)


class Unavailable(Exception):
    """A server that does not answer; its text names the reason. `called`: it failed in the call itself."""

    def __init__(self, reason: str, *, called: bool = False) -> None:
        super().__init__(reason)
        self.called = called


class Misbehaved(Exception):
    """A result that is none by the protocol, or by the tool's own schema; its text names the kind of fault."""


class Connection:
    """The connection to one server. `deadline`: seconds for connecting, for listing tools and for a call.

    `changed` is called when the tools are others than before, or the server became available or unavailable.
    """

    def __init__(
        self, name: str, configuration: ServerConfiguration, deadline: float, changed: Callable[[], None]
    ) -> None:
        self.name, self.deadline = name, configuration.deadline or deadline
        self.tools: tuple[dict[str, Any], ...] = ()
        self.problem: str | None = "not connected yet"
        self.tried = anyio.Event()
        self._configuration, self._changed = configuration, changed
        self._client: Client | None = None
        self._look, self._wanted, self._attempt = anyio.Event(), anyio.Event(), anyio.Event()

    @property
    def available(self) -> bool:
        """True while the server answers."""
        return self._client is not None

    async def run(self) -> None:
        """Connect, and connect again whenever the connection ends; never returns."""
        pause = _FIRST
        while True:
            connected = False
            with anyio.CancelScope(deadline=anyio.current_time() + self.deadline) as scope:
                try:
                    async with self._connected() as client:
                        tools = await _listed(client)
                        scope.deadline, connected, pause = float("inf"), True, _FIRST
                        self._tell(client, tools, None)
                        await self._watched(client)
                        self._tell(None, self.tools, "it stopped answering")
                # A supervising loop: whatever a foreign server causes in its connection ends that connection alone.
                except Exception as error:
                    self._tell(None, self.tools, _reason(error))
            if scope.cancelled_caught:
                self._tell(None, self.tools, f"no answer within {self.deadline:g} s")
            with anyio.move_on_after(pause):
                await self._wanted.wait()
            pause = pause if connected else min(2 * pause, _LAST)
            self._wanted = anyio.Event()

    async def call(self, tool: str, arguments: dict[str, Any]) -> types.CallToolResult:
        """The result of a tool. Raises `Unavailable`, and `MCPError` where the server refuses the call."""
        client = await self._ready()
        try:
            with anyio.fail_after(self.deadline):
                return await client.call_tool(tool, arguments)
        except TimeoutError:
            self._look.set()  # the tool may be slow, or the server dead
            raise Unavailable(f"no result within {self.deadline:g} s", called=True) from None
        except MCPError as error:
            if error.code != types.CONNECTION_CLOSED:
                raise
            self._look.set()
            raise Unavailable("the connection ended during the call", called=True) from None
        except (ValueError, RuntimeError) as error:  # of pydantic, and of the SDK's check of a tool's output schema
            raise Misbehaved(type(error).__name__) from None
        except (anyio.ClosedResourceError, anyio.BrokenResourceError, httpx2.HTTPError):
            self._look.set()
            raise Unavailable("the connection ended during the call", called=True) from None

    async def _ready(self) -> Client:
        if self._client is None:
            attempt = self._attempt
            self._wanted.set()
            with anyio.move_on_after(self.deadline):
                await attempt.wait()
        if self._client is None:
            raise Unavailable(self.problem or "not connected")
        return self._client

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[Client]:
        one = self._configuration
        if one.command is not None:
            server = StdioServerParameters(
                command=one.command, args=list(one.args), env=one.env, cwd=one.cwd, encoding_error_handler="replace"
            )
            transport = tolerant(stdio_client(server))
            async with Client(transport, message_handler=self._hear, cache=None) as client:
                yield client
            return
        async with httpx2.AsyncClient(headers=one.headers, timeout=httpx2.Timeout(self.deadline, read=None)) as http:
            transport = tolerant(streamable_http_client(one.url or "", http_client=http))
            async with Client(transport, message_handler=self._hear, cache=None) as client:
                yield client

    async def _hear(self, message: object) -> None:
        if isinstance(message, types.ToolListChangedNotification):
            self._look.set()

    async def _watched(self, client: Client) -> None:
        """Return when the server no longer lists its tools; it is asked after every failure and change."""
        while True:
            next_ = anyio.current_time() + _PAUSE
            self._look = anyio.Event()
            with anyio.move_on_after(_EVERY):
                await self._look.wait()
            await anyio.sleep_until(next_)
            with anyio.move_on_after(self.deadline) as scope:
                tools = await _listed(client)
                self._tell(client, tools, None)
            if scope.cancelled_caught:
                return

    def _tell(self, client: Client | None, tools: tuple[dict[str, Any], ...], problem: str | None) -> None:
        before = (self.available, self.tools)
        self._client, self.tools, self.problem = client, tools, problem
        self.tried.set()
        self._attempt.set()
        self._attempt = anyio.Event()
        if (self.available, self.tools) != before:
            _LOG.info("server %s: %s", self.name, problem or f"{len(tools)} tools")
            self._changed()


async def _listed(client: Client) -> tuple[dict[str, Any], ...]:
    """The tools of all pages, bounded, as JSON."""
    found: list[dict[str, Any]] = []
    cursor = None
    seen = set()
    for _ in range(_PAGES):
        page = await client.list_tools(cursor=cursor)
        found += [one.model_dump(mode="json", by_alias=True, exclude_none=True) for one in page.tools]
        cursor = page.next_cursor
        if cursor is None or cursor in seen or len(found) >= _TOOLS:
            break
        seen.add(cursor)
    return tuple(found[:_TOOLS])


def _reason(error: BaseException) -> str:
    """The kind of an error without its text, which may quote a secret of the configuration; the system's own words."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    if isinstance(error, MCPError):
        return f"it refused to connect: error {error.code}" if error.code != types.CONNECTION_CLOSED else "it ended"
    return f"{type(error).__name__}: {error.strerror}" if isinstance(error, OSError) else type(error).__name__
