"""Service of the soak test: its process, its plugins that fail, and what is done to it while it runs."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter, deque
from collections.abc import Mapping
from pathlib import Path

from arbitrank.store.artifact import Manifest, seal
from benchmarks.common import distribution

RAISES, ENDS = "flaky", "frail"
_START = 120.0  # seconds for a service to start
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
        n = len(request.hypotheses)
        if self.name == {RAISES!r} and random.random() < 0.01:
            match random.randrange(4):
                case 0:
                    raise RuntimeError("out of order")
                case 1:
                    raise ValueError("x" * 1_000_000)
                case 2:
                    raise KeyboardInterrupt
            return Scores(float("nan"), np.full(n, -1.0))
        if self.name == {ENDS!r} and random.random() < 0.0002:
            os._exit(3)
        return Scores(0.1, np.full(n, 0.1 / n))


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


def installed(site: Path) -> None:
    """Install the package with the two domains that fail."""
    for name in (RAISES, ENDS):
        folder = site / "shipped" / name
        (folder / "reranker").mkdir(parents=True)
        (folder / "reranker" / "weights.json").write_text("{}")
        seal(folder, Manifest(domain=name, package="arbitrank-failing", package_version="1.0"))
    distribution(site, "failing", _PLUGIN)


class Service:
    """A running `arbitrank serve` with several workers, from its start until `stop`."""

    def __init__(self, workers: int, environment: Mapping[str, str], options: Mapping[str, object]) -> None:
        more = [text for key, value in options.items() for text in (f"--{key}", str(value))]
        command = [sys.executable, "-m", "arbitrank", "serve", "--port", "0", "--workers", str(workers), *more]
        self.events: Counter[str] = Counter()
        self.said: deque[str] = deque(maxlen=20)  # of the store and of code, last
        self.port = 0
        self._workers: list[int] = []
        self._ready = threading.Semaphore(0)
        self._process = subprocess.Popen(command, stderr=subprocess.PIPE, env={**os.environ, **environment})
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        for _ in range(workers):
            if not self._ready.acquire(timeout=_START) or self._process.poll() is not None:
                self._process.kill()
                raise SystemExit(f"soak: the service has not started: {dict(self.events)}")

    def _read(self) -> None:
        assert self._process.stderr
        for line in self._process.stderr:
            event = json.loads(line)
            self.events[event["event"]] += 1
            if event["event"] == "store":
                self.said.append(event["what"])
            if event["event"] == "listening":
                self.port = int(event["at"].rpartition(":")[2])
            if event["event"] == "ready":
                self._workers.append(event["worker"])
                self._ready.release()
        self._ready.release()

    @property
    def pid(self) -> int:
        """The process of the supervisor."""
        return self._process.pid

    def workers(self) -> list[int]:
        """The workers that have loaded and are alive, the oldest first."""
        return [pid for pid in self._workers if state(pid) not in ("", "Z")]

    def reload(self) -> None:
        """Have it read its files again."""
        self._process.send_signal(signal.SIGHUP)

    def strike(self, number: int) -> set[int]:
        """Kill the youngest worker by SIGKILL, or have it hang by SIGSTOP; the ports of its clients.

        The oldest stays, so that the service can answer, and so that its memory can be followed.
        """
        workers = self.workers()
        if len(workers) < 2:
            return set()
        os.kill(workers[-1], signal.SIGSTOP)
        while state(workers[-1]) not in ("T", "", "Z"):
            time.sleep(0.001)
        ports = peers(workers[-1])
        if number != signal.SIGSTOP:
            os.kill(workers[-1], number)
        return ports

    def memory(self) -> tuple[float, float, float]:
        """Resident sets in megabytes: of the supervisor, of the oldest worker, of all processes."""
        pid = self._process.pid
        tree = descendants(pid)
        return resident(pid), max(map(resident, self.workers()[:1]), default=0.0), sum(map(resident, [pid, *tree]))

    def stop(self) -> tuple[int, float]:
        """Stop it by SIGTERM; its exit status, and the seconds that it took."""
        began = time.monotonic()
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(60)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.join(5)
        return self._process.returncode, time.monotonic() - began


def state(pid: int) -> str:
    """State of a process as the kernel names it, such as T where it is stopped; empty where there is none."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return ""


def resident(pid: int) -> float:
    """The resident set of a process, in megabytes; 0 where it has ended."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20
    except OSError:
        return 0.0


def descendants(pid: int) -> list[int]:
    """The processes that a process has started, and those that they have."""
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            children = [int(child) for child in task.read_text().split()]
        except OSError:
            continue
        for child in children:
            found += [child, *descendants(child)]
    return found


def peers(pid: int) -> set[int]:
    """Ports of the clients to whose connections a process holds the other end."""
    held = set()
    for file in Path(f"/proc/{pid}/fd").iterdir():
        try:
            held.add(os.readlink(file))
        except OSError:
            continue
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return {int(row[2].rpartition(":")[2], 16) for row in rows if f"socket:[{row[9]}]" in held}
