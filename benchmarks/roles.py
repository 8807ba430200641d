"""Processor time of the two sides of a worker's socket, apart from the processes.

    python -m benchmarks.roles [--rounds 200] [--json]

This process plays both: it sends a query, answers it as a worker does, and reads the outcomes as the service does, in
turns. The shortest of many rounds is the cost of the code alone, also on a busy machine, without the system's cost of
waking processes and without what other processes do to the processor's caches. `floor` is the median of processor time
of as many bytes that two bare processes send one another, with the waking, in as many messages. `in process` is the
same request without any worker. Thirty domains of five hypotheses share a worker, as in `benchmarks.isolate`.
"""

from __future__ import annotations

import argparse
import gc
import os
import select
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from arbitrank.arbitration.arbitrator import Arbitrator, Serving
from arbitrank.arbitration.dispatch import Call, Host, HostedModel
from arbitrank.domain import Model
from arbitrank.isolation import worker_main
from arbitrank.isolation.bell import OUTCOMES
from arbitrank.isolation.channel import Channel
from arbitrank.isolation.decoders import from_worker, to_worker
from arbitrank.isolation.messages import MAX_OUTCOMES, MAX_QUERY, FromWorker, Query
from arbitrank.isolation.pending import PendingCall
from arbitrank.registry import discover, loaded
from arbitrank.values import Hypothesis, Request
from benchmarks import isolate
from benchmarks.common import show, table

NAME = "roles"
_HOURS = 3_600.0  # until which nothing is late
_BUFFER = 1 << 21  # bytes of the socket, in which all outcomes wait


class Both:
    """A worker that this process plays: a query that is sent is answered at once; `seconds` are what that took."""

    rings, drained, refused = False, True, dict[int, str]()

    def __init__(self, models: Mapping[int, tuple[str, Model]]) -> None:
        self.models, self.loaded = models, set(models)
        self.seconds, self.sent = 0.0, 0
        self._ours, self._theirs = socket.socketpair()
        self._theirs.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _BUFFER)
        self._service: Channel[FromWorker] = Channel(self._ours, from_worker, MAX_OUTCOMES)
        self._worker = Channel(self._theirs, to_worker, MAX_QUERY)
        self._poll = select.poll()
        self._poll.register(self._ours, select.POLLIN)

    def send(self, content: bytes, seconds: float | None = None) -> None:
        """Send a query, and answer it."""
        self._service.send(content, seconds=seconds)
        self.sent = len(content)
        began = time.perf_counter()
        query = self._worker.receive()
        assert isinstance(query, Query)
        left = worker_main._answer(query, self.models, self._worker, None, began + _HOURS)
        self._worker.send(*left)
        self.seconds = time.perf_counter() - began

    def readable(self, seconds: float, bell: bool) -> bool:
        """True where outcomes wait."""
        return bool(self._poll.poll(1e3 * seconds))

    def received(self) -> Iterator[FromWorker]:
        """The outcomes."""
        return self._service.received()


class Played(Host):
    """The host of models in `Both`."""

    ready, deadline, spare = True, _HOURS, None

    def __init__(self, models: Mapping[int, tuple[str, Model]]) -> None:
        self.active = Both(models)

    def begin(
        self,
        models: Mapping[str, HostedModel],
        request: Request,
        given: Mapping[str, Sequence[Hypothesis]] | None,
        explain: bool,
        began: float,
    ) -> Call:
        """Send a request."""
        numbers = {name: model.number for name, model in models.items()}
        call = PendingCall(self, numbers, request, given, explain, began)  # type: ignore[arg-type]
        call.start(self.active, list(models))  # type: ignore[arg-type]
        return call.outcomes

    def retire(self, worker: Both) -> None:
        """End the benchmark."""
        raise SystemExit(f"{NAME}: a malformed message")

    def release(self) -> None:
        """End a request."""


def shortest(answer: Callable[[], Any], rounds: int, other: Callable[[], float] = lambda: 0.0) -> tuple[float, float]:
    """Microseconds of the shortest of many rounds, without those of `other`, and the shortest of these."""
    own, others = [], []
    for _ in range(rounds):
        began = time.perf_counter()
        answer()
        took, less = time.perf_counter() - began, other()
        own.append(took - less)
        others.append(less)
        gc.collect(1)
    return 1e6 * min(own), 1e6 * min(others)


def floor(sent: int, replied: int, messages: int, rounds: int) -> float:
    """Microseconds of processor time of two bare processes for one query and its replies; the median of blocks."""
    ours, theirs = socket.socketpair()
    pid = os.fork()
    if not pid:
        ours.close()
        while _all(theirs, sent):
            for _ in range(messages):
                theirs.send(bytes(replied // messages))
        os._exit(0)
    theirs.close()
    blocks = []
    for _ in range(10):
        began = _used(pid)
        for _ in range(rounds):
            ours.send(bytes(sent))
            _all(ours, replied // messages * messages)
        blocks.append((_used(pid) - began) / rounds)
    ours.close()
    os.waitpid(pid, 0)
    return median(blocks)


def _all(connection: socket.socket, length: int) -> bool:
    while length > 0:
        content = connection.recv(1 << 16)
        if not content:
            return False
        length -= len(content)
    return True


def _used(pid: int) -> float:
    """Microseconds of processor time of this process and of a child."""
    child = int(Path(f"/proc/{pid}/schedstat").read_text().split()[0])
    return (time.process_time_ns() + child) / 1e3


def measured(chosen: argparse.Namespace) -> dict[str, Any]:
    """The figures."""
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="arbitrank-") as folder:
        isolate.installed(Path(folder))
        domains = {name: one for name, one in loaded(discover()).items() if name.startswith("bench")}
        models = {i: (name, one.load(Path(folder))) for i, (name, one) in enumerate(sorted(domains.items()), 1)}
        host = Played(models)
        here = Arbitrator({name: Serving(model, "1", "package") for name, model in models.values()})
        away = Arbitrator(
            {name: Serving(HostedModel(name, host, i), "1", "package") for i, (name, _) in models.items()}
        )
        gc.disable()
        for kind in ("recognised", "supplied"):
            request = isolate.requests(sorted(domains), kind == "supplied")[0]
            statuses = {one.status for one in away.answer(request).domains.values()}
            assert statuses == {"answered"}, statuses
            service, worker = shortest(lambda: away.answer(request), chosen.rounds, lambda: host.active.seconds)  # noqa: B023
            inside, _ = shortest(lambda: here.answer(request), chosen.rounds)  # noqa: B023
            replied = 32_000 if kind == "recognised" else 6_000  # bytes of thirty outcomes
            found[kind] = {
                "service_us": round(service, 1),
                "worker_us": round(worker, 1),
                "in_process_us": round(inside, 1),
                "floor_us": round(floor(host.active.sent, replied, -(-len(models) // OUTCOMES), chosen.rounds), 1),
                "floor_of_each_us": round(floor(host.active.sent, replied, len(models), chosen.rounds), 1),
            }
    return found


def print_table(figures: Mapping[str, Any]) -> None:
    """Print the figures."""
    head = ("thirty domains, µs", "service", "worker", "in process", "floor, by the bell", "floor, each outcome")
    table(head, [(kind, *(f"{value:.0f}" for value in one.values())) for kind, one in figures.items()])


def main(argv: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=200, help="(%(default)s)")
    parser.add_argument("--quick", action="store_true", help="few rounds")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    chosen = parser.parse_args(argv)
    chosen.rounds = 20 if chosen.quick else chosen.rounds
    if not sys.platform.startswith("linux"):
        raise SystemExit(f"{NAME}: needs /proc of Linux")
    show(NAME, chosen, measured(chosen), print_table)


if __name__ == "__main__":
    main()
