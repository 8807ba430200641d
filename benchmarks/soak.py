"""Soak test of the service: ten minutes of honest calls in a storm of all that a service has to withstand, at once.

    python -m benchmarks.soak [--seconds 600] [--quick] [--json]

`arbitrank serve --workers 2` with tokens, a log, the installed domains, and two more of a hostile plugin: one fails now
and then in several ways, one, in a worker process of its own, ends that process. Honest calls with 17 hypotheses come
at random times, in a quiet phase, then in the storm, then in a quiet phase again. In the storm

- versions of a domain are promoted and rolled back, and the service reads its files again by SIGHUP,
- workers are killed (SIGKILL) and hang (SIGSTOP),
- the service is replaced: another is started on the same store and log, clients connect to that one from then on, and
  the first gets SIGTERM. A client connects again where it cannot connect, and sends again only what could not be sent,
- other clients send and read byte by byte, send lists, hang up on long lists, hold bodies without a token, and send
  half heads.

Each answer is read. A call is lost where it was sent whole and not answered, failed where the status is neither 200 nor
that of being turned away (429 or 503 with Retry-After), or where a domain other than the plugin's did not answer. Calls
on connections of a worker that the test has killed or stopped are counted apart. In the last half the service is not
replaced, and its oldest worker not killed: its memory is followed.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

from arbitrank.registry import discover, loaded
from arbitrank.store.store import open_store
from benchmarks.common import show
from benchmarks.serve import bodies
from benchmarks.soak_client import Findings, honest
from benchmarks.soak_service import ENDS, RAISES, Service, installed
from benchmarks.soak_storm import KINDS, post, storm
from benchmarks.soak_table import print_table
from benchmarks.swap import versions

NAME = "soak"
_HANG = 2.0  # seconds, of --hang
_LOOK = 2.0  # seconds between looks at the memory


@dataclass(frozen=True)
class Plan:
    """Times in seconds: of the quiet phases together, of the storm, and between two deeds of a kind; 0: none."""

    seconds: float
    quiet: float
    rate: float
    swap: float = 5.0
    reload: float = 20.0
    kill: float = 45.0
    hang: float = 60.0
    drains: int = 3
    settle: float = 3.0  # after the start, and after the storm, before it is quiet
    kinds: tuple[str, ...] = KINDS


class Course:
    """The services of a run, one after another, and what was done to them."""

    def __init__(self, start: Callable[[], Service], told: Sequence[Connection]) -> None:
        self._start, self._told = start, told
        self.service = start()
        self.done: Counter[str] = Counter()
        self.events: Counter[str] = Counter()
        self.struck: list[tuple[float, set[int]]] = []
        self.ends: list[tuple[int, float]] = []
        self._replacing: list[threading.Thread] = []

    def strike(self, number: int) -> None:
        """Kill a worker, or have it hang, where another serves."""
        if ports := self.service.strike(number):
            self.struck.append((time.monotonic(), ports))
            self.done["killed" if number == signal.SIGKILL else "hung"] += 1

    def reload(self) -> None:
        self.service.reload()
        self.done["reloads"] += 1

    def replace(self) -> None:
        """Start the next service, have clients connect to it, and stop the present one; in a thread."""
        self._replacing.append(threading.Thread(target=self._replace))
        self._replacing[-1].start()

    def wait(self) -> None:
        """Wait until each service that has been replaced has ended."""
        for one in self._replacing:
            one.join()

    def _replace(self) -> None:
        before, self.service = self.service, self._start()
        for one in self._told:
            one.send(self.service.port)
        time.sleep(0.2)
        self.stop(before)
        self.done["drains"] += 1

    def stop(self, service: Service) -> None:
        self.ends.append(service.stop())
        self.events += service.events

    def by_own_hand(self, broken: Sequence[tuple[float, int, str]]) -> int:
        """The number of broken calls that a worker had which was killed or stopped at that time."""
        return sum(
            any(0 <= at - began + 0.1 < _HANG + 6 and port in ports for began, ports in self.struck)
            for at, port, _ in broken
        )


def deeds(plan: Plan, course: Course, swap: Callable[[], None]) -> list[tuple[float, Callable[[], None]]]:
    """All that is done in the storm, with its time from the storm's start."""

    def repeated(every: float, first: float, deed: Callable[[], None]) -> list[tuple[float, Callable[[], None]]]:
        return [(float(at), deed) for at in np.arange(first * every, plan.seconds, every)] if every else []

    return sorted(
        [
            *repeated(plan.swap, 0.5, swap),
            *repeated(plan.reload, 0.25, course.reload),
            *repeated(plan.kill, 0.4, lambda: course.strike(signal.SIGKILL)),
            *repeated(plan.hang, 0.6, lambda: course.strike(signal.SIGSTOP)),
            *[((i + 0.5) * plan.seconds / 2 / plan.drains, course.replace) for i in range(plan.drains)],
        ],
        key=lambda one: one[0],
    )


def perform(plan: Plan, course: Course, swap: Callable[[], None]) -> list[tuple[float, float, float, float]]:
    """Carry the storm out; its memory as (time, supervisor, oldest worker, all), in seconds and megabytes."""
    began, sizes, left = time.monotonic(), [], deeds(plan, course, swap)
    while (now := time.monotonic() - began) < plan.seconds:
        while left and left[0][0] <= now:
            left.pop(0)[1]()
        sizes.append((time.monotonic() - began, *course.service.memory()))
        upcoming = min([now + _LOOK, plan.seconds, *[at for at, _ in left[:1]]])
        time.sleep(max(0.0, upcoming - (time.monotonic() - began)))
    course.wait()
    return sizes


@contextmanager
def process(target: Callable[..., None], *given: Any) -> Iterator[Connection]:
    """A process of the clients, as the connection that takes orders and has the findings."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    one = context.Process(target=target, args=(*given, theirs), daemon=True)
    one.start()
    try:
        yield ours
    finally:
        one.join(30)


def calls(token: str) -> list[bytes]:
    """The requests of the service's benchmark, with a hypothesis for each of the two domains as well."""
    more = [{"domain": name, "intent": "Fail", "domain_confidence": 0.1} for name in (RAISES, ENDS)]
    requests = [json.loads(body) for body in bodies()]
    return [post(token, json.dumps({**one, "hypotheses": one["hypotheses"] + more}).encode()) for one in requests]


def new_token(name: str, tokens: Path) -> str:
    """A token for the scope `rank`, added to the file."""
    command = [sys.executable, "-m", "arbitrank", "token", name, "rank", "--tokens", str(tokens)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[-1]


def measured(plan: Plan) -> dict[str, Any]:
    """The figures of a run."""
    domains = loaded(discover())
    with tempfile.TemporaryDirectory(prefix="arbitrank-") as temporary:
        folder = Path(temporary)
        (folder / "site").mkdir()
        installed(folder / "site")
        good, other = (new_token(name, folder / "tokens.jsonl") for name in ("honest", "other"))
        store = open_store(folder / "store", environment={})
        name = min(domains)
        published = [store.publish(one, promote=True).version for one in versions(domains[name], folder / "versions")]
        path = os.pathsep.join(filter(None, (str(folder / "site"), os.environ.get("PYTHONPATH"))))
        options = {"store": folder / "store", "log": folder / "log", "log-share": 0.05, "isolate": ENDS,
                   "tokens": folder / "tokens.jsonl", "hang": _HANG}  # fmt: skip
        told: list[Connection] = []
        course = Course(lambda: Service(2, {"PYTHONPATH": path}, options), told)

        def swap() -> None:
            turn = course.done["swaps"]
            if turn % 3 == 2:
                store.rollback(name)
            else:
                store.promote(name, published[turn % len(published)])
            course.done["swaps"] += 1

        try:
            with (
                process(storm, other, plan.kinds) as harm,
                process(honest, course.service.port, calls(good), sorted(domains), plan.rate) as clients,
            ):
                told += [clients, harm]
                harm.recv()  # it has started
                clients.recv()
                time.sleep(plan.settle)
                clients.send("quiet")
                time.sleep(plan.quiet / 2)
                clients.send("storm")
                harm.send(course.service.port)
                sizes = perform(plan, course, swap)
                harm.send(None)
                seen = harm.recv()
                clients.send("after")
                time.sleep(plan.settle)
                clients.send("quiet")
                time.sleep(plan.quiet / 2)
                clients.send(None)
                found = clients.recv()
        finally:
            course.stop(course.service)
    return figures(plan, course, found, seen, sizes)


def figures(
    plan: Plan, course: Course, found: Findings, storm: Counter[str], sizes: Sequence[tuple[float, float, float, float]]
) -> dict[str, Any]:
    """The figures of what was seen."""
    killed = course.by_own_hand(found.broken)
    late = np.array([one for one in sizes if one[0] >= plan.seconds / 2 + 10] or sizes[-1:])
    slope = float(np.polyfit(late[:, 0], late[:, 2], 1)[0]) * 3_600 if len(late) > 1 else 0.0
    p = {
        phase: [1e3 * float(np.quantile(found.latencies.get(phase, [0.0]), q)) for q in (0.5, 0.99)]
        for phase in ("quiet", "storm")
    }
    lost = len(found.broken) - killed + found.seen["never connected"]
    return {
        "seconds": plan.seconds,
        "rate": plan.rate,
        "sent": found.seen["sent"],
        **{kind.replace(" ", "_"): found.seen[kind] for kind in ("answered", "turned away", "failed")},
        "killed": killed,
        "lost": lost,
        "broken": [f"{error} at port {port}" for _, port, error in found.broken][:5] if lost else [],
        **{kind.replace(" ", "_"): found.seen[kind] for kind in ("sent again", "connected again")},
        "wrong": found.wrong[:5],
        "plugins": {key: n for key, n in sorted(found.seen.items()) if key.split()[0] in (RAISES, ENDS)},
        "done": dict(sorted(course.done.items())),
        "ends": course.ends,
        "worker_ends": course.events["worker ended"],
        "storm": dict(sorted(storm.items())),
        "ms": p,
        "p99_ratio": p["storm"][1] / p["quiet"][1] if p["quiet"][1] else 0.0,
        "memory_mb": {
            kind: [float(late[i, column]) for i in (0, len(late) // 2, -1)]
            for column, kind in enumerate(("supervisor", "oldest worker", "all processes"), 1)
        },
        "slope_mb_per_hour": slope,
    }


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a storm of 20 seconds")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    parser.add_argument("--seconds", type=float, default=600.0, help="of the storm (%(default)s)")
    parser.add_argument(
        "--quiet", type=float, default=60.0, help="seconds without, half before and half after (%(default)s)"
    )
    parser.add_argument("--rate", type=float, default=100.0, help="honest calls a second (%(default)s)")
    chosen = parser.parse_args(argv)
    plan = Plan(chosen.seconds, chosen.quiet, chosen.rate)
    if chosen.quick:
        plan = Plan(20.0, 6.0, chosen.rate, swap=2.0, reload=5.0, kill=10.0, hang=15.0, drains=1)
    show(NAME, chosen, measured(plan), print_table)


if __name__ == "__main__":
    main()
