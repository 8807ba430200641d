"""Code and weights exchanged under load: upgrades and rollbacks of one domain, with promotions of another in between.

    python -m benchmarks.code_swap [--swaps 100] [--workers 1] [--deadline 200] [--quick] [--json]

`arbitrank serve --environments` with two packages, each in an environment of its own. One is upgraded and rolled back
in turn, each time as soon as all workers answer by the release before; halfway a version of the other is promoted.
Clients on kept connections send calls and lists meanwhile, and read every answer. The domains state in their readings
which code and which weights made them: the release in a file of their package, read at each request, and the content
of the weights. A call is

- failed where its status is not 200, a domain has not answered, or its connection broke,
- mixed where a reading names another release or other weights than the answer does, or one list has two of them,
- stale where it names a release or version that was not current at any moment of the call, nor within one polling
  interval and three seconds before it.

The service's deadline for a domain is its default. On a busy machine give a longer one: how long it stalls a process
is not what is measured. Memory is the sum of the proportional shares (PSS) of all processes of the service. It, the
processes and the open files are taken when the old processes of each swap have had time to end.
"""

from __future__ import annotations

import argparse
import http.client
import json
import math
import os
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from arbitrank.environments import folders
from arbitrank.environments.rollback import rollback_code
from arbitrank.store.artifact import Manifest, seal
from arbitrank.store.store import Store, open_store
from benchmarks.borrowed import released
from benchmarks.common import note, show, table
from benchmarks.soak_service import Service, descendants

NAME = "code_swap"
CODE, WEIGHTS = "kite", "swing"
_SECONDS = 3.0  # beyond the polling interval, in which a change takes effect
_PATIENCE = 60.0  # seconds until a change that has not taken effect ends the run
_LIST = 20  # requests of a list
_VERSIONS = 3  # of the weights that are promoted; one more than a process keeps
_SHOWN = 10  # problems of a kind that are shown
_ENDING = 1.0  # seconds for the processes of the release before to end

_PLUGIN = """
from pathlib import Path
import numpy as np
from arbitrank.domain import Domain, Model, Scores
from arbitrank.hookspecs import hookimpl
from arbitrank.values import Hypothesis, Slot


class Stating(Model):
    def __init__(self, name, weights):
        self.name, self.weights = name, weights

    def recognise(self, request):
        from arbitrank_{name} import release  # as code that is imported late
        code = Path(__file__).with_name("release.txt").read_text()
        return [Hypothesis(self.name, "Code_" + code + "_" + release.NAME, 0.9, slots=(Slot("weights", self.weights),))]

    def rerank(self, request):
        n = len(request.hypotheses)
        return Scores(0.9, np.full(n, 0.8 / n))


class Stated(Domain):
    name = {name!r}

    def train(self, examples, out, settings):
        return {{}}

    def load(self, folder):
        return Stating(self.name, (folder / "reranker" / "weights.json").read_text())


@hookimpl
def arbitrank_domains():
    return [Stated()]
"""


class Changes:
    """The values that were current one after another: from when, until when, and which."""

    def __init__(self, first: str) -> None:
        self.spells: list[tuple[float, float, str]] = [(-math.inf, math.inf, first)]

    def change(self, to: str, carry_out: Callable[[], object]) -> None:
        """Carry out a change. The new value is current from its beginning, the one before until its end."""
        self.spells.append((time.monotonic(), math.inf, to))
        carry_out()
        began, _, before = self.spells[-2]
        self.spells[-2] = began, time.monotonic(), before

    @property
    def now(self) -> str:
        """The value that is current."""
        return self.spells[-1][2]

    def held(self, value: str | None, began: float, done: float, bound: float) -> bool:
        """True where a value was current at a moment of a call, or within `bound` seconds before it."""
        return any(
            one == value and since <= done and began - bound <= until for since, until, one in reversed(self.spells)
        )


@dataclass
class Seen:
    """Findings of the clients; `last` has what each worker answered by last, by the first part of its answers' ids."""

    bound: float
    code: Changes
    weights: Changes
    contents: Mapping[str, str]
    counts: Counter[str] = field(default_factory=Counter)
    wrong: dict[str, list[str]] = field(default_factory=dict)
    seconds: list[float] = field(default_factory=list)
    last: dict[str, tuple[str | None, str | None]] = field(default_factory=dict)
    news: threading.Condition = field(default_factory=threading.Condition)

    def judge(self, answers: Sequence[Mapping[str, Any]], began: float, done: float) -> None:
        """Judge the answers of one call."""
        problems: list[str] = []
        found: set[tuple[str | None, str | None]] = set()
        for answer in answers:
            code, weights = (answer["domains"].get(name, {}) for name in (CODE, WEIGHTS))
            stated = code.get("release"), weights.get("version")
            found.add(stated)
            if any(one.get("status") != "answered" for one in (code, weights)):
                problems.append(f"failed: {json.dumps([code, weights])}")
                continue
            readings = {one["domain"]: one for one in answer["ranked"]}
            intent, slots = readings[CODE]["intent"], readings[WEIGHTS]["slots"]
            if intent != f"Code_{stated[0]}_{stated[0]}" or slots[0]["value"] != self.contents.get(str(stated[1])):
                problems.append(f"mixed: {intent} and {slots}, stated {stated}")
            for kind, value in zip((self.code, self.weights), stated, strict=True):
                if not kind.held(value, began, done, self.bound):
                    problems.append(f"stale: {value}, current {kind.now} for {done - kind.spells[-1][0]:.2f} s")
        if len(found) > 1:
            problems.append(f"mixed: one list by {sorted(map(str, found))}")
        worker = answers[0]["id"].rpartition("-")[0]
        with self.news:
            self.counts["calls"] += 1
            self.counts["answers"] += len(answers)
            for problem in problems:
                self._count(problem)
            self.seconds.append(done - began)
            if self.last.get(worker) not in found:
                self.last[worker] = stated
                self.news.notify_all()

    def broken(self, problem: str) -> None:
        """Count a call that has no answer."""
        with self.news:
            self._count(problem)

    def _count(self, problem: str) -> None:
        kind = problem.partition(":")[0]
        self.counts[kind] += 1
        if len(kept := self.wrong.setdefault(kind, [])) < _SHOWN:
            kept.append(problem)

    def wait(self, workers: int) -> bool:
        """Wait until all workers answer by what is current; False where that takes too long."""
        wanted = self.code.now, self.weights.now
        with self.news:
            return self.news.wait_for(lambda: list(self.last.values()) == [wanted] * workers, _PATIENCE)


def client(port: int, seen: Seen, listed: bool, pause: float, end: threading.Event) -> None:
    """Send calls, each of one request or a list, until the end. Each 200th comes on a new connection."""
    one = {"utterance": "fly", "context": {"device": "tv"}}
    body = json.dumps([one] * _LIST if listed else one)
    connection, n = http.client.HTTPConnection("127.0.0.1", port, timeout=30), 0
    while not end.is_set():
        began = time.monotonic()
        n += 1
        try:
            if n % 200 == 0:  # so that each worker is heard
                connection.close()
            connection.request("POST", "/v1/rank", body, {"content-type": "application/json"})
            reply = connection.getresponse()
            content = reply.read()
            done = time.monotonic()
            if reply.status != 200:
                seen.broken(f"failed: {reply.status} {content[:200]!r}")
                continue
            decoded = json.loads(content)
            seen.judge(decoded if listed else [decoded], began, done)
        except (OSError, http.client.HTTPException) as error:
            seen.broken(f"failed: {error!r}")
            connection.close()
        end.wait(pause)
    connection.close()


@dataclass(frozen=True)
class Use:
    """Use of the machine by all processes of a service: PSS in megabytes, numbers of processes and of open files."""

    memory: float
    processes: int
    files: int


def use(pid: int) -> Use:
    """The use by a process and all that it started."""
    pids = [pid, *descendants(pid)]
    return Use(sum(map(_share, pids)), len(pids), sum(map(_files, pids)))


def _share(pid: int) -> float:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0.0
    return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024


def _files(pid: int) -> int:
    try:
        return len(os.listdir(f"/proc/{pid}/fd"))
    except OSError:
        return 0


def published(store: Store, name: str, contents: Sequence[str], folder: Path) -> dict[str, str]:
    """Versions of a domain, the last of them stable; the content of the weights of each."""
    found = {}
    for content in contents:
        made = folder / f"{name}-{content}"
        (made / "reranker").mkdir(parents=True)
        (made / "reranker" / "weights.json").write_text(content)
        seal(made, Manifest(domain=name, package=f"arbitrank-{name}", package_version="1.0"))
        found[store.publish(made, promote=True).version] = content
    return found


def measured(
    swaps: int, workers: int, poll: float = 1.0, deadline: float = 1_000.0, clients: int = 3, pause: float = 0.01
) -> dict[str, Any]:
    """The figures of a run with so many swaps of code, and as many promotions."""
    with tempfile.TemporaryDirectory(prefix="arbitrank-") as temporary:
        folder = Path(temporary)
        environments = folder / "environments"
        code = [_made(environments, CODE, version) for version in ("1.0", "1.1")]
        for release in (code[1], code[0], _made(environments, WEIGHTS, "1.0")):
            folders.switch(environments, release)
        store = open_store(folder / "store", environment={})
        published(store, CODE, ["0"], folder)
        contents = published(store, WEIGHTS, [f"w{n}" for n in range(_VERSIONS)], folder)
        seen = Seen(poll + _SECONDS, Changes(code[0].name), Changes(list(contents)[-1]), contents)
        options = {"store": folder / "store", "environments": environments, "poll": poll, "deadline": deadline}
        service = Service(workers, {"ARBITRANK_DOMAINS": f"{CODE},{WEIGHTS}"}, options)
        end = threading.Event()
        threads = [
            threading.Thread(target=client, args=(service.port, seen, n % 3 == 2, pause, end)) for n in range(clients)
        ]
        for thread in threads:
            thread.start()
        try:
            used, took = _swapped(service, seen, environments, store, list(contents), swaps, workers)
        finally:
            end.set()
            for thread in threads:
                thread.join()
            status, _ = service.stop()
    tenth = max(len(used) // 10, 1)
    first, last = used[:tenth], used[-tenth:]
    return {
        "workers": workers, "poll_s": poll, "deadline_ms": deadline,
        "swaps": swaps, "promotions": swaps, "exit_status": status,
        **{name: seen.counts[name] for name in ("calls", "answers", "failed", "mixed", "stale")},
        "wrong": seen.wrong,
        "p50_ms": 1e3 * float(np.quantile(seen.seconds, 0.5)), "p99_ms": 1e3 * float(np.quantile(seen.seconds, 0.99)),
        "max_ms": 1e3 * max(seen.seconds),
        "swapped_s": [float(np.median(took[CODE])), max(took[CODE])],
        "promoted_s": [float(np.median(took[WEIGHTS])), max(took[WEIGHTS])],
        "memory_mb": [float(np.median([one.memory for one in part])) for part in (first, last)],
        "processes": [float(np.median([one.processes for one in part])) for part in (first, last)],
        "files": [float(np.median([one.files for one in part])) for part in (first, last)],
    }  # fmt: skip


def _made(environments: Path, name: str, version: str) -> folders.Release:
    release = f"{version}-{0:08x}"
    files = {"__init__.py": _PLUGIN.format(name=name), "release.txt": release, "release.py": f"NAME = {release!r}\n"}
    return released(environments, name, version, {f"arbitrank_{name}/{path}": text for path, text in files.items()})


def _swapped(
    service: Service, seen: Seen, environments: Path, store: Store, versions: Sequence[str], swaps: int, workers: int
) -> tuple[list[Use], dict[str, list[float]]]:
    """Carry out the swaps; the use of the machine after each, and the seconds until all workers answered by each."""
    used: list[Use] = []
    took: dict[str, list[float]] = {CODE: [], WEIGHTS: []}
    other = folders.previous(environments, f"arbitrank-{CODE}")
    assert other

    def until(name: str) -> None:
        began = time.monotonic()
        if not seen.wait(workers):
            said = "\n".join(service.said)
            raise SystemExit(f"{NAME}: not in effect after {_PATIENCE:g} s: {seen.last}\n{said}")
        took[name].append(time.monotonic() - began)

    seen.wait(workers)
    for n in range(swaps):
        before, other = other, folders.current(environments, f"arbitrank-{CODE}")
        assert other
        if n % 2:  # alternately as `install` and as `rollback --code` do it
            seen.code.change(before.name, lambda: rollback_code(CODE, store, environments))
        else:
            seen.code.change(before.name, lambda release=before: folders.switch(environments, release))
        until(CODE)
        version = versions[n % len(versions)]
        seen.weights.change(version, lambda version=version: store.promote(WEIGHTS, version))
        until(WEIGHTS)
        time.sleep(_ENDING)
        used.append(use(service.pid))
        if n % 10 == 9:
            note(f"{n + 1} of {swaps}: {dict(seen.counts)}, {used[-1]}")
    return used, took


def print_table(figures: Mapping[str, Any]) -> None:
    rows = [
        (name, f"{figures[key][0]:.{digits}f}", f"{figures[key][1]:.{digits}f}")
        for name, key, digits in (
            ("memory (PSS), MB", "memory_mb", 1), ("processes", "processes", 0), ("open files", "files", 0),
        )
    ]  # fmt: skip
    table((f"{figures['workers']} workers", "after the first tenth", "after the last"), rows)
    rows = [
        (name, f"{figures[key][0]:.2f}", f"{figures[key][1]:.2f}")
        for name, key in (("code", "swapped_s"), ("weights", "promoted_s"))
    ]
    table(("seconds until all workers answer by it", "median", "longest"), rows)
    print(
        f"{figures['swaps']} swaps of code, {figures['promotions']} promotions, polling each {figures['poll_s']:g} s: "
        f"{figures['calls']:,} calls with {figures['answers']:,} answers, p50 {figures['p50_ms']:.1f} ms, "
        f"p99 {figures['p99_ms']:.1f} ms, longest {figures['max_ms']:.0f} ms"
    )
    print(f"failed: {figures['failed']}, mixed: {figures['mixed']}, stale: {figures['stale']}")
    for problem in (one for kept in figures["wrong"].values() for one in kept):
        print(f"  {problem}")


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--swaps", type=int, default=100, help="of code, and promotions (%(default)s)")
    parser.add_argument("--workers", type=int, default=1, help="(%(default)s)")
    parser.add_argument("--poll", type=float, default=1.0, help="of the service, in seconds (%(default)s)")
    parser.add_argument("--deadline", type=float, default=200.0, help="of a domain, in milliseconds (%(default)s)")
    parser.add_argument("--quick", action="store_true", help="four swaps; ends within a minute")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    chosen = parser.parse_args(argv)
    swaps = 4 if chosen.quick else chosen.swaps
    show(NAME, chosen, measured(swaps, chosen.workers, chosen.poll, chosen.deadline), print_table)


if __name__ == "__main__":
    main()
