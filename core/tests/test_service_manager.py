"""Notifications to systemd: the states of a service that it started, and nothing where it did not ask."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest
from services import Service

from arbitrank.serve.service_manager import ALIVE, READY, STOPPING, notify
from arbitrank.store.store import open_store


@pytest.mark.parametrize("abstract", [False, True])
def test_a_state_is_one_datagram(tmp_path: Path, abstract: bool) -> None:
    name = f"arbitrank-{os.getpid()}" if abstract else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(f"\0{name}" if abstract else name)
        manager.settimeout(10)
        environment = {"NOTIFY_SOCKET": f"@{name}" if abstract else name}
        notify(ALIVE, environment)  # no watchdog is set
        notify(READY, environment)
        assert manager.recv(100) == b"READY=1"
        notify(ALIVE, {**environment, "WATCHDOG_USEC": "30000000"})
        assert manager.recv(100) == b"WATCHDOG=1"


def test_without_a_manager_or_with_one_that_is_gone_nothing_happens(tmp_path: Path) -> None:
    notify(READY, {})
    notify(READY, {"NOTIFY_SOCKET": str(tmp_path / "none")})


def test_a_service_is_ready_once_it_answers_and_says_that_it_stops(tmp_path: Path, lights_site: Path) -> None:
    open_store(tmp_path / "store", environment={})
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(30)
        with Service(lights_site, tmp_path / "store", wait=False, NOTIFY_SOCKET=str(tmp_path / "notify")) as service:
            assert manager.recv(100).decode() == READY
            assert service.call("GET", "/healthz")[0] == 200
            service.stop()
        assert manager.recv(100).decode() == STOPPING
