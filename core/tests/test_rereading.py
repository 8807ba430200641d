"""Configuration of a running service: what it takes over, what needs a restart, and how workers get it."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

from waiting import until

from arbitrank.errors import InputError
from arbitrank.serve.load import LoadCounters
from arbitrank.serve.rereading import FollowedSettings, Rereading, changeable, changed, followed, written
from arbitrank.serve.settings import ServiceLimits, ServiceSettings, Tls

BEFORE = ServiceSettings(tls=Tls(Path("one.pem"), password="secret"), keys="keys", tokens=Path("tokens"))


def test_what_may_change_is_taken_over_and_the_rest_named() -> None:
    now = replace(BEFORE, limits=ServiceLimits(body=9), sample=0.5, tls=Tls(Path("two.pem")), port=1, poll=2.0)
    settings, taken, fixed = changed(BEFORE, now)
    assert (taken, fixed) == (["sample", "limits", "tls"], ["poll", "port"])
    assert (settings.limits.body, settings.tls.certificate, settings.port) == (9, Path("two.pem"), BEFORE.port)
    assert changed(BEFORE, BEFORE) == (BEFORE, [], [])


def test_neither_tls_nor_signatures_begin_or_end() -> None:
    settings, taken, fixed = changed(BEFORE, replace(BEFORE, tls=Tls(), keys=None, tokens=None))
    assert (settings, taken, fixed) == (replace(BEFORE, tokens=None), ["tokens"], ["keys", "tls"])


def test_workers_get_it_without_a_password_and_keep_their_own(tmp_path: Path) -> None:
    assert written(tmp_path) is None
    now = replace(BEFORE, policy=Path("policy.toml"), limits=ServiceLimits(proxies=("10.0.0.7",)), require=("lights",))
    FollowedSettings(changeable(now), "a problem").write(tmp_path)
    assert all(b"secret" not in file.read_bytes() for file in tmp_path.iterdir())
    found = written(tmp_path)
    assert found
    assert (followed(BEFORE, found.settings), found.problem) == (now, "a problem")


def test_limits_hold_from_then_on() -> None:
    load = LoadCounters(ServiceLimits())
    load.limit(ServiceLimits(held=5, client_held=4, connections=3, client_connections=2, waiting=1))
    assert (load.held.whole, load.held.each, load.open.whole, load.open.each, load.limits.waiting) == (5, 4, 3, 2, 1)


def test_it_is_read_once_more_where_that_is_asked_for_meanwhile() -> None:
    go, read = threading.Event(), []

    def reread() -> ServiceSettings:
        read.append(1)
        go.wait(20)
        if len(read) == 2:
            raise InputError("a wrong key")
        return BEFORE

    rereading, results = Rereading(reread), []
    assert rereading.result() is None
    rereading.ask()
    rereading.ask()
    assert rereading.result() is None
    go.set()

    def told() -> bool:
        results.append(rereading.result())
        return results[-1] is not None

    until(told)
    assert (results[-1], len(read)) == ("a wrong key", 2)
    assert rereading.result() is None
