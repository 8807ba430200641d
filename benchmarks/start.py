"""How soon does a service answer after it was started, and what memory do a domain, a worker and an isolated one take?

Generated domains with the toolkit's factored re-rankers of 20 features, installed as a package is, are served by
`arbitrank serve`. A start is from the process's own to its being ready; the figures are medians. Memory is what a
process
would give back if it ended (its proportional set): of a worker that has answered, of two that share a port with all
processes that they have, and of the two that an isolated group has.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import msgspec
import numpy as np

from arbitrank.learn import files
from arbitrank.store.artifact import Manifest, seal
from benchmarks.common import distribution, show, table
from benchmarks.predict import factored, requests
from benchmarks.serve import call, closed_loop

NAME = "start"
ISOLATED = b"arbitrank.isolation.worker_main"
WORKER = b"arbitrank.serve.worker_main"
_PLUGIN = """
from pathlib import Path
from arbitrank.hookspecs import hookimpl
from arbitrank.learn.reference import ReferenceDomain


class Made(ReferenceDomain):
    @property
    def shipped(self):
        return Path(__file__).parent / "shipped" / self.name


@hookimpl
def arbitrank_domains():
    return [Made(one.name) for one in sorted((Path(__file__).parent / "shipped").iterdir())]
"""


def installed(site: Path, domains: int) -> list[str]:
    """A package with so many domains, each with its weights, where a service started with `site` finds it."""
    rng, names = np.random.default_rng(0), [f"domain{d}" for d in range(domains)]
    for name in names:
        folder = site / "shipped" / name
        files.save(factored(name, rng), folder / "reranker")
        seal(folder, Manifest(domain=name, package="arbitrank-made", package_version="1.0"))
    distribution(site, "made", _PLUGIN)
    return names


@contextmanager
def started(site: Path, *options: str, workers: int = 1) -> Iterator[tuple[int, int, float]]:
    """A service that is ready: its supervisor's process, its port, and the seconds that it took."""
    with tempfile.TemporaryDirectory(prefix="arbitrank-") as store:
        command = [sys.executable, "-m", "arbitrank", "serve", "--port", "0", "--store", store, *options]
        names = ["made", *(one.name for one in (site / "shipped").iterdir())]  # the entry point, and its domains
        path = os.pathsep.join(filter(None, (str(site), os.environ.get("PYTHONPATH"))))
        env = {**os.environ, "PYTHONPATH": path, "ARBITRANK_DOMAINS": ",".join(names)}
        began = time.perf_counter()
        process = subprocess.Popen([*command, "--workers", str(workers)], stderr=subprocess.PIPE, env=env)
        try:
            port = _port(process, workers)
            took = time.perf_counter() - began
            yield process.pid, port, took
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.communicate(timeout=20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.communicate()


def _port(process: subprocess.Popen[bytes], workers: int) -> int:
    """The port, once all workers are ready."""
    port = ready = 0
    assert process.stderr
    for line in process.stderr:
        said = json.loads(line)
        if said["event"] == "listening":
            port = int(said["at"].rpartition(":")[2])
        ready += said["event"] == "ready"
        if ready == workers:
            return port
    raise SystemExit(f"{NAME}: the service ended before it was ready")


def check(port: int, asked: bytes) -> None:
    """Ends all where a domain that is asked does not answer: the figures would be of something else."""
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(asked)
        reply = http.client.HTTPResponse(connection)
        reply.begin()
        statuses = [one["status"] for one in json.loads(reply.read())["domains"].values()]
    if statuses.count("answered") != 3:
        raise SystemExit(f"{NAME}: of three domains that were asked {statuses.count('answered')} answered")


def memory(pid: int) -> float:
    """Megabytes of a process that are its own, and its share of what it shares."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024


def children(pid: int, doing: bytes = b"") -> list[int]:
    """The processes that a process has started, and theirs, whose command holds `doing`."""
    every: list[int] = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in map(int, (task / "children").read_text().split()):
            every += [child, *children(child)]
    return [one for one in every if doing in Path(f"/proc/{one}/cmdline").read_bytes()]


def measured(runs: int) -> dict[str, Any]:
    """The figures."""
    figures: dict[str, Any] = {}
    held = {}
    with tempfile.TemporaryDirectory(prefix="arbitrank-") as folder:
        supervisor: list[float] = []
        for domains in (3, 100):
            site = Path(folder) / str(domains)
            site.mkdir()
            names = installed(site, domains)
            asked = [call(msgspec.json.encode(one)) for one in requests(names[:3], 64)]
            times, sizes = [], []
            for _ in range(runs):
                with started(site) as (pid, port, took):
                    closed_loop(port, asked, 0.5)
                    check(port, asked[0])
                    times.append(took)
                    sizes.append(sum(map(memory, children(pid, WORKER))))
                    supervisor.append(memory(pid))
            figures[f"start_{domains}_s"], held[domains] = median(times), median(sizes)
            figures[f"worker_{domains}_mb"] = held[domains]
            with started(site, workers=2) as (pid, port, _):
                closed_loop(port, asked, 1.0)
                figures[f"two_workers_{domains}_mb"] = sum(map(memory, [pid, *children(pid)]))
            with started(site, "--isolate", "all") as (pid, port, _):
                closed_loop(port, asked, 1.0)
                figures[f"isolated_{domains}_mb"] = [
                    sum(map(memory, children(pid, which))) for which in (WORKER, ISOLATED)
                ]
    figures["supervisor_mb"] = median(supervisor)
    figures["domain_kb"] = 1024 * (held[100] - held[3]) / 97
    return figures


def print_table(figures: Mapping[str, Any]) -> None:
    table(
        ("", "3 domains", "100 domains"),
        [
            ("from start to ready, s", *(f"{figures[f'start_{n}_s']:.2f}" for n in (3, 100))),
            ("a worker, MB", *(f"{figures[f'worker_{n}_mb']:.0f}" for n in (3, 100))),
            ("two workers and all beside them, MB", *(f"{figures[f'two_workers_{n}_mb']:.0f}" for n in (3, 100))),
            *(
                (label, *(f"{figures[f'isolated_{n}_mb'][i]:.0f}" for n in (3, 100)))
                for i, label in enumerate(("with --isolate all: the worker, MB", "the two processes of its group, MB"))
            ),
        ],
    )
    print(
        f"the supervisor takes {figures['supervisor_mb']:.0f} MB, "
        f"a domain more {figures['domain_kb']:.0f} KB of a worker"
    )


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer starts; ends within a minute")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    chosen = parser.parse_args(argv)
    show(NAME, chosen, measured(1 if chosen.quick else 5), print_table)


if __name__ == "__main__":
    main()
