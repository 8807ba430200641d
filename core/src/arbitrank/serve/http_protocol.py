"""HTTP protocol of a connection: uvicorn's, with limits that bound the cost of any client.

A call is admitted or refused by its head, before its body is read. It reaches the application once it has arrived
whole, so a slow client holds a connection and nothing else. Uvicorn by itself neither bounds headers, nor the time in
which a call arrives, and closes no connection beyond a limit.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from arbitrank.serve import refusal
from arbitrank.serve.admission import Admitted
from arbitrank.serve.answering import AnsweringProtocol
from arbitrank.serve.fair_shares import address_key
from arbitrank.serve.http_parsing import BoundedHttp
from arbitrank.serve.inflating import inflated
from arbitrank.serve.load import LoadCounters
from arbitrank.serve.operations import RANK
from arbitrank.serve.refusal import Refusal

Admit = Callable[[Any, str], Admitted | Refusal]
"""Decides on a call by its scope, which holds its head alone, and by its client's address."""

_PIPELINED = 16  # calls of one connection that wait for the one before
_SMALL = 64 << 10  # bytes of a refused body that are read so that the connection can go on
_LINGER = 16 << 20  # bytes that are read, and dropped, of a client that is still sending when it is refused
_SILENT = 2.0  # seconds without any, after which the connection is closed


class LimitedProtocol(AnsweringProtocol, BoundedHttp):
    """Protocol of one connection; the application's state holds `load`, `admit` and `at_once`, for all of them."""

    load: LoadCounters
    admit: Admit
    address = ""
    fresh = True
    _stuck: float | None = None  # time since which the client has not accepted its response
    _last: tuple[Refusal | None, bool] | None = None  # the response that ends the connection, and if it lingers
    _lingering: int | None = None  # bytes dropped since the connection takes no further calls; None before it
    _dropped = 0.0  # time of the last of them
    _skippable = False  # the rest of a refused call is short enough to be read before the next
    _admitted: Admitted
    _postponed: tuple[RequestResponseCycle, Any] | None = None  # a call that the application is to get once it is whole

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Accept a connection; where too many are open, close the one that matters least."""
        self.load, self.admit, self.at_once = (self.app_state[name] for name in ("load", "admit", "at_once"))
        super().connection_made(transport)
        self._since = self.loop.time()
        self.address = address_key(self.client[0]) if self.client else ""
        evicted = self.load.open.add(self, self.address)
        if evicted is not None:
            evicted.evict()

    def connection_lost(self, exc: Exception | None) -> None:
        self.load.open.remove(self, self.address)
        self.load.held.release(self)
        self._since = self._stuck = None
        self._postponed = None
        if self._running is not None:  # which uvicorn tells nothing where it is not the latest
            self._running.disconnected = True
            self._running.message_event.set()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse what has arrived; malformed HTTP is answered 400 and the connection closed."""
        if self._finished:
            return
        self._to_end = False
        self._unset_keepalive_if_required()
        if self._since is None:
            self._since = self.loop.time()
        rest = 0 if self._lingering is not None else self.parse(data, self.load.limits.head)
        if self._lingering is not None:
            self._drop(rest or len(data))
        elif (self._arriving or self.pipeline) and not self.transport.is_closing():
            self._hold()  # of a call that arrives in one piece nothing need be counted

    @property
    def ending(self) -> bool:
        """True once no further call of the connection is read."""
        return self._finished or self._lingering is not None or self.transport.is_closing()

    def sweep(self, now: float) -> None:
        """Close the connection where the client is too slow to send a call, or to accept its response."""
        late = self._since is not None and now - self._since > self.load.limits.seconds
        if self._lingering is not None and self._since is not None:
            if late:
                self.transport.abort()
            elif now - self._dropped > _SILENT:
                self.transport.close()
        elif late:
            self.stop("slow", refusal.LATE if self._arriving else None, linger=False)
        elif self._stuck is not None and now - self._stuck > self.load.limits.seconds:
            self.load.count_cut("stuck")
            self.transport.abort()

    def unanswered(self) -> tuple[int, int]:
        """Calls that have arrived and are not answered, and 1 where another is arriving."""
        return int(self.busy) + sum(not cycle.more_body for cycle, _ in self.pipeline), int(self._arriving)

    def evict(self) -> None:
        """Close the connection in favour of another."""
        self.stop("connections", refusal.FULL if self._arriving else None, linger=False)

    def give_way(self) -> None:
        """Refuse the calls that are arriving: they hold more than others."""
        self.stop("held", refusal.FULL)

    def pause_writing(self) -> None:
        self._stuck = self.loop.time()
        super().pause_writing()

    def resume_writing(self) -> None:
        self._stuck = None
        super().resume_writing()

    # ------------------------------------------------------------------------------------------ callbacks of the parser

    def on_message_begin(self) -> None:
        """Begin a call; what arrived in one piece with the end of the one before counts as its own."""
        self._arriving = True
        if self._since is None:
            self._since = self.loop.time()
        super().on_message_begin()
        self.scope["state"]["connection"] = self

    def on_call(self) -> None:
        """Admit a call, and let the client send its body; or refuse it, as too many pipelined calls are."""
        if len(self.pipeline) > _PIPELINED:
            raise httptools.HttpParserError("too many pipelined calls")
        admitted = self.admit(self.scope, self.address)
        if isinstance(admitted, Refusal):
            self._put_off(admitted)
            return
        self._admitted = self.scope["state"]["admitted"] = admitted
        if self.expect_100_continue and not self.pipeline:
            self.cycle.waiting_for_100_continue = False
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_content(self, body: bytes) -> None:
        """Add a part of the body, unless the call is refused."""
        if self.cycle.response_complete or self.transport.is_closing() or "refused" in self.scope["state"]:
            return
        self.cycle.body += body
        if len(self.cycle.body) > self._admitted.largest:
            self.stop("body", refusal.LARGE_BODY)

    def on_end(self) -> None:
        """Hand a call that has arrived whole to the application."""
        self._since, self._arriving = None, False
        if self.cycle is None or self.ending:
            return
        self.load.held.release(self)
        if self.cycle.response_complete:  # refused before its body had arrived
            self._await_next()
            return
        super().on_end()
        if "refused" not in self.scope["state"]:
            self.fresh = False
            if self._admitted.compressed:
                body = inflated(self.cycle.body, self._admitted.largest)
                if isinstance(body, Refusal):
                    self._put_off(body)
                else:
                    self.cycle.body = bytearray(body)
        if self._postponed is not None:
            (cycle, app), self._postponed = self._postponed, None
            self._start_asgi_task(cycle, app)

    # ------------------------------------------------------------------------------------------ what becomes of a call

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        refused = cycle.scope["state"].get("refused")  # of a call that waited for the ones before
        if refused is not None:
            self._refuse(cycle, refused)
            return
        if cycle.more_body:
            self._postponed = (cycle, app)
            return
        if cycle.scope["path"] != RANK:
            self._running = cycle
            super()._start_asgi_task(cycle, app)
        elif self.load.begin(cycle.scope["state"]["admitted"].client):
            self.answer_soon(cycle, app)  # the application ends what has begun
        else:
            self._refuse(cycle, refusal.BUSY)

    def _put_off(self, refused: Refusal) -> None:
        """Refuse the latest call, once the ones before it are answered."""
        self.scope["state"]["refused"] = refused
        length = next((value for name, value in self.headers if name == b"content-length"), b"0")
        self._skippable = (
            not refused.ends and not self.chunked and int(length) <= _SMALL and not self.expect_100_continue
        )
        if self._postponed is not None:
            self._postponed = None
            self._refuse(self.cycle, refused)

    def _await_next(self) -> None:
        """Close the connection where no call comes for too long, as uvicorn does after a response."""
        self._unset_keepalive_if_required()
        self.timeout_keep_alive_task = self.loop.call_later(self.timeout_keep_alive, self.timeout_keep_alive_handler)

    def _refuse(self, cycle: RequestResponseCycle, refused: Refusal) -> None:
        """Answer without starting a task, so that refusing stays cheap under overload; read on what is still sent."""
        if self.load.draining:  # once all that has arrived is parsed, so that it is known which answer is the last
            self.loop.call_soon(self._refuse_now, cycle, refused)
        else:
            self._refuse_now(cycle, refused)

    def _refuse_now(self, cycle: RequestResponseCycle, refused: Refusal) -> None:
        if self.ending:
            return
        draining = self.load.draining
        sending = cycle is self.cycle and self._arriving and (draining or not self._skippable)
        last = draining and not sending and self.is_last()
        close = sending or last or refused.ends or not cycle.keep_alive
        ids, head = cycle.scope["state"].get("ids"), cycle.scope["method"] == "HEAD"
        response = refused.response(close=close, body=not head, ids=ids)
        self.respond(cycle, response, close=close, linger=sending)

    def _hold(self) -> None:
        """Count the bytes of calls that have not reached the application; cut the heaviest holders beyond a limit."""
        size = len(self.cycle.body) if self.cycle is not None and self._arriving and not self._in_head else 0
        size += sum(len(cycle.body) for cycle, _ in self.pipeline if cycle is not self.cycle)
        if not size:
            self.load.held.release(self)
            return
        now = self.loop.time()
        self.load.held.hold(self, self._admitted.clients, size, now)
        while (heaviest := self.load.held.excess(self, now)) is not None:
            heaviest.give_way()

    def stop(self, reason: str, response: Refusal | None, *, linger: bool = True) -> None:
        """End the connection, once the calls that have arrived are answered, with a response for the one arriving."""
        if self.ending:
            return
        self.load.count_cut(reason)
        self.load.held.release(self)
        if self._arriving and not self._in_head:
            self.cycle.body = bytearray()
            if self.cycle.response_started:  # refused by its head already
                response = None
            elif self._postponed is not None:
                self._postponed = None
                self.cycle.response_complete = True
            elif self.pipeline:
                self.pipeline.popleft()
        self._lingering, self._since = 0, None
        self._last = response, linger
        if not self.busy:
            self._conclude()

    def on_response_complete(self) -> None:
        """Begin the next call that waits, or end the connection that has none and takes none."""
        self._running = None
        super().on_response_complete()
        if self._last is not None and not self.busy and not self.transport.is_closing():
            self._unset_keepalive_if_required()
            self._conclude()

    def _conclude(self) -> None:
        (response, linger), self._last = self._last or (None, False), None
        if response is not None:
            self.transport.write(response.response(close=True))
        if response is not None and linger:
            self.linger()
        else:
            self.transport.close()

    def linger(self) -> None:
        """Read and drop what the client is still sending: closed at once, it might not receive its response."""
        self._lingering, self._since = self._lingering or 0, self.loop.time()
        self._dropped = self._since
        self.pipeline.clear()
        self.flow.resume_reading()
        if self.transport.can_write_eof():
            self.transport.write_eof()

    def _drop(self, size: int) -> None:
        self._lingering, self._dropped = (self._lingering or 0) + size, self.loop.time()
        if self._lingering > _LINGER:
            self.transport.close()
