"""Tasks side by side, each in a process of its own, and none the worse for what becomes of another.

joblib's loky makes the processes: started afresh, never forked after OpenMP ran, with one thread for every library in
them. Its executor is not used: that ends all of its processes where one dies, and would train everybody anew because
one domain ran out of memory. So this is the executor: one loop, which hands out what waits, hears what the processes
say, ends those that go beyond a limit, and knows of each that is gone what it was at.

A process does one task after another. One that has its task wait for parts (folds of a cross-fitting) does some of them
itself; any other that has nothing to do takes the rest.
"""

from __future__ import annotations

import os
import signal
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

import msgspec

from arbitrank.training.task import Outcome, Task
from arbitrank.training.worker import Ask, Did, Event, Part, Results, Told, decode_said, encode, serve

_LOOK = 0.1  # seconds between two looks at memory and clocks
_ONE_THREAD = dict.fromkeys(
    ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"), "1"
)


class Limits(msgspec.Struct, frozen=True):
    """What one domain's training may take: seconds, and bytes of memory of a process; and how often it is tried again
    where its process ended otherwise than by these."""

    seconds: float | None = None
    memory: int | None = None
    retries: int = 1


class _Worker:
    """One process, and what it is at: its task, if it has one, and the part it does, if it does one."""

    def __init__(self, temporary: Path) -> None:
        from joblib.externals.loky.backend import get_context

        context = get_context("loky")
        ours, theirs = context.Pipe()
        environment = {**_ONE_THREAD, "TMPDIR": str(temporary)}
        self.process: Any = context.Process(target=serve, args=(theirs, os.getpid()), env=environment)
        self.process.start()
        theirs.close()
        self.connection: Connection = ours
        self.job: _Job | None = None
        self.part: _Doing | None = None
        self.asked: _Asked | None = None
        self.since, self.peak, self.stage = 0.0, 0, ""

    @property
    def computing(self) -> bool:
        """Whether it is at something, and does not wait for others."""
        return self.part is not None or (self.job is not None and self.asked is None)

    def tell(self, told: Told) -> None:
        """Hand it something. One that is gone is found out when it is next heard."""
        with suppress(OSError):
            self.connection.send_bytes(encode(told))

    def memory(self) -> int:
        """The bytes it holds that cannot be dropped; 0 where the system doesn't tell."""
        try:
            with open(f"/proc/{self.process.pid}/statm", "rb") as file:
                _, resident, shared = file.read().split()[:3]
        except (OSError, ValueError):
            return 0
        held = (int(resident) - int(shared)) * os.sysconf("SC_PAGESIZE")
        self.peak = max(self.peak, held)
        return held

    def end(self) -> int | None:
        """End it and what it started, at once; its exit status, minus the signal where one ended it."""
        for kill in (os.killpg, os.kill):  # its group, and itself before it has made one
            with suppress(OSError):
                kill(self.process.pid, signal.SIGKILL)
        self.process.join()
        self.connection.close()
        status: int | None = self.process.exitcode
        return status


@dataclass(eq=False)
class _Job:
    """A task on its way: how often it was begun."""

    task: Task
    attempts: int = 0


@dataclass(eq=False)
class _Asked:
    """What a task waits for: its parts' results, as they come, or why one of them failed."""

    asker: _Worker
    results: list[bytes | None]
    reason: str | None = None

    @property
    def done(self) -> bool:
        return self.reason is not None or all(result is not None for result in self.results)


@dataclass(eq=False)
class _Doing:
    """One part: whose it is, its number, and how often it was begun."""

    asked: _Asked
    number: int
    part: Part
    attempts: int = 0


class Stopped(Exception):
    """Raised where a run was told to stop."""


def run_all(
    tasks: Sequence[Task],
    *,
    jobs: int,
    temporary: Path,
    limits: Limits = Limits(),
    tell: Callable[[Event], None],
    stopped: Callable[[], bool] = lambda: False,
) -> Generator[Outcome]:
    """The outcome of every task, in the order in which they end; `jobs` processes compute at a time.

    The largest begin first, so that no processor is left alone with one at the end. Where this is left early, as by an
    interrupt or because `stopped` says so, all processes are ended. `temporary` is where the processes put what they
    take for temporary files.
    """
    pool = _Pool(jobs, temporary, limits, tell)
    try:
        yield from pool.run(sorted(tasks, key=lambda task: (-task.size, task.domain)), stopped)
    finally:
        for worker in pool.workers:
            worker.end()


class _Pool:
    def __init__(self, jobs: int, temporary: Path, limits: Limits, tell: Callable[[Event], None]) -> None:
        self.jobs, self.temporary, self.limits, self.tell = jobs, temporary, limits, tell
        self.workers: list[_Worker] = []
        self.parts: deque[_Doing] = deque()
        self.waiting: deque[_Job] = deque()

    def run(self, tasks: Sequence[Task], stopped: Callable[[], bool]) -> Iterator[Outcome]:
        self.waiting = deque(map(_Job, tasks))
        while self.waiting or any(worker.job for worker in self.workers):
            if stopped():
                raise Stopped
            self._hand_out()
            heard = wait([worker.connection for worker in self.workers], timeout=_LOOK)
            for worker in [one for one in self.workers if one.connection in heard]:
                yield from self._hear(worker)
            yield from self._look()

    # ------------------------------------------------------------------------------------------------------ handing out

    def _hand_out(self) -> None:
        """Results first, so that what has begun goes on; then parts; then new tasks."""
        for worker in self.workers:
            if worker.asked and worker.asked.done and not worker.part and self._room():
                asked, worker.asked = worker.asked, None
                self.parts = deque(one for one in self.parts if one.asked is not asked)
                worker.tell(Results([one or b"" for one in asked.results], asked.reason))
        while self.parts and self._room():
            worker, part = self._next_part()
            self.parts.remove(part)
            worker.part, worker.since = part, time.monotonic() if worker.job is None else worker.since
            part.attempts += 1
            worker.tell(part.part)
        while self.waiting and self._room():
            job = self.waiting.popleft()
            worker = self._free()
            worker.job, worker.since, worker.peak = job, time.monotonic(), 0
            job.attempts += 1
            worker.tell(job.task)

    def _room(self) -> bool:
        return sum(worker.computing for worker in self.workers) < self.jobs

    def _next_part(self) -> tuple[_Worker, _Doing]:
        """A part and who does it: who asked for it has its data at hand, and comes before those with nothing to do."""
        for part in self.parts:
            if part.asked.asker.part is None:
                return part.asked.asker, part
        return self._free(), self.parts[0]

    def _free(self) -> _Worker:
        """A process with nothing to do; a new one where there is none."""
        for worker in self.workers:
            if worker.job is None and worker.part is None:
                return worker
        worker = _Worker(self.temporary)
        self.workers.append(worker)
        return worker

    # ---------------------------------------------------------------------------------------------------------- hearing

    def _hear(self, worker: _Worker) -> Iterator[Outcome]:
        try:
            said = decode_said(worker.connection.recv_bytes())
        except (EOFError, OSError):
            yield from self._lost(worker, None)
            return
        match said:
            case Event():
                worker.stage = said.stage
                self.tell(said)
            case Ask(function, arguments):
                worker.asked = _Asked(worker, [None] * len(arguments))
                self.parts.extend(_Doing(worker.asked, i, Part(function, one)) for i, one in enumerate(arguments))
            case Did(result, reason):
                doing, worker.part = worker.part, None
                assert doing
                if reason is None:
                    doing.asked.results[doing.number] = result
                else:
                    doing.asked.reason = reason
                self._tell_parts(doing.asked)
            case Outcome():
                job, worker.job = worker.job, None
                assert job
                worker.memory()
                yield msgspec.structs.replace(said, attempts=job.attempts, peak=worker.peak or None)

    def _tell_parts(self, asked: _Asked) -> None:
        """How many parts of a task's stage are done, where it is still on its way."""
        asker = asked.asker
        if asker.asked is asked and asker.job is not None:
            done = sum(result is not None for result in asked.results)
            domain = asker.job.task.domain
            self.tell(Event(domain=domain, stage=asker.stage, done=done, total=len(asked.results)))

    def _look(self) -> Iterator[Outcome]:
        """End what goes beyond a limit."""
        now = time.monotonic()
        for worker in self.workers[:]:
            if worker.job is None and worker.part is None:
                continue
            held = worker.memory()
            if self.limits.seconds is not None and now - worker.since > self.limits.seconds:
                yield from self._lost(worker, f"took more than the {self.limits.seconds:g} seconds it may")
            elif self.limits.memory is not None and held > self.limits.memory:
                yield from self._lost(
                    worker,
                    f"held {held >> 20} MB, more than the {self.limits.memory >> 20} MB it may (--limit-memory)",
                )

    def _lost(self, worker: _Worker, limit: str | None) -> Iterator[Outcome]:
        """A process is gone, or is to go: its task is tried again or given up, and so is the part it did."""
        status = worker.end()
        self.workers.remove(worker)
        job, part = worker.job, worker.part
        reason = limit or f"its process {_ended(status)}"
        again = limit is None
        if job is not None:
            self.parts = deque(one for one in self.parts if one.asked is not worker.asked)
            if again and job.attempts <= self.limits.retries:
                self.waiting.appendleft(job)
            else:
                yield Outcome(
                    domain=job.task.domain,
                    kind="killed",
                    reason=reason if job.attempts == 1 else f"{reason}, {job.attempts} times",
                    attempts=job.attempts,
                    seconds=time.monotonic() - worker.since,
                    peak=worker.peak or None,
                    log=job.task.log,
                )
        if part is not None and part.asked is not worker.asked:
            if again and part.attempts <= self.limits.retries:
                self.parts.appendleft(part)
            else:
                part.asked.reason = f"a part of it: {reason}"


def _ended(status: int | None) -> str:
    if status is not None and status < 0:
        name = signal.Signals(-status).name
        return f"was ended by {name}" + (" (out of memory?)" if name == "SIGKILL" else "")
    return f"ended with status {status}"
