"""An HTTP server that answers as badly as it is asked to, by raw bytes, and keeps what it was sent."""

from __future__ import annotations

import gzip
import json
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

MEGABYTE = 1 << 20


@dataclass(frozen=True)
class Received:
    """A request as it was on the wire: its first line, its headers in lower case, its body."""

    line: str
    headers: dict[str, str]
    body: bytes

    @property
    def path(self) -> str:
        return self.line.split(" ")[1]

    @property
    def content(self) -> Any:
        return json.loads(self.body)


Behaviour = Callable[[socket.socket, Received], None]
"""The answer to one request, in bytes of its own making."""


@dataclass
class HostileServer:
    """A server of one behaviour at a time. A connection that it still has when it ends is reset."""

    behaviour: Behaviour
    tls: ssl.SSLContext | None = None
    received: list[Received] = field(default_factory=list)
    connections: int = 0
    at_once: int = 0
    most_at_once: int = 0

    def __post_init__(self) -> None:
        self._listening = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = self._listening.getsockname()[1]
        self._lock, self._open = threading.Lock(), set[socket.socket]()
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self) -> str:
        return f"{'http' if self.tls is None else 'https'}://127.0.0.1:{self.port}"

    def close(self) -> None:
        with suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        with self._lock:
            for one in self._open:
                with suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listening.accept()
                self.connections += 1
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, plain: socket.socket) -> None:
        with self._lock:
            self._open.add(plain)
        connection = plain
        try:
            if self.tls is not None:
                connection = self.tls.wrap_socket(plain, server_side=True)
            with closing(connection), connection.makefile("rb") as stream:
                for request in _requests(stream):
                    with self._lock:
                        self.received.append(request)
                        self.at_once += 1
                        self.most_at_once = max(self.most_at_once, self.at_once)
                    try:
                        self.behaviour(connection, request)
                    finally:
                        with self._lock:
                            self.at_once -= 1
        except (OSError, ValueError):  # the client has closed, or the behaviour did
            pass
        finally:
            with self._lock:
                self._open.discard(plain)
            plain.close()


def _requests(stream: Any) -> Iterator[Received]:
    while line := stream.readline().decode("latin-1").strip():
        headers = {}
        while text := stream.readline().decode("latin-1").strip():
            name, _, value = text.partition(":")
            headers[name.lower()] = value.strip()
        yield Received(line, headers, stream.read(int(headers.get("content-length", 0))))


@contextmanager
def hostile(behaviour: Behaviour, tls: ssl.SSLContext | None = None) -> Iterator[HostileServer]:
    """A server that is closed afterwards."""
    server = HostileServer(behaviour, tls)
    try:
        yield server
    finally:
        server.close()


def closed_port() -> int:
    """A port at which nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


# ----------------------------------------------------------------------------------------------------------- behaviours


def response(body: bytes, *headers: str, status: str = "200 OK", kind: str = "application/json") -> bytes:
    """The bytes of a response."""
    lines = [f"HTTP/1.1 {status}", f"content-type: {kind}", f"content-length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


def sends(content: bytes) -> Behaviour:
    """The same bytes to each request."""
    return lambda connection, request: connection.sendall(content)


def reset(connection: socket.socket, request: Received) -> None:
    """Reset the connection once the request is there."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()
    raise ConnectionError


def closes(connection: socket.socket, request: Received) -> None:
    """Close the connection without an answer."""
    raise ConnectionError


def then(content: bytes, after: Behaviour) -> Behaviour:
    """Some bytes, and another behaviour after them."""

    def behave(connection: socket.socket, request: Received) -> None:
        connection.sendall(content)
        after(connection, request)

    return behave


def trickles(head: bytes, piece: bytes, seconds: float = 0.01) -> Behaviour:
    """The head, then the same piece again and again, with a pause before each, as long as the client reads."""

    def behave(connection: socket.socket, request: Received) -> None:
        waiting = threading.Event()  # which nobody sets
        connection.sendall(head)
        while True:
            waiting.wait(seconds)
            connection.sendall(piece)

    return behave


def floods(head: bytes, piece: bytes) -> Behaviour:
    """The head, then the same piece again and again, as fast as the client reads."""

    def behave(connection: socket.socket, request: Received) -> None:
        connection.sendall(head)
        while True:
            connection.sendall(piece)

    return behave


def hangs(connection: socket.socket, request: Received) -> None:
    """No answer: wait until the client closes."""
    while connection.recv(1 << 16):
        pass


def bomb(megabytes: int) -> bytes:
    """A gzip file of so many megabytes of blanks around a JSON object."""
    return gzip.compress(b"{" + b" " * (megabytes * MEGABYTE) + b"}")
