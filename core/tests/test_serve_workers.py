"""Workers of a service are supervised: they take connections once loaded, and one that ends or hangs is replaced."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from shutil import which
from sysconfig import get_path
from typing import Any

import fakes
import pytest
from services import Service, answer_on, raw_call

from arbitrank.arbitration.competition import Competition, Term
from arbitrank.arbitration.decide import DecisionSettings
from arbitrank.serve.accepting import Acceptor, CountedConnections
from arbitrank.serve.board import Phase, WorkerBoard
from arbitrank.serve.settings import ServiceSettings, Tls
from arbitrank.serve.supervisor import restart_pause
from arbitrank.serve.worker_place import WorkerStart
from arbitrank.shortlist.shortlister import ShortlistSettings
from arbitrank.store.store import Store, open_store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = open_store(tmp_path / "store", environment={})
    for name in ("lights", "shades"):
        fakes.artifact(tmp_path / name, name, fakes.CARD, mine=0.6)
        store.publish(tmp_path / name, promote=True)
    return store


def started(site: Path, store: Store, *options: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """A service that ends by itself."""
    program = which("arbitrank", path=get_path("scripts"))
    assert program
    return subprocess.run(
        [program, "serve", "--store", str(store), *options],
        env={**os.environ, "PYTHONPATH": str(site), "ARBITRANK_DOMAINS": "lights,shades", **variables},
        check=False, capture_output=True, text=True, timeout=60,
    )  # fmt: skip


def test_a_worker_gets_the_settings_that_the_supervisor_has() -> None:
    """As plain values: no pickle is read by the service."""
    competition = Competition(terms={"lights": Term(0.9, 0.1)}, null=0.5)
    decisions = DecisionSettings(none=0.3, scales={"lights": {"domain_confidence": "0..100"}}, competition=competition)
    stage = ShortlistSettings(3, 0.1, frozenset({"lights"}))
    settings = ServiceSettings(
        log=Path("log"), decisions=decisions, shortlist=stage, payloads=(("rasa", Path("names.toml")),),
        phrases=(Path("de.toml"),), tls=Tls(Path("cert.pem"), password="secret"), isolate=("lights",),
    )  # fmt: skip
    start = WorkerStart(settings, 1, 2, False, 3, 4, 5, 6, Path("folder"))
    assert WorkerStart.decoded(start.encoded()) == start


def gone(pid: int) -> bool:
    """True once a process has ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


REQUEST = {"utterance": "more light"}


def test_workers_that_end_or_hang_are_replaced_and_connections_wait_for_those_that_have_loaded(
    store: Store, lights_site: Path, tmp_path: Path
) -> None:
    with Service(lights_site, Path(str(store)), "--workers", "2", "--hang", "0.5") as service:
        service.event("ready", 2)
        first, second = (line["worker"] for line in service.lines if line["event"] == "ready")

        taken = started(lights_site, store, "--port", str(service.port), "--workers", "2")
        assert taken.returncode == 2
        assert "cannot listen" in taken.stderr

        # One that stands still has taken none of the connections that come, is killed and replaced.
        os.kill(first, signal.SIGSTOP)
        assert {service.rank(REQUEST)[0] for _ in range(5)} == {200}
        hung = service.event("worker hung", process=first)
        assert hung["seconds"] >= 0.5
        assert service.event("worker ended", process=first)["status"] == -signal.SIGKILL
        service.event("ready", 3)
        assert gone(first)

        # So is one in which a domain hangs that lets no other thread run.
        with service.connect() as connection:
            connection.sendall(raw_call(b'{"utterance": "hold 600"}'))
            service.event("worker hung", 2)
            assert answer_on(connection) == (0, b"")
        service.event("ready", 4)

        # A successor that is still loading takes none: they wait, and none is refused.
        fakes.artifact(tmp_path / "slow", "lights", fakes.CARD, mine=0.7, load="wait", file=str(tmp_path / "go"))
        store.publish(tmp_path / "slow", promote=True)
        for line in list(service.lines):
            if line["event"] == "ready" and not gone(line["worker"]):
                os.kill(line["worker"], signal.SIGKILL)
        service.event("worker ended", 4)
        with service.connect() as connection:
            connection.sendall(raw_call(b'{"utterance": "more light"}'))
            (tmp_path / "go").touch()
            assert answer_on(connection)[0] == 200
        assert second
        assert service.stop() == 0
    assert all(gone(line["worker"]) for line in service.lines if line["event"] == "ready")


def test_one_worker_is_supervised_too(store: Store, lights_site: Path) -> None:
    with Service(lights_site, Path(str(store))) as service:
        with service.connect() as connection:
            connection.sendall(raw_call(b'{"utterance": "more light"}'))
            assert answer_on(connection)[0] == 200
            os.kill(service.worker, signal.SIGKILL)
            service.event("worker ended", process=service.worker)
        assert service.rank(REQUEST)[0] == 200
        assert service.event("ready", 2)["worker"] != service.worker


def test_a_service_whose_first_worker_cannot_start_ends(store: Store, lights_site: Path, tmp_path: Path) -> None:
    done = started(lights_site, store, "--port", "0", "--log", str(tmp_path / "lights" / "card.json"))
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("arbitrank: ")
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "uvicorn.py").write_text("import os; os._exit(7)")
    done = started(tmp_path / "broken", store, "--port", "0")
    assert done.returncode == 1
    assert '"event":"not started"' in done.stderr
    assert "ended with status 7" in done.stderr


def test_the_pause_before_a_worker_is_replaced_doubles() -> None:
    assert [restart_pause(n) for n in range(8)] == [0.0, 0.0, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0]


def test_workers_share_connections_evenly_and_one_without_a_heartbeat_is_not_waited_for() -> None:
    class Kept(asyncio.Protocol):
        def __init__(self, connections: set[Any]) -> None:
            self.connections = connections

        def connection_made(self, transport: Any) -> None:
            self.transport = transport
            self.connections.add(self)

    async def tried() -> list[int]:
        board = WorkerBoard(3)
        listening = socket.create_server(("127.0.0.1", 0), backlog=100)
        listening.setblocking(False)
        sets = [CountedConnections(board, number) for number in range(2)]
        acceptors = [
            Acceptor(listening.dup(), lambda one=one: Kept(one), None, 1.0, one, board, number)  # type: ignore[misc]
            for number, one in enumerate(sets)
        ]
        for number in range(3):  # the last one has no connection, and never shows a heartbeat
            board.enter(number, Phase.SERVING)
            if number < 2:
                board.beat(number)
                acceptors[number].start()
        clients = [socket.create_connection(listening.getsockname()) for _ in range(40)]
        while sum(map(len, sets)) < 40:
            for number in range(2):
                board.beat(number)
            await asyncio.sleep(0.001)
        for one in acceptors:
            one.close()
            await one.wait_closed()
        for client in clients:
            client.close()
        for one in sets:
            for connection in list(one):
                connection.transport.abort()
        listening.close()
        return sorted(map(len, sets))

    low, high = asyncio.run(tried())
    assert high - low <= 2


def test_the_board_shows_the_fewest_connections_of_the_others() -> None:
    board = WorkerBoard(3)
    assert board.fewest(0) is None
    for number, connections in ((1, 7), (2, 4)):
        board.enter(number, Phase.SERVING)
        board.connect(number, connections)
    assert board.fewest(0) is None  # without a heartbeat
    board.beat(1)
    assert board.fewest(0) == 7
    board.beat(2)
    assert (board.fewest(0), board.fewest(2), board.serving()) == (4, 7, 2)
    board.enter(2, Phase.STOPPING)
    assert (board.fewest(0), board.serving()) == (7, 1)


ORPHANS = """
import os, time
from arbitrank.serve.orphans import reap_orphans
assert reap_orphans(()) == 0
known = os.fork() or os._exit(0)
os.waitid(os.P_PID, known, os.WEXITED | os.WNOWAIT)
assert reap_orphans({known}) == 0
assert os.waitpid(known, 0)[0] == known
orphan = os.fork() or os._exit(0)
os.waitid(os.P_PID, orphan, os.WEXITED | os.WNOWAIT)
assert (reap_orphans({known}), reap_orphans({known})) == (1, 0)
"""


def test_the_first_process_of_a_container_reaps_the_orphans_of_workers() -> None:
    subprocess.run([sys.executable, "-c", ORPHANS], check=True, timeout=30)
