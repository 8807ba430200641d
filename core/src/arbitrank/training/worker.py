"""The other end of the pool: a process that trains one domain after another, or parts of one, as it is told.

It ends when its parent does, whatever it is at: a run that was killed leaves no process behind.
"""

from __future__ import annotations

import contextlib
import ctypes
import faulthandler
import importlib
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import msgspec

from arbitrank.training.task import Outcome, Task, run

_OFTEN = 0.1  # seconds between two events of one stage
_DEATH = 1  # Linux's PR_SET_PDEATHSIG


class Event(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """How far a domain's training is: steps of a stage that are done, of how many; and the figures to watch."""

    domain: str
    stage: str
    done: int = 0
    total: int = 0
    figures: dict[str, float] = {}


class Ask(msgspec.Struct, frozen=True, tag=True):
    """A worker's wish: call the function with each of the arguments, wherever there is room."""

    function: str
    arguments: list[list[Any]]


class Part(msgspec.Struct, frozen=True, tag=True):
    """One call of that, which any worker does."""

    function: str
    arguments: list[Any]


class Did(msgspec.Struct, frozen=True, tag=True):
    """What a call gave, or why it gave nothing."""

    result: bytes = b""
    reason: str | None = None


class Results(msgspec.Struct, frozen=True, tag=True):
    """What all the calls gave, in order, or the first reason why not."""

    results: list[bytes] = []
    reason: str | None = None


Told = Task | Part | Results
Said = Event | Ask | Did | Outcome

encode = msgspec.msgpack.Encoder().encode
_decode_told = msgspec.msgpack.Decoder(Told).decode
decode_said = msgspec.msgpack.Decoder(Said).decode


def serve(connection: Connection, parent: int) -> None:
    """Do what comes over the connection until it is closed."""
    _end_with(parent)
    if hasattr(os, "setsid"):
        os.setsid()  # what it starts is ended with it; and what is typed at the parent's terminal is for the parent
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which then ends its workers
    faulthandler.enable()
    with contextlib.suppress(EOFError, OSError):
        while True:
            match _decode_told(connection.recv_bytes()):
                case Task() as task:
                    connection.send_bytes(encode(_train(task, connection)))
                case Part() as part:
                    connection.send_bytes(encode(_call(part)))
                case Results():
                    pass  # of a wish that failed meanwhile


def _train(task: Task, connection: Connection) -> Outcome:
    say = _Saying(task.domain, connection)
    try:
        with _logged(task.log):
            outcome = run(task, progress=say.progress, figures=say.figures, spread=say.spread)
            note(f"{outcome.kind}: {outcome.reason or outcome.version}")
    except OSError as error:  # `run` raises none: it is the log's
        reason = f"its log {task.log} cannot be written: {error.strerror}; give another folder with --log-dir"
        return Outcome(domain=task.domain, kind="failed", reason=reason)
    return msgspec.structs.replace(outcome, log=task.log)


def _call(part: Part) -> Did:
    try:
        return Did(call(part.function, part.arguments))
    # A part of a plugin's training may raise anything; it is told to who asked for it.
    except Exception as error:
        return Did(reason=f"{type(error).__name__}: {error}")


def call(function: str, arguments: Sequence[Any]) -> bytes:
    """Call the function `module:name`, which returns bytes."""
    module, _, name = function.partition(":")
    given: bytes = getattr(importlib.import_module(module), name)(*arguments)
    return given


class _Saying:
    """What a task says of itself to the parent, not too often, and to its log."""

    def __init__(self, domain: str, connection: Connection) -> None:
        self._domain, self._connection = domain, connection
        self._stage, self._last = "", 0.0
        self._steps = (0, 0)

    def progress(self, stage: str, done: int, total: int) -> None:
        self._steps = (done, total)
        if stage != self._stage:
            note(stage)
        if stage != self._stage or done >= total or self._due():
            self._stage = stage
            self._send({})

    def figures(self, figures: Mapping[str, float]) -> None:
        if "rows" in figures or self._due():
            note(", ".join(f"{name} {value:g}" for name, value in figures.items()))
            self._send({name: float(value) for name, value in figures.items()})

    def spread(self, function: str, arguments: Sequence[Sequence[Any]]) -> list[bytes]:
        self._connection.send_bytes(encode(Ask(function, [list(one) for one in arguments])))
        while True:
            match _decode_told(self._connection.recv_bytes()):
                case Part() as part:
                    self._connection.send_bytes(encode(_call(part)))
                case Results(results, reason):
                    if reason is not None:
                        raise RuntimeError(reason)
                    return results
                case Task():
                    raise AssertionError("a task for a process that has one")

    def _due(self) -> bool:
        return time.monotonic() - self._last >= _OFTEN

    def _send(self, figures: dict[str, float]) -> None:
        self._last = time.monotonic()
        done, total = self._steps
        event = Event(domain=self._domain, stage=self._stage, done=done, total=total, figures=figures)
        self._connection.send_bytes(encode(event))


def note(text: str) -> None:
    """Write a line with the time into the log, which standard error is."""
    print(f"{time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())} {text}", file=sys.stderr, flush=True)


@contextlib.contextmanager
def _logged(path: str | None) -> Iterator[None]:
    """Have all that is written to standard output and standard error, by C code too, go to the file."""
    if path is None:
        yield
        return
    sys.stdout.flush()
    sys.stderr.flush()
    kept = [(fd, os.dup(fd)) for fd in (1, 2)]
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    log = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    try:
        for fd, _ in kept:
            os.dup2(log, fd)
        yield
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        for fd, copy in kept:
            os.dup2(copy, fd)
            os.close(copy)
        os.close(log)


def _end_with(parent: int) -> None:
    """Have the system kill this process when its parent is gone; where it can't, look once a second."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_DEATH, signal.SIGKILL)
        with contextlib.suppress(OSError):
            Path("/proc/self/oom_score_adj").write_text("500")  # rather this one than the parent and all others
    else:
        threading.Thread(target=_watch, args=(parent,), daemon=True).start()
    if os.getppid() != parent:  # it went before this was said
        os._exit(1)


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(1.0)
    os._exit(1)
