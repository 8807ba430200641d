"""Domains in worker processes: whatever one does, the others answer in time, and the answer names the failure."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path

import msgspec
import pytest
from distributions import install

from arbitrank.arbitration import dispatch
from arbitrank.arbitration.arbitrator import Arbitrator, Serving
from arbitrank.arbitration.breaker import Breakers, BreakerSettings
from arbitrank.arbitration.dispatch import HostedModel
from arbitrank.arbitration.outcomes import Answered, Failed, Late, Outcome, Skipped
from arbitrank.domain import Domain
from arbitrank.errors import InputError, PluginError
from arbitrank.isolation.channel import Channel
from arbitrank.isolation.decoders import from_worker
from arbitrank.isolation.groups import Isolation, WorkerGroups, isolation_of
from arbitrank.isolation.messages import (
    MAX_OUTCOMES,
    DomainOutcome,
    FromWorker,
    QueryDone,
    encode,
)
from arbitrank.isolation.pending import PendingCall, checked_outcome
from arbitrank.live.live import Live
from arbitrank.registry import discover, loaded
from arbitrank.store.artifact import Manifest, seal
from arbitrank.store.store import open_store
from arbitrank.testing.hostile import DEEDS, READINGS, Hostile, HostileModel
from arbitrank.values import Hypothesis, Request

Command = Callable[..., subprocess.CompletedProcess[str]]

PLUGIN = """
from arbitrank.hookspecs import hookimpl
from arbitrank.testing.hostile import Hostile


@hookimpl
def arbitrank_domains():
    return [Hostile("before", steady=True), Hostile("hostile"), Hostile("later", steady=True), Hostile("second")]
"""
NAMES = ("before", "hostile", "later")
DEADLINE = 1.0
PATIENCE = 60.0
"""Seconds by which a request may be later than its deadline here, far less than anything hangs; see `benchmarks`."""

MAY = {"failed", "late"}
EXPECTED = {
    "raise": ({"failed"}, "RuntimeError: I won't"),
    "exit": ({"failed"}, "SystemExit: enough"),
    "interrupt": ({"failed"}, "KeyboardInterrupt"),
    "recurse": ({"failed"}, "RecursionError"),
    "hang in Python": ({"late"}, "no answer within 1000 ms; its worker process was killed"),
    "hang in C": ({"late"}, "no answer within 1000 ms"),
    "sleep": ({"late"}, "no answer within 1000 ms"),
    "pause": ({"answered"}, ""),
    "deaf sleep": ({"late"}, "no answer within 1000 ms"),
    "stop": ({"late"}, "no answer within 1000 ms"),
    "leak": (MAY, "MemoryError|no answer"),
    "leak a little": ({"answered"}, ""),
    "segfault": (MAY, "its worker process crashed with SIGSEGV|no answer"),
    "abort": (MAY, "its worker process crashed with SIGABRT|no answer"),
    "leave": ({"failed"}, "its worker process ended with status 3"),
    "print": ({"answered", "late"}, ""),
    "print some": ({"answered"}, ""),
    "start processes": ({"answered", "late"}, ""),
    "start threads": ({"answered"}, ""),
    "close files": ({"failed"}, "its worker process (has had its connection closed|closed its connection)"),
    "forge a message": ({"failed"}, "its worker process sent a malformed message"),
    "forge later": ({"answered"}, ""),
    "forge": ({"failed"}, "its worker process sent a malformed message"),
    "mutate": ({"failed"}, "TypeError"),
    "nan": ({"failed"}, "nan"),
    "too sure": ({"failed"}, "sum to at most mine"),
    "shape": ({"failed"}, "shape"),
    "none": ({"failed"}, "expected Scores"),
    "too many": ({"failed"}, "more than 100 hypotheses"),
    "too large": ({"failed"}, "expected at most|larger than"),
}


@pytest.fixture(scope="module")
def domains(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Domain]]:
    """Two steady domains and a hostile one, installed where workers find them."""
    site = tmp_path_factory.mktemp("isolation") / "site"
    site.mkdir()
    install(site, "arbitrank-hostile", PLUGIN)
    sys.path.insert(0, str(site))
    yield {name: one for name, one in loaded(discover()).items() if name in NAMES}
    sys.path.remove(str(site))
    sys.modules.pop("arbitrank_hostile", None)


class World:
    """The three domains in one worker, and an arbitrator over them."""

    def __init__(self, folder: Path, **settings: float) -> None:
        options = {"deadline_ms": 1e3 * DEADLINE, **settings}
        self.folder = folder
        self.workers = WorkerGroups(Isolation({"shared": NAMES}, **options))  # type: ignore[arg-type]
        self.models = {name: self.workers.load(name, folder) for name in NAMES}
        self.arbitrator = Arbitrator({name: Serving(model, "1", "package") for name, model in self.models.items()})
        self.until(self.ready)

    def ready(self) -> bool:
        return self.workers.status()["shared"].ready

    def pids(self) -> tuple[int, ...]:
        return self.workers.status()["shared"].pids

    def until(self, done: Callable[[], bool], seconds: float = 30.0) -> None:
        """Wait for a state that the workers reach by themselves."""
        by = time.monotonic() + seconds
        while not done():
            assert time.monotonic() < by, self.workers.status()
            time.sleep(0.01)

    def ask(self, deed: str = "", breakers: Breakers | None = None) -> dict[str, Outcome]:
        request = Request(utterance="do it", context={"deed": deed})
        return dispatch.query_all(self.models, request, breakers=breakers)


@pytest.fixture(scope="module")
def world(domains: dict[str, Domain], tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    one = World(tmp_path_factory.mktemp("artifact"))
    with closing(one.workers):
        yield one


def alive(pid: int) -> bool:
    """True where a process exists and is no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def children(pid: int) -> list[int]:
    """The child processes of a process that still exist."""
    return [int(one) for path in Path(f"/proc/{pid}/task").glob("*/children") for one in path.read_text().split()]


def answered(outcomes: dict[str, Outcome]) -> set[str]:
    return {name for name, one in outcomes.items() if isinstance(one, Answered)}


# ------------------------------------------------------------------------------------------------------ hostile domains


def test_each_deed_is_expected_to_end_in_some_way() -> None:
    assert EXPECTED.keys() == {*DEEDS, *READINGS}


@pytest.mark.parametrize("deed", [deed for deed in EXPECTED if deed != "forge later"])  # which disturbs the next one
def test_the_others_answer_in_time_whatever_a_domain_does(world: World, deed: str) -> None:
    world.until(world.ready)
    began = time.perf_counter()
    answer = world.arbitrator.answer(Request(utterance="do it", context={"deed": deed}))
    took = time.perf_counter() - began
    assert took < DEADLINE + PATIENCE
    statuses, reason = EXPECTED[deed]
    report = answer.domains["hostile"]
    assert report.status in statuses
    assert re.search(reason, report.reason or "")
    for name in ("before", "later"):
        assert answer.domains[name].status == "answered", answer.domains[name].reason
    assert {one.domain for one in answer.ranked} >= {"before", "later"}
    # And soon all answer again.
    world.until(lambda: answered(world.ask()) == set(NAMES))


@pytest.mark.parametrize("deed", ["raise", "segfault", "forge"])
def test_of_a_batch_only_the_request_that_does_harm_fails(world: World, deed: str) -> None:
    world.until(world.ready)
    model = world.models["hostile"]
    assert isinstance(model, HostedModel)
    asked = [Request(utterance="do it", context={"deed": deed if i == 3 else ""}) for i in range(6)]
    found = model.host.query_each(model, asked, [None] * 6)
    assert [isinstance(one, Answered) for one in found] == [True] * 3 + [False] + [True] * 2, found


@pytest.mark.parametrize("garbage", [b"\xff" * 64, struct.pack("!I", 11) + b"\x81\xa4type\xa4Nope"])
def test_what_follows_the_end_of_a_query_costs_the_worker_and_no_outcome(garbage: bytes) -> None:
    class Worker:
        loaded, refused, rings = {1}, {}, False

        def send(self, content: bytes, seconds: float) -> None:
            query = msgspec.msgpack.decode(content)
            frames = [encode(DomainOutcome(query["id"], 0, "no")), encode(QueryDone(query["id"]))]
            theirs.sendall(b"".join(struct.pack("!I", len(one)) + one for one in frames) + garbage)

        def readable(self, seconds: float, bell: bool) -> bool:
            return True

        def received(self) -> Iterator[FromWorker]:
            return channel.received()

    class Pair:
        deadline, active, spare = 10.0, None, None
        retired, released = 0, 0

        def retire(self, worker: Worker) -> None:
            self.retired += 1

        def release(self) -> None:
            self.released += 1

    ours, theirs = socket.socketpair()
    with ours, theirs:
        channel, pair = Channel(ours, from_worker, MAX_OUTCOMES), Pair()
        call = PendingCall(pair, {"d": 1}, Request(), None, False, time.perf_counter())  # type: ignore[arg-type]
        call.start(Worker(), ["d"])  # type: ignore[arg-type]
        assert call.outcomes() == {"d": Failed("no", 0.0)}
        assert (pair.retired, pair.released) == (1, 1)


@pytest.mark.parametrize("closed", [False, True])
def test_a_bell_that_rings_for_no_reason_or_is_closed_costs_no_outcome(closed: bool) -> None:
    """The first look at the socket finds nothing, each further one a message."""

    class Worker:
        loaded, refused, rings, drained = {1, 2}, {}, True, True

        def __init__(self) -> None:
            self.looks: list[bool] = []

        def send(self, content: bytes, seconds: float) -> None:
            id = msgspec.msgpack.decode(content)["id"]
            self.frames = [encode(DomainOutcome(id, place, "no")) for place in range(2)] + [encode(QueryDone(id))]

        def readable(self, seconds: float, bell: bool) -> bool:
            self.looks.append(bell)
            return True

        def heard(self) -> bool:
            return not closed

        def received(self) -> Iterator[FromWorker]:
            if len(self.looks) > 1:
                one = self.frames.pop(0)
                theirs.sendall(struct.pack("!I", len(one)) + one)
            return channel.received()

    class Pair:
        deadline, active, spare = 10.0, None, None

        def release(self) -> None:
            pass

    ours, theirs = socket.socketpair()
    with ours, theirs:
        channel, worker = Channel(ours, from_worker, MAX_OUTCOMES), Worker()
        call = PendingCall(Pair(), {"d": 1, "e": 2}, Request(), None, False, time.perf_counter())  # type: ignore[arg-type]
        call.start(worker, ["d", "e"])  # type: ignore[arg-type]
        assert call.outcomes() == dict.fromkeys(["d", "e"], Failed("no", 0.0))
        assert worker.looks == [True, *[not closed] * 3]


def test_a_slow_domain_answers_within_its_deadline_and_costs_no_worker(world: World) -> None:
    """At half the deadline the domains that wait for it are the spare's, and the worker stops after it."""
    world.until(world.ready)
    before = world.workers.status()["shared"]
    request = Request(context={"deed of hostile": "pause", "seconds": 0.6 * DEADLINE})
    outcomes = dispatch.query_all(world.models, request)
    assert answered(outcomes) == set(NAMES)
    assert answered(world.ask()) == set(NAMES)
    after = world.workers.status()["shared"]
    assert (after.restarts, after.pids) == (before.restarts, before.pids)


def test_a_worker_is_replaced_when_a_domain_wrote_to_its_socket_after_it_had_answered(world: World) -> None:
    world.until(world.ready)
    worker, *_ = world.pids()
    assert answered(world.ask("forge later")) == set(NAMES)
    world.until(lambda: answered(world.ask()) == set(NAMES) and worker not in world.pids())


def test_what_a_worker_started_ends_with_it(world: World) -> None:
    world.until(world.ready)
    worker, *_ = world.pids()
    world.ask("start processes")
    started = children(worker)
    assert len(started) == 20
    world.until(lambda: not any(map(alive, [worker, *started])))


def test_a_worker_that_fills_its_memory_is_replaced_before_it_is_full(
    domains: dict[str, Domain], tmp_path: Path
) -> None:
    world = World(tmp_path, memory_mb=1_024)
    with closing(world.workers):
        seen = []
        for _ in range(300):
            seen.append(answered(world.ask("leak a little")))
            time.sleep(0.01)  # a plugin that leaks faster runs into its limit
        assert all(one >= {"before", "later"} for one in seen)
        assert sum("hostile" in one for one in seen) > 290
        assert world.workers.status()["shared"].restarts > 0


def test_processes_files_and_memory_stay_as_many_and_as_much(world: World) -> None:
    def seen() -> tuple[int, int, int]:
        world.until(world.ready)
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return len(children(os.getpid())), len(os.listdir("/proc/self/fd")), pages

    world.ask("leave")
    world.until(lambda: len(world.pids()) == 2)
    before = seen()
    for _ in range(5):
        world.until(world.ready)
        world.ask("leave")
    # Fewer where a process of the test before was still ending at first.
    world.until(lambda: all(now <= then for now, then in zip(seen()[:2], before[:2], strict=True)))
    assert seen()[2] - before[2] < 2_048  # pages of 4 kB


def test_when_no_worker_is_left_the_domains_fail_at_once_and_none_is_blamed(world: World) -> None:
    world.until(world.ready)
    breakers = Breakers(BreakerSettings(failures=1))
    for pid in world.pids():
        os.kill(pid, signal.SIGKILL)
    world.ask()  # both are dead, or one of them replaced already
    outcomes = world.ask(breakers=breakers)
    assert all(isinstance(one, Answered | Failed) for one in outcomes.values())
    assert all(one.reason for one in outcomes.values() if isinstance(one, Failed))
    world.until(lambda: answered(world.ask()) == set(NAMES))


def test_two_domains_that_hang_make_a_third_of_their_group_late_without_blame(world: World) -> None:
    world.until(world.ready)
    began = time.perf_counter()
    models = {"first": world.models["hostile"], "second": world.models["hostile"], "later": world.models["later"]}
    outcomes = dispatch.query_all(models, Request(utterance="x", context={"deed": "sleep"}))
    assert time.perf_counter() - began < DEADLINE + PATIENCE
    assert all(isinstance(outcomes[name], Late) for name in ("first", "second"))
    # The spare was sent the second and third; it hung in the second, and the third had no time left.
    assert isinstance(outcomes["later"], Late)
    assert outcomes["later"].counts == 0
    assert "took all the time" in outcomes["later"].reason


def test_a_crash_after_a_hand_over_is_charged_to_the_domain_that_crashed(
    domains: dict[str, Domain], tmp_path: Path
) -> None:
    names = ("hostile", "second", "later")
    with closing(WorkerGroups(Isolation({"g": names}, deadline_ms=1e3 * DEADLINE))) as workers:
        models = {name: workers.load(name, tmp_path) for name in names}
        by = time.monotonic() + 30
        while not workers.status()["g"].ready:
            assert time.monotonic() < by
            time.sleep(0.01)
        began = time.perf_counter()
        request = Request(context={"deed of hostile": "sleep", "deed of second": "leave"})
        outcomes = dispatch.query_all(models, request)
        assert time.perf_counter() - began < DEADLINE + PATIENCE
        assert isinstance(outcomes["hostile"], Late)
        assert isinstance(outcomes["second"], Failed)
        assert "status 3" in outcomes["second"].reason
        # No worker is left for the third.
        assert isinstance(outcomes["later"], Failed)
        assert outcomes["later"].counts == 0
        assert outcomes["later"].reason.startswith("second, with which it shares a worker process, ended that")


def test_many_threads_may_query(world: World) -> None:
    world.until(world.ready)
    found: list[set[str]] = []

    def ask() -> None:
        found.extend(answered(world.ask()) for _ in range(50))

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [set(NAMES)] * 200


def test_given_hypotheses_go_to_their_domain_and_come_back_unchanged(world: World) -> None:
    world.until(world.ready)
    given = {name: [Hypothesis(name, f"I{i}", 0.5) for i in range(3)] for name in NAMES}
    outcomes = dispatch.query_all(world.models, Request(id="1"), given)
    for name, one in outcomes.items():
        assert isinstance(one, Answered)
        assert one.hypotheses is given[name]
        assert one.scores.right.tolist() == pytest.approx([0.5 / 3] * 3)


def test_an_isolated_domain_answers_as_it_does_here(world: World, domains: dict[str, Domain]) -> None:
    world.until(world.ready)
    here = Arbitrator({name: Serving(HostileModel(name), "1", "package") for name in NAMES})
    for explain in (False, True):
        request = Request(id="7", utterance="do it", context={"device": "tv", "n": [1, {"a": 2.5}]}, session="s")
        ours, theirs = (one.answer(request, explain=explain) for one in (here, world.arbitrator))
        assert (ours.decision, ours.ranked) == (theirs.decision, theirs.ranked)


def test_a_hosted_model_can_be_called_alone(world: World) -> None:
    world.until(world.ready)
    model = world.models["later"]
    (reading,) = model.recognise(Request(utterance="x"))
    assert reading.domain == "later"
    own = Request(utterance="x", hypotheses=(reading,))
    assert model.rerank(own).mine == 0.5
    assert model.explain(own) == [{"base": 0.0}]  # the log-odds of 0.5, of which the model explains nothing
    with pytest.raises(PluginError, match="I won't"):
        world.models["hostile"].recognise(Request(context={"deed": "x" * 5})) and world.models["hostile"].rerank(
            Request(context={"deed": "raise"}, hypotheses=(reading,))
        )


@pytest.mark.parametrize("context", [{"huge": "x" * (17 << 20)}, {"object": object()}], ids=["huge", "object"])
def test_a_request_that_no_worker_accepts_fails_there_and_blames_no_domain(
    world: World, context: dict[str, object]
) -> None:
    world.until(world.ready)
    outcomes = dispatch.query_all(world.models, Request(context=context))
    assert all(isinstance(one, Failed) and one.counts == 0 for one in outcomes.values())
    assert answered(world.ask()) == set(NAMES)


def test_an_integer_of_any_size_costs_at_most_its_own_domain(world: World) -> None:
    world.until(world.ready)
    given = {name: [Hypothesis(name, "I", 10**350 if name == "later" else 0.5)] for name in NAMES}
    outcomes = dispatch.query_all(world.models, Request(context={"number": 1 << 70}), given)
    assert all(isinstance(one, Answered) for name, one in outcomes.items() if name != "later")
    assert isinstance(outcomes["later"], Failed)
    assert "domain_confidence: Infinity is out of range" in outcomes["later"].reason


def test_a_nested_context_fails_as_it_does_here(world: World) -> None:
    world.until(world.ready)
    context: dict[str, object] = {}
    for _ in range(100_000):
        context = {"deeper": context}
    outcomes = dispatch.query_all(world.models, Request(context=context))
    assert all(isinstance(one, Failed) and "RecursionError" in one.reason for one in outcomes.values())
    assert answered(world.ask()) == set(NAMES)


# ------------------------------------------------------------------------------------------------ messages of a worker


def outcome_of(**fields: object) -> Outcome:
    whole = {"mine": 0.5, "right": (0.0,), "hypotheses": (Hypothesis("d", "I"),), "why": None, "failure": None}
    one = DomainOutcome(1, 0, recognise_ms=1.0, rerank_ms=1.0, **{**whole, **fields})  # type: ignore[arg-type]
    return checked_outcome("d", one, None, False)


@pytest.mark.parametrize(
    "fields",
    [
        {"right": ()},
        {"right": (0.0, 0.0)},
        {"right": (float("nan"),)},
        {"mine": 2.0},
        {"mine": float("nan")},
        {"hypotheses": (Hypothesis("e", "I"),)},
        {"hypotheses": (Hypothesis("d", "I", features={"x": float("inf")}),)},
        {"hypotheses": (Hypothesis("d", "I"),) * 101, "right": (0.0,) * 101},
    ],
)
def test_each_field_of_an_outcome_is_checked(fields: dict[str, object]) -> None:
    assert isinstance(outcome_of(), Answered)
    assert isinstance(outcome_of(**fields), Failed)


# ------------------------------------------------------------------------------------------------------------- breakers


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_domain_that_ends_its_worker_is_skipped_tried_and_queried_again(world: World) -> None:
    clock = Clock()
    breakers = Breakers(BreakerSettings(pause=1.0, longest=3.0), clock)
    world.until(world.ready)
    assert isinstance(world.ask("leave", breakers)["hostile"], Failed)
    for pause in (1.0, 2.0, 3.0, 3.0):
        world.until(world.ready)
        clock.now += pause - 0.1
        skipped = world.ask("leave", breakers)
        assert isinstance(skipped["hostile"], Skipped)
        assert "circuit open" in skipped["hostile"].reason
        # A request does not wait for long to learn how a process ended.
        assert re.search("ended with status 3|connection closed", skipped["hostile"].reason)
        assert answered(skipped) == {"before", "later"}
        clock.now += 0.2
        assert isinstance(world.ask("leave", breakers)["hostile"], Failed)
    assert breakers.status().keys() == {"hostile"}
    clock.now += 3.1
    world.until(world.ready)
    assert answered(world.ask("", breakers)) == set(NAMES)
    assert not breakers


def test_a_domain_is_not_tried_while_no_process_stands_by(world: World) -> None:
    clock = Clock()
    breakers = Breakers(BreakerSettings(), clock)
    world.until(world.ready)
    world.ask("leave", breakers)
    clock.now += 100
    if not world.ready():
        assert isinstance(world.ask("", breakers)["hostile"], Skipped)
    world.until(world.ready)
    assert isinstance(world.ask("", breakers)["hostile"], Answered)


def fails(model: HostileModel, breakers: Breakers, deed: str = "raise") -> Outcome:
    request = Request(utterance="x", context={"deed": deed})
    return dispatch.query_all({model.name: model}, request, breakers=breakers)[model.name]


def test_in_this_process_a_few_failures_in_a_row_open_a_breaker_and_one_answer_closes_it() -> None:
    clock, model = Clock(), HostileModel("d")
    breakers = Breakers(BreakerSettings(failures=3), clock)
    assert [type(fails(model, breakers)) for _ in range(2)] == [Failed] * 2
    assert isinstance(fails(model, breakers, ""), Answered)
    assert [type(fails(model, breakers)) for _ in range(4)] == [Failed] * 3 + [Skipped]
    assert breakers.status() == {
        "d": "circuit open after 3 failures in a row, tried again in 1.0 s; the last failure: RuntimeError"
    }
    clock.now += 1.1
    assert isinstance(fails(model, breakers, ""), Answered)
    assert isinstance(fails(model, breakers), Failed)


def test_another_version_is_queried_although_the_circuit_of_the_previous_one_is_open() -> None:
    old, new = HostileModel("d"), HostileModel("d")
    breakers = Breakers(BreakerSettings(failures=1), Clock())
    fails(old, breakers)
    assert isinstance(fails(old, breakers), Skipped)
    assert isinstance(fails(new, breakers, ""), Answered)
    assert isinstance(fails(old, breakers), Skipped)
    breakers.keep("d", [new])
    assert not breakers


def test_while_one_request_tries_a_domain_no_other_does() -> None:
    clock, model = Clock(), HostileModel("d")
    breakers = Breakers(BreakerSettings(failures=1), clock)
    fails(model, breakers)
    clock.now += 2
    skipped, tried = breakers.admit({"d": model}, lambda model: True)
    assert (skipped, tried) == ({}, ["d"])
    assert isinstance(fails(model, breakers), Skipped)
    breakers.succeeded("d", model)
    assert isinstance(fails(model, breakers, ""), Answered)


def test_an_answer_of_this_process_that_takes_too_long_counts_although_it_is_used() -> None:
    breakers = Breakers(BreakerSettings(failures=2, soft_ms=0.0), Clock())
    model = HostileModel("d")
    assert [type(fails(model, breakers, "")) for _ in range(3)] == [Answered, Answered, Skipped]


@pytest.mark.usefixtures("interruptible")
def test_an_interrupted_request_ends_its_trial() -> None:
    clock, model = Clock(), HostileModel("d")
    breakers = Breakers(BreakerSettings(failures=1), clock)
    fails(model, breakers)
    clock.now += 2
    with pytest.raises(KeyboardInterrupt):
        fails(model, breakers, "interrupt")
    assert isinstance(fails(model, breakers, ""), Answered)


# ----------------------------------------------------------------------------------------------------- following, dying


def artifact(folder: Path, number: int, deed: str = "") -> str:
    (folder / "reranker").mkdir(parents=True)
    (folder / "reranker" / "weights.json").write_text(str(number))
    (folder / "card.json").write_text("{}")
    if deed:
        (folder / "deed").write_text(deed)
    return seal(folder, Manifest(domain="hostile", package="p", package_version="1")).version


def test_live_loads_versions_into_workers_and_a_request_in_flight_ends_on_its_own(
    domains: dict[str, Domain], tmp_path: Path
) -> None:
    store = open_store(tmp_path / "store", environment={})
    first, second = (artifact(tmp_path / str(i), i) for i in range(2))
    crash = artifact(tmp_path / "crash", 2, "leave")
    store.publish(tmp_path / "0", promote=True)
    live = Live(
        {"hostile": domains["hostile"]},
        store,
        isolation=Isolation({"g": ("hostile",)}, deadline_ms=1e3 * DEADLINE),
        selftest=lambda folder, name: None,
    )
    try:
        live.look()
        request = Request(utterance="x")
        held = live.routing
        assert live.answer(request).domains["hostile"].version == first
        store.publish(tmp_path / "1", promote=True)
        live.look()
        assert live.answer(request).domains["hostile"].version == second
        report = held.arbitrator().answer(request).domains["hostile"]
        assert (report.status, report.version) == ("answered", first)
        store.publish(tmp_path / "crash", promote=True)
        live.look()
        report = live.answer(request).domains["hostile"]
        assert (report.status, report.version) == ("answered", second)
        assert "its worker process ended with status 3" in (report.reason or "")
        assert crash in live.status().domains["hostile"].refused
        live.arbitrate(Request(context={"deed": "leave"}))
        assert re.search("status 3|connection closed", live.status().domains["hostile"].breaker or "")
        assert live.answer(request).domains["hostile"].status == "skipped"
        assert live.status().workers["g"].restarts >= 1
    finally:
        live.stop()
    assert children(os.getpid()) == [] or live.status().workers["g"].pids == ()


PARENT = """
import sys, threading, time
from pathlib import Path
from arbitrank.arbitration import dispatch
from arbitrank.isolation.groups import Isolation, WorkerGroups
from arbitrank.values import Request
workers = WorkerGroups(Isolation({"g": ("hostile",)}, deadline_ms=1000))
model = workers.load("hostile", Path(sys.argv[1]))
while not workers.status()["g"].ready:
    time.sleep(0.01)
print(*workers.status()["g"].pids, flush=True)
dispatch.query_all({"hostile": model}, Request(context={"deed": sys.argv[2]}))
print("asked", flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize("deed", ["", "hang in C"])
def test_workers_end_when_their_parent_is_killed(
    domains: dict[str, Domain], world: World, tmp_path: Path, deed: str
) -> None:
    path = os.pathsep.join(one for one in sys.path if one)
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(tmp_path), deed],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
    )
    assert parent.stdout
    pids = [int(one) for one in parent.stdout.readline().split()]
    assert len(pids) == 2
    if not deed:
        assert parent.stdout.readline() == "asked\n"
    parent.kill()
    parent.wait()
    parent.stdout.close()
    world.until(lambda: not any(map(alive, pids)))


def test_a_worker_that_cannot_load_reports_the_reason(world: World, tmp_path: Path) -> None:
    (tmp_path / "deed").write_text("raise")
    with pytest.raises(PluginError, match=r"cannot be loaded: RuntimeError: I won't"):
        world.workers.load("hostile", tmp_path)
    (tmp_path / "deed").write_text("segfault")
    with pytest.raises(PluginError, match="SIGSEGV"):
        world.workers.load("hostile", tmp_path)
    world.until(lambda: answered(world.ask()) == set(NAMES))


def test_workers_can_be_ended_while_one_hangs_in_loading(domains: dict[str, Domain], tmp_path: Path) -> None:
    (tmp_path / "deed").write_text("hang in C")
    workers = WorkerGroups(Isolation({"g": ("hostile",)}))
    failed: list[PluginError] = []

    def load() -> None:
        try:
            workers.load("hostile", tmp_path)
        except PluginError as error:
            failed.append(error)

    thread = threading.Thread(target=load)
    before = set(children(os.getpid()))
    thread.start()
    by = time.monotonic() + 10
    while set(children(os.getpid())) == before and time.monotonic() < by:
        time.sleep(0.01)
    time.sleep(1)  # that it loads by now is likely; if not, the test holds too
    workers.close()
    thread.join(10)
    assert not thread.is_alive()
    assert "its worker process" in str(failed[0])


@pytest.mark.parametrize(
    ("words", "groups"),
    [
        ((), {}),
        (("all",), {"all": ("a", "b")}),
        (("each",), {"a": ("a",), "b": ("b",)}),
        (("b", "b"), {"b": ("b",)}),
    ],
)
def test_groups_of_an_option(words: Sequence[str], groups: dict[str, tuple[str, ...]]) -> None:
    isolation = isolation_of(words, ["b", "a"], None)
    assert (isolation.groups if isolation else {}) == groups


@pytest.mark.parametrize("words", [("c",), ("all", "a"), ("each", "all")])
def test_an_option_that_cannot_be_isolated_is_refused(words: Sequence[str]) -> None:
    with pytest.raises(InputError, match="--isolate: "):
        isolation_of(words, ["b", "a"], None)


def test_a_domain_is_in_one_group() -> None:
    with pytest.raises(InputError, match="two groups"):
        WorkerGroups(Isolation({"x": ("a",), "y": ("a",)}))


def test_hostile_domains_are_domains() -> None:
    assert isinstance(Hostile("x").load(Path("/nowhere")), HostileModel)


# --------------------------------------------------------------------------------------------------------- command line


def test_on_the_command_line_isolated_domains_answer_as_others_do(arbitrank: Command) -> None:
    requests = "".join(f'{{"id": "{i}", "utterance": "play number {i}"}}\n' for i in range(3))

    def ranked(*options: str) -> list[object]:
        done = arbitrank("rank", "-", *options, input=requests)
        assert done.returncode == 0, done.stderr
        answers = [json.loads(line) for line in done.stdout.splitlines()]
        return [(answer["decision"], [near(one) for one in answer["ranked"]]) for answer in answers]

    def near(entry: dict[str, object]) -> dict[str, object]:
        """Domains of one process may be scored together, which rounds otherwise."""
        return {key: round(value, 9) if isinstance(value, float) else value for key, value in entry.items()}

    plain = ranked()
    assert len(plain) == 3
    for how in ("all", "each"):
        assert ranked("--follow", "--isolate", how, "--deadline", "5000") == plain


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--isolate", "all"), "--isolate: no --follow; expected both"),
        (("--follow", "--deadline", "100"), "--deadline: no --isolate or --environments; expected both"),
        (("--follow", "--isolate", "nobody"), "--isolate: domain 'nobody' is not loaded"),
    ],
)
def test_on_the_command_line_options_that_need_others_are_refused_alone(
    arbitrank: Command, options: Sequence[str], said: str
) -> None:
    done = arbitrank("rank", *options, input="")
    assert done.returncode == 2
    assert said in done.stderr
