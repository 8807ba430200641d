"""Following the store: its stable versions answer within a polling interval, whatever happens, and none are mixed."""

from __future__ import annotations

import bisect
import itertools
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import fakes
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from waiting import until

from arbitrank.answerlog.reader import read_log
from arbitrank.answerlog.segments import segments
from arbitrank.answerlog.settings import LogSettings
from arbitrank.answerlog.shadow_lines import ShadowLine
from arbitrank.answerlog.writer import AnswerLog
from arbitrank.arbitration.decide import DecisionSettings
from arbitrank.domain import CONTRACT, Domain
from arbitrank.errors import StoreError
from arbitrank.live.live import Live
from arbitrank.live.routing import draw, draw_key
from arbitrank.selftest import SelfTester
from arbitrank.store.artifact import MANIFEST, encode_manifest, read_manifest, version_of
from arbitrank.store.signing import Keys, keygen, open_key
from arbitrank.store.state import State
from arbitrank.store.store import Store, open_store
from arbitrank.values import Answer, Request, Slot, Truth
from arbitrank.wire.requests import Logged, decode_logged


@pytest.fixture(scope="module")
def trial() -> Iterator[SelfTester]:
    """One process that self-tests the versions of all tests here."""
    one = SelfTester(timeout=10)
    yield one
    one.close()


def artifact(folder: Path, number: int = 0, load: str = "", domain: str = "lights", **more: str) -> str:
    """An artifact whose model reads every request as `intentN` and claims `claim(N)`; its version."""
    return fakes.artifact(folder, domain, intent=f"intent{number}", mine=claim(number), load=load, **more)


def claim(number: int) -> float:
    return 0.6 + number / 100


def opened(root: Path, keys: Keys | None = None) -> Store:
    return open_store(root, keys, environment={})


class World:
    """A store with both domains' versions, `versions[n]` being the one that claims `claim(n)`, 0 stable."""

    def __init__(self, folder: Path, domains: dict[str, Domain], trial: SelfTester, n: int = 2) -> None:
        self.folder, self.root, self.domains, self.trial = folder, folder / "store", domains, trial
        self.store = opened(self.root)
        self.versions = [artifact(folder / f"v{number}", number) for number in range(n)]
        self.numbers = {version: number for number, version in enumerate(self.versions)}
        for number in reversed(range(n)):
            self.store.publish(folder / f"v{number}", promote=True)
        artifact(folder / "shades", domain="shades")
        self.store.publish(folder / "shades", promote=True)

    def live(self, **options: object) -> Live:
        return Live(self.domains, opened(self.root), **{"selftest": self.trial, **options})  # type: ignore[arg-type]

    def promote(self, number: int) -> None:
        self.store.promote("lights", self.versions[number])

    def add(self, load: str, number: int = 9, **more: str) -> str:
        """Promote a version that does something when it is loaded."""
        folder = self.folder / f"{load} {number}"
        version = artifact(folder, number, load, **more)
        self.store.publish(folder, promote=True)
        return version


@pytest.fixture
def world(tmp_path: Path, domains: dict[str, Domain], trial: SelfTester) -> World:
    return World(tmp_path, domains, trial)


def compare(live: Live) -> None:
    """Make the shadow answers that are due."""
    live._shadow.start()
    live._shadow.stop(30)


HELLO = Request(id="1", utterance="more light")


def version_in(answer: Answer, name: str = "lights") -> str | None:
    return answer.domains[name].version


def answering_version(world: World, answer: Answer) -> str:
    """The version that answered; its intent, claim and name all have to be that version's."""
    report = answer.domains["lights"]
    assert report.status == "answered", report.reason
    (entry,) = [entry for entry in answer.ranked if entry.domain == "lights"]
    assert entry.version == report.version
    number = world.numbers[entry.version or ""]
    assert (entry.intent, entry.domain_probability) == (f"intent{number}", claim(number))
    return entry.version or ""


# ------------------------------------------------------------------------------------------------------------ hot swap


def test_before_it_starts_no_domain_answers_and_afterwards_the_stable_versions_do(world: World) -> None:
    live = world.live()
    assert live.answer(HELLO).domains["lights"].reason == "the store was not looked at yet"
    with live:
        assert answering_version(world, live.answer(HELLO)) == world.versions[0]
        assert live.status().domains["lights"].origin == "store"


def test_a_promotion_and_a_rollback_take_effect_with_the_next_look(world: World) -> None:
    live = world.live()
    live.look()
    world.promote(1)
    assert version_in(live.answer(HELLO)) == world.versions[0]
    live.look()
    assert answering_version(world, live.answer(HELLO)) == world.versions[1]
    world.store.rollback("lights")
    live.look()
    assert answering_version(world, live.answer(HELLO)) == world.versions[0]


def test_a_rollback_needs_neither_the_plugins_code_nor_the_versions_files(world: World) -> None:
    live = world.live()
    live.look()
    world.store.rollback("lights")
    shutil.rmtree(world.root / "lights" / world.versions[1])
    world.domains = {}
    live._domains = {}  # whatever is loaded now fails
    live.look()
    assert answering_version(world, live.answer(HELLO)) == world.versions[1]


def test_a_first_version_is_rolled_back_to_the_package_without_its_code(world: World, tmp_path: Path) -> None:
    shipped = artifact(tmp_path / "shipped", 5)
    world.numbers[shipped] = 5
    lights = world.domains["lights"]

    class Shipping(type(lights)):  # type: ignore[misc]
        shipped = tmp_path / "shipped"

    number, state = world.store.state("lights")
    world.store.change("lights", "promote", State(stable=state.stable), number)
    live = Live({"lights": Shipping("lights")}, opened(world.root), selftest=world.trial)
    live.look()
    assert answering_version(world, live.answer(HELLO)) == world.versions[0]
    live._domains = {}  # whatever is loaded now fails
    world.store.rollback("lights", to_package=True)
    live.look()
    assert answering_version(world, live.answer(HELLO)) == shipped
    world.store.rollback("lights")
    live.look()
    assert answering_version(world, live.answer(HELLO)) == world.versions[0]


def test_a_long_call_is_answered_by_the_same_versions_to_its_end(world: World) -> None:
    live = world.live()
    live.look()

    held = live.held()
    world.promote(1)
    live.look()
    assert version_in(held(HELLO).answer) == world.versions[0]
    assert version_in(live.answer(HELLO)) == world.versions[1]


def test_a_temperature_is_followed_too(world: World) -> None:
    live = world.live()
    live.look()
    number, state = world.store.state("lights")
    world.store.change("lights", "shrink", msgspec.structs.replace(state, temperature=2.0), number)
    live.look()
    answer = live.answer(HELLO)
    assert answer.domains["lights"].shrunk == 2.0
    assert next(r for r in answer.ranked if r.domain == "lights").domain_probability < claim(0)


class Timeline:
    """The stable versions in time: each change happened at some moment between its two times."""

    def __init__(self, version: str) -> None:
        self.changes = [(0.0, 0.0, version)]

    def note(self, change: Callable[[], object], store: Store) -> None:
        began = time.monotonic()
        change()
        _, state = store.state("lights")
        self.changes.append((began, time.monotonic(), state.stable or ""))

    def was_stable(self, version: str, since: float, until: float) -> bool:
        ends = [done for _, done, _ in self.changes[1:]] + [float("inf")]
        return any(
            name == version and began <= until and end >= since
            for (began, _, name), end in zip(self.changes, ends, strict=True)
        )


class Load:
    """Threads that send requests as fast as they can, and their answers: from when, until when, by which version."""

    def __init__(self, world: World, live: Live, threads: int = 2) -> None:
        self.world, self.live = world, live
        self.answered: list[tuple[float, float, str]] = []
        self.failures: list[BaseException] = []
        self.done = threading.Event()
        self.threads = [threading.Thread(target=self.ask) for _ in range(threads)]

    def ask(self) -> None:
        try:
            while not self.done.is_set():
                began = time.monotonic()
                version = answering_version(self.world, self.live.answer(HELLO))
                self.answered.append((began, time.monotonic(), version))
        except BaseException as error:
            self.failures.append(error)

    def __enter__(self) -> Load:
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.done.set()
        for thread in self.threads:
            thread.join()


def change(world: World, rng: random.Random) -> Callable[[], object]:
    """A promotion of some version, or a rollback."""
    if rng.random() < 0.4:
        return lambda: world.store.rollback("lights")
    number = rng.randrange(len(world.versions))
    return lambda: world.promote(number)


@pytest.mark.full
def test_under_load_every_answer_names_a_version_that_was_stable_when_the_store_was_last_looked_at_or_later(
    tmp_path: Path, domains: dict[str, Domain], trial: SelfTester, scale: float
) -> None:
    world = World(tmp_path, domains, trial, n=4)
    rng = random.Random(0)
    live = world.live()
    live.look()
    timeline = Timeline(world.versions[0])
    looks = [(0.0, time.monotonic())]  # from when, until when
    changed = threading.Event()

    def follow() -> None:
        while not changed.is_set():
            began = time.monotonic()
            live.look()
            looks.append((began, time.monotonic()))

    following = threading.Thread(target=follow)
    with Load(world, live, threads=1) as load:
        following.start()
        for _ in range(int(1_000 * scale)):
            timeline.note(change(world, rng), world.store)
            time.sleep(rng.uniform(0, 0.02))  # no event to wait for: a promotion does not know its followers
        changed.set()
        following.join()
    assert load.failures == []
    ends = [end for _, end in looks]
    for began, ended_at, version in load.answered:
        looked, _ = looks[bisect.bisect_right(ends, began) - 1]  # the last look that had ended when the request came
        assert timeline.was_stable(version, looked, ended_at)
    assert live.status().swaps > 0


@pytest.mark.full
def test_under_load_each_of_many_promotions_and_rollbacks_answers_once_it_was_looked_at(
    tmp_path: Path, domains: dict[str, Domain], trial: SelfTester, scale: float
) -> None:
    world = World(tmp_path, domains, trial, n=4)
    rng = random.Random(1)
    live = world.live()
    live.look()
    seen = []
    with Load(world, live) as load:
        for _ in range(int(1_000 * scale)):
            change(world, rng)()
            before = len(load.answered)
            live.look()
            looked, (_, state) = time.monotonic(), world.store.state("lights")
            seen.append((before, looked, state.stable))
            assert answering_version(world, live.answer(HELLO)) == state.stable
    assert load.failures == []
    for (first, since, version), (last, _, _) in itertools.pairwise(seen):
        for began, _, answered_by in load.answered[first:last]:
            assert began < since or answered_by == version


def test_a_rollback_takes_effect_in_a_process_that_follows_and_stays(world: World) -> None:
    with world.live(poll=0.1) as live:
        world.store.rollback("lights")
        until(lambda: version_in(live.answer(HELLO)) == world.versions[1])
        assert {version_in(live.answer(HELLO)) for _ in range(100)} == {world.versions[1]}


# -------------------------------------------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("load", "wrong"),
    [
        ("crash", "crashed with SIGSEGV"),
        ("other features", "expected ['a']"),
        ("raise", ""),
        ("exit", ""),
        ("number", "load returned int, expected a Model"),
        ("trees", ""),
    ],
)
def test_a_version_that_fails_is_refused_and_the_one_before_serves_and_says_so(
    world: World, load: str, wrong: str
) -> None:
    live = world.live()
    live.look()
    bad = world.add(load, text="tree\nnum_leaves=3\nleft_child=99999\n")
    live.look()
    answer = live.answer(HELLO)
    assert answering_version(world, answer) == world.versions[0]
    reason = answer.domains["lights"].reason or ""
    assert reason.startswith(f"serves {world.versions[0]}; {bad} refused: ")
    assert wrong in reason
    assert live.status().domains["lights"].problem == reason
    assert live.answer(HELLO).domains["shades"].reason is None
    world.store.rollback("lights")
    live.look()
    assert live.answer(HELLO).domains["lights"].reason is None


def test_a_damaged_a_foreign_and_an_altered_version_are_refused(world: World) -> None:
    live = world.live()
    live.look()
    home = world.root / "lights"

    def named(version: str) -> str:
        number, state = world.store.state("lights")
        world.store.change("lights", "promote", State(stable=version, previous=state.stable), number)
        live.look()
        answer = live.answer(HELLO)
        assert answering_version(world, answer) == world.versions[0]
        return answer.domains["lights"].reason or ""

    damaged = artifact(home / "damaged", 7)
    (home / "damaged").rename(home / damaged)
    (home / damaged / "reranker" / "weights.json").write_bytes(b'{"intent": "other"}')
    assert "SHA-256" in named(damaged)

    manifest = msgspec.structs.replace(read_manifest(home / world.versions[1]), contract=CONTRACT + 1)
    foreign = version_of(manifest)
    shutil.copytree(home / world.versions[1], home / foreign)
    (home / foreign / MANIFEST).write_bytes(encode_manifest(msgspec.structs.replace(manifest, version=foreign)))
    assert f"contract {CONTRACT + 1}" in named(foreign)

    files = {**read_manifest(home / world.versions[1]).files, "../../outside": "0" * 64}
    manifest = msgspec.structs.replace(read_manifest(home / world.versions[1]), files=files)
    climbing = version_of(manifest)
    shutil.copytree(home / world.versions[1], home / climbing)
    (home / climbing / MANIFEST).write_bytes(encode_manifest(msgspec.structs.replace(manifest, version=climbing)))
    assert "outside the folder" in named(climbing)

    assert "no manifest" in named("0" * 12)


def test_where_keys_are_configured_what_is_unsigned_is_refused(world: World, tmp_path: Path) -> None:
    (tmp_path / "keys").mkdir()
    key, public, _ = keygen(tmp_path / "lights")
    public.rename(tmp_path / "keys" / "lights.pub")
    world.store.publish(tmp_path / "v0", key=open_key(key))
    signing = open_store(world.root, Keys(tmp_path / "keys"), {}, key=open_key(key))
    live = Live(world.domains, opened(world.root, Keys(tmp_path / "keys")), selftest=world.trial)
    live.look()
    assert "the history of lights is not trusted" in (live.answer(HELLO).domains["lights"].reason or "")
    signing.adopt("lights")
    live.look()
    assert version_in(live.answer(HELLO)) == world.versions[0]
    assert "there is no shades.pub" in (live.answer(HELLO).domains["shades"].reason or "")
    world.promote(1)
    live.look()
    assert version_in(live.answer(HELLO)) == world.versions[0]
    assert "is unsigned" in (live.status().domains["lights"].problem or "")
    signing.adopt("lights")  # the change; its artifact stays unsigned
    live.look()
    answer = live.answer(HELLO)
    assert version_in(answer) == world.versions[0]
    assert "signature: unsigned" in (answer.domains["lights"].reason or "")


def test_a_version_that_no_key_trusts_any_more_answers_no_more(world: World, tmp_path: Path) -> None:
    (tmp_path / "keys").mkdir()
    pairs = [keygen(tmp_path / name) for name in ("lights", "next")]
    trusted = [tmp_path / "keys" / name for name in ("lights.pub", "lights.2.pub")]
    pairs[0][1].rename(trusted[0])
    world.store.publish(tmp_path / "v0", key=open_key(pairs[0][0]))
    open_store(world.root, Keys(tmp_path / "keys"), {}, key=open_key(pairs[0][0])).adopt("lights")
    live = Live(world.domains, opened(world.root, Keys(tmp_path / "keys")), selftest=world.trial)
    live.look()
    assert version_in(live.answer(HELLO)) == world.versions[0]

    # Signed again beside, it goes on without the old key.
    pairs[1][1].rename(trusted[1])
    world.store.publish(tmp_path / "v0", key=open_key(pairs[1][0]))
    kept = trusted[0].read_bytes()
    trusted[0].unlink()
    live.retry()
    assert version_in(live.answer(HELLO)) == world.versions[0]

    # An empty folder is a mistake; without its key, and with others', it answers no more until the key is back.
    trusted[1].unlink()
    live.retry()
    assert version_in(live.answer(HELLO)) == world.versions[0]
    keygen(tmp_path / "keys" / "shades")
    live.retry()
    assert "no key of lights" in (live.answer(HELLO).domains["lights"].reason or "")
    assert live.status().domains["lights"].version is None
    live.look()
    assert "no key of lights" in (live.answer(HELLO).domains["lights"].reason or "")
    trusted[0].write_bytes(kept)
    keygen(tmp_path / "again")
    (tmp_path / "again.pub").rename(trusted[1])
    live.retry()
    live.look()
    assert "signed by key" in (live.answer(HELLO).domains["lights"].reason or "")
    world.store.publish(tmp_path / "v0", key=open_key(pairs[0][0]))
    live.retry()
    live.look()
    assert version_in(live.answer(HELLO)) == world.versions[0]


def test_a_version_that_hangs_is_refused_in_time_and_delays_no_rollback(world: World) -> None:
    trial = SelfTester(timeout=3)
    live = world.live(selftest=trial)
    live.look()
    hangs = world.add("hang")
    looking = threading.Thread(target=live.look)
    looking.start()
    until(lambda: live.status().domains["lights"].state.stable == hangs)
    world.store.rollback("lights")
    live._follower.read()
    assert looking.is_alive()
    assert live.status().domains["lights"].state.stable == world.versions[0]
    assert version_in(live.answer(HELLO)) == world.versions[0]
    looking.join()
    assert "not done after 3 s" in live.status().domains["lights"].refused.get(hangs, "not done after 3 s")
    trial.close()


def test_what_was_refused_is_tried_again_only_when_the_state_changes(world: World) -> None:
    tried: list[str] = []

    def trial(folder: Path, domain: str) -> str | None:
        tried.append(folder.name)
        return "no" if folder.name == world.versions[1] else None

    live = world.live(selftest=trial)
    live.look()
    world.promote(1)
    for _ in range(5):
        live.look()
    assert tried.count(world.versions[1]) == 2  # once as `previous`, once as `stable`
    number, state = world.store.state("lights")
    world.store.change("lights", "shrink", msgspec.structs.replace(state, temperature=1.5), number)
    live.look()
    assert tried.count(world.versions[1]) == 3
    assert "refused: no" in (live.answer(HELLO).domains["lights"].reason or "")


def test_with_nothing_to_fall_back_on_the_domain_does_not_answer_and_the_others_do(world: World) -> None:
    bad = world.add("crash")
    live = world.live()
    live.look()
    answer = live.answer(HELLO)
    assert answer.domains["lights"].status == "failed"
    assert "SIGSEGV" in (answer.domains["lights"].reason or "")
    assert answer.domains["shades"].status == "answered"
    assert bad in live.status().domains["lights"].refused


def test_without_a_stable_version_the_packages_weights_answer(world: World, tmp_path: Path) -> None:
    shipped = artifact(tmp_path / "shipped", 5)
    lights = world.domains["lights"]

    class Shipping(type(lights)):  # type: ignore[misc]
        shipped = tmp_path / "shipped"

    world.domains = {**world.domains, "lights": Shipping("lights")}
    world.numbers[shipped] = 5
    live = world.live()
    live.look()
    number, _ = world.store.state("lights")
    world.store.change("lights", "retire", State(), number)
    live.look()
    assert answering_version(world, live.answer(HELLO)) == shipped
    assert live.status().domains["lights"].origin == "package"

    world.promote(1)
    live.look()
    assert answering_version(world, live.answer(HELLO)) == world.versions[1]
    shutil.rmtree(world.root / "lights")
    for _ in range(3):
        live.look()
    assert answering_version(world, live.answer(HELLO)) == shipped


# ---------------------------------------------------------------------------------------------- the store, the child


@pytest.mark.parametrize("how", ["gone", "a file in its place", "empty"])
def test_while_the_store_is_away_what_is_loaded_answers_and_says_so(world: World, tmp_path: Path, how: str) -> None:
    lines: list[str] = []
    live = world.live(notify=lines.append)
    live.look()
    away = tmp_path / "away"
    world.root.rename(away)
    if how == "a file in its place":
        world.root.write_text("")
    if how == "empty":
        world.root.mkdir()
    lines.clear()
    for _ in range(3):
        live.look()
    assert answering_version(world, live.answer(HELLO)) == world.versions[0]
    status = live.status()
    assert status.problem
    assert str(world.root) in status.problem
    assert lines == [status.problem]
    assert live._follower.unanswered == 3

    if world.root.is_dir():
        world.root.rmdir()
    world.root.unlink(missing_ok=True)
    away.rename(world.root)
    world.promote(1)
    live.look()
    assert answering_version(world, live.answer(HELLO)) == world.versions[1]
    assert (live.status().problem, live._follower.unanswered) == (None, 0)
    assert f"store {world.root}: answers again" in lines


def test_it_begins_without_a_store_that_answers_and_recovers(world: World, tmp_path: Path) -> None:
    world.root.rename(tmp_path / "away")
    world.root.write_text("")
    with world.live(poll=0.1) as live:
        assert "cannot be read" in (live.answer(HELLO).domains["lights"].reason or "")
        world.root.unlink()
        (tmp_path / "away").rename(world.root)
        until(lambda: live.answer(HELLO).domains["lights"].status == "answered")


def test_a_damaged_history_keeps_no_other_domain_from_being_followed(world: World) -> None:
    live = world.live()
    live.look()
    (world.root / "shades" / "history" / "00000002.json").write_text("{")
    world.promote(1)
    live.look()
    answer = live.answer(HELLO)
    assert answering_version(world, answer) == world.versions[1]
    assert answer.domains["shades"].status == "answered"
    assert "no change that can be decoded" in (live.status().domains["shades"].problem or "")
    assert live._follower.unanswered == 0


def test_a_history_that_lost_its_end_is_reported_and_not_followed_back(world: World) -> None:
    """The missing change may have been a rollback."""
    lines: list[str] = []
    live = world.live(notify=lines.append)
    live.look()
    last = sorted((world.root / "lights" / "history").iterdir())[-1]
    content = last.read_bytes()
    last.unlink()
    lines.clear()
    for _ in range(6):
        live.look()
    assert answering_version(world, live.answer(HELLO)) == world.versions[0]
    (line,) = lines
    assert line.endswith("the history of lights lost changes; restore a backup")
    assert live.status().domains["lights"].problem == line
    assert live._follower.unanswered == 0
    last.write_bytes(content)
    live.look()
    assert live.status().problem is None


def test_a_store_that_raises_anything_at_all_is_a_store_that_does_not_answer(world: World) -> None:
    live = world.live()
    live.look()

    def state(domain: str) -> tuple[int, State]:
        raise MemoryError("no")

    live.store.state = state  # type: ignore[method-assign]
    live.look()
    assert answering_version(world, live.answer(HELLO)) == world.versions[0]
    assert live.status().problem == "MemoryError: no"


def test_a_store_that_is_slow_to_fail_is_read_for_one_domain_alone(world: World) -> None:
    live = world.live(poll=0.01)
    live.look()
    read = []

    def state(domain: str) -> tuple[int, State]:
        read.append(domain)
        time.sleep(0.02)
        raise StoreError("not answered")

    live.store.state = state  # type: ignore[method-assign]
    live.look()
    assert len(read) == 1
    assert live._follower.unanswered == 1


def test_what_cannot_be_fetched_now_is_fetched_later(world: World) -> None:
    live = world.live()
    live.look()
    fetch = live.store.fetch

    def unreachable(domain: str, version: str) -> Path:
        raise StoreError("not now")

    world.promote(1)
    world.store.publish(world.folder / "v0")
    live._follower.states["lights"].versions.clear()
    live.store.fetch = unreachable  # type: ignore[method-assign]
    live.look()
    assert version_in(live.answer(HELLO)) == world.versions[0]
    assert live.status().domains["lights"].problem == "not now"
    live.store.fetch = fetch  # type: ignore[method-assign]
    live.look()
    assert answering_version(world, live.answer(HELLO)) == world.versions[1]


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
def test_a_child_that_is_killed_is_replaced(world: World) -> None:
    trial = SelfTester(timeout=20)
    live = world.live(selftest=trial)
    live.look()
    assert trial.pid
    os.kill(trial.pid, signal.SIGKILL)
    world.add("", 7)
    world.numbers[world.store.state("lights")[1].stable or ""] = 7
    live.look()
    assert answering_version(world, live.answer(HELLO)) != world.versions[0]

    waits = world.add("wait", 8, file=str(world.folder / "go on"))
    world.numbers[waits] = 8
    looking = threading.Thread(target=live.look)
    looking.start()
    until(lambda: live.status().domains["lights"].state.stable == waits)
    os.kill(trial.pid, signal.SIGKILL)
    (world.folder / "go on").touch()
    looking.join()
    assert answering_version(world, live.answer(HELLO)) == waits
    trial.close()


def tree(root: Path) -> dict[str, tuple[int, bytes]]:
    """The files under a folder, each with its time of change and its content."""
    return {str(p): (p.stat().st_mtime_ns, p.read_bytes()) for p in sorted(root.rglob("*")) if p.is_file()}


def test_following_writes_nothing_to_the_store_so_a_kill_does_no_harm(world: World) -> None:
    live = world.live()
    live.look()
    world.add("crash")
    before = tree(world.root)
    live.look()
    assert tree(world.root) == before


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks for processes in /proc")
@pytest.mark.parametrize("load", ["", "hang"])
def test_the_child_ends_with_the_process_that_is_killed(world: World, load: str) -> None:
    folder = world.folder / "tried"
    artifact(folder, 9, load)
    code = (
        "import sys; from pathlib import Path; from arbitrank.selftest import SelfTester\n"
        "trial = SelfTester(timeout=30)\n"
        f"trial(Path({str(world.folder / 'v0')!r}), 'lights'); print(trial.pid, flush=True)\n"
        f"trial(Path({str(folder)!r}), 'lights'); sys.stdin.read()"
    )
    path = os.pathsep.join(p for p in sys.path if p)
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": path},
    )
    assert process.stdout
    child = Path("/proc") / process.stdout.readline().decode().strip()
    assert child.exists()
    process.kill()
    process.communicate()
    until(lambda: not child.exists() or "Z" in (child / "stat").read_text().split()[2])


def test_clocks_may_run_backwards(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = itertools.count(2_000_000_000, -3600)
    monkeypatch.setattr(time, "time", lambda: float(next(clock)))
    live = world.live()
    live.look()
    for number in (1, 0, 1):
        world.promote(number)
        live.look()
        assert answering_version(world, live.answer(HELLO)) == world.versions[number]


# ------------------------------------------------------------------------------------------------ shadow and canary


def candidate(world: World, number: int = 1, share: float = 0.0) -> None:
    """Publish a version as the candidate, and give it a share."""
    world.store.publish(world.folder / f"v{number}")
    number, state = world.store.state("lights")
    world.store.change("lights", "canary", msgspec.structs.replace(state, canary=share), number)


def test_a_shadow_answer_is_compared_and_never_served(world: World) -> None:
    lines: list[ShadowLine] = []
    live = world.live(shadow=["lights"], compared=lines.append)
    candidate(world)
    live.look()
    for i in range(20):
        request = Request(id=str(i), utterance="more light", session="s", context={"device": "tv"})
        answer = live.answer(request)
        assert answering_version(world, answer) == world.versions[0]
        assert answer.domains["lights"].reason is None
    compare(live)
    assert len(lines) == 20
    for i, line in enumerate(lines):
        found = line.shadow["lights"]
        assert (found.version, found.candidate, found.flips) == (world.versions[1], True, True)
        assert answering_version(world, found.answer) == world.versions[1]
        again = decode_logged(msgspec.json.encode(line))  # what a replay reads
        assert (again.id, again.context, again.answer) == (str(i), {"device": "tv"}, line.answer)
    arms = live.report()["lights"].arms
    assert {arm: (one.answers, one.compared, one.flips) for arm, one in arms.items()} == {
        "stable": (20, 20, 20),
        "shadow": (20, 20, 20),
    }
    assert arms["shadow"].version == world.versions[1]
    assert arms["shadow"].domain_probability == pytest.approx(claim(1))


def test_without_shadow_and_canary_a_candidate_is_not_even_loaded(world: World) -> None:
    live = world.live()
    candidate(world)
    live.look()
    status = live.status().domains["lights"]
    assert status.state.candidate == world.versions[1]
    assert live.answer(HELLO).domains["lights"].version == world.versions[0]
    assert live.report() == {}


def test_a_shadow_that_is_too_slow_drops_requests_and_counts_them(world: World) -> None:
    live = world.live(shadow=True)
    candidate(world)
    live.look()
    for _ in range(1_100):
        live.answer(HELLO)
    assert (live.status().waiting, live.status().dropped) == (1_000, 100)
    compare(live)
    assert live.status().waiting == 0


def test_the_receiver_of_comparisons_may_raise(world: World) -> None:
    def lines(line: ShadowLine) -> None:
        raise OSError("disk full")

    live = world.live(shadow=True, compared=lines)
    candidate(world)
    live.look()
    live.answer(HELLO)
    compare(live)
    assert live.status().failed == 1


def test_comparisons_are_logged_as_answers_are_redacted_and_for_the_owner_alone(world: World, tmp_path: Path) -> None:
    """Words neither of the request nor of either version's answer; segments of mode 0600; old ones are removed."""
    folder = tmp_path / "shadow"
    folder.mkdir()
    old = folder / "20200101T000000.000000Z-1-000001.jsonl"
    old.touch()
    with AnswerLog(folder, LogSettings(words="drop", days=1.0, segment_bytes=1)) as log:
        live = world.live(shadow=True, compared=log.append)
        candidate(world)
        live.look()
        for i in range(3):
            live.answer(Request(id=str(i), utterance="SECRET light", session="SECRET", context={"mood": "SECRET"}))
        compare(live)
        log.flush()
        assert (live.status().failed, log.status().written, log.status().removed) == (0, 3, 1)
    lines = [line for line in read_log(folder) if isinstance(line, Logged)]
    assert [(line.id, line.recognised, line.utterance) for line in lines] == [(str(i), True, None) for i in range(3)]
    assert all(line.hypotheses for line in lines)
    content = b"".join(path.read_bytes() for path in segments(folder))
    assert b'"shadow":{"lights"' in content
    assert b"SECRET" not in content
    assert {path.stat().st_mode & 0o777 for path in segments(folder)} == {0o600}
    assert not old.exists()


def test_a_comparison_that_cannot_be_written_is_a_problem_of_its_log(world: World, tmp_path: Path) -> None:
    log = AnswerLog(tmp_path / "shadow", LogSettings(), clock=lambda: float("inf"))
    live = world.live(shadow=True, compared=log.append)
    candidate(world)
    live.look()
    live.answer(HELLO)
    compare(live)
    log.close()
    assert log.status().lost == log.status().failed == 1
    assert "no segment" in (log.status().problem or "")


def test_a_candidate_that_is_refused_changes_nothing_of_the_answers(world: World) -> None:
    folder = world.folder / "bad"
    bad = artifact(folder, 9, "crash")
    world.store.publish(folder)
    live = world.live(shadow=True)
    live.look()
    answer = live.answer(HELLO)
    assert (answering_version(world, answer), answer.domains["lights"].reason) == (world.versions[0], None)
    assert "SIGSEGV" in live.status().domains["lights"].refused[bad]


def test_a_canary_answers_its_share_of_the_sessions_and_always_the_same(world: World) -> None:
    live = world.live()
    candidate(world, share=0.2)
    live.look()
    sessions = [f"session {i}" for i in range(2_000)]

    def answered() -> dict[str, str]:
        return {s: answering_version(world, live.answer(Request(utterance="x", session=s, id=s))) for s in sessions}

    first = answered()
    assert answered() == first
    share = sum(version == world.versions[1] for version in first.values()) / len(sessions)
    assert share == pytest.approx(0.2, abs=4 * (0.2 * 0.8 / 2_000) ** 0.5)
    canary = next(s for s in sessions if first[s] == world.versions[1])
    reason = live.answer(Request(utterance="x", session=canary)).domains["lights"].reason or ""
    assert reason == f"canary, 20 % of the requests; stable is {world.versions[0]}"

    candidate(world, share=0.5)
    live.look()
    grown = answered()
    assert all(grown[s] == world.versions[1] for s in sessions if first[s] == world.versions[1])
    report = live.report()["lights"]
    assert report.share == 0.5
    assert report.arms["stable"].answers + report.arms["canary"].answers == 6_001

    candidate(world, share=0.0)
    live.look()
    assert set(answered().values()) == {world.versions[0]}


def test_a_canary_is_compared_with_the_stable_version_where_that_is_in_shadow(world: World) -> None:
    lines: list[ShadowLine] = []
    live = world.live(shadow=True, compared=lines.append)
    candidate(world, share=1.0)
    live.look()
    assert answering_version(world, live.answer(HELLO)) == world.versions[1]
    compare(live)
    (line,) = lines
    assert not line.shadow["lights"].candidate
    assert answering_version(world, line.shadow["lights"].answer) == world.versions[0]
    arms = live.report()["lights"].arms
    assert set(arms) == {"canary", "shadowed"}
    assert (arms["canary"].flips, arms["shadowed"].version) == (1, world.versions[0])


@given(
    share=st.floats(0, 1),
    more=st.floats(0, 1),
    who=st.text(),
    version=st.from_regex("[0-9a-f]{12}", fullmatch=True),
)
def test_a_drawn_key_stays_drawn_when_the_share_grows(share: float, more: float, who: str, version: str) -> None:
    drawn = draw("lights", version, who)
    assert 0.0 <= drawn < 1.0
    assert drawn == draw("lights", version, who)
    low, high = sorted((share, more))
    assert not drawn < low or drawn < high


@given(domain=st.sampled_from(["lights", "shades"]), seed=st.integers(0, 10_000), share=st.floats(0.01, 0.99))
def test_the_drawn_share_is_the_one_that_was_set(domain: str, seed: int, share: float) -> None:
    n = 2_000
    drawn = sum(draw(domain, "0" * 12, f"session {seed} {i}") < share for i in range(n)) / n
    assert abs(drawn - share) < 6 * (share * (1 - share) / n) ** 0.5


def test_a_request_is_drawn_by_its_session_else_its_id_else_its_words() -> None:
    assert draw_key(Request(session="s", id="1", utterance="u")) == "session s"
    assert draw_key(Request(session={"id": "s", "turn": 1})) == draw_key(Request(session={"id": "s", "turn": 2}))
    assert draw_key(Request(session={"b": 1, "a": 2})) == draw_key(Request(session={"a": 2, "b": 1}))
    assert draw_key(Request(id="1", utterance="u")) == "id 1"
    assert draw_key(Request(utterance="u")) == "words u"
    assert draw_key(Request(hypotheses=())) is None


def test_feedback_measures_the_arms(world: World) -> None:
    live = world.live(shadow=True)
    candidate(world)
    live.look()
    for i in range(200):
        live.answer(Request(id=str(i), utterance="more light"))
        truth = Truth("lights", f"intent{i % 4 == 0:d}") if i % 5 else Truth(None)
        if i == 100:  # some truths are known before the shadow answer, some after
            compare(live)
        assert live.feedback(str(i), truth)
    compare(live)
    assert not live.feedback("0", Truth("lights", "intent0"))
    assert not live.feedback("unknown", Truth("lights", "intent0"))
    arms = live.report()["lights"].arms
    stable, shadow = arms["stable"].outcomes, arms["shadow"].outcomes
    assert stable
    assert shadow
    assert (stable.n, shadow.n) == (200, 200)
    assert stable.accuracy.mean == pytest.approx(120 / 200)
    assert shadow.accuracy.mean == pytest.approx(40 / 200)
    for one in (stable, shadow):
        for estimate in (one.accuracy, one.nll):
            assert estimate.low < estimate.mean < estimate.high
    assert stable.calibration.ece < shadow.calibration.ece
    msgspec.json.encode(live.report())


def test_slots_make_a_flip_and_confidence_does_not() -> None:
    from arbitrank.live.comparison import AnswerHead
    from arbitrank.values import Ranked

    def lines(probability: float, *slots: Slot) -> AnswerHead:
        return AnswerHead(False, Ranked("lights", "intent", slots, probability=probability))

    assert not lines(0.5, Slot("a", "1", 0.5)).flips(lines(0.9, Slot("a", "1", 0.7)))
    assert lines(0.5, Slot("a", "1")).flips(lines(0.5, Slot("a", "2")))
    assert lines(0.5).flips(AnswerHead(True, None))
    assert not AnswerHead(True, None).flips(AnswerHead(True, lines(0.5).best))


def test_a_fallback_acts_by_the_version_that_its_share_of_a_canary_gives_it(world: World) -> None:
    """Nothing but the fallback answers for a request that no other domain claims, stable or candidate."""
    folder = world.folder / "unsure"
    fakes.artifact(folder, "shades", intent="Chat", mine=0.1)
    version = world.store.publish(folder).version
    with world.live(decisions=DecisionSettings(fallback="shades", none=0.3)) as live:
        answer = live.answer(HELLO)
        assert answer.decision.reason == "fallback"  # P(no domain) is 1 − 0.6 by lights alone
        assert answer.chosen
        assert answer.chosen.domain == "shades"
        assert answer.chosen.version != version
        assert [entry.domain for entry in answer.ranked] == ["lights", "shades"]
        world.store.canary("shades", 1.0)
        live.look()
        after = live.answer(HELLO)
        assert after.chosen
        assert (after.chosen.intent, after.chosen.version) == ("Chat", version)
        assert live.report()["shades"].arms["canary"].accept == 1
