"""Answers of a connection: to a rank call from the event loop, by one write; to any other call by a task.

A task, its coroutines and the messages between them take about as long as all other parts of HTTP together.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple, TypeAlias

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

from arbitrank.serve.ending import EndingProtocol


class RankReply(NamedTuple):
    """RankReply to a call; `last`: the connection ends with it."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes
    last: bool


class Later(NamedTuple):
    """Sign that the reply to a call comes later, by the function that was given for it."""


AtOnce: TypeAlias = Callable[[Any, bytes, Callable[[RankReply], None]], RankReply | Later | None]
"""Replies to a rank call by its scope and body, or later, by a function that is called once, in the event loop.

None where a task has to reply, as to a list of requests. It never raises.
"""


class AnsweringProtocol(EndingProtocol):
    """Protocol of a connection that has the application reply `at_once` where that can."""

    at_once: AtOnce
    _running: RequestResponseCycle | None = None  # the call that the application answers

    @property
    def busy(self) -> bool:
        """True while a call that has arrived is answered."""
        return self._running is not None

    def answer_soon(self, cycle: RequestResponseCycle, app: Any) -> None:
        """Answer a rank call once all that has arrived is read, so that too many of them are refused before."""
        self._running = cycle
        self.loop.call_soon(self._answer, cycle, app)

    def _answer(self, cycle: RequestResponseCycle, app: Any) -> None:
        waits = cycle.disconnected or self.flow.write_paused  # for a client that reads nothing, where that is open
        reply = None if waits else self.at_once(cycle.scope, bytes(cycle.body), partial(self._reply, cycle))
        if reply is None:
            super()._start_asgi_task(cycle, app)
        elif isinstance(reply, RankReply):
            self._reply(cycle, reply)

    def _reply(self, cycle: RequestResponseCycle, reply: RankReply) -> None:
        """Send the reply to a call, unless its client has gone."""
        if cycle.disconnected:
            return
        parts = [STATUS_LINE[reply.status]]
        for name, value in (*self.server_state.default_headers, *reply.headers):
            parts += name, b": ", value, b"\r\n"
        close = reply.last or not cycle.keep_alive
        parts += b"connection: close\r\n\r\n" if close else b"\r\n", reply.body
        self.respond(cycle, b"".join(parts), close=close)

    def respond(self, cycle: RequestResponseCycle, response: bytes, *, close: bool, linger: bool = False) -> None:
        """Send a whole response, and end the connection where it is to `close`: where it is to `linger`, later."""
        cycle.response_started = cycle.response_complete = True
        cycle.transport.write(response)
        if linger:
            self.linger()
        elif close:
            cycle.transport.close()
        cycle.on_response()
        cycle.on_response = _nothing  # else it and the connection would keep each other until they are collected

    def linger(self) -> None:
        """Read and drop what the client is still sending: closed at once, it might not receive its response."""
        raise NotImplementedError


def _nothing() -> None:
    pass
