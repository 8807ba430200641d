"""Lists of requests: answered in slices by a thread of their own, so that other calls are served in between.

A slice ends after a few milliseconds, and after the request at hand where another call waits. A list ends at its
deadline, and when its client has gone: after the slice that is being answered.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from time import perf_counter
from typing import TYPE_CHECKING, TypeAlias

from starlette.exceptions import HTTPException
from starlette.types import Receive

from arbitrank.arbitration.arbitrator import Arbitration
from arbitrank.errors import ArbitrankError
from arbitrank.guard import Fault, guarded
from arbitrank.serve.auth import Grant
from arbitrank.serve.decoding import read_batch, read_request
from arbitrank.serve.settings import MAX_BATCH
from arbitrank.values import Request

if TYPE_CHECKING:
    from arbitrank.importers.payloads import PayloadFormat
    from arbitrank.serve.worker_state import WorkerState

_SLICE_SECONDS = 0.005  # after which no further request of a slice is begun
_SWITCH_SECONDS = 0.0005  # for which a list keeps the interpreter from the event loop: Python's own is ten times that
_DECODED = 50  # requests that are decoded at once
CLIENT_GONE = 499
"""Status that is counted of a call whose client has gone, as nginx does; no client sees it."""

Arbitrate: TypeAlias = Callable[[Request], tuple[Request, Arbitration]]
Arbitrated: TypeAlias = tuple[Request, Arbitration] | Fault
Record: TypeAlias = Callable[[Request, Arbitration], bytes]
Finish: TypeAlias = Callable[[Arbitrated, Record], bytes]
"""Records an arbitration, and returns its answer in JSON. Raises `HTTPException` 500 where a defect prevented it."""


class Lists:
    """Lists that one worker is answering."""

    def __init__(self, state: WorkerState, finish: Finish) -> None:
        self._state, self._finish = state, finish
        self._running, self._switching = 0, sys.getswitchinterval()
        self._own = ThreadPoolExecutor(1, "arbitrank lists")  # begins no thread before it is needed

    async def answer(self, body: bytes, payloads: PayloadFormat | None, receive: Receive, grant: Grant | None) -> bytes:
        """The encoded answers to the requests of a body, all by the same versions. Raises `HTTPException`."""
        limits = self._state.settings.limits
        if self._running >= limits.batches:
            raise HTTPException(503, "too many lists are being answered; try again", {"retry-after": "1"})
        deadline = perf_counter() + limits.list_seconds
        client = asyncio.create_task(_gone(receive))
        self._running += 1
        sys.setswitchinterval(_SWITCH_SECONDS)
        try:
            return await self._answered(body, payloads, client, deadline, grant)
        finally:
            client.cancel()
            self._running -= 1
            if not self._running:
                sys.setswitchinterval(self._switching)

    async def _answered(
        self,
        body: bytes,
        payloads: PayloadFormat | None,
        client: asyncio.Task[None],
        deadline: float,
        grant: Grant | None,
    ) -> bytes:
        loop, state = asyncio.get_running_loop(), self._state
        requests: list[Request] = []
        for index, raw in enumerate(_items(body)):
            try:
                requests.append(read_request(raw, state.notices, payloads))
            except ArbitrankError as error:
                raise HTTPException(400, f"[{index}]: {error}") from None
            if index % _DECODED == _DECODED - 1:
                await asyncio.sleep(0)
                self._check(client, deadline, 0, len(requests))
        if grant is not None and grant.limited and len(requests) > 1:
            exhausted = state.allowances.take_more(grant, len(requests) - 1)
            if exhausted is not None:
                raise HTTPException(429, state.limited(grant, exhausted), {"retry-after": str(exhausted.seconds)})
        arbitrate, record = state.answerer()
        answers: list[bytes] = []
        while len(answers) < len(requests):
            self._check(client, deadline, len(answers), len(requests))
            rest = requests[len(answers) :]
            sliced = partial(answer_slice, arbitrate, rest, self._others_wait)
            for arbitrated in await loop.run_in_executor(state.pool or self._own, sliced):
                answers.append(self._finish(arbitrated, record))
        return b"[" + b",".join(answers) + b"]"

    def _others_wait(self) -> bool:
        """True while another call than a list is to be answered."""
        return self._state.load.pending > self._running

    def _check(self, client: asyncio.Task[None], deadline: float, done: int, n: int) -> None:
        """Raise `HTTPException` where the list is to end."""
        if client.done():
            raise HTTPException(CLIENT_GONE, "the client has gone")
        if perf_counter() > deadline:
            seconds = self._state.settings.limits.list_seconds
            text = f"{done} of {n} requests were answered in the {seconds:g} s that a list may take; send shorter ones"
            raise HTTPException(503, text, {"retry-after": "1"})


def _items(body: bytes) -> list[bytes]:
    """The bodies in a list. Raises `HTTPException`."""
    try:
        items = read_batch(body)
    except ArbitrankError as error:
        raise HTTPException(400, str(error)) from None
    if len(items) > MAX_BATCH:
        raise HTTPException(413, f"{len(items)} requests, expected at most {MAX_BATCH} in one call")
    return items


def answer_slice(
    arbitrate: Arbitrate, requests: Sequence[Request], others_wait: Callable[[], bool]
) -> list[Arbitrated]:
    """The arbitrations of the first requests, until the slice's time is over or others wait; of one at least."""
    end = perf_counter() + _SLICE_SECONDS
    found: list[Arbitrated] = []
    for request in requests:
        found.append(guarded(arbitrate, request))
        if perf_counter() > end or others_wait():
            break
    return found


async def _gone(receive: Receive) -> None:
    """Return once the client has gone."""
    while (await receive())["type"] != "http.disconnect":
        pass
