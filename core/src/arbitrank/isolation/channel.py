"""Channel of messages between a service and a worker: framing, bounds and decoding; `messages` defines them."""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, Final, Generic, TypeVar

import msgspec

_LENGTH: Final = struct.Struct("!I")
_CHUNK: Final = 1 << 16

T = TypeVar("T")


class Malformed(Exception):
    """Raised when received bytes are not an expected message; its text gives the reason."""


class Decoder(Generic[T]):
    """Decoder of messages of one kind; what is of a newer minor version is read without the fields unknown here."""

    def __init__(self, kind: Any, newer: Any) -> None:
        self._kind = kind
        self._decode = msgspec.msgpack.Decoder(kind).decode
        self._newer = msgspec.msgpack.Decoder(newer).decode

    def decode(self, content: bytes | bytearray | msgspec.Raw) -> T:
        """The message. Raises `msgspec.MsgspecError`, `ValueError` or `RecursionError` where it is none."""
        try:
            message: T = self._decode(content)
        except msgspec.ValidationError:  # a hypothesis, where a caller gives one, may have no unknown field
            message = msgspec.convert(msgspec.to_builtins(self._newer(content)), self._kind)
        return message


class Channel(Generic[T]):
    """One end of the socket pair: sends encoded messages and reads those of the other side, decoded by `decoder`.

    It is `drained` where no more than whole messages had arrived when it was read.
    """

    def __init__(self, connection: socket.socket, decoder: Decoder[T], longest: int) -> None:
        self.connection = connection
        self._decode, self._longest = decoder.decode, longest
        self.drained = True
        self._buffer, self._start = bytearray(), 0  # what was received, and where the next message starts in it

    def send(self, *contents: bytes, seconds: float | None = None, full: Callable[[], None] | None = None) -> None:
        """Send encoded messages; at most for `seconds`, then the rest of them is left out. Raises `OSError`.

        `full` is called where the other side has to read first.
        """
        frame = b"".join([_LENGTH.pack(len(content)) + content for content in contents])
        try:
            sent = self.connection.send(frame, 0 if seconds is None and full is None else socket.MSG_DONTWAIT)
        except BlockingIOError:
            sent = 0  # the other side has to read first
        if sent < len(frame):
            if full is not None:
                full()
            self.connection.settimeout(None if seconds is None else max(seconds, 1e-3))
            with suppress(TimeoutError):
                self.connection.sendall(memoryview(frame)[sent:])
            self.connection.settimeout(None)

    def receive(self) -> T:
        """The next message, waited for. Raises `Malformed`, `EOFError` where the other side is gone, and `OSError`."""
        while (message := self._next()) is None:
            self._read(0)
        return message

    def received(self) -> Iterator[T]:
        """The messages that have arrived, one after another, without waiting. Raises as `receive` does."""
        self._read(socket.MSG_DONTWAIT)
        while (message := self._next()) is not None:
            yield message

    def _read(self, flags: int) -> None:
        try:
            content = self.connection.recv(_CHUNK, flags)
        except BlockingIOError:  # nothing has arrived
            return
        if not content:
            raise EOFError
        self._buffer += content
        self.drained = len(content) < _CHUNK

    def _next(self) -> T | None:
        """The first message in the buffer, None where it is not complete."""
        buffer, start = self._buffer, self._start + _LENGTH.size
        end = start
        if len(buffer) >= start:
            (length,) = _LENGTH.unpack_from(buffer, self._start)
            if length > self._longest:
                raise Malformed(f"a message of {length} bytes, expected at most {self._longest}")
            end += length
        if len(buffer) < end:
            del buffer[: self._start]
            self._start = 0
            self.drained = self.drained and not buffer
            return None
        self._start = end
        try:
            return self._decode(buffer[start:end])
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            raise Malformed(str(error)) from error
