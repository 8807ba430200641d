"""Trial of a worker process before it answers requests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from arbitrank.arbitration.dispatch import Call, Host, HostedModel
from arbitrank.arbitration.hosted_domain import SelfTest
from arbitrank.isolation.pending import PendingCall
from arbitrank.isolation.worker_process import WorkerEnded, WorkerProcess
from arbitrank.values import Hypothesis, Request

__all__ = ["Trial"]

_SECONDS = 30.0  # that a worker's own test of a model may take
_DEADLINES = 5  # that a request of a test may take: it is odd or the first, and the machine may be busy with answers
_LEAST = 5.0  # seconds that it may take at least: one that hangs is refused, not one on a busy machine


class Trial(Host):
    """One worker that is tested before it answers requests."""

    ready = True
    spare: WorkerProcess | None = None

    def __init__(self, worker: WorkerProcess, deadline: float) -> None:
        self.active: WorkerProcess | None = worker
        self.deadline, self.ended = max(_DEADLINES * deadline, _LEAST), False

    def problem(self, model: HostedModel, test: SelfTest) -> str | None:
        """The problem of a model by the worker's own test, which may take long at first, and by one from here."""
        if (worker := self.active) is None:
            return "its worker process has ended"
        try:
            found = worker.selftest(model.number, _SECONDS)
        except WorkerEnded as error:
            self.retire(worker)
            return f"its worker process {error}"
        return found if found is not None else test(HostedModel(model.name, self, model.number))

    def begin(
        self,
        models: Mapping[str, HostedModel],
        request: Request,
        given: Mapping[str, Sequence[Hypothesis]] | None,
        explain: bool,
        began: float,
    ) -> Call:
        """Send a request to the worker."""
        numbers = {name: model.number for name, model in models.items()}
        call = PendingCall(self, numbers, request, given, explain, began)
        call.start(self.active, list(models))
        return call.outcomes

    def retire(self, worker: WorkerProcess) -> None:
        """Kill the worker, which failed its test."""
        worker.kill()
        self.active, self.ended = None, True

    def release(self) -> None:
        """End a request."""
