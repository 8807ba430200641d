"""A query that a pair of workers is answering: an outcome for each of its domains by the deadline."""

from __future__ import annotations

import os
import select
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING

from msgspec import Raw
from msgspec.structs import replace

from arbitrank.arbitration.outcomes import OPENS, Answered, Failed, Late, Outcome
from arbitrank.errors import describe
from arbitrank.isolation.channel import Malformed
from arbitrank.isolation.checked_outcome import checked_outcome
from arbitrank.isolation.messages import (
    MAX_QUERY,
    DomainOutcome,
    FromWorker,
    Query,
    QueryContent,
    QueryDone,
    StopQuery,
    encode,
)
from arbitrank.isolation.worker_process import WorkerEnded, WorkerProcess
from arbitrank.packed import packed
from arbitrank.values import Hypothesis, Request

if TYPE_CHECKING:
    from arbitrank.isolation.trial import Trial
    from arbitrank.isolation.worker_pair import WorkerPair

_RESTARTING = "its worker process is being started again"
_GRACE = 0.01  # seconds in which a query that is read only after its deadline still receives outcomes
_STOP = encode(StopQuery())


@dataclass(eq=False)
class _Assignment:
    """Domains that one worker was sent, in order: `done` have their outcome, the first `kept` are its to answer.

    After a hand-over the others are the spare's. An `unfit` worker is replaced after the query. `quiet` says that its
    bell is waited for, not each outcome.
    """

    worker: WorkerProcess
    names: list[str]
    id: int
    began: float
    kept: int
    quiet: bool
    done: int = 0
    unfit: bool = False

    @property
    def running(self) -> str | None:
        """The domain that the worker is calling, None where all that are its to answer are done."""
        return self.names[self.done] if self.done < self.kept else None

    @property
    def rest(self) -> list[str]:
        """The domains that wait for the one that is running."""
        return self.names[self.done + 1 : self.kept]


class PendingCall:
    """A call that the active worker answers and, where that one hangs or ends, the spare."""

    def __init__(
        self,
        pair: WorkerPair | Trial,
        numbers: Mapping[str, int],
        request: Request,
        given: Mapping[str, Sequence[Hypothesis]] | None,
        explain: bool,
        began: float,
    ) -> None:
        self._pair, self._numbers, self._given, self._explain = pair, numbers, given, explain
        self._request = replace(request, hypotheses=None)
        self._half, self._end = began + pair.deadline / 2, began + pair.deadline
        self._open: list[_Assignment] = []
        self._outcomes: dict[str, Outcome] = {}

    def start(self, worker: WorkerProcess | None, names: list[str], reason: str = _RESTARTING) -> None:
        """Send domains to a worker; without one they fail for `reason`."""
        if worker is None:
            self._fail(names, reason)
            return
        for name in [name for name in names if self._numbers[name] not in worker.loaded]:
            refused = worker.refused.get(self._numbers[name], "it ended the worker process")
            self._fail([name], f"cannot be loaded again: {refused}")
        if not (names := [name for name in names if name not in self._outcomes]):
            return
        number = int.from_bytes(os.urandom(6))
        given = None if self._given is None else tuple([tuple(self._given[name]) for name in names])
        models = tuple([self._numbers[name] for name in names])
        try:
            query = Raw(packed(encode, QueryContent(self._request, given)))
            content = encode(Query(number, models, self._remaining_ms(), self._explain, query))
        except (TypeError, ValueError, OverflowError, RecursionError) as error:
            self._fail(names, f"the request cannot be sent: {describe(error)}")
            return
        if len(content) > MAX_QUERY:
            self._fail(names, f"the request has {len(content)} bytes, a worker process accepts {MAX_QUERY}")
            return
        assignment = _Assignment(worker, names, number, perf_counter(), len(names), worker.rings and len(names) > 1)
        self._open.append(assignment)
        try:
            worker.send(content, self._half - perf_counter())
        except WorkerEnded as error:
            self._ended(assignment, error)

    def _remaining_ms(self) -> float:
        return max(1e3 * (self._end - perf_counter()), 0.0)

    def outcomes(self) -> dict[str, Outcome]:
        """The outcomes by domain, by the deadline. Must be called exactly once."""
        entered = perf_counter()
        until, end = self._half, self._end
        if entered > until:  # a worker may be waiting until what it has sent is read
            until, end = entered + _GRACE / 2, max(end, entered + _GRACE)
        try:
            while self._open:
                ready = self._wait(until - perf_counter())
                for one in ready:
                    self._receive(one)
                if not ready and any(one.quiet for one in self._open):
                    for one in self._open:  # the time has passed: now it matters which domain is running
                        one.quiet = False
                elif not ready and until < end:
                    until = end
                    self._hand_over(self._open[0])
                elif not ready:
                    for one in list(self._open):
                        self._overrun(one)
            return self._outcomes
        finally:
            for one in self._open:  # an unforeseen exception
                self._pair.retire(one.worker)
            self._pair.release()

    def _wait(self, seconds: float) -> list[_Assignment]:
        """The assignments of which a message, the bell or the worker's end is there first; none after the time."""
        if len(self._open) == 1:
            (one,) = self._open
            return [one] if one.worker.readable(seconds, one.quiet) else []
        poll = select.poll()
        waiting = {one.worker.waited_for(one.quiet): one for one in self._open}
        for file in waiting:
            poll.register(file, select.POLLIN)
        return [waiting[file] for file, _ in poll.poll(1e3 * max(seconds, 0.0))]

    def _receive(self, one: _Assignment) -> None:
        """Read the messages of a worker, or how it ended."""
        try:
            one.quiet = one.quiet and one.worker.heard()
            for message in one.worker.received():
                self._take(one, message)
            one.quiet = one.quiet and one.worker.drained
        except Malformed as error:
            self._ended(one, WorkerEnded(f"sent a malformed message and was killed: {error}"))
        except WorkerEnded as error:
            self._ended(one, error)

    def _take(self, one: _Assignment, message: FromWorker) -> None:
        """Take a message. Raises `Malformed` where it is not the one that is due."""
        if one not in self._open:
            raise Malformed("a message after the end of its query")
        if isinstance(message, DomainOutcome):
            if (message.query, message.place) != (one.id, one.done) or one.done >= len(one.names):
                raise Malformed("an outcome out of order")
            name = one.names[one.done]
            if name not in self._outcomes:  # the first outcome stands
                given = None if self._given is None else self._given[name]
                self._outcomes[name] = checked_outcome(name, message, given, self._explain)
            one.done += 1
            one.unfit = one.unfit or message.out_of_memory
        elif isinstance(message, QueryDone) and message.query == one.id and (message.problem or one.running is None):
            if message.problem:
                self._fail(one.names, f"its worker process could not read the request: {message.problem}")
            if one.unfit:
                self._pair.retire(one.worker)
            self._open.remove(one)
        else:
            raise Malformed(f"{type(message).__name__} in place of an outcome")

    def _ended(self, one: _Assignment, error: WorkerEnded) -> None:
        """Fail the domain that a worker was calling when it ended, and send the rest to the other worker."""
        blamed, rest = self._retire(one)
        if blamed is None:
            return
        self._add(blamed, Failed(f"its worker process {error}", _ms_since(one.began), counts=OPENS, kind="crashed"))
        if rest:
            other = self._pair.active
            busy = any(assignment.worker is other for assignment in self._open)
            self.start(
                None if busy or perf_counter() >= self._end else other,
                rest,
                f"{blamed}, with which it shares a worker process, ended that: {error}",
            )

    def _hand_over(self, one: _Assignment) -> None:
        """Half of the time is gone: send the spare all domains that wait for the one that is running."""
        if one.worker.status() is not None:
            self._ended(one, WorkerEnded(one.worker.end()))
            return
        rest, spare = one.rest, self._pair.spare
        if rest and spare:
            one.kept = one.done + 1
            with suppress(WorkerEnded):  # which the next wait reports
                one.worker.send(_STOP, 0.0)
            self.start(spare, rest)

    def _overrun(self, one: _Assignment) -> None:
        """The deadline has passed: kill the worker; the running domain is late, and so is each that waits for it."""
        blamed, rest = self._retire(one)
        if blamed is None:
            return
        ms = _ms_since(one.began)
        done = [self._outcomes[name] for name in one.names[: one.done]]
        own = ms - sum(each.recognise_ms + each.rerank_ms for each in done if isinstance(each, Answered))
        # A domain that had little of the time is charged with one failure and no more.
        counts = OPENS if own >= 0.4e3 * self._pair.deadline else 1
        reason = f"no answer within {1e3 * self._pair.deadline:.0f} ms; its worker process was killed"
        self._add(blamed, Late(reason, ms, counts))
        for name in rest:
            self._add(name, Late(f"{blamed}, with which it shares a worker process, took all the time", ms, counts=0))

    def _retire(self, one: _Assignment) -> tuple[str | None, list[str]]:
        """Have a worker replaced: the domain that was running, if any, and those that waited for it."""
        self._pair.retire(one.worker)
        if one in self._open:  # else its query is done, and a domain wrote to the socket since
            self._open.remove(one)
        return one.running, one.rest

    def _add(self, name: str, outcome: Outcome) -> None:
        self._outcomes.setdefault(name, outcome)  # the first outcome stands

    def _fail(self, names: Sequence[str], reason: str) -> None:
        """Fail domains that are not to blame."""
        for name in names:
            self._add(name, Failed(reason, 0.0, counts=0, kind="unavailable"))


def _ms_since(began: float) -> float:
    return 1e3 * (perf_counter() - began)
