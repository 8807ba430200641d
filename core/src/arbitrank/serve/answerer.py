"""The two steps of an answer in a worker: arbitration, in any thread; policy, log and counters in the event loop."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, NamedTuple

import msgspec
from msgspec import UNSET
from msgspec.structs import replace

from arbitrank.arbitration.arbitrator import Arbitration
from arbitrank.arbitration.own_claims import own_claims
from arbitrank.live.live import Live
from arbitrank.outcomes.propensities import selection_of
from arbitrank.serve.call_ids import CURRENT
from arbitrank.values import Request

if TYPE_CHECKING:
    from arbitrank.serve.worker_state import WorkerState

_encode = msgspec.json.Encoder().encode


class Answerer(NamedTuple):
    """The two steps of an answer: `arbitrate`, in any thread, then `record`, which logs and counts, in the event loop.

    `arbitrate` returns the request too, with an id; `record` returns the answer in JSON.
    """

    arbitrate: Callable[[Request], tuple[Request, Arbitration]]
    record: Callable[[Request, Arbitration], bytes]


class RequestIds:
    """Ids of requests that bring none: unique among processes."""

    def __init__(self) -> None:
        self._prefix, self._numbers = secrets.token_hex(6), count()

    def new(self) -> str:
        """The next id."""
        return f"{self._prefix}-{next(self._numbers)}"


def answerer(state: WorkerState, live: Live) -> Answerer:
    """The two steps of an answer, by the versions and the policy of this moment."""
    arbitrate, log, metrics = live.held(), state.log, state.metrics
    if state.tracing is not None:
        arbitrate = state.tracing.arbitrating(arbitrate)
    broken, ids = live.broken, CURRENT.get()
    call = None if ids is None else (ids.request_id, ids.traceparent)
    policy = state.files.policy.value if state.files.policy is not None else None
    explore = state.explorer
    rules, beyond = UNSET if policy is None else policy.digest, bool(state.beyond_bound)

    def arbitrated(request: Request) -> tuple[Request, Arbitration]:
        if request.id is None:
            request = replace(request, id=state.request_ids.new())
        return request, arbitrate(request)

    def recorded(request: Request, arbitration: Arbitration) -> bytes:
        for text in state.unread(request.context):
            state.remark(text)
        if state.features.due():
            state.features(arbitration.recognised)
        answer = arbitration.answer
        if policy and (decided := policy.apply(request, answer, arbitration.decisions)) is not answer:
            metrics.count("policy")
            answer = decided
        overridden, drawing = answer is not arbitration.answer, None
        if explore is not None:
            head = answer
            answer, drawing = explore(request, answer, arbitration, policy)
            if answer is not head and drawing is not None:
                metrics.count("explored", drawing.domain)
        if beyond and answer.risk is not UNSET:
            answer = replace(answer, risk=UNSET)
        encoded = _encode(answer)
        if log is not None:
            recognised = arbitration.hypotheses if request.hypotheses is None else ()
            claims = partial(own_claims, arbitration)
            drawn = partial(
                selection_of, request, answer, arbitration.canary, policy=rules, overridden=overridden,
                exploration=drawing,
            )  # fmt: skip
            log.write(
                request, answer, recognised, call=call, arms=arbitration.arms, claims=claims, selection=drawn,
                encoded=encoded,
            )  # fmt: skip
        metrics.answered(arbitration, answer)
        if broken:
            metrics.unqueried(broken & answer.domains.keys(), "unloaded")
        if request.refused:
            metrics.unqueried(live.by_name.keys() & request.refused.keys(), "request")
        return encoded

    return Answerer(arbitrated, recorded)
