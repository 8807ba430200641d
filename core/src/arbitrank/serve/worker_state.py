"""What a worker of the service holds: who answers, the log, the policy, the tokens, and what is said of them."""

from __future__ import annotations

import asyncio
import gc
import secrets
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import count

from msgspec.structs import replace

from arbitrank.answerlog.writer import AnswerLog
from arbitrank.arbitration.arbitrator import Arbitration
from arbitrank.domain import Domain
from arbitrank.errors import ArbitrankError
from arbitrank.isolation.groups import Isolation, groups_of
from arbitrank.live.live import Live
from arbitrank.live.shadow import ShadowFile
from arbitrank.registry import Found, discover, loaded
from arbitrank.serve.auth import read_tokens
from arbitrank.serve.event_log import Journal
from arbitrank.serve.http_protocol import Gate
from arbitrank.serve.metrics import Metrics
from arbitrank.serve.policy import Policy, read_policy
from arbitrank.serve.reloading import Watched
from arbitrank.serve.settings import Settings
from arbitrank.shortlist.hyprank import load_hyprank
from arbitrank.store.signing import open_keys
from arbitrank.store.store import Store, open_store
from arbitrank.values import Answer, Request

_LOOK = 1.0  # seconds between looks at the files that may change


@dataclass(frozen=True)
class Readiness:
    """Whether requests are answered, and all that is not as it should be."""

    ready: bool
    problems: tuple[str, ...]


class Service:
    """One worker's service. `start` loads what is stable; until then, and once it `stops`, nothing is ready."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.gate = Gate(settings.limits)
        self.journal = Journal()
        self.metrics = Metrics()
        self.policy = Watched(settings.policy, read_policy) if settings.policy else None
        self.tokens = Watched(settings.tokens, read_tokens) if settings.tokens else None
        self.store: Store = open_store(settings.store, open_keys(settings.keys))
        self.found: list[Found] = []
        self.live: Live | None = None
        self.log: AnswerLog | None = None
        self.pool: ThreadPoolExecutor | None = None
        self.stopping = False
        self.problem: str | None = "what is stable is being loaded"
        self._stack = ExitStack()
        self._prefix, self._numbers = secrets.token_hex(6), count()
        self._looking: asyncio.Task[None] | None = None

    # -------------------------------------------------------------------------------------------- starting and stopping

    async def start(self) -> None:
        """Open the log, load what is stable, and follow the store."""
        try:
            await asyncio.to_thread(self._start)
            self.problem = None
            self.journal.say("ready", domains=sorted(self.live.status().domains) if self.live else [])
        except ArbitrankError as error:
            self.problem = str(error)
            self.journal.say("not ready", "error", reason=str(error))
        except Exception as error:  # whatever it is, the service says that it is not ready, and why
            self.problem = f"it could not be started: {type(error).__name__}"
            self.journal.failure("not ready", error)

    def _start(self) -> None:
        settings = self.settings
        if settings.log is not None:
            self.log = AnswerLog(settings.log, settings.log_settings)
            self._stack.callback(self.log.close)
        self.found = discover()
        told = self._stack.enter_context(ShadowFile(settings.shadow)) if settings.shadow else None
        domains = loaded(self.found)
        live = Live(
            domains,
            self.store,
            decisions=settings.decisions,
            poll=settings.poll,
            shadow=settings.shadow is not None,
            told=told,
            isolation=_isolation(settings, domains),
            shortlist=settings.shortlist,
            hyprank=None if settings.hyprank is None else load_hyprank(settings.hyprank, self.store.keys),
            tell=lambda line: self.journal.say("store", what=line),
        )
        self._stack.enter_context(live)
        if settings.isolate:
            # A process that hangs is waited for until its deadline, and the event loop has others to look after.
            self.pool = self._stack.enter_context(ThreadPoolExecutor(1, "arbitrank answer"))
        gc.collect()
        gc.freeze()  # what is loaded stays, and is not to be looked through again and again beside requests
        self.live = live

    def watch(self) -> None:
        """Look at the files that may change, from now on."""
        self._looking = asyncio.create_task(self._look())

    async def stop(self) -> None:
        """End what `start` began."""
        self.stopping = True
        if self._looking:
            self._looking.cancel()
        await asyncio.to_thread(self._stack.close)
        self.journal.say("stopped")
        self.journal.close()

    async def _look(self) -> None:
        while True:
            await asyncio.sleep(_LOOK)
            self.look()

    def look(self) -> None:
        """Read the policy and the tokens again where they have changed."""
        for name, watched in (("policy", self.policy), ("tokens", self.tokens)):
            if watched is not None and watched.look():
                if watched.problem:
                    self.journal.say(name, "error", reason=watched.problem)
                else:
                    self.journal.say(name, what="read again")

    def readiness(self) -> Readiness:
        """Whether requests are answered, and what is wrong."""
        problems = [self.problem] if self.problem else []
        if self.stopping:
            problems.append("the service stops")
        ready = not problems
        problems += [one.problem for one in (self.policy, self.tokens) if one is not None and one.problem]
        if self.live is not None:
            status = self.live.status()
            problems += [status.problem] if status.problem else []
            problems += [f"{name}: {one.problem}" for name, one in status.domains.items() if one.problem]
        if self.log is not None and (wrong := self.log.status().problem):
            problems.append(f"log: {wrong}")
        return Readiness(ready, tuple(dict.fromkeys(problems)))

    # ---------------------------------------------------------------------------------------------------- answering

    def answerer(self) -> Callable[[Request], Answer]:
        """What answers requests by the versions and the policy of now, for as long as a call lasts; logs and counts."""
        live, log = self.live, self.log
        assert live is not None
        arbitrate = live.held()
        policy = self.policy.value if self.policy is not None else None
        return lambda request: self._answer(request, arbitrate, policy, log)

    def _answer(
        self,
        request: Request,
        arbitrate: Callable[[Request], Arbitration],
        policy: Policy | None,
        log: AnswerLog | None,
    ) -> Answer:
        if request.id is None:
            request = replace(request, id=f"{self._prefix}-{next(self._numbers)}")
        arbitration = arbitrate(request)
        answer = arbitration.answer
        if policy is not None:
            decided = policy.apply(request, answer, self.settings.decisions)
            if decided is not answer:
                self.metrics.policy.inc()
                answer = decided
        if log is not None:
            log.write(request, answer, arbitration.hypotheses if request.hypotheses is None else ())
        self.metrics.answered(answer)
        return answer


def _isolation(settings: Settings, domains: Mapping[str, Domain]) -> Isolation | None:
    """Which domains run in worker processes, None where none does."""
    groups = groups_of(settings.isolate, domains)
    if not groups:
        return None
    found = Isolation(groups)
    return found if settings.deadline is None else replace(found, deadline_ms=settings.deadline)
