"""Worker process of the pool: trains domains, or parts of one, as they come over a connection.

It ends when its parent does: a killed run leaves no process behind.
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
from collections.abc import Callable, Iterator, Mapping, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import msgspec

from arbitrank.guard import Fault, guarded
from arbitrank.training.outcome import TrainingOutcome
from arbitrank.training.task import TrainingTask, run

_INTERVAL = 0.1  # seconds between two events of one stage
_DEATH = 1  # Linux's PR_SET_PDEATHSIG


class Event(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Progress of a domain's training: steps done and total of a stage, and figures to watch."""

    domain: str
    stage: str
    done: int = 0
    total: int = 0
    figures: dict[str, float] = {}


Tell = Callable[[Event], None]
"""Receives the progress of tasks."""


class SpreadCall(msgspec.Struct, frozen=True, tag=True):
    """Request of a worker to call a function with each of the arguments, in any worker."""

    function: str
    arguments: list[list[Any]]


class PartCall(msgspec.Struct, frozen=True, tag=True):
    """One of these calls."""

    function: str
    arguments: list[Any]


class PartResult(msgspec.Struct, frozen=True, tag=True):
    """The result of a call, or the reason of its failure."""

    result: bytes = b""
    reason: str | None = None


class SpreadResults(msgspec.Struct, frozen=True, tag=True):
    """The results of all calls in order, or the first failure's reason."""

    results: list[bytes] = []
    reason: str | None = None


FromPool = TrainingTask | PartCall | SpreadResults
FromWorker = Event | SpreadCall | PartResult | TrainingOutcome

encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(FromPool).decode
decode_from_worker = msgspec.msgpack.Decoder(FromWorker).decode


def serve(connection: Connection, parent: int) -> None:
    """Work on what comes over the connection until it is closed."""
    _end_with(parent)
    if hasattr(os, "setsid"):
        os.setsid()  # a group of its own: its children end with it, and the terminal's signals reach the parent alone
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which then ends its workers
    faulthandler.enable()
    with contextlib.suppress(EOFError, OSError):
        while True:
            match _decode(connection.recv_bytes()):  # results of calls that failed meanwhile are left
                case TrainingTask() as task:
                    connection.send_bytes(encode(_train(task, connection)))
                case PartCall() as part:
                    connection.send_bytes(encode(_call(part)))


def _train(task: TrainingTask, connection: Connection) -> TrainingOutcome:
    report = _Reporter(task.domain, connection)
    try:
        with _logged(task.log) if task.log else contextlib.nullcontext():
            outcome = run(task, progress=report.progress, figures=report.figures, spread=report.spread)
            note(f"{outcome.kind}: {outcome.reason or outcome.version}")
    except OSError as error:  # `run` raises none: the log's
        reason = f"its log {task.log} cannot be written: {error.strerror}; give another folder with --log-dir"
        return TrainingOutcome(domain=task.domain, kind="failed", reason=reason)
    return msgspec.structs.replace(outcome, log=task.log)


def _call(part: PartCall) -> PartResult:
    result = guarded(call, part.function, part.arguments)
    return PartResult(reason=result.reason) if isinstance(result, Fault) else PartResult(result)


def call(function: str, arguments: Sequence[Any]) -> bytes:
    """Call the function `module:name`, which returns bytes."""
    module, _, name = function.partition(":")
    given: bytes = getattr(importlib.import_module(module), name)(*arguments)
    return given


class _Reporter:
    """Reports of a task to the parent, at a bounded rate, and to its log."""

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
        self._connection.send_bytes(encode(SpreadCall(function, [list(one) for one in arguments])))
        while True:
            match _decode(self._connection.recv_bytes()):
                case PartCall() as part:
                    self._connection.send_bytes(encode(_call(part)))
                case SpreadResults(results, reason):
                    if reason is not None:
                        raise RuntimeError(reason)
                    return results

    def _due(self) -> bool:
        return time.monotonic() - self._last >= _INTERVAL

    def _send(self, figures: dict[str, float]) -> None:
        self._last = time.monotonic()
        done, total = self._steps
        event = Event(domain=self._domain, stage=self._stage, done=done, total=total, figures=figures)
        self._connection.send_bytes(encode(event))


def note(text: str) -> None:
    """Write a line with the time to standard error, which is the log."""
    print(f"{time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())} {text}", file=sys.stderr, flush=True)


@contextlib.contextmanager
def _logged(path: str) -> Iterator[None]:
    """Redirect standard output and standard error, C code's too, to the file."""
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
    """Have the system kill this process when its parent ends; where it cannot, poll once a second."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_DEATH, signal.SIGKILL)
        with contextlib.suppress(OSError):  # out of memory: kill this process rather than the parent
            Path("/proc/self/oom_score_adj").write_text("500")
    else:
        threading.Thread(target=_watch, args=(parent,), daemon=True).start()
    if os.getppid() != parent:  # the parent had ended already
        os._exit(1)


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(1.0)
    os._exit(1)
