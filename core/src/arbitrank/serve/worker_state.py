"""State of one worker: the live arbitrator, log, policy, tokens, counters, and whether requests are answered."""

from __future__ import annotations

import asyncio
import gc
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from arbitrank.answerlog.settings import LogStatus
from arbitrank.answerlog.writer import AnswerLog
from arbitrank.arbitration.answer_phrases import read_phrases
from arbitrank.arbitration.risk_bound import beyond
from arbitrank.context_keys import UnreadKeys
from arbitrank.errors import ArbitrankError
from arbitrank.feature_names import FeatureWatch
from arbitrank.guard import Fault, guarded
from arbitrank.isolation.groups import isolation_of
from arbitrank.live.live import Live
from arbitrank.registry import Found, Unreadable, loaded, survey
from arbitrank.serve.allowances import Allowances, Exhausted
from arbitrank.serve.answerer import Answerer, RequestIds, answerer
from arbitrank.serve.auth import Grant
from arbitrank.serve.board import WorkerBoard
from arbitrank.serve.decoding import payload_formats
from arbitrank.serve.event_log import EventLog
from arbitrank.serve.exploring import Explorer
from arbitrank.serve.gauges import gauges_of, write_gauges
from arbitrank.serve.load import LoadCounters
from arbitrank.serve.messages import Health
from arbitrank.serve.metrics import Metrics
from arbitrank.serve.metrics_page import page
from arbitrank.serve.readiness import health, refused_with_stable
from arbitrank.serve.service_files import follow_configuration, service_files
from arbitrank.serve.settings import ServiceSettings
from arbitrank.serve.worker_place import WorkerReport
from arbitrank.shortlist.hyprank import load_hyprank
from arbitrank.store.loading import in_processes, unavailable
from arbitrank.store.signing import open_keys
from arbitrank.store.store import Store, open_store
from arbitrank.wire.notices import Notices

if TYPE_CHECKING:
    from arbitrank.serve.tracing import Tracing

_WAITING = 64  # requests that may wait for remote domains at a time
_RELOAD_SECONDS = 1.0  # between checks of the files that may change
_SWEEPS = 10  # such checks after an exchange of versions or code, at the first and last of which garbage is collected
_COLLECT = 50_000  # objects more than before, at which they are collected


class WorkerState:
    """State of one worker. It is ready between the end of `start` and the beginning of `stop`."""

    def __init__(self, settings: ServiceSettings, folder: Path, number: int = 0) -> None:
        self.settings, self.folder, self.number = settings, folder, number
        self.load = LoadCounters(settings.limits)
        self.events = EventLog()
        self.metrics = Metrics(folder, number)
        self.allowances = Allowances(folder)
        self.tracing = _tracing() if settings.otel else None
        self.payloads = payload_formats(settings.payloads)
        self.phrases = {one.language.lower(): one for one in map(read_phrases, settings.phrases)}
        self.store: Store = open_store(settings.store, open_keys(settings.keys), key=settings.signing.opened())
        self.files = service_files(settings, self.store.keys)
        self.reload = asyncio.Event()
        self.found: list[Found] = []
        self.unreadable: list[Unreadable] = []
        self.live: Live | None = None
        self.log: AnswerLog | None = None
        self.explorer: Explorer | None = None
        self.shadow: AnswerLog | None = None
        self.pool: ThreadPoolExecutor | None = None
        self.notices = Notices(self.remark)
        self.unread = UnreadKeys(
            lambda: list(self.live.by_name.values()) if self.live is not None else (),
            () if self.files.policy is None else self.files.policy.value.context_keys,
        )
        self.features = FeatureWatch(lambda: self.live.by_name if self.live is not None else {})
        self.stopping, self.sweeps = False, 0
        self.problem: str | None = "the stable versions are being loaded"
        self.configuration_problem: str | None = None
        self.failure: WorkerReport | None = None
        self.board: WorkerBoard | None = None
        self.started = asyncio.Event()
        self._stack = ExitStack()
        self.request_ids = RequestIds()

    # -------------------------------------------------------------------------------------------- starting and stopping

    async def start(self) -> None:
        """Open the log, load the stable versions, and follow the store; a failure is kept as `failure`."""
        result = await asyncio.to_thread(guarded, self._start)
        if not isinstance(result, Fault):
            self.live, self.problem = result, None
            self.events.write("ready", domains=sorted(result.status().domains))
        elif isinstance(result.error, ArbitrankError):
            self.failure = WorkerReport(str(result.error), 2)
            self.events.write("not ready", "error", reason=self.failure.problem)
        else:
            self.failure = WorkerReport(f"the start failed: {type(result.error).__name__}", 1)
            self.events.failure("not ready", result.error)
        self.started.set()

    def _start(self) -> Live:
        settings = self.settings
        if settings.log is not None:
            self.log = self._stack.enter_context(AnswerLog(settings.log, settings.log_settings))
            if settings.exploration.budgets:
                self.explorer = self._stack.enter_context(closing(Explorer(settings.exploration, settings.log)))
        if settings.shadow is not None:
            self.shadow = self._stack.enter_context(AnswerLog(settings.shadow, settings.log_settings))
        self._discover()
        domains = loaded(self.found)
        if unknown := sorted(settings.exploration.budgets.keys() - domains.keys()):
            self.events.write("exploration", "error", reason=f"not installed, so never explored: {', '.join(unknown)}")
        live = Live(
            domains,
            self.store,
            decisions=settings.decisions,
            poll=settings.poll,
            shadow=settings.shadow is not None,
            compared=None if self.shadow is None else self.shadow.append,
            isolation=isolation_of(settings.isolate, in_processes(domains), settings.deadline),
            shortlist=settings.shortlist,
            hyprank=None if settings.hyprank is None else load_hyprank(settings.hyprank, self.store.keys),
            notify=self._exchanged,
            unavailable=unavailable(self.found),
            following=settings.following,
            loading=None if self.tracing is None else self.tracing.loading,
            environments=settings.environments,
            changed=self._discover,
        )
        self._stack.enter_context(live)
        remote = len(in_processes(domains)) < len(domains)
        if settings.isolate or settings.environments is not None or remote:
            # The event loop must not wait for a worker process that hangs until its deadline, nor for a remote domain;
            # while a request waits for one of these, others are answered.
            threads = _WAITING if remote else 1
            self.pool = self._stack.enter_context(ThreadPoolExecutor(threads, "arbitrank answer"))
        gc.collect()
        gc.freeze()  # what is loaded stays, so collections beside requests need not traverse it
        gc.set_threshold(_COLLECT, *gc.get_threshold()[1:])
        return live

    def _exchanged(self, line: str) -> None:
        self.sweeps = _SWEEPS
        self.events.write("store", what=line)

    def _sweep(self) -> None:
        """Collect what was exchanged: it is in cycles, and the workers of code of before end with it."""
        self.sweeps -= 1
        if self.sweeps in (_SWEEPS - 1, 0):
            gc.collect()

    def _discover(self) -> None:
        """Find the installed domains, at the start and after the code of an environment has changed."""
        self.found, self.unreadable = survey()
        self.unserved = refused_with_stable(self.found, self.store)

    async def stop(self) -> None:
        """Release what `start` opened."""
        self.stopping = True
        await asyncio.to_thread(self._stack.close)
        if self.tracing is not None:
            await asyncio.to_thread(self.tracing.close)
        self.metrics.close()
        self.allowances.close()
        self.events.write("stopped")
        self.events.close()

    async def watch_files(self) -> None:
        """Report gauges and problems of the logs, and reload files, until cancelled."""
        problems, ready = dict[str, str | None](), True
        while True:
            if (health := self.health(details=True)).ready != ready and self.live is not None:
                ready = health.ready
                self.events.write("readiness", "info" if ready else "error", ready=ready, problems=health.problems)
            reported = await asyncio.to_thread(guarded, self.report)
            if isinstance(reported, Fault):
                self.events.failure("metrics", reported.error)
            with suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self.reload.wait(), _RELOAD_SECONDS)
            if self.sweeps:
                await asyncio.to_thread(self._sweep)
            asked = self.reload.is_set()
            self.reload.clear()
            await self._reload(asked)
            for name, log in self.log_status().items():
                if log.problem != problems.get(name):
                    problems[name] = log.problem
                    lost = {"dropped": log.dropped, "refused": log.refused, "failed": log.failed}
                    self.events.write(name, "error" if log.problem else "info", reason=log.problem, **lost)

    async def _reload(self, asked: bool) -> None:
        """Read the files that have changed, or all, and the configuration, where that was asked for."""
        if asked:
            await asyncio.to_thread(follow_configuration, self)
        read = []
        for name, file in self.files.present.items():
            if not await asyncio.to_thread(file.poll, always=asked):
                continue
            read.append(file)
            self.metrics.count("reloads", name, "rejected" if file.problem else "accepted")
            if file.problem:
                self.events.write(name, "error", reason=file.problem)
            else:
                self.events.write(name, what="read again")
        if self.live is not None and (asked or self.files.keys in read):
            await asyncio.to_thread(self.live.retry)
        if asked:
            rejected = sum(file.problem is not None for file in read)
            self.events.write("reloaded", "error" if rejected else "info", files=len(read), rejected=rejected)

    def report(self) -> None:
        """Write the gauges, so that all processes of the service can show them. Raises `OSError`."""
        write_gauges(gauges_of(self), self.folder, self.number)

    async def metrics_page(self) -> bytes:
        """The metrics of all workers; the gauges of others are at most about a second old."""
        await asyncio.to_thread(self.report)
        return await asyncio.to_thread(page, self.folder)

    def log_status(self) -> dict[str, LogStatus]:
        """The status of each log that is kept: `log` of answers, `shadow` of comparisons."""
        logs = {"log": self.log, "shadow": self.shadow}
        return {name: log.status() for name, log in logs.items() if log is not None}

    def health(self, *, details: bool = False) -> Health:
        """Readiness, and all current problems, with `details` in full."""
        return health(self, details=details)

    def remark(self, text: str) -> None:
        """Write a remark on the input of clients; none quotes a user's words."""
        self.events.write_limited("input", what=text)

    # ------------------------------------------------------------------------------------------------------- answers

    def limited(self, grant: Grant, exhausted: Exhausted) -> str:
        """Count and report a call whose token has used up an allowance; the error."""
        self.metrics.count("limited", exhausted.limit, grant.name)
        self.events.write_limited("limited", token=grant.name, limit=exhausted.limit)
        allowed = f"{grant.rate:g} calls a second" if exhausted.limit == "rate" else f"{grant.quota} calls a day"
        return f"the token's {exhausted.limit} of {allowed} is used up"

    @property
    def beyond_bound(self) -> tuple[str, ...]:
        """The parts that decide after the arbitrator, with which no bound on risk was tested."""
        policy = self.files.policy
        return beyond(policy=policy is not None and policy.value.decides, explores=self.explorer is not None)

    def answerer(self) -> Answerer:
        """The two steps of an answer, by the versions and the policy of this moment."""
        assert self.live is not None
        return answerer(self, self.live)


def _tracing() -> Tracing:
    """Spans that are exported; OpenTelemetry is imported here alone, as it need not be installed."""
    from arbitrank.serve.tracing import Tracing, exporting

    return Tracing(exporting())
