"""End of a connection that loses no call.

HTTP/1.1 lets a client send its next call at any moment, and a call that crosses the end of its connection is lost. So
a connection ends after an answer that says `Connection: close` (RFC 9112, section 9.6), where no part of a further
call has arrived, or once it has been idle for a while.

The end of what the server sends does not stop a client: its system still accepts its next call, which would never be
answered. So once the client's system has acknowledged everything, the connection is reset. Whoever has not closed it by
then still reads the answer and its end, and finds at the next call that nothing can be sent.
"""

from __future__ import annotations

import asyncio

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from arbitrank.serve import sockets

_FIRST_CHECK, _LONGEST = 0.001, 0.1  # seconds between checks that the client has received everything; they double
_SECONDS = 10.0  # in which a client has to receive it
_SMALL = 64 << 10  # bytes that a system takes at once


class EndingProtocol(HttpToolsProtocol):
    """Protocol of a connection that can be ended between two calls; what arrives after `end` is ignored."""

    _finished = False  # the last answer is being sent, or none is to be
    _since: float | None = None  # start of the call that is arriving; None while none is
    _arriving = False
    _end_sent = False
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
        """End the connection once what has been written is sent, and an answer after it."""
        if self._finished or self.transport.is_closing():
            return
        self._finished = True
        self._since = None
        self._unset_keepalive_if_required()
        if self.scheme == "https":
            # A transport over TLS does not count what it has encrypted and the system has not taken.
            self._silence = 1 if len(answer) <= _SMALL else 2
            self.transport.write(answer)
            self.transport.close()  # sends that nothing follows, and waits for the client to do the same
        else:
            if self.transport.get_write_buffer_size() == 0:
                answer = sockets.send_last(self.transport, answer)
                self._end_sent = not answer
            if answer:
                self.transport.write(answer)
        self._finish(self.loop.time() + _SECONDS, _FIRST_CHECK)

    def on_response_complete(self) -> None:
        """Start the next pipelined call, or wait for the client's next one where the connection does not end."""
        super().on_response_complete()
        if self._finished:
            self._unset_keepalive_if_required()

    def _finish(self, by: float, delay: float) -> None:
        """Reset the connection once the client's system has everything, or the time is over."""
        if self not in self.connections:
            return
        if self.loop.time() >= by or self._received():
            sockets.reset(self.transport)
            self.transport.abort()
        else:
            self.loop.call_later(delay, self._finish, by, min(2 * delay, _LONGEST))

    def _received(self) -> bool:
        """Send the end of the stream; true where the client's system has everything before it."""
        if self.transport.get_write_buffer_size():
            return False
        if self.scheme == "https":
            self._silent = self._silent + 1 if self._delivered() else 0
            if self._silent < self._silence:
                return False
        if not self._end_sent:
            self._end_sent = not sockets.send_last(self.transport, b"")
        return self._delivered()

    def _delivered(self) -> bool:
        """True where the client's system has what was sent: on the same machine, nothing is lost on its way."""
        if self.client and self.server and self.client[0] == self.server[0]:
            return sockets.unsent(self.transport) == 0
        return sockets.unacknowledged(self.transport) <= 1  # 1: the end itself


class _LastAnswer(asyncio.Transport):
    """Transport of the last answer, which is sent with the end of the connection."""

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
