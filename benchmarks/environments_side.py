"""One side of `benchmarks.environments`: a process that answers requests by domains in other processes, or in itself.

It is run by its path, by the Python of one environment, whose core may be of another version. Its arguments are how the
domains run (`here`, `isolated`, `shared` or `environments`), their names, a folder for an artifact that domains without
weights are loaded from, and their deadline in milliseconds. A line with a file of requests is answered by the median
time of one and by the processor time of one, its own and its children's, both in microseconds; `memory` by the
megabytes of its children, `hang NAME` by the milliseconds of a request in which that domain hangs.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import msgspec

from arbitrank.arbitration import dispatch
from arbitrank.arbitration.arbitrator import Arbitrator, Serving
from arbitrank.isolation import groups
from arbitrank.isolation.groups import Isolation
from arbitrank.registry import discover, loaded
from arbitrank.values import Request

_WAITING = 30.0  # seconds until both processes of each pair are there


def processes() -> set[str]:
    """The children of this process, by their numbers."""
    return {pid for path in Path("/proc/self/task").glob("*/children") for pid in path.read_text().split()}


def memory() -> float:
    """Megabytes of the children, each with its share of what processes share (PSS)."""
    total = 0
    for pid in processes():
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        total += next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return total / 1024


def cpu() -> float:
    """Processor time of this process and its children, in microseconds; its own where the system does not say."""
    total = time.process_time_ns()
    for pid in processes():
        for path in Path(f"/proc/{pid}/task").glob("*/schedstat"):
            with suppress(OSError):
                total += int(path.read_text().split()[0])
    return total / 1e3


def main() -> None:
    """Answer the lines on standard input."""
    how, names, artifact, deadline = sys.argv[1], sys.argv[2].split(","), Path(sys.argv[3]), float(sys.argv[4])
    domains = {name: one for name, one in loaded(discover()).items() if name in names}
    assert sorted(domains) == sorted(names), sorted(domains)
    folders = {name: Path(one.shipped) if one.shipped else artifact for name, one in domains.items()}
    shared = {"shared": tuple(names)} if how == "shared" else {name: (name,) for name in names}
    hosts = getattr(groups, "WorkerGroups", None) or groups.Workers  # as an earlier core called them
    load: Callable[[str, Path], object] = lambda name, folder: domains[name].load(folder)  # noqa: E731
    if how in ("isolated", "shared"):
        load = hosts(Isolation(shared, deadline_ms=deadline)).load
    elif how == "environments":
        for one in domains.values():
            one.host.settings = Isolation({}, deadline_ms=deadline)  # type: ignore[attr-defined]
    models = {name: load(name, folders[name]) for name in names}
    arbitrator = Arbitrator({name: Serving(model, "1", "package") for name, model in models.items()})
    kept: dict[str, list[Request]] = {}

    def until_ready() -> None:
        by = time.monotonic() + _WAITING
        each = [getattr(one, "host", None) or getattr(one, "place", None) for one in models.values()]
        while not all(one is None or one.ready for one in each) and time.monotonic() < by:
            time.sleep(0.01)

    def answered(path: str) -> str:
        if path not in kept:
            kept[path] = [msgspec.json.decode(line, type=Request) for line in Path(path).read_bytes().splitlines()]
            answer = arbitrator.answer(kept[path][0])
            assert {one.status for one in answer.domains.values()} == {"answered"}, answer.domains
        times, used = [], cpu()
        for request in kept[path]:
            began = time.perf_counter()
            arbitrator.answer(request)
            times.append(time.perf_counter() - began)
        return f"{1e6 * statistics.median(times)} {(cpu() - used) / len(times)}"

    def hang(name: str) -> float:
        request = Request(utterance="play one", context={"hang": name})
        began = time.perf_counter()
        outcomes = dispatch.query_all(models, request)  # without breakers, which would leave it out the next time
        took = 1e3 * (time.perf_counter() - began)
        assert type(outcomes[name]).__name__ == "Late", outcomes[name]
        return took

    until_ready()
    for line in sys.stdin:
        word, _, argument = line.strip().partition(" ")
        until_ready()
        print(memory() if word == "memory" else hang(argument) if word == "hang" else answered(word), flush=True)


main()
