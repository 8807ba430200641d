"""One side of `benchmarks.environments`: a process that answers requests by domains in other processes, or its own.

It is run by its path, by the Python of one environment, whose core may be of another version. Its arguments are how the
domains run (`here`, `isolated`, `shared` or `environments`), their names, and a folder for an artifact that domains
without weights are loaded from. A line with a file of requests is answered by the median time of one, in microseconds;
`memory` by the megabytes of its children, `hang NAME` by the milliseconds of a request in which that domain hangs.
"""

from __future__ import annotations

import statistics
import sys
import time
from pathlib import Path

import msgspec

from arbitrank.arbitration import dispatch
from arbitrank.arbitration.arbitrator import Arbitrator, Serving
from arbitrank.arbitration.outcomes import Late
from arbitrank.isolation import groups
from arbitrank.isolation.groups import Isolation
from arbitrank.registry import discover, loaded
from arbitrank.values import Request

DEADLINE = 200.0
_children = Path("/proc/self/task")


def memory() -> float:
    """Megabytes of the children, each with its share of what processes share (PSS), 0 where the system has none."""
    total = 0
    for pid in {pid for task in _children.glob("*/children") for pid in task.read_text().split()}:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        total += next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return total / 1024


def main() -> None:
    """Answer the lines on standard input."""
    how, names, artifact = sys.argv[1], sys.argv[2].split(","), Path(sys.argv[3])
    domains = {name: one for name, one in loaded(discover()).items() if name in names}
    assert sorted(domains) == sorted(names), sorted(domains)
    folders = {name: Path(one.shipped) if one.shipped else artifact for name, one in domains.items()}
    shared = {"shared": tuple(names)} if how == "shared" else {name: (name,) for name in names}
    hosts = getattr(groups, "WorkerGroups", None) or groups.Workers  # as an earlier core called them
    workers = hosts(Isolation(shared, deadline_ms=DEADLINE)) if how in ("isolated", "shared") else None
    load = workers.load if workers else lambda name, folder: domains[name].load(folder)
    models = {name: load(name, folders[name]) for name in names}
    arbitrator = Arbitrator({name: Serving(model, "1", "package") for name, model in models.items()})
    kept: dict[str, list[Request]] = {}

    def ready() -> bool:
        hosted = [getattr(one, "host", None) for one in models.values()]
        return all(host is None or host.ready for host in hosted)

    def until_ready() -> None:
        by = time.monotonic() + 30
        while not ready() and time.monotonic() < by:
            time.sleep(0.01)

    def answered(path: str) -> float:
        if path not in kept:
            kept[path] = [msgspec.json.decode(line, type=Request) for line in Path(path).read_bytes().splitlines()]
            answer = arbitrator.answer(kept[path][0])
            assert {one.status for one in answer.domains.values()} == {"answered"}, answer.domains
        times = []
        for request in kept[path]:
            began = time.perf_counter()
            arbitrator.answer(request)
            times.append(time.perf_counter() - began)
        return 1e6 * statistics.median(times)

    def hang(name: str) -> float:
        request = Request(utterance="play one", context={"hang": name})
        began = time.perf_counter()
        outcomes = dispatch.query_all(models, request)  # without breakers, which would leave it out the next time
        took = 1e3 * (time.perf_counter() - began)
        assert isinstance(outcomes[name], Late), outcomes[name]
        return took

    until_ready()
    for line in sys.stdin:
        word, _, argument = line.strip().partition(" ")
        until_ready()
        print(memory() if word == "memory" else hang(argument) if word == "hang" else answered(word), flush=True)


main()
