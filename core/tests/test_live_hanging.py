"""A store that hangs, or that lacks a file for a while, stops nothing else, and is followed again by itself."""

from __future__ import annotations

import threading
from functools import partial
from pathlib import Path
from typing import Any

import fakes
import pytest
from waiting import until

from arbitrank.domain import Domain
from arbitrank.live import domain_state
from arbitrank.live.live import Live
from arbitrank.live.patience import MOST, Patience
from arbitrank.store.store import Store, open_store


class World:
    """A store with two versions of each domain, the first one stable, and a process that follows it."""

    def __init__(self, folder: Path, domains: dict[str, Domain]) -> None:
        self.store: Store = open_store(folder / "store", environment={})
        self.root, self.versions = folder / "store", {}
        for name in domains:
            for number in range(2):
                work = folder / f"{name}{number}"
                self.versions[name, number] = fakes.artifact(work, name, intent=f"intent{number}", mine=0.6)
                self.store.publish(work, promote=number == 0)
        self.live = Live(domains, open_store(self.root, environment={}), selftest=lambda folder, name: None)
        self.follower = self.live._follower
        self.follower._reads = self.follower._reads[0], 0.5

    def promote(self, name: str, number: int = 1) -> None:
        self.store.promote(name, self.versions[name, number])

    def serves(self, name: str) -> int | None:
        version = self.live.status().domains[name].version
        return next((number for (_, number), one in self.versions.items() if one == version), None)


@pytest.fixture
def world(tmp_path: Path, domains: dict[str, Domain]) -> World:
    return World(tmp_path, domains)


def hanging(call: Any, when: Any) -> tuple[Any, threading.Event]:
    """A function that waits for an event in place of some calls, then makes them."""
    released = threading.Event()

    def called(*arguments: Any) -> Any:
        if when(*arguments):
            released.wait()
        return call(*arguments)

    return called, released


def test_one_state_that_hangs_stops_the_following_of_no_other(world: World) -> None:
    live = world.live
    live.look()
    live.store.state, released = hanging(live.store.state, lambda name: name == "lights")  # type: ignore[method-assign]
    for name in ("lights", "shades"):
        world.promote(name)
    live.look()
    assert (world.serves("lights"), world.serves("shades")) == (0, 1)
    assert "hangs" in (live.status().domains["lights"].problem or "")
    asked = threading.active_count()
    world.promote("shades", 0)
    live.look()
    assert world.serves("shades") == 0
    assert threading.active_count() == asked  # it is not asked for again
    status = live.status()
    assert status.age is not None
    assert status.silent < status.age
    released.set()
    until(lambda: world.follower._reads[0].since("lights") is None)
    live.look()
    assert (world.serves("lights"), live.status().problem) == (1, None)


def test_a_store_that_hangs_from_the_start_is_reported_and_followed_later(world: World) -> None:
    live = world.live
    live.store.state, released = hanging(live.store.state, lambda name: True)  # type: ignore[method-assign]
    live.look()
    status = live.status()
    assert status.age is None
    assert "store" in (status.problem or "")
    assert all("store" in (one.problem or "") for one in status.domains.values())
    assert world.follower.unanswered == 1
    silent = status.silent
    live.look()
    assert live.status().silent > silent
    released.set()
    until(lambda: (live.look(), live.status().problem is None)[1])
    assert (world.serves("lights"), live.status().age is None) == (0, False)


def test_a_version_that_hangs_while_it_is_fetched_keeps_no_other_from_being_loaded(world: World) -> None:
    live = world.live
    live.look()
    world.follower._loads = world.follower._loads[0], 0.5
    slow = world.versions["lights", 1]
    live.store.fetch, released = hanging(live.store.fetch, lambda name, version: version == slow)  # type: ignore[method-assign]
    for name in ("lights", "shades"):
        world.promote(name)
    live.look()
    until(lambda: world.serves("shades") == 1)
    assert world.serves("lights") == 0
    released.set()
    until(lambda: world.serves("lights") == 1)


def test_a_version_with_a_missing_file_is_tried_again_ever_more_seldom_until_it_loads(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    live, now = world.live, [0.0]
    monkeypatch.setattr(domain_state, "monotonic", lambda: now[0])
    live.look()
    file = world.root / "lights" / world.versions["lights", 1] / "card.json"
    away = file.with_name("away")
    world.promote("lights")
    file.rename(world.root / "away")
    tried = []
    fetch = live.store.fetch
    live.store.fetch = lambda name, version: (tried.append(now[0]), fetch(name, version))[1]  # type: ignore[method-assign,func-returns-value]
    while now[0] < 30.0:
        live.look()
        now[0] += 0.5
    assert tried == [0.0, 1.0, 3.0, 7.0, 15.0]
    assert "missing" in (live.status().domains["lights"].problem or "")
    assert not away.exists()
    (world.root / "away").rename(file)
    live.look()
    assert world.serves("lights") == 0
    now[0] = 31.0
    live.look()
    assert (world.serves("lights"), live.status().domains["lights"].refused) == (1, {})


def test_a_version_with_damaged_content_is_not_tried_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    live, now = world.live, [0.0]
    monkeypatch.setattr(domain_state, "monotonic", lambda: now[0])
    live.look()
    world.promote("lights")
    (world.root / "lights" / world.versions["lights", 1] / "card.json").write_text("{ }")
    live.look()
    assert "SHA-256" in (live.status().domains["lights"].problem or "")
    now[0] = 1e6
    assert live._follower.states["lights"].missing("stable") is None


@pytest.mark.parametrize("hangs", ["", "-", "h", "h-h-", "-hh-"])
def test_each_call_that_does_not_hang_is_made_unless_two_before_it_hang_in_a_row(hangs: str) -> None:
    patience, released = Patience("test", threading.Event()), threading.Event()
    made: list[int] = []

    def call(number: int) -> None:
        if hangs[number] == "h":
            released.wait()
        made.append(number)

    patience.run({number: partial(call, number) for number in range(len(hangs))}, 0.5)
    given_up = hangs.find("hh") + 1 if "hh" in hangs else len(hangs)
    assert made == [n for n in range(given_up) if hangs[n] == "-"]
    assert all(patience.since(n) is not None for n in range(given_up) if hangs[n] == "h")
    released.set()
    until(lambda: not any(patience.since(n) for n in range(len(hangs))))


def test_of_calls_that_hang_there_are_never_more_than_a_few() -> None:
    patience, released = Patience("test", threading.Event()), threading.Event()
    for first in range(0, 4 * MOST, 2):
        patience.run({first + n: released.wait for n in range(2)}, 0.001)  # type: ignore[misc]
    assert patience.full
    assert sum(patience.since(n) is not None for n in range(8 * MOST)) == MOST
    released.set()
    until(lambda: not patience.full)
