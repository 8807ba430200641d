"""Main program of a worker process: it loads models and answers queries until the other side is gone.

`python -m arbitrank.isolation.worker_main SOCKET MEMORY` is that process: a file descriptor, and the bytes of address
space that it may use.
"""

from __future__ import annotations

import gc
import os
import select
import signal
import socket
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from time import perf_counter

import msgspec

from arbitrank.arbitration import dispatch
from arbitrank.arbitration.outcomes import Answered, Failed
from arbitrank.arbitration.prepared import prepared
from arbitrank.child import alarm, end_with_parent, limit
from arbitrank.context_keys import keys_of
from arbitrank.domain import Model
from arbitrank.errors import describe, message
from arbitrank.feature_names import features_of
from arbitrank.guard import Fault, guarded
from arbitrank.isolation.channel import Channel
from arbitrank.isolation.greeting import hello
from arbitrank.isolation.messages import (
    CLOSED,
    MAX_OUTCOMES,
    MAX_QUERY,
    STARTING,
    Bye,
    DomainOutcome,
    LoadModel,
    ModelLoaded,
    Query,
    QueryDone,
    ToWorker,
    Train,
    WriteExamples,
    encode,
    query_content,
    to_worker,
)
from arbitrank.isolation.worker_tasks import perform
from arbitrank.registry import Found, Loaded, discover
from arbitrank.store.loading import load_model

_SWEEP = 20  # queries between two garbage collections
_STATED = 1_000  # names that a model states to read
_REASON = 2_000  # characters of an error that are sent


def main(arguments: Sequence[str]) -> None:
    """Work until the other side is gone."""
    connection, memory = socket.socket(fileno=int(arguments[0])), int(arguments[1])
    end_with_parent()
    limit(memory)
    channel = Channel(connection, to_worker, MAX_QUERY)
    alarm(STARTING)  # the import of a plugin may hang, and the system may not tell of the parent's end
    found = {one.name: one for one in sorted(discover(), key=lambda one: isinstance(one, Loaded))}  # a loaded one wins
    models: dict[int, tuple[str, Model]] = {}
    gc.disable()  # garbage is collected after a query is answered, so that no request waits for it
    gc.freeze()  # what is there now stays, and need not be looked through again
    try:
        channel.send(encode(hello(found.values())))
        alarm(None)
        answered = 0
        while True:
            message = channel.receive()
            if isinstance(message, LoadModel):
                problem = _load(message, found, models)
                channel.send(encode(ModelLoaded(problem) if problem else _loaded(models[message.number][1])))
            elif isinstance(message, Query):
                remaining = message.remaining_ms / 1e3
                alarm(remaining)
                _send(channel, *_answer(message, models, channel, perf_counter() + 0.4 * remaining))
                alarm(None)
                answered += 1
                if answered % _SWEEP == 0:
                    gc.collect(1)
            elif isinstance(message, WriteExamples | Train):
                perform(message, found, lambda reply: channel.send(encode(reply)))
            elif isinstance(message, Bye):
                break
    except (OSError, EOFError):
        pass
    # No code of a plugin runs or hangs from here on, nor does any process it started: this one leads a group.
    os.killpg(0, signal.SIGKILL)


def _answer(
    query: Query, models: Mapping[int, tuple[str, Model]], channel: Channel[ToWorker], hand_over: float
) -> list[bytes]:
    """Call the models one after another and send each outcome but the last; the messages that are left to send.

    After the time `hand_over` the query may be stopped.
    """
    last: list[bytes] = []
    try:
        content = query_content.decode(query.content)
        request = prepared(content.request)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        return [encode(QueryDone(query.id, _short(describe(error))))]
    left = MAX_OUTCOMES
    for place, number in enumerate(query.models):
        _send(channel, *last)  # before the next domain runs, which would be blamed for what this one did
        last = []
        if perf_counter() > hand_over and select.select([channel.connection], [], [], 0)[0]:
            channel.receive()  # a `StopQuery`, as there is one query at a time
            break
        name, model = models[number]
        given = None if content.given is None else content.given[place]
        try:
            outcome = dispatch.query_prepared(name, model, request, given, query.explain)
        except KeyboardInterrupt as error:  # raised by the plugin: no keyboard reaches this process
            outcome = Failed(describe(error), 0.0)
        message = encode(_message(query.id, place, outcome, given is not None))
        if len(message) > left:
            problem = "its answer is larger than the answers to one request may be"
            message = encode(DomainOutcome(query.id, place, problem))
        left -= len(message)
        last = [message]
    return [*last, encode(QueryDone(query.id))]


def _send(channel: Channel[ToWorker], *contents: bytes) -> None:
    """Send messages; end this process where a domain has closed the socket. Raises where the other side is gone."""
    try:
        channel.send(*contents)
    except ConnectionError:
        raise
    except OSError:
        os._exit(CLOSED)


def _message(query: int, place: int, outcome: Answered | Failed, given: bool) -> DomainOutcome:
    if isinstance(outcome, Answered):
        return DomainOutcome(
            query,
            place,
            mine=outcome.scores.mine,
            right=tuple(outcome.scores.right.tolist()),
            hypotheses=None if given else tuple(outcome.hypotheses),
            why=None if outcome.why is None else [dict(row) for row in outcome.why],
            recognise_ms=outcome.recognise_ms,
            rerank_ms=outcome.rerank_ms,
            kept=outcome.kept if given else None,
            scales=None if outcome.scales is None else dict(outcome.scales),
        )
    reason = _short(outcome.reason)
    short_of_memory = "MemoryError" in reason
    return DomainOutcome(
        query, place, reason, recognise_ms=outcome.ms, out_of_memory=short_of_memory, unread=outcome.unread
    )


def _load(task: LoadModel, found: Mapping[str, Found], models: dict[int, tuple[str, Model]]) -> str | None:
    """Load a model; the reason where that fails."""
    for number in models.keys() - set(task.keep):
        del models[number]
    gc.collect()
    plugin = found.get(task.domain)
    if not isinstance(plugin, Loaded):
        reason = plugin.reason if plugin else "it is not installed"
        return f"domain {task.domain!r} cannot be loaded: {reason}; run: arbitrank domains"
    alarm(task.seconds)
    try:
        model = guarded(load_model, plugin.domain, Path(task.folder), task.scales)
    except KeyboardInterrupt as error:  # raised by the plugin: no keyboard reaches this process
        model = Fault(error)
    alarm(None)
    if isinstance(model, Fault):
        return _short(message(model, "cannot be loaded: "))
    models[task.number] = task.domain, model
    gc.freeze()
    return None


def _loaded(model: Model) -> ModelLoaded:
    """The reply on a model that is loaded, with what it states to read, if that is not too much."""
    keys, features = keys_of(model), features_of(model)
    bounded = (None if found is None or len(found) > _STATED else tuple(sorted(found)) for found in (keys, features))
    return ModelLoaded(None, *bounded)


def _short(reason: str) -> str:
    return reason.encode(errors="replace").decode()[:_REASON]


if __name__ == "__main__":
    main(sys.argv[1:])
