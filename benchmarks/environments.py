"""Cost of domains in environments of their own.

    python -m benchmarks.environments [--work DIR] [--before COMMIT] [--rounds 60] [--quick] [--json]

Three domains, music, books and video, each in an environment that `arbitrank install` builds, answer for a service that
has the core alone; the same domains, of the same Python and libraries, answer isolated and in one process. The two
sides take turns in rounds of some thirty requests, from text and with hypotheses supplied; the ratio is the median over
the rounds of one median to the other. The processor time is that of all processes of a side, and less disturbed by
other work of the machine.

Against the core of an earlier commit, which is built from the repository, are measured: those domains, isolated, and
thirty domains of a plugin made for this in one worker, as `benchmarks.isolate` has them. The default is the commit
before a service waited for a worker's bell. Further: the time of an installation, twice, the second with a warm cache;
the time of a request in which one of thirty domains hangs in an environment, beyond its deadline; memory (PSS) of the
processes of a domain; and the gate, as `arbitrank impact` on a log of many requests, with one domain in an environment
and with all in its own process. What was built is kept in --work, if that is named, and used again.
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import msgspec

from arbitrank.arbitration.arbitrator import Arbitrator
from arbitrank.environments import folders
from arbitrank.environments.building import Sources, Tool, build, tool
from arbitrank.registry import discover, loaded
from arbitrank.values import Request
from arbitrank.wire.requests import Logged
from benchmarks import isolate
from benchmarks.borrowed import released
from benchmarks.common import distribution, note, show, table

NAME = "environments"
BEFORE = "eeb2587"
"""The last commit before a service waited for a worker's bell."""

DOMAINS = ("music", "books", "video")
THIRTY = tuple(f"bench{i:02}" for i in range(30))
_DEADLINE = 200.0  # milliseconds
_LONG = 10_000.0  # for what is to answer, however busy the machine is

_TREE = Path(__file__).parents[1]
_SIDE = Path(__file__).with_name("environments_side.py")
_REQUESTS = 30  # of a round
_SERVICES = ("core", "one")
_REPEATED = 4  # times that a log's requests with hypotheses are repeated, whose replay is quick


@dataclass(frozen=True)
class Built:
    """What is measured: a folder of wheels, of environments, and virtual environments of whole services.

    `core` has no domain, `one` has all three; `before` too, with the core of an earlier commit.
    """

    folder: Path

    @property
    def wheels(self) -> Path:
        """The folder of the wheels of this checkout."""
        return self.folder / "wheels"

    @property
    def environments(self) -> Path:
        """The folder of environments with the three domains."""
        return self.folder / "environments"

    def python(self, name: str) -> Path:
        """The interpreter of a whole service."""
        return self.folder / name / "bin" / "python"


def wheels(tree: Path, into: Path) -> None:
    """The wheels of the core and of the three domains of a checkout."""
    into.mkdir(parents=True, exist_ok=True)
    for part in ("core", *(f"plugins/{name}" for name in DOMAINS)):
        command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", str(into), str(tree / part)]
        subprocess.run(command, check=True)


def service(built: Built, name: str, wheels: Path, domains: Sequence[str], by: Tool) -> None:
    """A virtual environment of a whole service, with those domains and what an impact report needs."""
    part = built.folder / f"{name}.part"
    shutil.rmtree(part, ignore_errors=True)
    core = next(wheels.glob("arbitrank-[0-9]*.whl"))
    beside = tuple(str(next(wheels.glob(f"arbitrank_{one}-*.whl"))) for one in domains)
    python = Path(getattr(sys, "_base_executable", sys.executable))
    build(f"arbitrank[train] @ {core.as_uri()}", python, part, by, Sources(beside=beside))
    part.rename(built.folder / name)  # its interpreter alone is called


def install(built: Built, into: Path, name: str, installer: str) -> tuple[float, float]:
    """Seconds that `arbitrank install` takes for one domain, and seconds of the processors."""
    wheel = next(built.wheels.glob(f"arbitrank_{name}-*.whl"))
    command = [str(built.python("core")), "-m", "arbitrank", "install", str(wheel), "--environments", str(into)]
    began, used = time.perf_counter(), children()
    with tempfile.TemporaryDirectory() as store:
        options = ["--find-links", str(built.wheels), "--installer", installer, "--store", store]
        done = subprocess.run([*command, *options], check=False, capture_output=True, env=environ(built))
    if done.returncode:
        raise SystemExit(f"{NAME}: {name} was not installed: {done.stderr.decode()}")
    return time.perf_counter() - began, children() - used


def environ(built: Built, **more: str) -> dict[str, str]:
    """Variables of a side: this machine's, without modules of this process; `uv` is found where it is for this one."""
    own = {key: value for key, value in os.environ.items() if not key.startswith(("ARBITRANK", "PYTHON"))}
    if uv := tool().uv:
        own["PATH"] = f"{Path(uv).parent}{os.pathsep}{own['PATH']}"
    return {**own, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", **more}


def prepared(folder: Path, before: str | None) -> Built:
    """Everything that is measured, as far as it is not there already."""
    built, by = Built(folder), tool()
    if not built.wheels.is_dir():
        note("building wheels")
        wheels(_TREE, built.wheels)
    for name, domains in (("core", ()), ("one", DOMAINS)):
        if not built.python(name).exists():
            note(f"building {name} by {by.name}")
            service(built, name, built.wheels, domains, by)
    if before and not built.python("before").exists():
        note(f"building the core of {before}")
        with tempfile.TemporaryDirectory(prefix="arbitrank-") as tree:
            archive = subprocess.run(["git", "-C", str(_TREE), "archive", before], check=True, capture_output=True)
            subprocess.run(["tar", "x", "-C", tree], check=True, input=archive.stdout)
            wheels(Path(tree), Path(tree) / "wheels")
            service(built, "before", Path(tree) / "wheels", DOMAINS, by)
    for name in DOMAINS:
        if f"arbitrank-{name}" not in (folders.names(built.environments) if built.environments.is_dir() else ()):
            note(f"installing {name}")
            install(built, built.environments, name, by.name)
    return built


class Side:
    """A process of `environments_side`."""

    def __init__(
        self, built: Built, python: str, how: str, names: Sequence[str], deadline: float = _LONG, **more: str
    ) -> None:
        artifact = built.folder / "artifact"
        artifact.mkdir(exist_ok=True)
        variables = environ(built, ARBITRANK_DOMAINS=",".join({*names, "bench"} if names == THIRTY else names), **more)
        self.process = subprocess.Popen(
            [str(built.python(python)), str(_SIDE), how, ",".join(names), str(artifact), str(deadline)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=variables,
        )  # fmt: skip

    def ask(self, line: object) -> list[float]:
        """The numbers of the answer to a line."""
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(f"{line}\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            raise SystemExit(f"{NAME}: a side ended with status {self.process.wait()}")
        return [float(one) for one in answer.split()]

    def close(self) -> None:
        """End the process, and with it its children."""
        assert self.process.stdin
        self.process.stdin.close()
        self.process.wait()


@contextmanager
def sides(*every: Side) -> Iterator[tuple[Side, ...]]:
    """Sides that are ended afterwards."""
    with ExitStack() as stack:
        for one in every:
            stack.callback(one.close)
        yield every


def compared(one: Side, other: Side, path: Path, rounds: int) -> dict[str, float]:
    """Medians of both sides in turns, in microseconds, and the median of their ratios; the ratio of processor time."""
    one.ask(path), other.ask(path)
    pairs = []
    for i in range(rounds):
        took = {side: side.ask(path) for side in ((one, other) if i % 2 else (other, one))}
        pairs.append((took[one], took[other]))
    return {
        "us": round(median(a[0] for a, _ in pairs), 1),
        "against_us": round(median(b[0] for _, b in pairs), 1),
        "ratio": round(median(a[0] / b[0] for a, b in pairs), 3),
        "processor_ratio": round(sum(a[1] for a, _ in pairs) / sum(b[1] for _, b in pairs), 3),
    }


def written(path: Path, requests: Sequence[Request]) -> Path:
    """A file of requests."""
    path.write_bytes(b"".join(msgspec.json.encode(one) + b"\n" for one in requests))
    return path


def texts(n: int) -> list[Logged]:
    """Requests of the three domains' own data, in turns, with their truths."""
    own = [domain.examples() for name, domain in sorted(loaded(discover()).items()) if name in DOMAINS]
    found: list[Logged] = []
    for several in zip(*own, strict=False):
        found += [Logged(**msgspec.structs.asdict(one.request), truth=one.truth) for one in several]
        if len(found) >= n:
            break
    return found[:n]


def supplied(requests: Sequence[Logged]) -> list[Logged]:
    """The same with the hypotheses of all three domains."""
    arbitrator = Arbitrator.from_installed(only=DOMAINS)
    heard = (arbitrator.arbitrate(Request(utterance=one.utterance, context=one.context)) for one in requests)
    return [
        msgspec.structs.replace(one, hypotheses=tuple(answer.hypotheses))
        for one, answer in zip(requests, heard, strict=True)
    ]


def three(built: Built, files: Mapping[str, Path], rounds: int, before: bool) -> dict[str, Any]:
    """The three domains in environments against the same isolated, and what the processes of one take."""
    found: dict[str, Any] = {}
    apart = Side(built, "core", "environments", DOMAINS, ARBITRANK_ENVIRONMENTS=str(built.environments))
    others = {"isolated": Side(built, "one", "isolated", DOMAINS), "here": Side(built, "one", "here", DOMAINS)}
    if before:
        others["before"] = Side(built, "before", "isolated", DOMAINS)
    together = Side(built, "one", "shared", DOMAINS)
    with sides(apart, together, *others.values()):
        for side in (apart, together, *others.values()):
            side.ask(files["text"])
        found["memory_mb"] = {
            "environment": round(apart.ask("memory")[0] / 3, 1),
            "isolated": round(others["isolated"].ask("memory")[0] / 3, 1),
            "shared": round(together.ask("memory")[0] / 3, 1),
        }
        for name, other in others.items():
            note(f"three domains in environments, against {name}")
            for kind, path in files.items():
                found[f"three_{kind}_against_{name}"] = compared(apart, other, path, rounds)
    return found


def thirty(built: Built, files: Mapping[str, Path], rounds: int, before: bool) -> dict[str, Any]:
    """Thirty domains in one worker against the earlier core's, and one of them that hangs in an environment."""
    found: dict[str, Any] = {}
    site = built.folder / "site"
    if not site.is_dir():
        site.mkdir()
        distribution(site, "bench", isolate._PLUGIN)
    if before:
        note("thirty domains in one worker, against before")
        now, then = (Side(built, python, "shared", THIRTY, PYTHONPATH=str(site)) for python in ("core", "before"))
        with sides(now, then):
            for kind, path in files.items():
                found[f"thirty_{kind}_against_before"] = compared(now, then, path, rounds)
    note("a domain that hangs in an environment")
    with tempfile.TemporaryDirectory(prefix="arbitrank-") as folder:
        release = released(Path(folder), "bench", "1.0", {"arbitrank_bench.py": isolate._PLUGIN})
        folders.switch(Path(folder), release)
        with sides(Side(built, "core", "environments", THIRTY, _DEADLINE, ARBITRANK_ENVIRONMENTS=folder)) as (one,):
            one.ask(files["text"])
            beyond = [one.ask(f"hang {THIRTY[7 * i % 30]}")[0] - _DEADLINE for i in range(max(rounds // 4, 3))]
    found["hang_beyond_deadline_ms"] = {"median": round(median(beyond), 1), "most": round(max(beyond), 1)}
    return found


def installing(built: Built) -> dict[str, dict[str, float]]:
    """Seconds of an installation by each program, once everything that it needs is in its cache."""
    found = {}
    for name in [*(["uv"] if tool().uv else []), "pip"]:
        times = []
        for _ in range(2):
            note(f"installing by {name}")
            with tempfile.TemporaryDirectory(prefix="arbitrank-") as folder:
                times.append(install(built, Path(folder), "music", name))
        found[name] = {"seconds": round(times[-1][0], 1), "processor_s": round(times[-1][1], 1)}
    return found


def gate(built: Built, logs: Mapping[str, Path], runs: int) -> dict[str, Any]:
    """Seconds of an impact report with all domains in environments, and with all in its own process, in turns."""
    found = {}
    with tempfile.TemporaryDirectory(prefix="arbitrank-") as store:
        for kind, path in logs.items():
            note(f"impact report, {kind}")
            pairs = []
            for i in range(runs + 1):
                took = {name: impact(built, name, path, store) for name in (_SERVICES if i % 2 else _SERVICES[::-1])}
                pairs.append([took[name] for name in _SERVICES])
            found[kind] = {
                "requests": len(path.read_bytes().splitlines()),
                "seconds": round(median(a[0] for a, _ in pairs[1:]), 2),
                "against_s": round(median(b[0] for _, b in pairs[1:]), 2),
                "ratio": round(median(a[0] / b[0] for a, b in pairs[1:]), 3),
                "processor_ratio": round(median(a[1] / b[1] for a, b in pairs[1:]), 3),
            }
    return found


def impact(built: Built, name: str, path: Path, store: str) -> tuple[float, float]:
    """Seconds of an impact report, and of the processors, its workers included; `core` has all domains elsewhere."""
    more = {"ARBITRANK_ENVIRONMENTS": str(built.environments)} if name == "core" else {}
    command = [str(built.python(name)), "-m", "arbitrank", "impact", "music", "--on", str(path), "--store", store]
    began, used = time.perf_counter(), children()
    done = subprocess.run(
        [*command, "--json"], check=False, capture_output=True,
        env=environ(built, ARBITRANK_DOMAINS=",".join(DOMAINS), **more),
    )  # fmt: skip
    assert done.returncode in (0, 1), done.stderr.decode()
    return time.perf_counter() - began, children() - used


def children() -> float:
    """Seconds of the processors that the children of this process have used that have ended, and theirs."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def measured(chosen: argparse.Namespace) -> dict[str, Any]:
    """The figures."""
    rounds, many = (3, 60) if chosen.quick else (chosen.rounds, chosen.log)
    with ExitStack() as stack:
        folder = chosen.work or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="arbitrank-")))
        folder.mkdir(parents=True, exist_ok=True)
        built = prepared(folder.resolve(), chosen.before)
        asked = texts(many)
        known = supplied(asked)
        files = {kind: written(folder / f"{kind}.jsonl", some[:_REQUESTS]) for kind, some in
                 (("text", asked), ("supplied", known))}  # fmt: skip
        logs = {kind: written(folder / f"{kind}-log.jsonl", some) for kind, some in
                (("text", asked), ("supplied", known * _REPEATED))}  # fmt: skip
        bench = {
            kind: written(folder / f"thirty-{kind}.jsonl", isolate.requests(THIRTY, kind == "supplied")[:_REQUESTS])
            for kind in files
        }
        return {
            "load": round(os.getloadavg()[0], 1),
            **three(built, files, rounds, bool(chosen.before)),
            **thirty(built, bench, rounds, bool(chosen.before)),
            "install": installing(built),
            "impact": gate(built, logs, 1 if chosen.quick else 3),
        }


def print_table(figures: Mapping[str, Any]) -> None:
    """Print the ratios, then everything else."""
    rows = [
        (name.replace("_", " "), f"{one['us']:.0f}", f"{one['against_us']:.0f}", f"{one['ratio']:.2f}",
         f"{one['processor_ratio']:.2f}")
        for name, one in figures.items() if isinstance(one, Mapping) and "processor_ratio" in one
    ]  # fmt: skip
    table(("request to answer, µs", "measured", "against", "ratio", "processor"), rows)
    reports = figures["impact"].items()
    table(
        ("impact report, s", "environments", "in process", "ratio", "processor"),
        [
            (
                f"{one['requests']} requests, {kind}",
                *(f"{one[key]:.2f}" for key in ("seconds", "against_s", "ratio", "processor_ratio")),
            )
            for kind, one in reports
        ],
    )
    hang = figures["hang_beyond_deadline_ms"]
    table(
        ("", ""),
        [
            *(
                (f"installation by {name}, s (of the processors)", f"{one['seconds']:.1f} ({one['processor_s']:.1f})")
                for name, one in figures["install"].items()
            ),
            ("a request with a domain that hangs, beyond its deadline, ms", f"{hang['median']:.1f}"),
            ("the longest of them", f"{hang['most']:.1f}"),
            *((f"both processes of a domain, {how}, MB", f"{mb:.0f}") for how, mb in figures["memory_mb"].items()),
        ],
    )
    print(f"load of the machine when it began: {figures['load']}")


def main(argv: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="few rounds")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    parser.add_argument("--work", type=Path, help="keep what is built here, and use what is there")
    parser.add_argument("--before", default=BEFORE, help="the earlier commit, empty: none (%(default)s)")
    parser.add_argument("--rounds", type=int, default=60, help="(%(default)s)")
    parser.add_argument("--log", type=int, default=3_000, help="requests of an impact report (%(default)s)")
    chosen = parser.parse_args(argv)
    show(NAME, chosen, measured(chosen), print_table)


if __name__ == "__main__":
    main()
