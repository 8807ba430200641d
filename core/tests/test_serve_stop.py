"""Everything that arrived before a worker stops is answered, and each client learns of its connection's end."""

from __future__ import annotations

import http.client
import os
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import certificates
import pytest
from services import answer_on
from waiting import until

from arbitrank.serve import ending, sockets
from arbitrank.serve import server as server_module
from arbitrank.serve.answerer import Answerer
from arbitrank.serve.board import WorkerBoard
from arbitrank.serve.server import worker_server
from arbitrank.serve.settings import ServiceLimits, ServiceSettings, Tls
from arbitrank.serve.worker_place import WorkerPlace, WorkerStart
from arbitrank.values import Request

GET = b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n"


def rank(path: str = "/v1/rank", body: bytes = b'{"hypotheses": []}', *headers: str) -> bytes:
    lines = [f"POST {path} HTTP/1.1", "host: localhost", "content-type: application/json", *headers]
    return "\r\n".join([*lines, f"content-length: {len(body)}", "", ""]).encode() + body


class Worker:
    """A worker of a service without domains, in a thread of this process; its events are in `lines`.

    Rank calls wait for `go` once `hold` is called.
    """

    def __init__(self, folder: Path, *, tls: Tls = Tls(), drain: float = 0.0, seconds: float = 10.0) -> None:
        listening = socket.create_server(("127.0.0.1", 0), backlog=100)
        listening.setblocking(False)
        self.port, self._board = listening.getsockname()[1], WorkerBoard(1)
        lifeline, self.lifeline = os.pipe()
        received, reports = os.pipe()
        settings = ServiceSettings(
            store=str(folder / "store"), drain=drain, tls=tls, limits=ServiceLimits(seconds=seconds)
        )
        start = WorkerStart(
            settings, 0, 1, True, listening.detach(), self._board.descriptor, lifeline, reports, folder
        )  # fmt: skip
        self.server = worker_server(settings, WorkerPlace(start))
        self.lines: list[dict[str, Any]] = []
        self.server.app.state.events.write = self._write  # type: ignore[method-assign]
        self.begun, self.go = threading.Semaphore(0), threading.Event()
        self.thread = threading.Thread(target=self.server.run, daemon=True)
        self.thread.start()
        assert os.read(received, 100)  # it has loaded
        for one in (received, reports):
            os.close(one)

    def _write(self, event: str, level: str = "info", **fields: Any) -> None:
        self.lines.append({"event": event, "level": level, **fields})

    def hold(self) -> None:
        """Hold the answers of tasks until `go` is set."""
        ranked, app = self.server.app._ranked, self.server.app

        async def held(scope: Any, body: bytes, receive: Any) -> bytes:
            self.begun.release()
            while not self.go.is_set():
                await server_module.asyncio.sleep(0.001)
            return await ranked(scope, body, receive)

        app._ranked = held  # type: ignore[method-assign]
        app._ranked_now = lambda scope, body, answered: None  # type: ignore[method-assign]

    def hold_thread(self) -> None:
        """Have a thread answer, as with domains in worker processes, and hold it until `go` is set."""
        state = self.server.app.state
        state.pool, steps = ThreadPoolExecutor(1), state.answerer

        def held() -> Answerer:
            arbitrate, record = steps()

            def waits(request: Request) -> Any:
                self.begun.release()
                assert self.go.wait(20)
                return arbitrate(request)

            return Answerer(waits, record)

        state.answerer = held  # type: ignore[method-assign]

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=20)

    def stop(self) -> None:
        """Begin the stop as the supervisor has it begin."""
        self._board.close()
        self.server.handle_exit()

    def end(self) -> dict[str, Any]:
        """Wait for the end; the event that reports it."""
        self.thread.join(20)
        assert not self.thread.is_alive()
        return next(line for line in self.lines if line["event"] == "drained")


@pytest.fixture
def started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A function that starts a worker."""
    monkeypatch.setenv("ARBITRANK_DOMAINS", "")
    monkeypatch.setattr(server_module, "_IDLE", 0.2)
    monkeypatch.setattr(ending, "_AT_ONCE", 30.0)  # the clients are threads of this process
    workers = []

    def start(**options: Any) -> Worker:
        workers.append(Worker(tmp_path, **options))
        return workers[-1]

    yield start
    for worker in workers:
        worker.go.set()
        worker.stop()
        worker.thread.join(20)
        os.close(worker.lifeline)


def answered(connection: socket.socket) -> tuple[int, str | None]:
    """Status and `Connection` of the next answer, read no further than its end."""
    reply = http.client.HTTPResponse(connection)
    reply.begin()
    reply.read()
    return reply.status, reply.headers["connection"]


def all_answers(connection: socket.socket) -> list[tuple[int, str | None]]:
    """Status and `Connection` of all answers until the end of the connection."""
    found = []
    with connection.makefile("rb") as stream:
        while line := stream.readline():
            headers = http.client.parse_headers(stream)
            stream.read(int(headers["content-length"]))
            found.append((int(line.split()[1]), headers["connection"]))
    return found


def cannot_send(connection: socket.socket) -> bool:
    try:
        connection.sendall(b"x")
    except OSError:
        return True
    return False


def test_an_answer_while_draining_ends_its_connection_and_the_client_cannot_send_on(started) -> None:
    worker = started()
    calls = ((GET, 200), (rank(), 200), (rank("/none"), 404), (GET.replace(b"healthz", b"readyz"), 503))
    connections = [(worker.connect(), *call) for call in calls]
    for connection, call, _ in connections:
        connection.sendall(call)
        assert answered(connection)[1] is None
    worker.stop()
    for connection, call, status in connections:
        connection.sendall(call)
        assert answered(connection) == (status, "close")
        assert connection.recv(1) == b""
        until(partial(cannot_send, connection))
    assert worker.end() == {"event": "drained", "level": "info", "answered": 4, "unanswered": 0, "arriving": 0}


def test_a_call_that_a_client_sends_although_its_connection_is_to_end_is_answered(
    started, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = started()
    connection: socket.socket = worker.connect()
    connection.sendall(GET)
    answered(connection)
    send_now, calls = sockets.send_now, [rank(), GET[:-1]]

    def crossing(transport: Any, data: bytes) -> bytes:
        rest = send_now(transport, data)
        if calls:  # before the connection's end follows
            connection.sendall(calls[-1])
            calls.pop()
        return rest

    monkeypatch.setattr(sockets, "send_now", crossing)
    worker.stop()
    connection.sendall(GET)
    until(lambda: len(calls) == 1)
    connection.sendall(GET[-1:])
    assert all_answers(connection) == 3 * [(200, "close")]
    assert cannot_send(connection)
    assert worker.end()["unanswered"] == 0


def test_a_connection_goes_on_where_its_last_answer_was_held_up(started, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ending, "_AT_ONCE", 0.0)
    worker = started()
    connection: socket.socket = worker.connect()
    worker.stop()
    for _ in range(2):
        connection.sendall(GET)
        assert answered(connection) == (200, "close")
    assert connection.recv(1) == b""  # once it was idle for a while
    assert worker.end()["answered"] == 2


@pytest.mark.parametrize(("encrypted", "thread"), [(False, False), (True, False), (False, True)])
def test_pipelined_calls_are_answered_and_the_last_answer_ends_the_connection(
    started, encrypted: bool, thread: bool, tmp_path: Path
) -> None:
    tls, trust = certificates.made(tmp_path, "one") if encrypted else (Tls(), None)
    worker = started(tls=tls)
    connection: socket.socket = worker.connect()
    if trust is not None:
        connection = trust.wrap_socket(connection, server_hostname="localhost")
    connection.sendall(GET)
    answered(connection)
    (worker.hold_thread if thread else worker.hold)()
    connection.sendall(rank() + rank("/none") + GET)
    assert worker.begun.acquire(timeout=20)
    worker.stop()
    connection.sendall(GET.replace(b"healthz", b"none") + rank())  # arrive while the first is being answered
    until(lambda: worker.server.should_exit)
    worker.go.set()
    assert all_answers(connection) == [(200, None), (404, None), (200, None), (404, None), (200, "close")]
    assert worker.end()["unanswered"] == 0


def test_a_call_that_arrives_byte_by_byte_during_the_stop_is_answered_and_one_that_never_ends_refused(started) -> None:
    worker = started(seconds=1.0)
    slow, stuck = worker.connect(), worker.connect()
    call = rank()
    slow.sendall(call[:10])
    stuck.sendall(call[:-1])
    worker.stop()
    for byte in call[10:]:
        slow.sendall(bytes([byte]))
    assert answered(slow) == (200, "close")
    assert all_answers(stuck) == [(408, "close")]
    assert worker.end()["unanswered"] == 0


def test_connections_that_nobody_accepted_yet_are_answered(started) -> None:
    worker = started()
    reached = threading.Event()
    loop = worker.server.servers[0]._loop

    def block() -> None:
        reached.set()
        worker.go.wait()

    loop.call_soon_threadsafe(block)
    assert reached.wait(20)
    connections = [worker.connect() for _ in range(50)]
    worker.stop()
    for connection in connections:
        connection.sendall(GET)
    worker.go.set()
    assert {answered(connection) for connection in connections} == {(200, "close")}
    assert worker.end()["answered"] == 50
    with pytest.raises(ConnectionRefusedError):
        worker.connect()


def test_connections_are_taken_while_draining_and_idle_ones_are_closed_in_the_end(started) -> None:
    worker = started(drain=0.3)
    used, unused = worker.connect(), worker.connect()
    used.sendall(GET)
    assert answered(used) == (200, None)
    worker.stop()
    with worker.connect() as late:
        late.sendall(GET.replace(b"healthz", b"readyz"))
        assert answered(late) == (503, "close")
    for connection in (used, unused):
        assert connection.recv(1) == b""  # not before it was idle for a while
        until(partial(cannot_send, connection))
    assert worker.end()["answered"] == 1


def test_a_handshake_that_has_begun_is_finished_and_its_call_answered(started, tmp_path: Path) -> None:
    tls, trust = certificates.made(tmp_path, "one")
    worker = started(tls=tls)
    connection = worker.connect()
    until(lambda: worker.server.servers[0]._opening)
    worker.stop()
    until(lambda: worker.server.should_exit)
    with trust.wrap_socket(connection, server_hostname="localhost") as encrypted:
        encrypted.sendall(rank())
        assert answered(encrypted) == (200, "close")
        assert encrypted.recv(1) == b""
    assert worker.end()["answered"] == 1


def test_calls_that_take_too_long_are_reported_and_cut_off(started, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "GRACE", 0.3)
    worker = started()
    worker.hold()
    running, arriving = worker.connect(), worker.connect()
    running.sendall(rank() + rank())
    arriving.sendall(rank()[:-1])
    assert worker.begun.acquire(timeout=20)
    worker.stop()
    ended = worker.end()
    assert (ended["level"], ended["unanswered"], ended["arriving"]) == ("error", 2, 1)
    assert answer_on(running) == (0, b"")


def test_the_end_of_the_supervisor_drains_its_workers(started) -> None:
    worker = started()
    os.close(worker.lifeline)
    worker.lifeline = os.open(os.devnull, os.O_RDONLY)
    worker.thread.join(20)
    assert [line["event"] for line in worker.lines][-4:-1] == ["the supervisor has ended", "draining", "drained"]
