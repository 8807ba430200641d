"""Domains that violate the contract in every way, to test that only they are affected.

A `Hostile` domain fulfils the contract until a request's context names a misbehaviour, as in `{"deed": "segfault"}`, or
`{"deed of NAME": "segfault"}` for one of several; `DEEDS` holds them. Some end, hang or fill their process: query such
domains in a worker process.
"""

from __future__ import annotations

import ctypes
import itertools
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

_kept: list[object] = []  # leaked on purpose


def _raise(error: BaseException) -> Any:
    raise error


def _recurse(request: Request) -> Any:
    return _recurse(request)


def _hang_in_python(request: Request) -> Any:
    while True:
        pass


def _deaf_sleep(request: Request) -> Any:
    """Sleep with every signal ignored that can be."""
    for number in set(signal.Signals) - {signal.SIGKILL, signal.SIGSTOP}:
        signal.signal(number, signal.SIG_IGN)
    time.sleep(3_600)


def _print(request: Request) -> Any:
    """Write a gigabyte, more than any buffer holds."""
    line = b"na" * (1 << 19)
    for _ in range(1 << 10):
        os.write(1, line)


def _print_some(request: Request) -> Any:
    for stream in (sys.stdout, sys.stderr):
        print("na" * (1 << 19), file=stream, flush=True)


def _start_threads(request: Request) -> Any:
    for _ in range(20):
        threading.Thread(target=time.sleep, args=(3_600,), daemon=True).start()


def _write_everywhere(content: bytes = b"\xff" * 64) -> Any:
    """Write to every open file, by default bytes that are no message."""
    for fd in range(3, 256):
        with suppress(OSError):
            os.write(fd, content)


def _forge_a_message(request: Request) -> Any:
    """Write messages that a worker could send to every open file."""
    for message in ({"type": "outcome", "query": 0, "place": 2}, {"type": "done", "query": 0}):
        content = msgspec.msgpack.encode(message)
        _write_everywhere(len(content).to_bytes(4) + content)


def _mutate(request: Request) -> Any:
    try:
        request.context["device"] = "mine"  # refused: the context is read-only
    finally:
        for hypothesis in request.hypotheses or ():
            hypothesis.features["mine"] = 1.0


def _filled(request: Request, value: float) -> Scores:
    return Scores(0.5, np.full(len(request.hypotheses or ()), value))


DEEDS: Mapping[str, Callable[[Request], Any]] = {
    "raise": lambda request: _raise(RuntimeError("I won't")),
    "exit": lambda request: sys.exit("enough"),
    "interrupt": lambda request: _raise(KeyboardInterrupt()),
    "recurse": _recurse,
    "hang in Python": _hang_in_python,
    "hang in C": lambda request: re.match(r"(a+)+$", "a" * 64 + "b"),  # exponential, and holds the interpreter's lock
    "sleep": lambda request: time.sleep(3_600),
    "pause": lambda request: time.sleep(request.context.get("seconds", 0.0)),
    "deaf sleep": _deaf_sleep,
    "stop": lambda request: os.kill(os.getpid(), signal.SIGSTOP),
    "leak": lambda request: _kept.extend(bytearray(32 << 20) for _ in itertools.count()),
    "leak a little": lambda request: _kept.append(bytearray(8 << 20)),
    "segfault": lambda request: ctypes.string_at(0),
    "abort": lambda request: os.abort(),
    "leave": lambda request: os._exit(3),
    "print": _print,
    "print some": _print_some,
    "start processes": lambda request: _kept.extend(subprocess.Popen(["sleep", "3600"]) for _ in range(20)),
    "start threads": _start_threads,
    "close files": lambda request: os.closerange(0, 256),
    "forge": lambda request: _write_everywhere(),
    "forge a message": _forge_a_message,
    "forge later": lambda request: threading.Timer(0.05, _write_everywhere).start(),
    "mutate": _mutate,
    "nan": lambda request: _filled(request, float("nan")),
    "too sure": lambda request: _filled(request, 0.9),
    "shape": lambda request: Scores(0.5, np.zeros((2, 2))),
    "none": lambda request: None,
}
"""Misbehaviours of `rerank`, by name; where one returns None, valid scores follow, except for those in `_ANSWERS`."""

READINGS = {"too many": 1_000, "too large": 1}
"""Misbehaviours of `recognise`: the number of hypotheses of each."""
_ANSWERS = ("nan", "too sure", "shape", "none")


class HostileModel(Model):
    """Reads every request alike, and does the deed that the context names, for all domains or for this one."""

    def __init__(self, name: str, steady: bool = False) -> None:
        self.name, self.steady = name, steady

    def recognise(self, request: Request) -> Sequence[Hypothesis]:
        """One reading, or as the deed demands."""
        deed = self._deed(request)
        if deed == "too large":
            return [Hypothesis(self.name, "Do", 0.5, 0.5, skill="s" * (8 << 20))]
        return [Hypothesis(self.name, "Do", 0.5, 0.5)] * READINGS.get(deed, 1)

    def rerank(self, request: Request) -> Scores:
        """The same scores each time, except for the deed."""
        deed = self._deed(request)
        done: Any = DEEDS[deed](request) if deed in DEEDS else None
        if deed in _ANSWERS:
            return done  # type: ignore[no-any-return]  # it is no Scores
        n = len(request.hypotheses or ())
        return Scores(0.5, np.full(n, 0.5 / n))

    def _deed(self, request: Request) -> str:
        deed = request.context.get(f"deed of {self.name}", request.context.get("deed", ""))
        return "" if self.steady else str(deed)


class Hostile(Domain):
    """A domain that does what the request's context names; a `steady` one fulfils the contract."""

    def __init__(self, name: str, steady: bool = False) -> None:
        self.name, self.steady = name, steady

    def train(self, examples: Sequence[Example], out: Path, settings: Settings) -> Mapping[str, Any]:
        """Nothing to learn."""
        return {}

    def load(self, folder: Path) -> Model:
        """The model, whatever is in the folder; the deed in its file `deed` is done at once."""
        deed = folder / "deed"
        if deed.exists():
            DEEDS[deed.read_text()](Request())
        return HostileModel(self.name, self.steady)
