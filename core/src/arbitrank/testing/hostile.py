"""Domains that do what no domain should, to see that it costs them alone.

A `Hostile` domain keeps every promise until a request's context says what to do, as in `{"deed": "segfault"}`, or
`{"deed of NAME": "segfault"}` to one of several; `DEEDS` holds what it can do. Some deeds end, hang or fill the process
they run in: ask them in a worker process.
"""

from __future__ import annotations

import ctypes
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from arbitrank.domain import Domain, Model, Scores, Settings
from arbitrank.values import Example, Hypothesis, Request

_kept: list[object] = []  # what leaks


def _raise(request: Request) -> Any:
    raise RuntimeError("I won't")


def _exit(request: Request) -> Any:
    sys.exit("enough")


def _interrupt(request: Request) -> Any:
    raise KeyboardInterrupt


def _recurse(request: Request) -> Any:
    return _recurse(request)


def _hang_in_python(request: Request) -> Any:
    while True:
        pass


def _hang_in_c(request: Request) -> Any:
    """The expression takes longer than anybody lives, and holds the interpreter's lock."""
    return re.match(r"(a+)+$", "a" * 64 + "b")


def _sleep(request: Request) -> Any:
    time.sleep(3_600)


def _pause(request: Request) -> Any:
    time.sleep(request.context.get("seconds", 0.0))


def _deaf_sleep(request: Request) -> Any:
    for one in set(signal.Signals) - {signal.SIGKILL, signal.SIGSTOP}:
        signal.signal(one, signal.SIG_IGN)
    time.sleep(3_600)


def _stop(request: Request) -> Any:
    os.kill(os.getpid(), signal.SIGSTOP)


def _leak(request: Request) -> Any:
    while True:
        _kept.append(bytearray(32 << 20))


def _leak_a_little(request: Request) -> Any:
    _kept.append(bytearray(8 << 20))


def _segfault(request: Request) -> Any:
    return ctypes.string_at(0)


def _abort(request: Request) -> Any:
    os.abort()


def _leave(request: Request) -> Any:
    os._exit(3)


def _print(request: Request) -> Any:
    """A gigabyte, past all buffers."""
    line = b"na" * (1 << 19)
    for _ in range(1 << 10):
        os.write(1, line)


def _print_some(request: Request) -> Any:
    print("na" * (1 << 19), flush=True)
    print("na" * (1 << 19), file=sys.stderr, flush=True)


def _start_processes(request: Request) -> Any:
    for _ in range(20):
        _kept.append(subprocess.Popen(["sleep", "3600"]))


def _start_threads(request: Request) -> Any:
    for _ in range(20):
        threading.Thread(target=time.sleep, args=(3_600,), daemon=True).start()


def _close_files(request: Request) -> Any:
    os.closerange(0, 256)


def _forge(request: Request) -> Any:
    """Write what nobody can read wherever something can be written."""
    for fd in range(3, 256):
        try:
            os.write(fd, b"\xff" * 64)
        except OSError:
            continue


def _forge_a_message(request: Request) -> Any:
    """Write messages that a worker could send, wherever something can be written."""
    for message in ({"type": "DomainOutcome", "query": 0, "place": 2}, {"type": "QueryDone", "query": 0}):
        content = msgspec.msgpack.encode(message)
        for fd in range(3, 256):
            with suppress(OSError):
                os.write(fd, len(content).to_bytes(4) + content)


def _forge_later(request: Request) -> Any:
    threading.Timer(0.05, _forge, (request,)).start()


def _mutate(request: Request) -> Any:
    try:
        request.context["device"] = "mine"  # refused: the context can only be read
    finally:
        for one in request.hypotheses or ():
            one.features["mine"] = 1.0


def _nan(request: Request) -> Any:
    return Scores(0.5, np.full(len(request.hypotheses or ()), np.nan))


def _too_sure(request: Request) -> Any:
    return Scores(0.5, np.full(len(request.hypotheses or ()), 0.9))


def _shape(request: Request) -> Any:
    return Scores(0.5, np.zeros((2, 2)))


def _none(request: Request) -> Any:
    return None


DEEDS: Mapping[str, Callable[[Request], Any]] = {
    "raise": _raise,
    "exit": _exit,
    "interrupt": _interrupt,
    "recurse": _recurse,
    "hang in Python": _hang_in_python,
    "hang in C": _hang_in_c,
    "sleep": _sleep,
    "pause": _pause,
    "deaf sleep": _deaf_sleep,
    "stop": _stop,
    "leak": _leak,
    "leak a little": _leak_a_little,
    "segfault": _segfault,
    "abort": _abort,
    "leave": _leave,
    "print": _print,
    "print some": _print_some,
    "start processes": _start_processes,
    "start threads": _start_threads,
    "close files": _close_files,
    "forge": _forge,
    "forge a message": _forge_a_message,
    "forge later": _forge_later,
    "mutate": _mutate,
    "nan": _nan,
    "too sure": _too_sure,
    "shape": _shape,
    "none": _none,
}
"""What a hostile domain can do when it is asked for scores. One that returns nothing here answers as it should then."""

_READINGS = {"too many": 1_000, "too large": 1}
READINGS = tuple(_READINGS)
"""What it can do when it is asked for its readings."""
_ANSWERS = ("nan", "too sure", "shape", "none")


class HostileModel(Model):
    """Reads every request in one way, and does the deed that the context names, for all or for it alone."""

    def __init__(self, name: str) -> None:
        self.name = name

    def recognise(self, request: Request) -> Sequence[Hypothesis]:
        """One reading, or what the deed says."""
        deed = self._deed(request)
        if deed == "too large":
            return [Hypothesis(self.name, "Do", 0.5, 0.5, skill="s" * (8 << 20))]
        return [Hypothesis(self.name, "Do", 0.5, 0.5)] * _READINGS.get(deed, 1)

    def rerank(self, request: Request) -> Scores:
        """The same scores each time, but for the deed."""
        deed = self._deed(request)
        done: Any = DEEDS[deed](request) if deed in DEEDS else None
        if deed in _ANSWERS:
            return done  # type: ignore[no-any-return]  # it is not what it promises to be
        n = len(request.hypotheses or ())
        return Scores(0.5, np.full(n, 0.5 / n))

    def _deed(self, request: Request) -> str:
        return str(request.context.get(f"deed of {self.name}", request.context.get("deed", "")))


class Hostile(Domain):
    """A domain that does as the request's context says; one that is `steady` does what a domain should."""

    def __init__(self, name: str, steady: bool = False) -> None:
        self.name, self.steady = name, steady

    def train(self, examples: Sequence[Example], out: Path, settings: Settings) -> Mapping[str, Any]:
        """Nothing to learn."""
        return {}

    def load(self, folder: Path) -> Model:
        """The model, whatever is in the folder; a file `deed` in it is done at once."""
        deed = folder / "deed"
        if deed.exists():
            DEEDS[deed.read_text()](Request())
        return _Steady(self.name) if self.steady else HostileModel(self.name)


class _Steady(HostileModel):
    def _deed(self, request: Request) -> str:
        return ""
