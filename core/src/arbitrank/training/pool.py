"""Executor of training tasks, each in a process of its own, isolated from the failures of others.

joblib's loky starts the processes: fresh, never forked after OpenMP ran, with one thread for every library. Its
executor is not used, because it ends all its processes when one dies. This one is a loop, which hands out work,
receives messages, and kills processes over a limit. A process performs one task after another. One whose task waits for
parts (folds of a cross-fitting) performs some of them itself; idle processes take the rest.
"""

from __future__ import annotations

import os
import signal
import time
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, cast

import msgspec

from arbitrank.child import how_ended
from arbitrank.training.outcome import TrainingOutcome
from arbitrank.training.task import TrainingTask
from arbitrank.training.worker import (
    Event,
    FromPool,
    PartCall,
    PartResult,
    SpreadCall,
    SpreadResults,
    Tell,
    decode_from_worker,
    encode,
    serve,
)

_INTERVAL = 0.1  # seconds between two checks of memory and time
_ONE_THREAD = dict.fromkeys(
    ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"), "1"
)


class TrainingLimits(msgspec.Struct, frozen=True):
    """Limits of one domain's training: seconds, bytes of memory of a process, and retries after a crash."""

    seconds: float | None = None
    memory: int | None = None
    retries: int = 1


class _Worker:
    """A process, its task, the part that it computes, and the parts that its task waits for."""

    def __init__(self, temporary: Path) -> None:
        from joblib.externals.loky.backend import get_context

        context = get_context("loky")
        ours, theirs = context.Pipe()
        environment = {**_ONE_THREAD, "TMPDIR": str(temporary)}
        self.process: Any = context.Process(target=serve, args=(theirs, os.getpid()), env=environment)
        self.process.start()
        theirs.close()
        self.connection: Connection = ours
        self.task: TrainingTask | None = None
        self.part: _RunningPart | None = None
        self.spread: _Spread | None = None
        self.since, self.peak, self.stage = 0.0, 0, ""

    @property
    def idle(self) -> bool:
        return self.part is None and self.task is None

    @property
    def computing(self) -> bool:
        """True while it computes, rather than waits for others or is idle."""
        return self.part is not None or (self.task is not None and self.spread is None)

    def send(self, message: FromPool) -> None:
        """Send it a message. A lost process is noticed when it is next read from."""
        with suppress(OSError):
            self.connection.send_bytes(encode(message))

    def memory(self) -> int:
        """Its private memory in bytes; 0 where the system does not report it."""
        try:
            with open(f"/proc/{self.process.pid}/statm", "rb") as file:
                _, resident, shared = file.read().split()[:3]
        except (OSError, ValueError):
            return 0
        held = (int(resident) - int(shared)) * os.sysconf("SC_PAGESIZE")
        self.peak = max(self.peak, held)
        return held

    def end(self) -> int | None:
        """Kill it and its children; its exit status, or minus the signal that ended it."""
        for kill in (os.killpg, os.kill):  # its group, and itself before it has made one
            with suppress(OSError):
                kill(self.process.pid, signal.SIGKILL)
        self.process.join()
        self.connection.close()
        return cast("int | None", self.process.exitcode)


def _lost_reason(reason: str, attempts: int, domain: str | None) -> str:
    """The reason of a lost process, and what its plugin's author may do where no limit ended it."""
    often = reason if attempts == 1 else f"{reason}, {attempts} times"
    return often if domain is None else f"{often}, expected train() to return; run: arbitrank check {domain}"


@dataclass(eq=False)
class _Spread:
    """The parts that a task waits for: their results so far, or the reason of a failure."""

    owner: _Worker
    results: list[bytes | None]
    reason: str | None = None

    @property
    def done(self) -> bool:
        return self.reason is not None or all(result is not None for result in self.results)


@dataclass(eq=False)
class _RunningPart:
    """One part: its place in the spread, and the number of attempts at it."""

    spread: _Spread
    number: int
    part: PartCall
    attempts: int = 0


def run_all(
    tasks: Sequence[TrainingTask],
    *,
    jobs: int,
    temporary: Path,
    limits: TrainingLimits = TrainingLimits(),
    tell: Tell,
    stopped: Callable[[], bool] = lambda: False,
) -> Generator[TrainingOutcome]:
    """The outcome of every task, in the order in which they end; `jobs` processes compute at a time.

    The largest start first, so that the processors end at about the same time. It ends early where `stopped` returns
    True. At any end all processes are killed. `temporary`: the processes' folder of temporary files.
    """
    pool = _Pool(jobs, temporary, limits, tell)
    pool.waiting.extend(sorted(tasks, key=lambda task: (-task.size, task.domain)))
    try:
        while not stopped() and (pool.waiting or any(worker.task for worker in pool.workers)):
            yield from pool.step()
    finally:
        for worker in pool.workers:
            worker.end()


class _Pool:
    def __init__(self, jobs: int, temporary: Path, limits: TrainingLimits, tell: Tell) -> None:
        self.jobs, self.temporary, self.limits, self.tell = jobs, temporary, limits, tell
        self.workers: list[_Worker] = []
        self.parts: deque[_RunningPart] = deque()
        self.waiting: deque[TrainingTask] = deque()
        self.attempts: Counter[str] = Counter()  # of each domain

    def step(self) -> Iterator[TrainingOutcome]:
        self._hand_out()
        readable = wait([worker.connection for worker in self.workers], timeout=_INTERVAL)
        for worker in [one for one in self.workers if one.connection in readable]:
            yield from self._receive(worker)
        for worker in self.workers[:]:
            if not worker.idle and (limit := self._exceeded(worker)):
                yield from self._lost(worker, limit)

    def _hand_out(self) -> None:
        """Hand out results first, so that started tasks continue; then parts; then new tasks."""
        for worker in self.workers:
            if worker.spread and worker.spread.done and not worker.part and self._room():
                spread, worker.spread = worker.spread, None
                self.parts = deque(one for one in self.parts if one.spread is not spread)
                worker.send(SpreadResults([one or b"" for one in spread.results], spread.reason))
        while self.parts and self._room():
            worker, part = self._next_part()
            self.parts.remove(part)
            worker.part, worker.since = part, time.monotonic() if worker.task is None else worker.since
            part.attempts += 1
            worker.send(part.part)
        while self.waiting and self._room():
            worker, task = self._free(), self.waiting.popleft()
            worker.task, worker.since, worker.peak = task, time.monotonic(), 0
            self.attempts[task.domain] += 1
            worker.send(task)

    def _room(self) -> bool:
        return sum(worker.computing for worker in self.workers) < self.jobs

    def _next_part(self) -> tuple[_Worker, _RunningPart]:
        """A part and its process: the task's own, which has the data in memory, before an idle one."""
        for part in self.parts:
            if part.spread.owner.part is None:
                return part.spread.owner, part
        return self._free(), self.parts[0]

    def _free(self) -> _Worker:
        """An idle process; a new one where there is none."""
        for worker in self.workers:
            if worker.idle:
                return worker
        worker = _Worker(self.temporary)
        self.workers.append(worker)
        return worker

    def _receive(self, worker: _Worker) -> Iterator[TrainingOutcome]:
        try:
            message = decode_from_worker(worker.connection.recv_bytes())
        except (EOFError, OSError):
            yield from self._lost(worker, None)
            return
        match message:
            case Event():
                worker.stage = message.stage
                self.tell(message)
            case SpreadCall(function, arguments):
                worker.spread = _Spread(worker, [None] * len(arguments))
                self.parts.extend(
                    _RunningPart(worker.spread, i, PartCall(function, one)) for i, one in enumerate(arguments)
                )
            case PartResult(result, reason):
                doing, worker.part = worker.part, None
                assert doing
                if reason is None:
                    doing.spread.results[doing.number] = result
                else:
                    doing.spread.reason = reason
                owner, results = doing.spread.owner, doing.spread.results
                if owner.spread is doing.spread and owner.task:
                    done = sum(one is not None for one in results)
                    self.tell(Event(domain=owner.task.domain, stage=owner.stage, done=done, total=len(results)))
            case TrainingOutcome(domain=domain):
                worker.task = None
                worker.memory()
                yield msgspec.structs.replace(message, attempts=self.attempts[domain], peak=worker.peak or None)

    def _exceeded(self, worker: _Worker) -> str | None:
        """The limit that a process is over, as the reason of its end."""
        limits, held = self.limits, worker.memory()
        if limits.seconds is not None and time.monotonic() - worker.since > limits.seconds:
            return f"took more than its limit of {limits.seconds:g} seconds"
        if limits.memory is not None and held > limits.memory:
            return f"held {held >> 20} MB, more than its limit of {limits.memory >> 20} MB (--limit-memory)"
        return None

    def _lost(self, worker: _Worker, limit: str | None) -> Iterator[TrainingOutcome]:
        """Retry or give up the task and the part of a process that is lost or over a limit."""
        status = worker.end()
        self.workers.remove(worker)
        task, part = worker.task, worker.part
        hint = " (out of memory?)" if status == -signal.SIGKILL else ""
        reason = limit or f"its process {how_ended(status or 0)}{hint}"
        retries = -1 if limit else self.limits.retries
        if task is not None:
            self.parts = deque(one for one in self.parts if one.spread is not worker.spread)
            attempts = self.attempts[task.domain]
            if attempts <= retries:
                self.waiting.appendleft(task)
            else:
                yield TrainingOutcome(
                    domain=task.domain,
                    kind="killed",
                    reason=_lost_reason(reason, attempts, task.domain if limit is None else None),
                    attempts=attempts,
                    seconds=time.monotonic() - worker.since,
                    peak=worker.peak or None,
                    log=task.log,
                )
        if part is None or part.spread is worker.spread:
            return
        if part.attempts <= retries:
            self.parts.appendleft(part)
        else:
            part.spread.reason = f"a part of it: {reason}"
