"""Client of one remote: its open connections, its token, and the number of calls that are with it."""

from __future__ import annotations

import threading
from functools import cached_property
from time import perf_counter
from typing import TYPE_CHECKING
from urllib.parse import quote

from arbitrank.errors import InputError, os_errors
from arbitrank.remote.connection import RemoteConnection, connect
from arbitrank.remote.exchange import Exchange
from arbitrank.remote_entry import RemoteEntry

if TYPE_CHECKING:
    from ssl import SSLContext

__all__ = ["Client"]

_PORTS = {"http": 80, "https": 443}
_AGAIN = 1.0  # seconds after which a token is read again


class Client:
    """Calls one remote, by its entry. Safe to use from any thread.

    Making it raises `InputError` where its certificates or its token cannot be read.
    """

    def __init__(self, entry: RemoteEntry) -> None:
        self.entry = entry
        parts = entry.parts
        self._host, self._port = parts.hostname or "", parts.port or _PORTS[parts.scheme]
        self._secure = parts.scheme == "https"
        self._lock = threading.Lock()
        self._open: list[RemoteConnection] = []
        self._calls = 0
        self._headers, self._read_at = self._made_headers(), perf_counter()
        if entry.ca_file is not None:
            _ = self._context

    def begin(self, method: str, target: str, body: bytes | None, began: float, until: float, limit: int) -> Exchange:
        """Begin a call, whose reply may have `limit` bytes. Raises `InputError` where the token cannot be read now."""
        if self.entry.token_file is not None and began > self._read_at + _AGAIN:  # it may have been exchanged
            self._headers, self._read_at = self._made_headers(), began
        head = f"{method} {target} HTTP/1.1\r\n{self._headers}"
        if body is not None:
            head += f"content-type: application/json\r\ncontent-length: {len(body)}\r\n"
        return Exchange(self, f"{head}\r\n".encode("latin-1") + (body or b""), began, until, limit)

    def path(self, route: str = "") -> str:
        """The target of a route below its URL."""
        return quote(self.entry.parts.path, safe="/%:@!$&'()*+,;=~").rstrip("/") + route if route else self._whole

    @property
    def _whole(self) -> str:
        return quote(self.entry.parts.path, safe="/%:@!$&'()*+,;=~") or "/"

    def _made_headers(self) -> str:
        """The headers of every call, with the token as it is now. Raises `InputError` where that cannot be read."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        port = "" if self._port == _PORTS[self.entry.parts.scheme] else f":{self._port}"
        found = f"host: {host}{port}\r\nuser-agent: arbitrank\r\n"
        found += "accept: application/json\r\naccept-encoding: identity\r\n"
        if (token := self.entry.token()) is not None:
            header = self.entry.token_header
            found += f"{header}: {token}\r\n" if header else f"authorization: Bearer {token}\r\n"
        return found

    # ----------------------------------------------------------------------------------------- for exchanges alone

    def enter(self) -> bool:
        """Count a call; False where as many as the entry allows are with the remote. Else `leave` has to follow."""
        with self._lock:
            if self._calls >= self.entry.connections:
                return False
            self._calls += 1
            return True

    def leave(self) -> None:
        """Count the end of a call."""
        with self._lock:
            self._calls -= 1

    def open_connection(self) -> RemoteConnection | None:
        """A connection that is open and waits for a call; None without one."""
        while True:
            with self._lock:
                if not self._open:
                    return None
                connection = self._open.pop()
            if connection.idle():
                return connection
            connection.close()

    def give_back(self, connection: RemoteConnection, *, reusable: bool) -> None:
        """Keep a connection for another call where that is possible, else close it."""
        if not reusable:
            connection.close()
            return
        with self._lock:
            oldest = self._open.pop(0) if self._open and not self._open[0].idle() else None
            self._open.append(connection)
        if oldest is not None:  # which the other side has closed, and nobody needed since
            oldest.close()

    def connect(self, until: float) -> RemoteConnection:
        """A new connection. Raises `OSError`, `TimeoutError` at the time `until`."""
        return connect(self._host, self._port, self._context if self._secure else None, until)

    @cached_property
    def _context(self) -> SSLContext:
        """Verification of certificates and names, which nothing turns off. Raises `InputError`."""
        import ssl  # here, as it takes longer to load than many a command

        where = f"ca_file: {self.entry.ca_file}: cannot be read as certificates in PEM"
        with os_errors(InputError, where):
            return ssl.create_default_context(cafile=self.entry.ca_file)
