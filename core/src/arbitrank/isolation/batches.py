"""Batches: requests that nobody waits for, many in one message to a worker.

A batch that a worker does not answer is asked for request by request, which tells the requests that are to blame.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from time import monotonic, sleep
from typing import TYPE_CHECKING

from msgspec import Raw

from arbitrank.arbitration.dispatch import HostedModel
from arbitrank.arbitration.outcomes import Answered, Failed
from arbitrank.isolation.checked_outcome import checked_outcome
from arbitrank.isolation.messages import MAX_QUERY, STARTING, BatchContent, QueryBatch, encode
from arbitrank.isolation.worker_process import WorkerEnded
from arbitrank.packed import packed
from arbitrank.values import Hypothesis, Request

if TYPE_CHECKING:
    from arbitrank.isolation.worker_pair import WorkerPair

__all__ = ["Given", "query_each"]

_MOST = 256  # requests of a batch, as a replay scores at once
_BYTES = MAX_QUERY // 4  # of a batch with more than one request
_DEADLINES = 5  # of one request that a batch may take
_FAILED = 2  # batches that may fail before all is asked for request by request

Given = Sequence[Sequence[Hypothesis] | None]
"""Hypotheses of each request; None has the model recognise it."""


def query_each(
    pair: WorkerPair, model: HostedModel, requests: Sequence[Request], given: Given
) -> list[Answered | Failed]:
    """The outcome of each request by one model of the pair, in order."""
    found: list[Answered | Failed] = []
    failed, patience = 0, STARTING
    while (at := len(found)) < len(requests):
        patience = _wait(pair, patience)
        until = at + _MOST
        if failed < _FAILED:
            answered = _batch(pair, model, requests[at:until], given[at:until])
            found += answered
            if answered:
                continue
            failed += 1
        for request, own in zip(requests[at:until], given[at:until], strict=True):
            patience = _wait(pair, patience)
            found.append(model.outcome(_plain(request), own))
    return found


def _wait(pair: WorkerPair, seconds: float) -> float:
    """Wait until a worker answers, which one that was killed does not; the seconds that are left to wait."""
    until = monotonic() + seconds
    while pair.active is None and monotonic() < until:
        sleep(0.005)
    return seconds if pair.active is not None else 0.0


def _batch(pair: WorkerPair, model: HostedModel, requests: Sequence[Request], given: Given) -> list[Answered | Failed]:
    """The outcomes of the first of the requests; none where the worker does not answer batches, or fails to."""
    found = _content(requests, given)
    if found is None:
        return []
    content, number = found, int.from_bytes(os.urandom(6))
    with pair.held() as worker:
        if worker is None or not worker.capable("batch") or model.number not in worker.loaded:
            return []
        seconds = _DEADLINES * pair.deadline
        try:
            batch = QueryBatch(number, model.number, 1e3 * seconds, Raw(content))
            replies = worker.outcomes(encode(batch), number, seconds)
        except WorkerEnded:
            pair.retire(worker)
            return []
    return [
        checked_outcome(model.name, reply, own, explain=False)
        for reply, own in zip(replies, given, strict=False)  # as many as were answered in time
    ]


def _content(requests: Sequence[Request], given: Given) -> bytes | None:
    """The content of a batch with as many of the requests as may be sent at once; None where the first cannot be."""
    n = len(requests)
    while n:
        some = requests[:n]
        recognised = tuple(i for i, request in enumerate(some) if getattr(request, "recognised", False))
        own = tuple(None if one is None else tuple(one) for one in given[:n])
        try:
            content = packed(encode, BatchContent(tuple(map(_plain, some)), own, recognised))
        except (TypeError, ValueError, OverflowError, RecursionError):
            return None
        if len(content) <= _BYTES:
            return content
        n //= 4
    return None


def _plain(request: Request) -> Request:
    """The request as a domain gets it: a line of a log has its truth, and other domains' answers, too."""
    return Request(
        id=request.id,
        utterance=request.utterance,
        context=request.context,
        session=request.session,
        account=request.account,
        dialogue=request.dialogue,
        utterance_length=request.utterance_length,
        utterances=request.utterances,
    )
