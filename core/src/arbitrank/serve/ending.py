"""End of a connection that loses no call.

HTTP/1.1 lets a client send its next call at any moment, and a call that crosses the end of its connection is lost. So
a connection ends after an answer that says `Connection: close` (RFC 9112, section 9.6), where no part of a further
call has arrived, or once it has been idle for a while.

A client that does not heed that header may send on as soon as it has the answer. So the end follows once the client's
system has acknowledged everything, where nothing has arrived since; else the connection goes on, until its next answer.
The end of what the server sends would not stop such a client either: its system accepts its next call, which would
never be answered. So the connection is reset with it. Whoever has not closed it by then still reads the answer and its
end, and finds at the next call that nothing can be sent.
"""

from __future__ import annotations

import asyncio
from time import monotonic

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from arbitrank.serve import sockets

_FIRST_CHECK, _LONGEST = 0.001, 0.1  # seconds between checks that the client has received everything; they double
_SECONDS = 10.0  # in which a client has to receive it
_AT_ONCE = 0.002  # seconds for sending: after longer, as where this process had to wait, the client may be sending too
_SMALL = 64 << 10  # bytes that a system takes at once


class EndingProtocol(HttpToolsProtocol):
    """Protocol of a connection that can be ended between two calls; what arrives after its end is ignored."""

    _finished = False  # the last answer is being sent, or the end has been
    _to_end = False  # it ends once the client's system has everything, unless a call arrives
    _end_by: float | None = None  # time at which it ends in any case, once it was to end
    _check: asyncio.TimerHandle | None = None
    _since: float | None = None  # start of the call that is arriving; None while none is
    _arriving = False
    _silent = 0  # checks in a row that found nothing to be sent or acknowledged
    _silence = 1  # of them that are needed

    def is_last(self) -> bool:
        """End the connection after the answer that is about to be sent, where no further call has begun to arrive.

        True where it ends, so that the answer has to say `Connection: close`.
        """
        if self._finished or self.pipeline or self._arriving or sockets.unread(self.transport):
            return False
        self.cycle.transport = _LastAnswer(self)
        return True

    def end_idle(self, now: float, seconds: float) -> None:
        """End the connection where it has been idle for some seconds."""
        if self._finished or self._arriving or (self.cycle is not None and not self.cycle.response_complete):
            return
        timer = self.timeout_keep_alive_task  # since the last answer
        since = self._since if timer is None else timer.when() - self.timeout_keep_alive
        if since is not None and now - since >= seconds and not sockets.unread(self.transport):
            self.end()

    def end(self, answer: bytes = b"") -> None:
        """End the connection once what has been written is sent, and an answer after it, unless a call arrives."""
        if self._finished or self._to_end or self.transport.is_closing():
            return
        if self._check is not None:
            self._check.cancel()
        self._to_end = True
        self._since = None
        self._unset_keepalive_if_required()
        if self._end_by is None:
            self._end_by = self.loop.time() + _SECONDS
        if self.scheme == "https":
            self._end_encrypted(answer)
        elif not self._sent_at_once(answer) or self.pipeline or self._arriving:
            self._to_end = False  # a call has arrived meanwhile, or may be about to
        else:
            self._finish(_FIRST_CHECK)

    def on_response_complete(self) -> None:
        """Start the next pipelined call, or wait for the client's next one where the connection does not end."""
        super().on_response_complete()
        if self._finished or self._to_end:
            self._unset_keepalive_if_required()

    def _sent_at_once(self, answer: bytes) -> bool:
        """Send the last answer, if any; false where that took so long that the client may be sending its next call."""
        began = monotonic()
        if rest := sockets.send_now(self.transport, answer):
            self.transport.write(rest)
        return not answer or monotonic() - began < _AT_ONCE

    def _end_encrypted(self, answer: bytes) -> None:
        """Send the last answer, and within TLS that nothing follows."""
        # A transport over TLS does not count what it has encrypted and the system has not taken.
        self._silence = 1 if len(answer) <= _SMALL else 2
        self._finished = True
        self.transport.write(answer)
        self.transport.close()  # waits for the client to say the same
        self._finish(_FIRST_CHECK)

    def _finish(self, delay: float) -> None:
        """End the connection where the client's system has everything, or the time is over; else look again later."""
        if self not in self.connections or not self._to_end:
            return
        assert self._end_by is not None
        late = self.loop.time() >= self._end_by
        if late or self._received():
            if sockets.finish(self.transport, though_unread=late or self._finished):
                self._finished = True
                self.transport.abort()
        else:
            self._check = self.loop.call_later(delay, self._finish, min(2 * delay, _LONGEST))

    def _received(self) -> bool:
        """True where the client's system has everything."""
        if self.transport.get_write_buffer_size() or not self._delivered():
            self._silent = 0
            return False
        self._silent += 1
        return self._silent >= self._silence

    def _delivered(self) -> bool:
        """True where the client's system has what was sent: on the same machine, nothing is lost on its way."""
        if self.client and self.server and self.client[0] == self.server[0]:
            return sockets.unsent(self.transport) == 0
        return sockets.unacknowledged(self.transport) == 0


class _LastAnswer(asyncio.Transport):
    """Transport of the last answer, which is sent whole before the end of the connection."""

    def __init__(self, connection: EndingProtocol) -> None:
        super().__init__()
        self._connection, self._parts = connection, list[bytes]()

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self._parts.append(bytes(data))

    def is_closing(self) -> bool:
        return self._connection.transport.is_closing()

    def close(self) -> None:
        """Send the answer, and end the connection."""
        self._connection.end(b"".join(self._parts))
