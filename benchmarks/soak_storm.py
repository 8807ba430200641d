"""Storm of the soak test: slow clients, lists, lists that are hung up, and floods without a token, all at once."""

from __future__ import annotations

import json
import os
import socket
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection

KINDS = ("slow", "holder", "list", "hung-up", "heads")
_SLOW = 8  # clients that send a byte at a time
_HOLDERS = 8  # connections without a token that hold a body
_HALVES = 50  # connections that send half a head and wait
_PHRASES = ("play dune", "play mary poppins by john williams", "what is on tonight", "read me a book by ada palmer")
_WORDS = "play mary poppins the soundtrack by john williams dune cinderella "


def post(token: str, body: bytes, length: int | None = None) -> bytes:
    """A call as it is sent; with an empty token it has none."""
    bearer = f"authorization: Bearer {token}\r\n" if token else ""
    head = f"POST /v1/rank HTTP/1.1\r\nhost: x\r\n{bearer}content-type: application/json\r\n"
    return f"{head}content-length: {len(body) if length is None else length}\r\n\r\n".encode() + body


class Storm:
    """Threads that each do one kind of harm to the service at `port`, until they are told to end."""

    def __init__(self, port: int, token: str, chosen: Sequence[str]) -> None:
        self.port, self._token = port, token
        self.seen: Counter[str] = Counter()
        self._end = threading.Event()
        self._few = post(token, json.dumps([{"utterance": _PHRASES[i % len(_PHRASES)]} for i in range(100)]).encode())
        self._many = post(token, json.dumps([{"utterance": (_WORDS * 40)[:2_000]}] * 1_000).encode())
        self._long = post("", b"x" * 8_388_600, 8_388_608)
        kinds: dict[str, tuple[Callable[[], str], int, float]] = {
            "slow": (self._slowly, _SLOW, 0.5),
            "holder": (self._held, _HOLDERS, 0.25),
            "list": (self._list, 1, 2.0),
            "hung-up": (self._hung_up, 1, 5.0),
            "heads": (self._halves, 1, 2.0),
        }
        self._threads = [
            threading.Thread(target=self._repeat, args=(kind, one, pause), daemon=True)
            for kind, (one, n, pause) in kinds.items()
            for _ in range(n)
            if kind in chosen
        ]

    def begin(self) -> None:
        for thread in self._threads:
            thread.start()

    def end(self) -> None:
        self._end.set()
        for thread in self._threads:
            thread.join(20)

    def _repeat(self, kind: str, one: Callable[[], str], pause: float) -> None:
        while not self._end.is_set():
            try:
                outcome = one()
            except OSError:
                outcome = "cut"
            self.seen[f"{kind}: {outcome}"] += 1
            self._end.wait(pause)

    def _connection(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=20)

    def _slowly(self) -> str:
        """A call byte by byte, some seconds long; the answer is read byte by byte too."""
        with self._connection() as connection:
            for byte in post(self._token, b'{"utterance":"play dune"}'):
                connection.sendall(bytes([byte]))
                if self._end.wait(0.03):
                    return "ended"
            got = b""
            while b"\r\n\r\n" not in got and (part := connection.recv(1)):
                got += part
            return _status(got)

    def _held(self) -> str:
        """A body of which the last bytes come slowly, as far as the service lets it."""
        with self._connection() as connection:
            connection.sendall(self._long)
            for _ in range(7):
                if self._end.wait(1.2):
                    return "ended"
                connection.sendall(b"x")
            return _status(connection.recv(100))

    def _list(self) -> str:
        with self._connection() as connection:
            connection.sendall(self._few)
            return _status(connection.recv(100))

    def _hung_up(self) -> str:
        with self._connection() as connection:
            connection.sendall(self._many)
        return "sent"

    def _halves(self) -> str:
        connections = []
        try:
            for _ in range(_HALVES):
                connections.append(self._connection())
                connections[-1].sendall(b"POST /v1/rank HTTP/1.1\r\nhost: x\r\ncontent-")
            self._end.wait(3.0)
        finally:
            for connection in connections:
                connection.close()
        return "held"


def _status(got: bytes) -> str:
    return got[9:12].decode() or "cut"


def storm(token: str, chosen: Sequence[str], orders: Connection) -> None:
    """Main function of the storm's process: it begins at the first order; orders are a port, or None to end.

    Its priority is low, since the clients of a service take no processor time of its machine.
    """
    os.nice(10)
    found: Storm | None = None
    orders.send(True)
    while (order := orders.recv()) is not None:
        if found is None:
            found = Storm(order, token, chosen)
            found.begin()
        found.port = order
    if found:
        found.end()
    orders.send(found.seen if found else Counter())
