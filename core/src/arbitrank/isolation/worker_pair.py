"""A pair of worker processes for the domains of one group: one answers requests, the other stands by with all models.

The spare takes over when the active worker crashes or is killed at the deadline. At half the deadline it is sent the
domains that the active one has not begun with, so that a domain that hangs delays no other. New versions are loaded
into the spare, which then changes places with the active worker: no request waits for loading, and a request in flight
ends where it began.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from time import perf_counter, sleep

from arbitrank.arbitration.dispatch import Call, Host, HostedModel
from arbitrank.arbitration.hosted_domain import SelfTest
from arbitrank.arbitration.outcomes import Answered, Failed, Late
from arbitrank.domain import Model
from arbitrank.errors import ArbitrankError, PluginError
from arbitrank.guard import Fault, guarded
from arbitrank.isolation.batches import Given, query_each
from arbitrank.isolation.box import Box
from arbitrank.isolation.loaded_model import LoadedModels
from arbitrank.isolation.pending import PendingCall
from arbitrank.isolation.trial import Trial
from arbitrank.isolation.worker_process import WorkerEnded, WorkerProcess, WorkerUnavailable
from arbitrank.values import Hypothesis, Request

_CHECK = 1.0  # seconds between two checks of the workers' resource use
_FIRST = 0.02  # seconds in which an answer goes out first: starting a process stops all threads for a moment
_LONGEST = 30.0  # seconds between two attempts to start a worker, at most


class WorkerPair(Host):
    """Two workers, `active` and `spare`. They answer one request at a time; any thread may call."""

    def __init__(
        self,
        name: str,
        deadline: float,
        memory: int,
        loading: float,
        interpreter: Path | None = None,
        box: Box | None = None,
    ) -> None:
        self.name, self.deadline, self.interpreter = name, deadline, interpreter
        self._memory, self._seconds, self._box = memory, loading, box
        self._lock = threading.Lock()  # of the two roles; held while a request is answered
        self._loading = threading.Lock()  # of the models, and of workers that load
        self.active: WorkerProcess | None = None
        self.spare: WorkerProcess | None = None
        self._single = True  # no second one has been asked for
        self._outdated: WorkerProcess | None = None  # lacks models
        self._rising: WorkerProcess | None = None  # is loading them
        self._retired: list[WorkerProcess] = []
        self._models = LoadedModels(box)
        self._wake, self._closed = threading.Event(), False
        self._supervisor: threading.Thread | None = None
        self.restarts = 0
        self.problem: str | None = None

    # ------------------------------------------------------------------------------------------------------ answering

    @property
    def ready(self) -> bool:
        """True where the spare stands by."""
        return self.spare is not None

    def begin(
        self,
        models: Mapping[str, HostedModel],
        request: Request,
        given: Mapping[str, Sequence[Hypothesis]] | None,
        explain: bool,
        began: float,
    ) -> Call:
        """Send a request to domains of this group."""
        if not self._lock.acquire(timeout=max(began + self.deadline - perf_counter(), 0.0)):
            late = Late("its worker process was busy with other requests", 1e3 * self.deadline, counts=0)
            return lambda: dict.fromkeys(models, late)
        with ExitStack() as stack:
            stack.callback(self._lock.release)
            if self.active and self.active.readable(0.0):  # it has ended, or a domain wrote to its socket
                self.retire(self.active)
            numbers = {name: model.number for name, model in models.items()}
            call = PendingCall(self, numbers, request, given, explain, began)
            call.start(self.active, list(models))
            stack.pop_all()  # the call releases it
        return call.outcomes

    def query_each(self, model: HostedModel, requests: Sequence[Request], given: Given) -> list[Answered | Failed]:
        """The outcome of each request, in batches where the worker knows them."""
        return query_each(self, model, requests, given)

    @contextmanager
    def held(self) -> Iterator[WorkerProcess | None]:
        """The active worker, None without one, which answers nothing else meanwhile."""
        with self._lock:
            if self.active and self.active.readable(0.0):  # it has ended, or a domain wrote to its socket
                self.retire(self.active)
            yield self.active

    def retire(self, worker: WorkerProcess) -> None:
        """Kill a worker and have it replaced; the spare takes over where it was active. The lock is held."""
        worker.kill()
        self._retired.append(worker)
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

    def load(
        self,
        domain: str,
        folder: Path,
        scales: Mapping[str, str] = {},
        test: SelfTest | None = None,
        standby: bool = True,
    ) -> HostedModel:
        """Load an artifact into the workers; with `test`, refuse a model that has a problem before it answers.

        Where no load has asked for `standby`, there is one worker, which answers nothing while it loads.
        Raises `PluginError` where that fails, `ArbitrankError` where no worker could be started.
        """
        with self._loading:
            self._single = self._single and not standby
            loaded = self._models.add(self, domain, folder, scales)
            number = loaded.number
            with ExitStack() as stack:
                stack.callback(self._models.forget, number)
                worker = self._load_into_idle()
                if number in worker.refused:
                    self._outdated = worker
                    raise PluginError(worker.refused[number])
                if test and (problem := self._problem(worker, loaded, test)):
                    self._outdated = worker if worker.status() is None else None
                    raise PluginError(problem)
                stack.pop_all()
            loaded.context_keys, loaded.hypothesis_features = worker.stated.get(number, (None, None))
            with self._lock:
                self.active, self._outdated = worker, self.active
            return loaded

    def _problem(self, worker: WorkerProcess, model: HostedModel, test: SelfTest) -> str | None:
        """The problem of a model in a worker that answers no requests; the worker is retired where it ends."""
        trial = Trial(worker, self.deadline)
        problem = trial.problem(model, test)
        if trial.ended:
            with self._lock:
                self._retired.append(worker)
        return problem

    def problem_of_spare(
        self, models: Mapping[str, HostedModel], test: Callable[[str, Model], str | None]
    ) -> str | None:
        """The problem of models in the worker that stands by, which answers nothing meanwhile; None without one."""
        with self._loading:
            with self._lock:
                worker, self.spare = self.spare, None
            if worker is None:
                return "its second worker process is not ready"
            trial = Trial(worker, self.deadline)
            found = (trial.problem(model, partial(test, name)) for name, model in models.items())
            problem = next((one for one in found if one is not None), None)
            with self._lock:
                if trial.ended:
                    self._retired.append(worker)
                else:
                    self.spare = worker
            return problem

    def _load_into_idle(self) -> WorkerProcess:
        """A worker other than the active one, with all models. Raises as `load` does; `_loading` is held."""
        with self._lock:
            worker = self._outdated or self.spare or (self.active if self._single else None)
            if worker is self.spare:
                self.spare = None
            if worker is self.active:
                self.active = None
            self._outdated = None
        try:
            worker = worker or self._started()
            self._load_missing(worker)
        except WorkerUnavailable as error:
            raise ArbitrankError(f"its worker process {error}; try again") from error
        except WorkerEnded as error:
            raise PluginError(f"its worker process {error}") from error
        finally:
            self._supervise()
        return worker

    def _started(self) -> WorkerProcess:
        """A new worker. Raises `WorkerUnavailable`."""
        boxed = None if self._box is None else (self._box, self._models.folder)
        return WorkerProcess(self._memory, self.interpreter, boxed)

    def _load_missing(self, worker: WorkerProcess) -> None:
        """Load the models that a worker lacks. Raises `WorkerEnded`, and kills the worker then; `_loading` is held."""
        self._rising, done = worker, False
        try:
            worker.wait_until_ready()
            self._models.load_missing(worker, self._seconds)
            done = True
        finally:
            self._rising = None
            if not done:
                worker.kill()
                with self._lock:
                    self._retired.append(worker)

    # ---------------------------------------------------------------------------------------------------- supervision

    def _supervise(self) -> None:
        """Start the supervising thread where it is not running, and wake it."""
        if self._supervisor is None and not self._closed:
            self._supervisor = threading.Thread(target=self._keep_two, name=f"arbitrank {self.name}", daemon=True)
            self._supervisor.start()
        self._wake.set()

    def _keep_two(self) -> None:
        """Reap the workers that were retired, replace unfit ones and fill both roles, again and again."""
        pause = _CHECK
        while not self._closed:
            if self._wake.wait(pause):
                sleep(_FIRST)
            self._wake.clear()
            with self._lock:
                retired, self._retired = self._retired, []
            for worker in retired:
                worker.close()
            for unfit in (self.active, self.spare):
                if unfit and (unfit.status() is not None or unfit.unfit()):
                    with self._lock:
                        if unfit in (self.active, self.spare):
                            self.retire(unfit)
            fault = guarded(self._restore)  # without a thread, memory or file now, it tries again later
            if isinstance(fault, Fault):
                ended = isinstance(fault.error, WorkerEnded)
                self.problem = f"its worker process {fault.error}" if ended else fault.reason
                pause = min(2 * pause, _LONGEST)
            else:
                self.problem, pause = None, _CHECK

    def _restore(self) -> None:
        """Fill both roles with workers that have all models. Raises `WorkerEnded`."""
        with self._loading:
            while not self._closed and self._models and not (self.active and (self.spare or self._single)):
                worker = self._outdated or self._started()
                self._outdated = None
                self._load_missing(worker)
                with self._lock:
                    if self.active is None:
                        self.active = worker
                    else:
                        self.spare = worker

    def _workers(self) -> list[WorkerProcess]:
        return [worker for worker in (self.active, self.spare, self._outdated) if worker]

    @property
    def measures(self) -> Mapping[str, str | None]:  # type: ignore[override]
        """Measures of the box of the worker that answers."""
        return self.active.measures if self.active else {}

    def pids(self) -> list[int]:
        """The numbers of the processes, the active one's first."""
        return [worker.pid for worker in self._workers()]

    def close(self) -> None:
        """End the processes for good."""
        self._closed = True
        self._wake.set()
        if rising := self._rising:
            rising.kill()
        with self._loading, self._lock:
            retired = self._retired + self._workers()
            self._retired, self.active, self.spare, self._outdated = [], None, None, None
        for worker in retired:
            worker.close()
        if self._supervisor:
            self._supervisor.join()
        self._models.close()
