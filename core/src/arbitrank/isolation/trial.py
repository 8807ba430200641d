"""Trial of a worker process before it answers requests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from arbitrank.arbitration.dispatch import Call, Host, HostedModel
from arbitrank.isolation.pending import PendingCall
from arbitrank.isolation.worker_process import WorkerProcess
from arbitrank.values import Hypothesis, Request

__all__ = ["Trial"]


class Trial(Host):
    """One worker that is tested before it answers requests."""

    ready = True
    spare: WorkerProcess | None = None

    def __init__(self, worker: WorkerProcess, deadline: float) -> None:
        self.active: WorkerProcess | None = worker
        self.deadline, self.ended = deadline, False

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
