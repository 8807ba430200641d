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

from arbitrank.arbitration.prepared import prepared
from arbitrank.arbitration.probes import violation
from arbitrank.child import alarm, end_with_parent, limit
from arbitrank.context_keys import keys_of
from arbitrank.domain import Model
from arbitrank.errors import describe, message
from arbitrank.feature_names import features_of
from arbitrank.guard import Fault, guarded
from arbitrank.isolation.bell import OUTCOMES, Bell, bell_of_service
from arbitrank.isolation.channel import Channel
from arbitrank.isolation.decoders import query_content, to_worker
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
    QueryBatch,
    QueryDone,
    SelfTested,
    SelfTestModel,
    ToWorker,
    Train,
    WriteExamples,
    encode,
)
from arbitrank.isolation.worker_answers import TOO_LARGE, answered, batch_answers, outcome_message, short
from arbitrank.isolation.worker_tasks import perform
from arbitrank.registry import Found, Loaded, discover
from arbitrank.store.loading import load_model

_SWEEP = 20  # queries between two garbage collections
_STATED = 1_000  # names that a model states to read


def main(arguments: Sequence[str]) -> None:
    """Work until the other side is gone."""
    connection, memory = socket.socket(fileno=int(arguments[0])), int(arguments[1])
    end_with_parent()
    limit(memory)
    channel, bell = Channel(connection, to_worker, MAX_QUERY), bell_of_service()
    alarm(STARTING)  # the import of a plugin may hang, and the system may not tell of the parent's end
    found = {one.name: one for one in sorted(discover(), key=lambda one: isinstance(one, Loaded))}  # a loaded one wins
    models: dict[int, tuple[str, Model]] = {}
    gc.disable()  # garbage is collected after a query is answered, so that no request waits for it
    gc.freeze()  # what is there now stays, and need not be looked through again
    try:
        channel.send(encode(hello(found.values(), rings=bell is not None)))
        alarm(None)
        queries = 0
        while True:
            message = channel.receive()
            if isinstance(message, LoadModel):
                problem = _load(message, found, models)
                channel.send(encode(ModelLoaded(problem) if problem else _loaded(models[message.number][1])))
            elif isinstance(message, Query):
                remaining = message.remaining_ms / 1e3
                alarm(remaining)
                rung = bell if len(message.models) > 1 else None
                _send(channel, *_answer(message, models, channel, rung, perf_counter() + 0.4 * remaining), bell=rung)
                if rung is not None:
                    rung.ring()
                alarm(None)
                queries += 1
                if queries % _SWEEP == 0:
                    gc.collect(1)
            elif isinstance(message, QueryBatch):
                alarm(message.remaining_ms / 1e3)
                _send(channel, *batch_answers(message, models))
                alarm(None)
                gc.collect(1)
            elif isinstance(message, SelfTestModel):
                _send(channel, encode(SelfTested(_problem(message, found, models))))
            elif isinstance(message, WriteExamples | Train):
                perform(message, found, lambda reply: channel.send(encode(reply)))
            elif isinstance(message, Bye):
                break
    except (OSError, EOFError):
        pass
    # No code of a plugin runs or hangs from here on, nor does any process it started: this one leads a group.
    os.killpg(0, signal.SIGKILL)


def _answer(
    query: Query,
    models: Mapping[int, tuple[str, Model]],
    channel: Channel[ToWorker],
    bell: Bell | None,
    hand_over: float,
) -> list[bytes]:
    """Call the models one after another and send each outcome but the last; the messages that are left to send.

    After the time `hand_over` the query may be stopped.
    """
    last: list[bytes] = []
    try:
        content = query_content.decode(query.content)
        request = prepared(content.request)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        return [encode(QueryDone(query.id, short(describe(error))))]
    left = MAX_OUTCOMES
    for place, number in enumerate(query.models):
        if last:
            _send(channel, *last, bell=bell)  # before the next domain runs, which would be blamed for what this one did
            if bell is not None and place % OUTCOMES == 0:
                bell.ring()
        last = []
        if perf_counter() > hand_over and select.select([channel.connection], [], [], 0)[0]:
            channel.receive()  # a `StopQuery`, as there is one query at a time
            break
        name, model = models[number]
        given = None if content.given is None else content.given[place]
        outcome = answered(name, model, request, given, query.explain)
        message = encode(outcome_message(query.id, place, outcome, given is not None))
        if len(message) > left:
            message = encode(DomainOutcome(query.id, place, TOO_LARGE))
        left -= len(message)
        last = [message]
    return [*last, encode(QueryDone(query.id))]


def _send(channel: Channel[ToWorker], *contents: bytes, bell: Bell | None = None) -> None:
    """Send messages; end this process where a domain has closed the socket. Raises where the other side is gone.

    With a bell, the service waits for that.
    """
    try:
        channel.send(*contents, full=None if bell is None else bell.ring)
    except ConnectionError:
        raise
    except OSError:
        os._exit(CLOSED)


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
        return short(message(model, "cannot be loaded: "))
    models[task.number] = task.domain, model
    gc.freeze()
    return None


def _problem(task: SelfTestModel, found: Mapping[str, Found], models: Mapping[int, tuple[str, Model]]) -> str | None:
    """The problem of a model by the contract of this core, None where it may answer."""
    name, model = models[task.number]
    plugin = found[name]
    assert isinstance(plugin, Loaded)
    alarm(task.seconds)
    try:
        problem = guarded(violation, plugin.domain, model, task.seconds)
    except KeyboardInterrupt as error:  # raised by the plugin
        problem = Fault(error)
    alarm(None)
    if isinstance(problem, Fault):
        return short(problem.placed)
    return None if problem is None else short(problem)


def _loaded(model: Model) -> ModelLoaded:
    """The reply on a model that is loaded, with what it states to read, if that is not too much."""
    keys, features = keys_of(model), features_of(model)
    bounded = (None if found is None or len(found) > _STATED else tuple(sorted(found)) for found in (keys, features))
    return ModelLoaded(None, *bounded)


if __name__ == "__main__":
    main(sys.argv[1:])
