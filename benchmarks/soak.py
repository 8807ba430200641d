"""Soak test of the service: ten minutes at 70 % of its capacity, with swaps, and plugins that fail at random.

`arbitrank serve` with the installed domains, a log, and two more domains: one raises now and then, one in a worker
process of its own ends that process. Another process promotes a version of an installed domain every few seconds. Each
answer is read: a request counts as failed where its status is neither 200 nor the 503 of a full queue, or where a
domain other than those two did not answer. Memory is the worker's resident set, its slope that of a least-squares line
over the second half, in megabytes per hour.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from arbitrank.registry import discover, loaded
from arbitrank.store.artifact import Manifest, seal
from arbitrank.store.store import open_store
from arbitrank.values import Answer
from benchmarks.common import distribution, show, table
from benchmarks.serve import bodies, call, closed_loop, open_loop, running
from benchmarks.swap import promoter, versions

NAME = "soak"
RAISES, ENDS = "flaky", "frail"
_CHUNK = 5.0  # seconds of load between looks at the memory
_PLUGIN = f"""
import os
import random
from pathlib import Path
import numpy as np
from arbitrank.domain import Domain, Model, Scores
from arbitrank.hookspecs import hookimpl
from arbitrank.values import Hypothesis


class Fails(Model):
    def __init__(self, name):
        self.name = name

    def rerank(self, request):
        if self.name == {RAISES!r} and random.random() < 0.01:
            raise RuntimeError("out of order")
        if self.name == {ENDS!r} and random.random() < 0.0002:
            os._exit(3)
        return Scores(0.1, np.full(len(request.hypotheses), 0.1 / len(request.hypotheses)))


class One(Domain):
    def __init__(self, name):
        self.name = name

    @property
    def shipped(self):
        return Path(__file__).parent / "shipped" / self.name

    def train(self, examples, out, settings):
        return {{}}

    def load(self, folder):
        return Fails(self.name)


@hookimpl
def arbitrank_domains():
    return [One({RAISES!r}), One({ENDS!r})]
"""


class Watch:
    """Counts of the answers by outcome, and of the two plugins' statuses."""

    def __init__(self, others: Sequence[str]) -> None:
        self._others = others
        self._decode = msgspec.json.Decoder(Answer).decode
        self.seen: Counter[str] = Counter()
        self.wrong: list[str] = []

    def __call__(self, status: int, body: bytes) -> None:
        """Count an answer."""
        if status == 503:
            self.seen["turned away"] += 1
            return
        reports = self._decode(body).domains if status == 200 else {}
        silent = [name for name in self._others if name not in reports or reports[name].status != "answered"]
        if silent:
            self.seen["failed"] += 1
            self.wrong.append(f"{status}: {body[:300]!r}")
            return
        self.seen["answered"] += 1
        for name in (RAISES, ENDS):
            self.seen[f"{name} {reports[name].status}"] += 1


def installed(site: Path) -> None:
    """Install the package with the two domains that fail."""
    for name in (RAISES, ENDS):
        folder = site / "shipped" / name
        (folder / "reranker").mkdir(parents=True)
        (folder / "reranker" / "weights.json").write_text("{}")
        seal(folder, Manifest(domain=name, package="arbitrank-failing", package_version="1.0"))
    distribution(site, "failing", _PLUGIN)


def queries() -> list[bytes]:
    """The requests of the service's benchmark, with a hypothesis for each of the two domains as well."""
    more = [{"domain": name, "intent": "Fail", "domain_confidence": 0.1} for name in (RAISES, ENDS)]
    found = []
    for body in bodies():
        request = json.loads(body)
        found.append(call(json.dumps({**request, "hypotheses": request["hypotheses"] + more}).encode()))
    return found


def resident(pid: int) -> float:
    """The resident set of a process, in megabytes."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def measured(minutes: float, load: float, every: float, least: int = 0) -> dict[str, Any]:
    """The figures of a run of some minutes, and until `least` requests were answered and a version was promoted."""
    domains = loaded(discover())
    swapped = min(domains)
    processors = sorted(os.sched_getaffinity(0))
    server, client = (processors[0], processors[1]) if len(processors) > 1 else (None, None)
    calls, watch = queries(), Watch(sorted(domains))
    latencies: list[float] = []
    sizes: list[tuple[float, float]] = []
    with tempfile.TemporaryDirectory(prefix="arbitrank-") as temporary:
        folder = Path(temporary)
        (folder / "site").mkdir()
        installed(folder / "site")
        store = open_store(folder / "store", environment={})
        names = [store.publish(one, promote=True).version for one in versions(domains[swapped], folder / "versions")]
        path = os.pathsep.join(filter(None, (str(folder / "site"), os.environ.get("PYTHONPATH"))))
        options = {"store": folder / "store", "log": folder / "log", "log-share": 0.05, "isolate": ENDS}
        with (
            running("service", server, {"PYTHONPATH": path}, **options) as (pid, port),
            promoter(str(folder / "store"), swapped, names, every) as orders,
        ):
            if client is not None:
                os.sched_setaffinity(0, {client})
            try:
                capacity = closed_loop(port, calls, 3.0)
                orders.send(True)
                began, turn = time.monotonic(), 0
                while time.monotonic() - began < 60.0 * minutes or (
                    least and not (watch.seen["answered"] >= least and orders.poll())
                ):
                    seen = open_loop(port, calls, load * capacity, min(_CHUNK, 60.0 * minutes), seed=turn, look=watch)
                    latencies += seen.latencies
                    watch.seen["unsent"] += seen.unsent
                    sizes.append((time.monotonic() - began, resident(pid)))
                    turn += 1
                orders.send(False)
            finally:
                os.sched_setaffinity(0, set(processors))
            swaps = 0
            while orders.poll(1.0):
                orders.recv()
                swaps += 1
    late = np.array(sizes[len(sizes) // 2 :])
    slope = float(np.polyfit(late[:, 0], late[:, 1], 1)[0]) * 3_600 if len(late) > 1 else 0.0
    return {
        "minutes": minutes,
        "capacity_per_s": capacity,
        "requests": sum(watch.seen[kind] for kind in ("answered", "failed", "turned away")),
        **{kind.replace(" ", "_"): watch.seen[kind] for kind in ("failed", "turned away", "unsent")},
        "plugins": {key: n for key, n in sorted(watch.seen.items()) if key.split()[0] in (RAISES, ENDS)},
        "wrong": watch.wrong[:5],
        "swaps": swaps,
        "p50_ms": 1e3 * float(np.quantile(latencies, 0.5)),
        "p99_ms": 1e3 * float(np.quantile(latencies, 0.99)),
        "memory_mb": [sizes[0][1], late[0][1], late[-1][1]],
        "slope_mb_per_hour": slope,
    }


def print_table(figures: Mapping[str, Any]) -> None:
    print(
        f"{figures['minutes']:g} minutes, {figures['requests']} requests at a load for which the service can do "
        f"{figures['capacity_per_s']:.0f} a second, {figures['swaps']} swaps"
    )
    print(f"failed: {figures['failed']}; turned away: {figures['turned_away']}; p50 {figures['p50_ms']:.2f} ms, "
          f"p99 {figures['p99_ms']:.2f} ms\n")  # fmt: skip
    for line in figures["wrong"]:
        print(f"  {line}")
    table(("status of the two domains that fail", "requests"), [(k, str(n)) for k, n in figures["plugins"].items()])
    first, middle, last = figures["memory_mb"]
    print(
        f"memory: {first:.1f} MB at first, {middle:.1f} at half time, {last:.1f} at the end; slope over "
        f"the second half {figures['slope_mb_per_hour']:+.1f} MB an hour"
    )


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="20 seconds")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    parser.add_argument("--minutes", type=float, default=10.0, help="(%(default)s)")
    parser.add_argument("--load", type=float, default=0.7, help="the share of what the service can do (%(default)s)")
    parser.add_argument("--every", type=float, default=5.0, help="seconds between promotions (%(default)s)")
    chosen = parser.parse_args(argv)
    if chosen.quick:
        chosen.minutes = 1 / 3
    show(NAME, chosen, measured(chosen.minutes, chosen.load, chosen.every), print_table)


if __name__ == "__main__":
    main()
