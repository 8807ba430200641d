"""Where clients come in: uvicorn's HTTP protocol with limits. Whatever a client does here costs a bounded amount.

A call is handed on once it has arrived whole, so that a slow client holds a connection and no more. Where too many
requests wait, the next is turned away here, before anything is done for it.
"""

from __future__ import annotations

import asyncio
from typing import Any
from urllib.parse import unquote

import httptools
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from arbitrank.serve.settings import Limits

RANK = b"/v1/rank"
_PIPELINED = 16  # calls of one connection that wait for the one before
_SMALL = 64 << 10  # bytes of a call that is neither requests nor feedback
_LARGE = {b"/v1/feedback"}


class Gate:
    """What is going on in one worker: requests that wait or are answered, bytes that are held; and the limits."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.pending = 0
        self.shed = 0
        self.held = 0
        self.cut: dict[str, int] = {}

    def cuts(self, why: str) -> None:
        """Count a client that was cut off, or never let in."""
        self.cut[why] = self.cut.get(why, 0) + 1


def plain(status: str, error: str, *more: str, close: bool = True) -> bytes:
    """A whole HTTP response that says what is wrong."""
    body = b'{"error":"' + error.encode() + b'"}'
    head = [f"HTTP/1.1 {status}", "content-type: application/json", f"content-length: {len(body)}", *more]
    if close:
        head.append("connection: close")
    return "\r\n".join([*head, "", ""]).encode() + body


BUSY = plain("503 Service Unavailable", "too many requests wait; try again", "retry-after: 1", close=False)
_BAD = plain("400 Bad Request", "not HTTP/1.1 as promised")
_LATE = plain("408 Request Timeout", "the call took too long to arrive")
_TOO_LARGE = plain("413 Content Too Large", "the body is larger than is taken")
_LONG_HEAD = plain("431 Request Header Fields Too Large", "the headers are larger than is taken")
_STOPPING = plain("503 Service Unavailable", "the service stops; try again", "retry-after: 1")
_FULL = plain("503 Service Unavailable", "too many calls arrive at once; try again", "retry-after: 1")


class Cycle(RequestResponseCycle):
    """One call and its answer, which leaves in one piece where the application gives it in one.

    The body is there whole when the application starts, and the headers are its own: neither is waited for or checked.
    """

    _begun: Any = None

    async def receive(self) -> Any:
        """The call's body, then that the client has gone."""
        if self.body is not _TAKEN and not self.disconnected:
            body, self.body = bytes(self.body), _TAKEN
            return {"type": "http.request", "body": body, "more_body": False}
        return await super().receive()

    async def send(self, message: Any) -> None:
        """A part of the answer."""
        if self._begun is None and message["type"] == "http.response.start":
            self._begun = message
            return
        begun, whole = self._begun, not message.get("more_body", False)
        if begun is not None and not self.response_started:
            if whole and self.scope["method"] != "HEAD" and not self.flow.write_paused and not self.disconnected:
                self._send_whole(begun, message.get("body", b""))
                return
            await super().send(begun)
        await super().send(message)

    def _send_whole(self, begun: Any, body: bytes) -> None:
        parts = [STATUS_LINE[begun["status"]]]
        length = False
        for name, value in (*self.default_headers, *begun.get("headers", ())):
            parts += (name, b": ", value, b"\r\n")
            length = length or name == b"content-length"
            if name == b"connection" and value == b"close":
                self.keep_alive = False
        if not self.keep_alive:
            parts.append(b"connection: close\r\n")
        if not length:
            parts.append(b"content-length: %d\r\n" % len(body))
        parts += (b"\r\n", body)
        self.response_started = self.response_complete = True
        self.transport.write(b"".join(parts))
        self.message_event.set()
        if not self.keep_alive:
            self.transport.close()
        self.on_response()


_TAKEN = bytearray()  # in the place of a body that the application has


class Door(HttpToolsProtocol):
    """One connection. The gate that it shares with the others comes in the application's state, as `gate`."""

    gate: Gate
    _since: float | None = None  # when what is arriving began to; None while nothing is
    _stuck: float | None = None  # since when the client takes no answer
    _head = 0
    _held = 0
    _in_head = True
    _arriving = _ended = False
    _postponed: tuple[RequestResponseCycle, Any] | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Let a client in, or turn it away where too many are."""
        self.gate = self.app_state["gate"]
        super().connection_made(transport)
        self._since = self.loop.time()
        if len(self.connections) > self.gate.limits.connections:
            self.gate.cuts("connections")
            transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget what was held of it."""
        self._release()
        self._since = self._stuck = None
        self._postponed = None
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Read on; whoever sends what is no HTTP is told and cut off."""
        self._unset_keepalive_if_required()
        if self._since is None:
            self._since = self.loop.time()
        self._ended = False
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade:  # to what nobody here speaks
            self._cut("http", _BAD)
        except httptools.HttpParserError:
            self._cut("http", _BAD)
        else:
            if self._in_head:
                self._head += 0 if self._ended else len(data)  # a part of it is the end of the call before
                if self._head > self.gate.limits.head:
                    self._cut("head", _LONG_HEAD)

    def shutdown(self) -> None:
        """The service stops: what has arrived is still answered, what is arriving is not waited for."""
        if self._postponed is not None:
            self._cut("stopping", _STOPPING)
        else:
            super().shutdown()

    def sweep(self, now: float) -> None:
        """Cut the client off if it is too slow to send, or to take its answer."""
        if self._since is not None and now - self._since > self.gate.limits.seconds:
            self._cut("slow", _LATE if self._begun() else b"")
        elif self._stuck is not None and now - self._stuck > self.gate.limits.seconds:
            self.gate.cuts("stuck")
            self.transport.abort()

    def pause_writing(self) -> None:
        """The client doesn't take its answer as fast as it comes."""
        self._stuck = self.loop.time()
        super().pause_writing()

    def resume_writing(self) -> None:
        """It does again."""
        self._stuck = None
        super().resume_writing()

    # ------------------------------------------------------------------------------------------- what the parser finds

    def on_message_begin(self) -> None:
        """A call begins; what came in one piece with the end of the one before counts as its own."""
        self._in_head, self._arriving, self._head = True, True, 0
        if self._since is None:
            self._since = self.loop.time()
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """The headers are there: refuse at once what is too much, and say that the rest may come."""
        self._in_head = False
        if self.transport.is_closing():
            raise httptools.HttpParserError("cut off")
        self._open()
        if len(self.pipeline) > _PIPELINED:
            raise httptools.HttpParserError("too many calls at once")
        if self.expect_100_continue and not self.pipeline:
            self.cycle.waiting_for_100_continue = False
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def _open(self) -> None:
        """What uvicorn does here, with a cycle of ours, and without what nobody here speaks."""
        scope, version = self.scope, self.parser.get_http_version()
        url = httptools.parse_url(self.url)
        path = url.path.decode("ascii")
        scope["method"] = self.parser.get_method().decode("ascii")
        scope["http_version"] = version
        scope["path"] = unquote(path) if "%" in path else path
        scope["raw_path"] = url.path
        scope["query_string"] = url.query or b""
        before = self.cycle
        self.cycle = Cycle(
            scope=scope,
            transport=self.transport,
            flow=self.flow,
            logger=self.logger,
            access_logger=self.access_logger,
            access_log=False,
            default_headers=self.server_state.default_headers,
            message_event=asyncio.Event(),
            expect_100_continue=self.expect_100_continue,
            keep_alive=version != "1.0" and self.parser.should_keep_alive(),
            on_response=self.on_response_complete,
        )
        if before is None or before.response_complete:
            self._postponed = (self.cycle, self.app)
        else:
            self.flow.pause_reading()
            self.pipeline.appendleft((self.cycle, self.app))

    def on_body(self, body: bytes) -> None:
        """Hold a part of the body, within the limits."""
        if self.cycle.response_complete or self.transport.is_closing():
            return
        self.cycle.body += body
        self._held += len(body)
        self.gate.held += len(body)
        if len(self.cycle.body) > self._largest():
            self._cut("body", _TOO_LARGE)
        elif self.gate.held > self.gate.limits.held:
            self._cut("held", _FULL)

    def on_message_complete(self) -> None:
        """The call is there: hand it on."""
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
            if self.gate.pending >= self.gate.limits.waiting:
                self._turn_away(cycle)
                return
            self.gate.pending += 1  # the application takes it back
        super()._start_asgi_task(cycle, app)

    def _turn_away(self, cycle: RequestResponseCycle) -> None:
        """Answer 503 without a task, as cheaply as can be: there is no time to lose."""
        self.gate.shed += 1
        cycle.response_started = cycle.response_complete = True
        self.transport.write(BUSY)
        if not cycle.keep_alive:
            self.transport.close()
        cycle.on_response()

    # --------------------------------------------------------------------------------------------------------- the rest

    def _largest(self) -> int:
        path = self.cycle.scope["raw_path"]
        if path == RANK:
            return self.gate.limits.batch_body
        return self.gate.limits.body if path in _LARGE else _SMALL

    def _begun(self) -> bool:
        """Whether anything has arrived of what is waited for, and no answer is under way that words would fall into."""
        answering = self.cycle is not None and self.cycle.response_started and not self.cycle.response_complete
        return self._arriving and not answering

    def _release(self) -> None:
        self.gate.held -= self._held
        self._held = 0

    def _cut(self, why: str, response: bytes) -> None:
        """Say why, unless an answer is under way, and close the connection."""
        if self.transport.is_closing():
            return
        self.gate.cuts(why)
        earlier = [self.cycle, *(cycle for cycle, _ in self.pipeline)] if self.cycle is not None else []
        running = [one for one in earlier if not one.response_complete and one is not self._own()]
        if response and not running:
            self.transport.write(response)
        for one in earlier:
            one.disconnected = True
            one.message_event.set()
        self.pipeline.clear()
        self._postponed = None
        self.transport.close()

    def _own(self) -> RequestResponseCycle | None:
        """What is arriving, if its headers have."""
        return self.cycle if self.cycle is not None and self.cycle.more_body else None
