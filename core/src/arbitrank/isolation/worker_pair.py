"""Domains that share a worker process: a request is sent to all of them at once and answered by the deadline.

A second process stands by, loaded. It takes over when the first one crashes or is killed at the deadline, and at half
the deadline it is asked for the domains that the first one has not begun with, so that a domain that hangs holds up
nobody. Versions are loaded into the one that stands by, which then changes places with the other: requests wait for
no load, and those in flight end where they began.
"""

from __future__ import annotations

import shutil
import tempfile
import threading
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter, sleep

from arbitrank.arbitration.dispatch import Call, Elsewhere, Late, Place
from arbitrank.errors import ArbitrankError, PluginError, describe
from arbitrank.isolation.pending import Asked, Remote, Told
from arbitrank.isolation.shared_memory import Load
from arbitrank.isolation.worker_process import Gone, Unstarted, Worker
from arbitrank.values import Hypothesis, Request

_CHECK = 1.0  # seconds between two looks at how much the workers use
_FIRST = 0.02  # seconds in which an answer goes out first: to start a process holds up all threads for a moment
_LONGEST = 30.0  # seconds between two attempts to start a worker that doesn't start
_CRASHES = 2  # times that loading a model again may end a worker before it is left out


@dataclass
class _Placed:
    """A model that workers have to hold: its artifact, copied, and whether somebody may still ask it."""

    domain: str
    folder: Path
    remote: weakref.ref[Remote]
    crashes: int = 0


class Group(Place):
    """Two workers: `active` answers, `spare` stands by. They answer one request at a time; any thread may ask."""

    def __init__(self, name: str, deadline: float, memory: int, loading: float) -> None:
        self.name, self.deadline = name, deadline
        self._memory, self._seconds = memory, loading
        self._lock = threading.Lock()  # of who answers and who stands by: held while a request is answered
        self._loading = threading.Lock()  # of the models, and of workers that load
        self.active: Worker | None = None
        self.spare: Worker | None = None
        self._outdated: Worker | None = None  # it lacks models
        self._rising: Worker | None = None  # it is loading them
        self._gone: list[Worker] = []
        self._placed: dict[int, _Placed] = {}
        self._number = 0
        self._folder = tempfile.TemporaryDirectory(prefix="arbitrank-", ignore_cleanup_errors=True)
        self._wake, self._closed = threading.Event(), False
        self._keeper: threading.Thread | None = None
        self.restarts = 0
        self.problem: str | None = None

    # ------------------------------------------------------------------------------------------------------ answering

    @property
    def ready(self) -> bool:
        """Whether a second process stands by."""
        return self.spare is not None

    def begin(
        self,
        models: Mapping[str, Elsewhere],
        request: Request,
        given: Mapping[str, Sequence[Hypothesis]] | None,
        explain: bool,
        began: float,
    ) -> Call:
        """Send a request to domains of this group."""
        by = began + self.deadline
        if not self._lock.acquire(timeout=max(by - perf_counter(), 0.0)):
            late = Late("its worker process was busy with other requests", 1e3 * self.deadline, counts=0)
            return Told(dict.fromkeys(models, late))
        call = Asked(self, models, request, given, explain, began)
        try:
            call.start(self.active, list(models))
        except BaseException:
            self._lock.release()
            raise
        return call

    def retire(self, worker: Worker) -> None:
        """Have a worker replaced; who stands by takes over. The lock is held."""
        worker.kill()
        self._gone.append(worker)
        self.restarts += 1
        if worker is self.active:
            self.active, self.spare = self.spare, None
        elif worker is self.spare:
            self.spare = None
        self._wake.set()

    def release(self) -> None:
        """End a request that `begin` began."""
        self._lock.release()

    # -------------------------------------------------------------------------------------------------------- loading

    def load(self, domain: str, folder: Path) -> Remote:
        """Load an artifact into the workers.

        Raises `PluginError` where that fails, `ArbitrankError` where no worker could be started.
        """
        with self._loading:
            self._number += 1
            number = self._number
            remote = Remote(domain, self, number)
            copy = Path(self._folder.name) / str(number)
            shutil.copytree(folder, copy)  # a worker that is started later needs it, whatever became of the original
            self._placed[number] = _Placed(domain, copy, weakref.ref(remote))
            try:
                worker = self._taken()
                self._bring_up(worker)
            except Unstarted as error:
                self._forget(number)
                raise ArbitrankError(f"its worker process {error}; try again") from error
            except Gone as error:
                self._forget(number)
                raise PluginError(f"its worker process {error}") from error
            finally:
                self._keep()
            wrong = worker.refused.get(number)
            if wrong is not None:
                self._forget(number)
                self._outdated = worker
                raise PluginError(wrong)
            with self._lock:
                self.active, self._outdated = worker, self.active
            return remote

    def _taken(self) -> Worker:
        """A worker that answers nobody, for loading. `_loading` is held."""
        with self._lock:
            worker = self._outdated or self.spare
            if worker is self.spare:
                self.spare = None
            self._outdated = None
        return worker or Worker(self._memory, self.deadline)

    def _bring_up(self, worker: Worker) -> None:
        """Load what a worker lacks. Raises `Gone`; the worker is given up then. `_loading` is held."""
        self._rising = worker
        try:
            if not worker.awake:
                worker.wait()
            for number in [number for number, one in self._placed.items() if one.remote() is None]:
                self._forget(number)  # nobody can ask it any more
            for number, one in self._placed.items():
                known = number in worker.loaded or number in worker.refused
                if not known and one.crashes < _CRASHES:
                    one.crashes += 1
                    worker.load(Load(number, one.domain, str(one.folder), tuple(self._placed), self._seconds))
                    one.crashes = 0
        except BaseException:
            worker.kill()
            with self._lock:
                self._gone.append(worker)
            raise
        finally:
            self._rising = None

    def _forget(self, number: int) -> None:
        shutil.rmtree(self._placed.pop(number).folder, ignore_errors=True)

    # ----------------------------------------------------------------------------------------------------- standing by

    def _keep(self) -> None:
        """Have somebody look after the workers."""
        if self._keeper is None and not self._closed:
            self._keeper = threading.Thread(target=self._look_after, name=f"arbitrank {self.name}", daemon=True)
            self._keeper.start()
        self._wake.set()

    def _look_after(self) -> None:
        pause = _CHECK
        while not self._closed:
            if self._wake.wait(pause):
                sleep(_FIRST)
            self._wake.clear()
            self._reap()
            try:
                self._replace_unfit()
                self._restore()
                self.problem, pause = None, _CHECK
            except Gone as error:
                self.problem, pause = f"its worker process {error}", min(2 * pause, _LONGEST)
            except Exception as error:  # no thread, no memory, no files: whatever it is, it is to be tried again
                self.problem, pause = describe(error), min(2 * pause, _LONGEST)

    def _reap(self) -> None:
        with self._lock:
            gone, self._gone = self._gone, []
        for worker in gone:
            worker.close()

    def _replace_unfit(self) -> None:
        for worker in (self.active, self.spare):
            if worker and (worker.dead or worker.unfit()):
                with self._lock:
                    if worker in (self.active, self.spare):
                        self.retire(worker)

    def _restore(self) -> None:
        """Have one worker that answers and one that stands by, with all models. Raises `Gone`."""
        with self._loading:
            while not self._closed and self._placed and (self.active is None or self.spare is None):
                worker = self._outdated or Worker(self._memory, self.deadline)
                self._outdated = None
                self._bring_up(worker)
                with self._lock:
                    if self.active is None:
                        self.active = worker
                    else:
                        self.spare = worker

    def pids(self) -> list[int]:
        """The processes that are there, the one that answers first."""
        return [one.process.pid for one in (self.active, self.spare, self._outdated) if one]

    def close(self) -> None:
        """End the processes, for good."""
        self._closed = True
        self._wake.set()
        rising = self._rising
        if rising:
            rising.kill()  # whatever it is loading
        with self._loading, self._lock:
            gone = [*self._gone, *(one for one in (self.active, self.spare, self._outdated) if one)]
            self._gone, self.active, self.spare, self._outdated = [], None, None, None
        for worker in gone:
            worker.close()
        if self._keeper:
            self._keeper.join()
        self._folder.cleanup()
