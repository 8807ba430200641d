"""Signals that an operator sends to a service: stops that lose no call, a second one that waits no more, and SIGHUP."""

from __future__ import annotations

import http.client
import json
import shutil
import signal
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import certificates
import fakes
import proxies
import pytest
from services import Service, raw_call
from waiting import until

from arbitrank.serve.auth import make_token
from arbitrank.store.signing import keygen
from arbitrank.store.store import open_store

LOADING = "503 while a service that was started again is loading"
REQUEST = json.dumps({"utterance": "more light"}).encode()


@pytest.fixture
def store(tmp_path: Path) -> Path:
    store = open_store(tmp_path / "store", environment={})
    for name in ("lights", "shades"):
        fakes.artifact(tmp_path / name, name, fakes.CARD, mine=0.6)
        store.publish(tmp_path / name, promote=True)
    return tmp_path / "store"


@contextmanager
def asking(ask: Callable[[Counter[object]], bool], clients: int) -> Iterator[Counter[object]]:
    """Clients that ask until the end of the block, or until one cannot; what became of their calls."""
    done, seen = threading.Event(), Counter[object]()

    def work() -> None:
        while not done.is_set() and ask(seen):
            time.sleep(0.01)

    threads = [threading.Thread(target=work) for _ in range(clients)]
    for thread in threads:
        thread.start()
    try:
        yield seen
    finally:
        done.set()
        for thread in threads:
            thread.join()


def through(path: str) -> Callable[[Counter[object]], bool]:
    """A client's call through a proxy, on a connection of its thread."""
    own = threading.local()

    def ask(seen: Counter[object]) -> bool:
        own.client = getattr(own, "client", None) or proxies.Client(path)
        own.client.request("POST", "/v1/rank", REQUEST, {"content-type": "application/json"})
        reply = own.client.getresponse()
        body = reply.read()
        seen[LOADING if reply.status == 503 and b"not ready" in body else reply.status] += 1
        return True

    return ask


def directly(port: int) -> Callable[[Counter[object]], bool]:
    """A call on a connection of its thread that the client never closes, whatever it is told."""
    own = threading.local()

    def ask(seen: Counter[object]) -> bool:
        own.socket = getattr(own, "socket", None) or socket.create_connection(("127.0.0.1", port), timeout=30)
        try:
            own.socket.sendall(raw_call(REQUEST))
        except OSError:
            return False
        reply = http.client.HTTPResponse(own.socket)
        try:
            reply.begin()
            reply.read()
        except (OSError, http.client.HTTPException) as error:
            seen[type(error)] += 1
            return False
        seen[reply.status, reply.headers["connection"]] += 1
        return True

    return ask


def test_a_rolling_restart_behind_a_proxy_loses_no_call(store: Path, lights_site: Path, tmp_path: Path) -> None:
    with ExitStack() as stack:
        first, second = (stack.enter_context(Service(lights_site, store)) for _ in range(2))
        path = stack.enter_context(proxies.proxy([first.port, second.port]))
        until(lambda: Path(path).exists())
        with asking(through(path), 6) as seen:
            until(lambda: seen[200] > 50)
            assert first.stop() == 0
            again = stack.enter_context(Service(lights_site, store, "--port", str(first.port)))
            before = seen[200]
            until(lambda: seen[200] > before + 50)

            # Clients of the other one that never close a connection find that they cannot send.
            with asking(directly(second.port), 10) as direct:
                until(lambda: direct[200, None] > 50)
                second.process.send_signal(signal.SIGTERM)
                second.process.send_signal(signal.SIGCONT)
                assert second.process.wait(30) == 0
            before = seen[200]
            until(lambda: seen[200] > before + 50)
        assert seen.keys() - {LOADING} == {200}
        assert set(direct) == {(200, None), (200, "close")}
        assert direct[200, "close"] >= 10  # more where a next call had arrived: the connection goes on for that one
        assert [one["unanswered"] for one in (first.event("drained"), second.event("drained"))] == [0, 0]

        # A call that never ends is cut off by a second signal.
        with again.connect() as connection:
            connection.sendall(raw_call(json.dumps([{"utterance": f"wait {tmp_path / 'never'}"}]).encode()))
            until((tmp_path / "never.begun").exists)
            again.process.send_signal(signal.SIGTERM)
            again.event("draining")
            again.process.send_signal(signal.SIGTERM)
            assert again.event("drained")["unanswered"] == 1
            again.process.wait(30)


def test_sighup_reloads_every_file_in_all_workers_and_a_bad_one_is_reported(  # noqa: PLR0915 (one service for all)
    store: Path, lights_site: Path, tmp_path: Path
) -> None:
    policy, tokens, keys = tmp_path / "policy.toml", tmp_path / "tokens", tmp_path / "keys"
    policy.write_text("")
    token, grant = make_token("one", ["rank", "metrics"])
    tokens.write_text(f"{grant}\n")
    tls, trust = certificates.made(tmp_path, "old")
    other, trust_other = certificates.made(tmp_path, "new")
    keys.mkdir()
    keygen(keys / "shades")
    config = tmp_path / "arbitrank.toml"
    config.write_text("[serve]\nlimit-body = 9\n")
    options = (
        "--config",
        config,
        "--policy",
        policy,
        "--tokens",
        tokens,
        "--ssl-certfile",
        tls.certificate,
        "--ssl-keyfile",
        tls.key,
    )
    with Service(lights_site, store, "--workers", "2", "--keys", str(keys), *map(str, options)) as service:
        service.event("ready", 2)

        # A bad file stays out, and is reported; the others are exchanged.
        assert tls.certificate
        assert tls.key
        assert other.certificate
        assert other.key
        tls.key.write_text("no key")
        (keys / "lights.pub").write_text("no key")
        config.write_text("[serve]\nlimit-bodies = 9\n")
        service.process.send_signal(signal.SIGHUP)
        reports = [service.event("reloaded", n, level="error") for n in (1, 2)]
        assert {(one["files"], one["rejected"]) for one in reports} == {(4, 2)}
        assert len({one["worker"] for one in reports}) == 2
        assert "did you mean limit-body?" in service.event("configuration", level="error")["reason"]
        with trust.wrap_socket(service.connect(), server_hostname="localhost") as connection:
            authorized = f"authorization: Bearer {token}"
            connection.sendall(f"GET /readyz HTTP/1.1\r\nhost: localhost\r\n{authorized}\r\n\r\n".encode())
            reply = http.client.HTTPResponse(connection)
            reply.begin()
            problems = json.loads(reply.read())["problems"]
            assert any("no key that can be read" in one for one in problems), problems
            assert any("did you mean limit-body?" in one for one in problems)
            assert any("TLS: the certificate or key cannot be used" in one for one in problems)

            # A connection goes on; new ones get the new certificate.
            shutil.copy(other.key, tls.key)
            shutil.copy(other.certificate, tls.certificate)
            (keys / "lights.pub").unlink()
            keygen(keys / "lights")
            config.write_text("[serve]\nlimit-body = 1000\npoll = 2\n")
            service.process.send_signal(signal.SIGHUP)
            for n in (1, 2):
                assert service.event("reloaded", n, level="info")["files"] == 4
            taken = service.event("configuration", level="warning")
            assert (taken["changed"], taken["needs_restart"]) == (["limits"], ["poll"])
            for _ in range(6):
                trust_other.wrap_socket(service.connect(), server_hostname="localhost").close()
            connection.sendall(raw_call(REQUEST, authorized))
            reply = http.client.HTTPResponse(connection)
            reply.begin()
            assert reply.status == 200

        # The workers notice the end of the supervisor, finish and leave the port.
        workers = {line["worker"] for line in service.lines if line["event"] == "ready"}
        service.process.kill()
        service.event("the supervisor has ended", 2)
        service.event("drained", 2, unanswered=0)
        until(lambda: not any(Path(f"/proc/{one}").exists() for one in workers))
        with pytest.raises(ConnectionRefusedError):
            service.connect()
