"""Overhead of remote domains on this machine: three services of one domain each, against the same three in workers.

    python -m benchmarks.remote [--rounds 200] [--quick] [--json]

The domains are those of `benchmarks.isolate`, which compute next to nothing: five hypotheses each, recognised or
supplied with the request. They answer in this process, in three worker processes, and in three services as `arbitrank
new --remote` makes them (Starlette, uvicorn). A bare call is a POST of a body of the same size over an open connection,
by plain sockets, to an application that returns a fixed reply, under uvicorn too.

These take turns in rounds of fifty requests. An overhead is the median of a round without that in this process. Three
bare calls are sent at once, over three connections to three such applications: the least that three domains over HTTP
take on this machine. The target is at most 1.5 times the overhead of the workers and the round trip of a bare call;
the overhead is compared with it, by one call and by three. All ratios are medians over the rounds, with bootstrap
intervals of 95 %.
"""

from __future__ import annotations

import argparse
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from http.client import HTTPConnection
from pathlib import Path
from statistics import median
from typing import Any

import msgspec

from arbitrank.arbitration.arbitrator import Arbitrator, Serving
from arbitrank.isolation.groups import EACH, WorkerGroups, isolation_of
from arbitrank.registry import discover, loaded
from arbitrank.remote.discovery import remotes_in
from arbitrank.remote.messages import DOMAIN
from arbitrank.store.artifact import Manifest, seal
from arbitrank.store.loading import load_domains
from arbitrank.store.store import open_store
from arbitrank.values import Request
from benchmarks import isolate
from benchmarks.box import ratio, shown
from benchmarks.common import note, show, table

NAME = "remote"
DOMAINS = ("bench00", "bench01", "bench02")
_SIDE = Path(__file__).with_name("remote_side.py")
_TREE = Path(__file__).parents[1]
_REQUESTS = 50
_BARE = ("bare0", "bare1", "bare2")
_DEADLINE = 10_000.0  # milliseconds, so that all answer, however busy the machine is
_KINDS = ("text", "hypotheses")
_CALLS = ("bare", "bare_three")


def artifact(folder: Path, name: str) -> Path:
    """A sealed artifact of a domain, which has no weights."""
    own = folder / name
    (own / "reranker").mkdir(parents=True)
    (own / "reranker" / "weights.json").write_text("{}")
    seal(own, Manifest(domain=name, package="arbitrank-bench", package_version="1.0"))
    return own


@contextmanager
def service(folder: Path, name: str) -> Iterator[int]:
    """A service in a process of its own; the port that it listens at."""
    place = artifact(folder, name) if name in DOMAINS else folder
    environment = {**os.environ, "PYTHONPATH": str(_TREE), "ARBITRANK_CONFIG": ""}
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.set_inheritable(True)
        command = [sys.executable, str(_SIDE), name, str(place), str(listening.fileno())]
        process = subprocess.Popen(command, env=environment, pass_fds=[listening.fileno()])
        try:
            yield listening.getsockname()[1]
        finally:
            process.terminate()
            process.wait()


def wait(port: int, path: str) -> None:
    """Wait until a service answers, which has begun to listen."""
    with closing(HTTPConnection("127.0.0.1", port)) as connection:
        connection.request("GET", path)
        if (status := connection.getresponse().status) != 200:
            raise SystemExit(f"{NAME}: a service answers with the status {status}")


def remote(folder: Path, ports: Mapping[str, int]) -> Arbitrator:
    """An arbitrator of remote domains."""
    file = folder / "arbitrank.toml"
    send = ("utterance", "hypotheses", "context")
    entries = (
        f'[domains.{name}]\nurl = "http://127.0.0.1:{port}"\ndeadline_ms = {_DEADLINE}\nsend = {[*send]}\n'
        for name, port in ports.items()
    )
    file.write_text("".join(entries))
    found, problems = remotes_in({"ARBITRANK_CONFIG": str(file)}, None)
    assert not problems, problems
    serving = load_domains(loaded(found), open_store(folder / "store", environment={}))
    return Arbitrator(serving)


def bare(ports: Sequence[int], size: int) -> Callable[[Request], None]:
    """Calls of bare services with a body of so many bytes each, over open connections: all sent, then all received."""
    connections = [socket.create_connection(("127.0.0.1", port)) for port in ports]
    for connection in connections:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    head = f"POST / HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {size}\r\n\r\n"
    call = head.encode() + b" " * size

    def answer(request: Request) -> None:
        for connection in connections:
            connection.sendall(call)
        for connection in connections:
            content = b""
            while not content.endswith(b"}"):
                content += connection.recv(1 << 16)

    return answer


def turns(sides: Mapping[str, Callable[[Request], Any]], asked: Sequence[Request], rounds: int) -> dict[str, Any]:
    """The medians of each side, and the ratios of overheads, over rounds in changing order."""
    for answer in sides.values():
        isolate.took(answer, asked * 4)  # a service first learns that its domain is quick
    names, found = list(sides), []
    for i in range(rounds):
        order = names[i % len(names) :] + names[: i % len(names)]
        found.append({name: median(isolate.took(sides[name], asked)) for name in order})
    over = {name: [one[name] - one["here"] for one in found] for name in ("isolated", "remote")}
    limits = {
        calls: [1.5 * workers + one[calls] for workers, one in zip(over["isolated"], found, strict=True)]
        for calls in _CALLS
    }
    return {
        **{f"{name}_us": round(median(one[name] for one in found), 1) for name in names},
        **{f"{name}_overhead_us": round(median(some), 1) for name, some in over.items()},
        **{f"of_limit_{calls}": ratio([*zip(over["remote"], limits[calls], strict=True)]) for calls in _CALLS},
    }


def processor(sides: Mapping[str, Callable[[Request], Any]], asked: Sequence[Request]) -> dict[str, float]:
    """Microseconds of this process's processor time for a request of each side."""
    found = {}
    for name, answer in sides.items():
        began = time.process_time()
        isolate.took(answer, asked * 4)
        found[name] = round(1e6 * (time.process_time() - began) / (4 * len(asked)), 1)
    return found


def measured(chosen: argparse.Namespace) -> dict[str, Any]:
    """The figures."""
    rounds = 10 if chosen.quick else chosen.rounds
    with tempfile.TemporaryDirectory(prefix="arbitrank-") as work, ExitStack() as stack:
        folder, site = Path(work), Path(work) / "site"
        site.mkdir()
        isolate.installed(site)
        domains = {name: one for name, one in loaded(discover()).items() if name in DOMAINS}
        note("starting three services")
        ports = {name: stack.enter_context(service(folder, name)) for name in (*DOMAINS, *_BARE)}
        settings = isolation_of([EACH], domains, _DEADLINE)
        assert settings is not None
        for name, port in ports.items():
            wait(port, DOMAIN if name in DOMAINS else "/")
        workers = stack.enter_context(closing(WorkerGroups(settings)))
        here = {name: Serving(domains[name].load(folder), "1", "package") for name in DOMAINS}
        away = {name: Serving(workers.load(name, folder / name), "1", "package") for name in DOMAINS}
        arbitrators = {
            "here": Arbitrator(here),
            "isolated": Arbitrator(away),
            "remote": remote(folder, {name: ports[name] for name in DOMAINS}),
        }
        for name, one in arbitrators.items():
            check(name, one)
        found: dict[str, Any] = {}
        for kind in _KINDS:
            note(f"{rounds} rounds, {kind}")
            asked = isolate.requests(DOMAINS, kind == "hypotheses")[:_REQUESTS]
            size = len(msgspec.json.encode(asked[0])) // (3 if kind == "hypotheses" else 1)
            sides: dict[str, Callable[[Request], Any]] = {name: one.answer for name, one in arbitrators.items()}
            sides |= {"bare": bare([ports["bare0"]], size), "bare_three": bare([ports[name] for name in _BARE], size)}
            found[kind] = {**turns(sides, asked, rounds), "own_processor_us": processor(sides, asked)}
    return {**found, "load": round(os.getloadavg()[0], 2)}


def check(name: str, one: Arbitrator) -> None:
    """End where a domain does not answer: then nothing is measured."""
    for brought in (False, True):
        for request in isolate.requests(DOMAINS, brought)[:3]:
            answer = one.answer(request)
            if lacking := {key: row.reason for key, row in answer.domains.items() if row.status != "answered"}:
                raise SystemExit(f"{NAME}: {name}: {lacking}")


def print_table(figures: Mapping[str, Any]) -> None:
    """Print the times, then the ratios."""
    names = ("here", "isolated", "remote", *_CALLS)
    table(
        ("request to answer, µs", "in this process", "in workers", "remote", "bare call", "three"),
        [
            row
            for kind in _KINDS
            for row in (
                (f"three domains, {kind}", *(f"{figures[kind][f'{name}_us']:.0f}" for name in names)),
                (
                    "  of this process's processor",
                    *(f"{figures[kind]['own_processor_us'][name]:.0f}" for name in names),
                ),
            )
        ],
    )
    table(
        ("overhead of the remotes", "µs", "workers, µs", "to the target", "95 %", "by three calls", "95 %"),
        [
            (kind, f"{one['remote_overhead_us']:.0f}", f"{one['isolated_overhead_us']:.0f}",
             *(text for calls in _CALLS for text in shown(one[f"of_limit_{calls}"])))
            for kind in _KINDS for one in (figures[kind],)
        ],
    )  # fmt: skip
    print(f"load of the machine when it ended: {figures['load']}")


def main(argv: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="few rounds")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    parser.add_argument("--rounds", type=int, default=200, help="(%(default)s)")
    chosen = parser.parse_args(argv)
    show(NAME, chosen, measured(chosen), print_table)


if __name__ == "__main__":
    main()
