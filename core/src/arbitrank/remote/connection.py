"""Connection to a remote, over TLS where its URL says so: never blocks once it is made."""

from __future__ import annotations

import select
import socket
from time import perf_counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ssl import SSLContext

__all__ = ["RemoteConnection", "connect"]

_CHUNK = 1 << 16


class RemoteConnection:
    """A socket that does not block, and what it waits for."""

    def __init__(self, opened: socket.socket, *, secure: bool) -> None:
        opened.setblocking(False)
        self._socket = opened
        self._again: tuple[type[OSError], ...] = (BlockingIOError,)
        if secure:
            import ssl

            self._again = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)

    def fileno(self) -> int:
        """The number of its file."""
        return self._socket.fileno()

    def send(self, content: memoryview) -> int:
        """Send as much as there is room for; the number of bytes sent. Raises `OSError`."""
        try:
            return self._socket.send(content)
        except self._again:
            return 0

    def receive(self) -> bytes | None:
        """Bytes that have arrived, empty at its end; None where nothing has. Raises `OSError`."""
        try:
            return self._socket.recv(_CHUNK)
        except self._again:
            return None

    def idle(self) -> bool:
        """True where it is open and silent, as one is that waits for a call."""
        try:
            return self.receive() is None
        except OSError:
            return False

    def wait(self, *, sending: bool, until: float) -> None:
        """Wait until something arrives, or there is room. Raises `TimeoutError` at the time `until`."""
        poll = select.poll()
        poll.register(self, select.POLLIN | (select.POLLOUT if sending else 0))
        if (left := until - perf_counter()) <= 0.0 or not poll.poll(1e3 * left):
            raise TimeoutError

    def close(self) -> None:
        """Close it at once."""
        self._socket.close()


def connect(host: str, port: int, context: SSLContext | None, until: float) -> RemoteConnection:
    """A new connection, made by the time `until` on `time.perf_counter`. Raises `OSError`, `TimeoutError` at that time.

    The addresses of the host are tried one after another. With a `context`, the certificate and its name are verified.
    """
    failed: OSError | None = None
    for family, kind, protocol, _, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
        opened = socket.socket(family, kind, protocol)
        try:
            opened.settimeout(_left(until))
            opened.connect(address)
            opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if context is not None:
                opened.settimeout(_left(until))
                opened = context.wrap_socket(opened, server_hostname=host)
            return RemoteConnection(opened, secure=context is not None)
        except TimeoutError:
            opened.close()
            raise
        except OSError as error:
            opened.close()
            failed = error
    raise failed or OSError("the name has no address")


def _left(until: float) -> float:
    left = until - perf_counter()
    if left <= 0.0:
        raise TimeoutError
    return left
