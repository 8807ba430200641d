"""Honest clients of the soak test: calls at random times over connections that are kept, each answer read and judged.

A call is sent again only where it could not be sent whole, as at a connection that the service has ended meanwhile. A
call that was sent whole and got no answer is broken: lost, unless its connection was that of a worker that the test
itself has killed or stopped, which `soak` finds out by the port.
"""

from __future__ import annotations

import asyncio
import random
import socket
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection

import msgspec

from arbitrank.values import Answer
from benchmarks.soak_service import ENDS, RAISES

_TRIES = 20
_PATIENCE = 15.0  # seconds for an answer, longer than any limit of the service
_FRESH = 256  # connections that are kept idle at most


class Watch:
    """Counts of the answers by outcome, and of the two plugins' statuses."""

    def __init__(self, others: Sequence[str]) -> None:
        self._others = others
        self._decode = msgspec.json.Decoder(Answer).decode
        self.seen: Counter[str] = Counter()
        self.wrong: list[str] = []

    def __call__(self, status: int, body: bytes, head: bytes = b"retry-after:") -> None:
        """Count an answer. One that is turned away says when to ask again."""
        if status in (429, 503) and b"retry-after:" in head:
            self.seen["turned away"] += 1
            return
        reports = self._decode(body).domains if status == 200 else {}
        silent = [name for name in self._others if name not in reports or reports[name].status != "answered"]
        if silent:
            self.seen["failed"] += 1
            self.wrong.append(f"{status}: {body[:300]!r}")
            return
        self.seen["answered"] += 1
        for name in (RAISES, ENDS):
            self.seen[f"{name} {reports[name].status}"] += 1


@dataclass
class Findings:
    """Outcome of the honest calls: seconds of the answered by phase, broken calls as (time, own port, error)."""

    seen: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    latencies: dict[str, list[float]] = field(default_factory=dict)
    broken: list[tuple[float, int, str]] = field(default_factory=list)


class Client:
    """Client with a pool of kept connections to the service whose port is `port` at that time."""

    def __init__(self, port: int, others: Sequence[str]) -> None:
        self.port, self.phase = port, "warm"
        self.findings = Findings()
        self._watch = Watch(others)
        self.findings.seen, self.findings.wrong = self._watch.seen, self._watch.wrong
        self._idle: list[tuple[int, socket.socket]] = []
        self._loop = asyncio.get_running_loop()

    async def ask(self, call: bytes) -> None:
        """Send one call, and judge what comes."""
        began, phase, seen = time.monotonic(), self.phase, self.findings.seen
        for _ in range(_TRIES):
            try:
                to, connection = self._kept() or await self._opened()
            except OSError:
                seen["connected again"] += 1
                await asyncio.sleep(0.05)
                continue
            own = connection.getsockname()[1]
            try:
                await self._loop.sock_sendall(connection, call)
            except OSError:
                seen["sent again"] += 1
                connection.close()
                continue
            try:
                async with asyncio.timeout(_PATIENCE):
                    head, body = await self._answer(connection)
            except (OSError, EOFError) as error:
                self.findings.broken.append((time.monotonic(), own, type(error).__name__))
                connection.close()
                return
            if b"connection: close" in head or len(self._idle) >= _FRESH:
                connection.close()
            else:
                self._idle.append((to, connection))
            self._watch(int(head[9:12]), body, head)
            if head[9:12] == b"200":
                self.findings.latencies.setdefault(phase, []).append(time.monotonic() - began)
            return
        seen["never connected"] += 1

    def _kept(self) -> tuple[int, socket.socket] | None:
        """A kept connection that the service has not ended."""
        while self._idle:
            to, connection = self._idle.pop()
            try:
                connection.recv(1, socket.MSG_PEEK)
            except BlockingIOError:
                return to, connection
            except OSError:
                pass
            connection.close()
        return None

    async def _opened(self) -> tuple[int, socket.socket]:
        to, connection = self.port, socket.socket()
        connection.setblocking(False)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            await self._loop.sock_connect(connection, ("127.0.0.1", to))
        except OSError:
            connection.close()
            raise
        return to, connection

    async def _answer(self, connection: socket.socket) -> tuple[bytes, bytes]:
        """Head, in lower case, and body."""
        got, blank = b"", -1
        while (blank := got.find(b"\r\n\r\n")) < 0:
            got += await self._received(connection)
        head = got[:blank].lower()
        whole = blank + 4 + int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0])
        while len(got) < whole:
            got += await self._received(connection)
        return head, got[blank + 4 :]

    async def _received(self, connection: socket.socket) -> bytes:
        if not (part := await self._loop.sock_recv(connection, 1 << 16)):
            raise EOFError
        return part

    def close(self) -> None:
        """Close the kept connections."""
        for _, connection in self._idle:
            connection.close()


def honest(port: int, calls: Sequence[bytes], others: Sequence[str], rate: float, orders: Connection) -> None:
    """Main function of the clients' process: `rate` calls a second; orders are a phase, a port, or None to end."""
    asyncio.run(_honest(port, calls, others, rate, orders))


async def _honest(port: int, calls: Sequence[bytes], others: Sequence[str], rate: float, orders: Connection) -> None:
    client, draw, ended = Client(port, others), random.Random(0), asyncio.Event()

    def ordered() -> None:
        match orders.recv():
            case str(phase):
                client.phase = phase
            case int(moved):
                client.port = moved
            case _:
                ended.set()

    asyncio.get_running_loop().add_reader(orders.fileno(), ordered)
    orders.send(True)
    tasks: set[asyncio.Task[None]] = set()
    n, due = 0, time.monotonic()
    while not ended.is_set():
        due = max(due + draw.expovariate(rate), time.monotonic() - 0.05)
        await asyncio.sleep(due - time.monotonic())
        task = asyncio.create_task(client.ask(calls[n % len(calls)]))
        tasks.add(task)
        task.add_done_callback(tasks.discard)
        n += 1
    if tasks:
        await asyncio.wait(tasks)
    asyncio.get_running_loop().remove_reader(orders.fileno())
    client.close()
    client.findings.seen["sent"] = n
    orders.send(client.findings)
