"""`/readyz` is 503 while the service should get no requests, names each problem, and shows paths to operators alone."""

from __future__ import annotations

import asyncio
import json
import shutil
import threading
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import fakes
import msgspec
import pytest
from services import Service
from waiting import until

from arbitrank.errors import StoreError
from arbitrank.live.domain_state import DomainStatus
from arbitrank.live.status import LiveStatus
from arbitrank.registry import Disabled, Refused
from arbitrank.serve.auth import Grant, make_token
from arbitrank.serve.board import Phase, WorkerBoard
from arbitrank.serve.readiness import PROBLEMS, UNREADY, detailed, health, problems, refused_with_stable
from arbitrank.serve.service_files import ServiceFiles
from arbitrank.serve.settings import ServiceSettings
from arbitrank.serve.store_calls import StoreCalls
from arbitrank.store.state import State
from arbitrank.store.store import open_store

ANSWERS = DomainStatus("abc", "store", 1, State(stable="abc"), ("abc",), {}, None)
WEIGHTLESS = DomainStatus(None, None, 0, State(), (), {}, "no weights", weightless=True)
REFUSED = DomainStatus(None, None, 1, State(stable="abc"), (), {"abc": "damaged"}, "/srv/store/lights: damaged")
OPEN = msgspec.structs.replace(ANSWERS, breaker="circuit open", skipped=True)
HALF_OPEN = msgspec.structs.replace(ANSWERS, breaker="circuit open, tried again now")


def state(
    domains: dict[str, DomainStatus],
    *,
    silent: float = 0.0,
    found: Any = (),
    board: Any = None,
    unserved: frozenset[str] = frozenset(),
    **settings: Any,
) -> Any:
    """The state of a worker, as far as its readiness depends on it."""
    status = LiveStatus("/srv/store", 0.0, None, 0, domains, 0, 0, 0, silent=silent)
    live = SimpleNamespace(status=lambda: status, remarks=lambda beyond: ())
    return SimpleNamespace(
        problem=None, stopping=False, live=live, files=ServiceFiles(None, None, None, None), configuration_problem=None,
        found=found, board=board, log_status=dict, unserved=unserved,
        settings=replace(ServiceSettings(), **settings), features=SimpleNamespace(notes=dict),
        unread=SimpleNamespace(remarks=()), beyond_bound=(),
    )  # fmt: skip


SOURCE = SimpleNamespace(distribution="arbitrank-lights", version="1")


@pytest.mark.parametrize(
    ("given", "ready", "kinds"),
    [
        (state({"lights": ANSWERS}), True, ()),
        (state({}), False, ("no-domain",)),
        (state({".decisions": ANSWERS}), False, ("no-domain",)),
        (state({"lights": WEIGHTLESS}), False, ("no-domain", "domain")),
        (state({"lights": OPEN}), False, ("no-domain", "circuit")),
        (state({"lights": HALF_OPEN}), True, ()),
        (state({"lights": OPEN, "shades": ANSWERS}), True, ("circuit",)),
        (state({"lights": ANSWERS, "shades": WEIGHTLESS}), True, ("domain",)),
        (state({"lights": ANSWERS, "shades": REFUSED}), False, ("unloaded", "domain")),
        (state({"lights": ANSWERS, ".decisions": REFUSED}), False, ("unloaded", "domain")),
        (state({"lights": ANSWERS}, require=("lights",)), True, ()),
        (state({"lights": ANSWERS}, require=("lights", "shades")), False, ("required",)),
        (state({"lights": ANSWERS, "shades": OPEN}, require=("shades",)), False, ("required", "circuit")),
        (state({"lights": ANSWERS}, silent=9.0), True, ()),
        (state({"lights": ANSWERS}, silent=9.0, store_age=10.0), True, ()),
        (state({"lights": ANSWERS}, silent=11.0, store_age=10.0), False, ("unreachable",)),
        (state({"lights": ANSWERS}, board=WorkerBoard(2), workers=2), True, ("workers",)),
    ],
)
def test_a_worker_is_ready_unless_a_problem_keeps_it_from_answering(
    given: Any, ready: bool, kinds: tuple[str, ...]
) -> None:
    found = health(given)
    assert (found.ready, found.kinds or ()) == (ready, kinds)
    assert ready == UNREADY.isdisjoint(kinds)
    assert set(kinds) <= PROBLEMS.keys()


def test_paths_are_shown_to_operators_alone() -> None:
    given = state({"lights": REFUSED}, found=[Refused("music", SOURCE, "/usr/lib/music.py:3")], silent=9, store_age=1)
    public, full = health(given), health(given, details=True)
    assert public.kinds == full.kinds
    assert "/" not in json.dumps(public.problems)
    assert all(one.startswith(("lights: ", "music: ", "no domain", "the store")) for one in public.problems)
    assert "/srv/store/lights: damaged" in json.dumps(full.problems)
    assert not detailed(None)
    assert [detailed(Grant(frozenset({scope}), "", "x")) for scope in ("rank", "metrics", "admin")] == [
        False, True, True,
    ]  # fmt: skip


def test_the_reason_why_a_required_domain_is_absent_is_told() -> None:
    found = [Refused("music", SOURCE, "no module"), Disabled("books", SOURCE, "not named")]
    given = state({"lights": ANSWERS}, found=found, require=("music", "books", "video"))
    texts = [one.text.rpartition(": ")[2] for one in problems(given) if one.kind == "required"]
    assert texts == ["no module", "not named", "it is not installed"]


def test_a_refused_package_keeps_the_service_from_being_ready_where_its_domain_has_a_stable_version(
    tmp_path: Path,
) -> None:
    store = open_store(tmp_path / "store", environment={})
    fakes.artifact(tmp_path / "music", "music", fakes.CARD, mine=0.6)
    store.publish(tmp_path / "music", promote=True)
    found = [Refused("music", SOURCE, "no module"), Refused("books", SOURCE, "no module")]
    unserved = refused_with_stable(found, store)
    assert unserved == {"music"}
    given = state({"lights": ANSWERS}, found=found, unserved=unserved)
    assert [one.subject for one in problems(given) if one.kind == "unloaded"] == ["music"]
    assert health(given).ready is False
    assert health(state({"lights": ANSWERS}, found=found[1:], unserved=unserved)).ready


def test_workers_that_take_connections_are_counted() -> None:
    board = WorkerBoard(2)
    for number in range(2):
        board.enter(number, Phase.SERVING)
    assert health(state({"lights": ANSWERS}, board=board, workers=2)).kinds is msgspec.UNSET


def test_a_service_reports_why_it_is_not_ready(tmp_path: Path, lights_site: Path) -> None:
    store = open_store(tmp_path / "store", environment={})
    version = fakes.artifact(tmp_path / "lights", "lights", fakes.CARD, mine=0.6)
    store.publish(tmp_path / "lights", promote=True)
    secret, grant = make_token("operator", ["metrics"])
    (tmp_path / "tokens").write_text(f"{grant}\n")
    damaged = tmp_path / "store" / "lights" / version
    shutil.move(damaged / "card.json", tmp_path / "card.json")
    options = ("--tokens", str(tmp_path / "tokens"), "--poll", "0.05", "--store-age", "0.5", "--require", "lights")
    with Service(lights_site, tmp_path / "store", *options) as service:

        def asked(token: str | None = None) -> tuple[int, Any]:
            return service.call("GET", "/readyz", token=token)[:2]

        status, public = asked()
        assert (status, public["ready"]) == (503, False)
        assert {"no-domain", "required", "unloaded", "domain"} <= set(public["kinds"])
        assert str(tmp_path) not in json.dumps(public)
        assert str(tmp_path) in json.dumps(asked(secret)[1])
        assert service.event("readiness")["ready"] is False

        shutil.move(tmp_path / "card.json", damaged / "card.json")  # tried again by itself
        until(lambda: asked()[0] == 200)
        assert service.event("readiness", ready=True)

        (tmp_path / "store").rename(tmp_path / "away")
        until(lambda: asked()[0] == 503)
        assert "unreachable" in asked()[1]["kinds"]
        until(lambda: 'arbitrank_problem{kind="unreachable"' in service.call("GET", "/metrics", token=secret)[1])
        (tmp_path / "away").rename(tmp_path / "store")
        until(lambda: asked()[0] == 200)


def test_calls_of_a_store_that_hangs_are_answered_and_bounded() -> None:
    async def tried() -> None:
        released, calls = threading.Event(), StoreCalls(seconds=0.02, most=2)
        for _ in range(2):
            with pytest.raises(StoreError, match="has not answered"):
                await calls(released.wait)
        with pytest.raises(StoreError, match="2 calls wait"):
            await calls(int)
        released.set()
        while calls._running:
            await asyncio.sleep(0.001)
        assert await calls(int, "5") == 5
        with pytest.raises(ValueError, match="invalid literal"):
            await calls(int, "x")

    asyncio.run(tried())
