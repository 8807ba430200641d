"""HTTP protocol of a connection: uvicorn's, with limits that bound the cost of any client.

A call reaches the application once it has arrived whole, so a slow client holds a connection and nothing else. Beyond
the limit of pending rank calls, further ones are refused here, before anything is done for them. Uvicorn by itself
neither bounds headers, nor the time in which a call arrives, and closes no connection beyond a limit.
"""

from __future__ import annotations

import asyncio
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from arbitrank.serve.settings import ServiceLimits

RANK = b"/v1/rank"
FEEDBACK = b"/v1/feedback"
_PIPELINED = 16  # calls of one connection that wait for the one before
_SMALL = 64 << 10  # bytes of the body of any other call


class LoadCounters:
    """Load of one worker, and its limits: rank calls pending, bytes of bodies being received, calls refused.

    `shed` counts rank calls refused because too many were pending, `cut` the connections closed, by reason.
    """

    def __init__(self, limits: ServiceLimits) -> None:
        self.limits = limits
        self.pending = 0
        self.shed = 0
        self.held = 0
        self.cut: dict[str, int] = {}

    def count_cut(self, reason: str) -> None:
        """Count a connection that was closed, or refused at once."""
        self.cut[reason] = self.cut.get(reason, 0) + 1


def _response(status: str, error: str, *headers: str, close: bool = True) -> bytes:
    """A whole HTTP response with an error."""
    body = b'{"error":"' + error.encode() + b'"}'
    head = [f"HTTP/1.1 {status}", "content-type: application/json", f"content-length: {len(body)}", *headers]
    if close:
        head.append("connection: close")
    return "\r\n".join([*head, "", ""]).encode() + body


_UNAVAILABLE = "503 Service Unavailable"
_BUSY = _response(_UNAVAILABLE, "too many requests are pending; try again", "retry-after: 1", close=False)
_MALFORMED = _response("400 Bad Request", "malformed, expected HTTP/1.1")
_LATE = _response("408 Request Timeout", "the call took too long to arrive")
_LARGE_BODY = _response("413 Content Too Large", "the body is too large")
_LARGE_HEAD = _response("431 Request Header Fields Too Large", "the headers are too large")
_STOPPING = _response(_UNAVAILABLE, "the service is stopping; try again", "retry-after: 1")
_FULL = _response(_UNAVAILABLE, "too many calls are arriving at once; try again", "retry-after: 1")


class LimitedProtocol(HttpToolsProtocol):
    """Protocol of one connection. The counters that connections share are `load` in the application's state."""

    load: LoadCounters
    _since: float | None = None  # start of the call that is arriving; None while none is
    _stuck: float | None = None  # time since which the client has not accepted its response
    _head = 0
    _held = 0
    _in_head = True
    _arriving = _ended = False
    _postponed: tuple[RequestResponseCycle, Any] | None = None  # a call that the application is to get once it is whole

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Accept a connection, or close it where too many are open."""
        self.load = self.app_state["load"]
        super().connection_made(transport)
        self._since = self.loop.time()
        if len(self.connections) > self.load.limits.connections:
            self.load.count_cut("connections")
            transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._release()
        self._since = self._stuck = None
        self._postponed = None
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse what has arrived; malformed HTTP is answered 400 and the connection closed."""
        self._unset_keepalive_if_required()
        if self._since is None:
            self._since = self.loop.time()
        self._ended = False
        try:
            self.parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):  # no other protocol is supported
            self._cut("http", _MALFORMED)
        else:
            if self._in_head:
                self._head += 0 if self._ended else len(data)  # part of it ended the call before
                if self._head > self.load.limits.head:
                    self._cut("head", _LARGE_HEAD)

    def shutdown(self) -> None:
        """Close the connection once the calls that have arrived are answered; one still arriving is refused."""
        if self._postponed is not None:
            self._cut("stopping", _STOPPING)
        else:
            super().shutdown()

    def sweep(self, now: float) -> None:
        """Close the connection where the client is too slow to send a call, or to accept its response."""
        if self._since is not None and now - self._since > self.load.limits.seconds:
            responding = self.cycle is not None and self.cycle.response_started and not self.cycle.response_complete
            self._cut("slow", _LATE if self._arriving and not responding else b"")
        elif self._stuck is not None and now - self._stuck > self.load.limits.seconds:
            self.load.count_cut("stuck")
            self.transport.abort()

    def pause_writing(self) -> None:
        self._stuck = self.loop.time()
        super().pause_writing()

    def resume_writing(self) -> None:
        self._stuck = None
        super().resume_writing()

    # ------------------------------------------------------------------------------------------ callbacks of the parser

    def on_message_begin(self) -> None:
        """Begin a call; what arrived in one piece with the end of the one before counts as its own."""
        self._in_head, self._arriving, self._head = True, True, 0
        if self._since is None:
            self._since = self.loop.time()
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Refuse too many pipelined calls, and let the client send its body."""
        self._in_head = False
        if self.transport.is_closing():
            raise httptools.HttpParserError("closed")
        super().on_headers_complete()
        if len(self.pipeline) > _PIPELINED:
            raise httptools.HttpParserError("too many pipelined calls")
        if self.expect_100_continue and not self.pipeline:
            self.cycle.waiting_for_100_continue = False
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, body: bytes) -> None:
        if self.cycle.response_complete or self.transport.is_closing():
            return
        self.cycle.body += body
        self._held += len(body)
        self.load.held += len(body)
        if len(self.cycle.body) > self._largest():
            self._cut("body", _LARGE_BODY)
        elif self.load.held > self.load.limits.held:
            self._cut("held", _FULL)

    def on_message_complete(self) -> None:
        """Hand a call that has arrived whole to the application."""
        self._since, self._arriving, self._ended = None, False, True
        self._release()
        if self.cycle is None or self.transport.is_closing():
            return
        super().on_message_complete()
        if self._postponed is not None:
            (cycle, app), self._postponed = self._postponed, None
            self._start_asgi_task(cycle, app)

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        if cycle.more_body:
            self._postponed = (cycle, app)
            return
        if cycle.scope["raw_path"] == RANK:
            if self.load.pending >= self.load.limits.waiting:
                self._shed(cycle)
                return
            self.load.pending += 1  # the application decrements it
        super()._start_asgi_task(cycle, app)

    def _shed(self, cycle: RequestResponseCycle) -> None:
        """Answer 503 without starting a task, so that refusing stays cheap under overload."""
        self.load.shed += 1
        cycle.response_started = cycle.response_complete = True
        self.transport.write(_BUSY)
        if not cycle.keep_alive:
            self.transport.close()
        cycle.on_response()

    def _largest(self) -> int:
        """Bytes that the body of the arriving call may have."""
        path, limits = self.cycle.scope["raw_path"], self.load.limits
        return limits.batch_body if path == RANK else limits.body if path == FEEDBACK else _SMALL

    def _release(self) -> None:
        self.load.held -= self._held
        self._held = 0

    def _cut(self, reason: str, response: bytes) -> None:
        """Close the connection, with a response unless earlier calls are still being answered."""
        if self.transport.is_closing():
            return
        self.load.count_cut(reason)
        cycles = [self.cycle, *(cycle for cycle, _ in self.pipeline)] if self.cycle is not None else []
        arriving = self.cycle if self.cycle is not None and self.cycle.more_body else None
        if response and all(cycle.response_complete or cycle is arriving for cycle in cycles):
            self.transport.write(response)
        for cycle in cycles:
            cycle.disconnected = True
            cycle.message_event.set()
        self.pipeline.clear()
        self._postponed = None
        self.transport.close()
