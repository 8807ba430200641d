"""The process in which isolated domains run: it loads models and answers requests until nobody asks any more.

`python -m arbitrank.isolation.worker_main SOCKET MEMORY BYTES` is that process: two file descriptors, and the bytes of
address space that it may use.
"""

from __future__ import annotations

import fcntl
import gc
import os
import signal
import socket
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from arbitrank.arbitration import dispatch
from arbitrank.arbitration.dispatch import Answered
from arbitrank.child import limit
from arbitrank.domain import Domain, Model
from arbitrank.errors import ArbitrankError, describe
from arbitrank.isolation.shared_memory import CLOSED, HALF, Ask, Load, Memory, Said, receive, seal, send
from arbitrank.registry import Loaded, discover
from arbitrank.store.loading import load_model

SLACK = 1.0
"""Seconds beyond its deadline after which a worker ends by itself, should nobody be there to end it."""

_SWEEP = 20  # requests after which what is garbage is looked for
_FEW = 8  # domains of which it isn't worth while to say that half are done
_REASON = 2_000  # characters of an error that are told
_decode_ask = msgspec.msgpack.Decoder(Ask).decode
_decode_load = msgspec.msgpack.Decoder(Load).decode
_encode = msgspec.msgpack.Encoder().encode


def main(arguments: Sequence[str]) -> None:
    """Work until the other side is gone."""
    connection, fd, memory, deadline = socket.socket(fileno=int(arguments[0])), int(arguments[1]), *arguments[2:]
    limit(int(memory))
    shared = Memory(fd)
    seal(fd)
    os.close(fd)
    found = {one.name: one for one in discover()}
    domains = {name: one.domain for name, one in found.items() if isinstance(one, Loaded)}
    missing = {name: getattr(one, "reason", "") for name, one in found.items() if name not in domains}
    models: dict[int, tuple[str, Model]] = {}
    answered = 0
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    gc.disable()  # it is done after a request is answered, in nobody's time
    gc.freeze()  # what is there now stays, and need not be looked through again
    try:
        send(connection)
        while True:
            content = receive(connection)
            if content:
                reply = _encode(_load(_decode_load(content), domains, missing, models))
            else:
                _alarm(float(deadline) + SLACK)
                reply = _answer(shared, models, connection)
                _alarm(0.0)
            send(connection, reply)
            answered += 1
            if answered % _SWEEP == 0:
                gc.collect(1)
    except (OSError, EOFError):
        pass
    # Nothing of a plugin's is to run or hang now, and nothing that it started: this process leads a group of its own.
    os.killpg(0, signal.SIGKILL)


def _answer(shared: Memory, models: Mapping[int, tuple[str, Model]], connection: socket.socket) -> bytes:
    """Ask the models of the request in memory, one after another; a text where it can't be read.

    Half of them done, it says so where they read the request themselves: that takes time to read, while others run.
    """
    try:
        asked = _decode_ask(shared.request())
        request = dispatch.prepared(asked.request)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        return describe(error).encode(errors="replace")
    written, half, fd = 0, len(asked.models) // 2, connection.fileno()
    for place, number in enumerate(asked.models):
        if shared.stopped:
            break
        if place == half and place >= _FEW and asked.given is None:
            send(connection, HALF)
        name, model = models[number]
        given = None if asked.given is None else asked.given[place]
        try:
            outcome = dispatch.ask_prepared(name, model, request, given, asked.explain)
        except KeyboardInterrupt as error:  # nobody's keyboard is here
            outcome = dispatch.Failed(describe(error), 0.0)
        try:
            fcntl.fcntl(fd, fcntl.F_GETFD)
        except (OSError, ValueError):
            os._exit(CLOSED)  # before the next domain runs, and would have to answer for it
        try:
            written = shared.write(place, written, _encoded(place, outcome, given is not None))
        except OverflowError:
            wrong = "its answer is larger than the answers to one request may be"
            written = shared.write(place, written, _encoded(place, dispatch.Failed(wrong, 0.0), True))
    return b""


def _encoded(place: int, outcome: dispatch.Answered | dispatch.Failed, given: bool) -> bytes:
    if isinstance(outcome, Answered):
        hypotheses = None if given else tuple(outcome.hypotheses)
        right = outcome.scores.right.tobytes()
        why = None if outcome.why is None else [dict(row) for row in outcome.why]
        times = outcome.recognise_ms, outcome.rerank_ms
        return _encode(Said(place, None, outcome.scores.mine, right, hypotheses, why, *times))
    reason = outcome.reason.encode(errors="replace").decode()[:_REASON]
    return _encode(Said(place, reason, 0.0, b"", None, None, outcome.ms, 0.0, "MemoryError" in reason))


def _load(
    task: Load, domains: Mapping[str, Domain], missing: Mapping[str, str], models: dict[int, tuple[str, Model]]
) -> str | None:
    for number in models.keys() - set(task.keep):
        del models[number]
    gc.collect()
    domain = domains.get(task.domain)
    if domain is None:
        reason = missing.get(task.domain) or "it is not installed"
        return f"domain {task.domain!r} cannot be loaded: {reason}; run: arbitrank domains"
    _alarm(task.seconds + SLACK)
    try:
        models[task.number] = task.domain, load_model(domain, Path(task.folder))
        gc.freeze()
        return None
    except ArbitrankError as error:
        return str(error)[:_REASON]
    except BaseException as error:  # `load` is the plugin's code and may raise anything
        return f"cannot be loaded: {describe(error)}"[:_REASON]
    finally:
        _alarm(0.0)


def _alarm(seconds: float) -> None:
    """End this process by itself, should the one that asks die before it can; 0 takes that back."""
    signal.setitimer(signal.ITIMER_REAL, seconds)


if __name__ == "__main__":
    main(sys.argv[1:])
