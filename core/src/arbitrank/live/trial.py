"""A process that tries artifacts one after another, and dies in the place of the one that serves.

To start an interpreter for each version takes longer than to try it, so the process stays. One that dies, hangs or
refuses is replaced. `python -m arbitrank.live.trial BYTES` is that process: a line of JSON in for each artifact, a line
with what is wrong with it, or null, out.
"""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import msgspec

from arbitrank.child import environment, how_ended, last_line, limit
from arbitrank.registry import discover
from arbitrank.selftest import MEMORY, tried

TIMEOUT = 30.0
"""Seconds that one trial may take."""

_OFTEN = 200
"""Trials after which the process is replaced, so that what leaks stays small."""


class Untried(Exception):
    """Raised when no trial could be made, which says nothing of the artifact. Try again."""


class Trial:
    """Tries artifacts in a process of its own: called with a folder and a domain's name, says what is wrong, or None.

    A refusal by a process that had tried others before counts only when a fresh one refuses too. One trial at a time;
    safe to call from any thread, and to `close` while another calls, which is then told that it is `Untried`.
    """

    def __init__(self, timeout: float = TIMEOUT, memory: int = MEMORY) -> None:
        self.timeout, self.memory = timeout, memory
        self._lock = threading.Lock()
        self._child: _Child | None = None
        self._closed = False

    def __call__(self, folder: Path, domain: str) -> str | None:
        """What is wrong with an artifact of an installed domain, None where it may serve. Raises `Untried`."""
        with self._lock:
            used = self._child is not None and self._child.trials > 0
            wrong = self._once(folder, domain)
            if wrong is not None and used and not wrong.late:
                wrong = self._once(folder, domain)
            return wrong.reason if wrong else None

    @property
    def pid(self) -> int | None:
        """The process that waits for work, None where there is none."""
        child = self._child
        return child.process.pid if child else None

    def close(self) -> None:
        """End the process, for good."""
        self._closed = True
        child = self._child
        if child:
            child.end()

    def _once(self, folder: Path, domain: str) -> _Wrong | None:
        if self._child is None and not self._closed:
            try:
                self._child = _Child(self.memory)
            except OSError as error:
                raise Untried(f"no process to try it in: {error}") from error
        child = self._child
        if child is None or self._closed:
            raise Untried("not tried, as this process is about to end")
        wrong = child.ask(folder, domain, self.timeout)
        if self._closed:
            raise Untried("not tried, as this process is about to end")
        if wrong is not None or child.trials >= _OFTEN:
            child.end()
            self._child = None
        return wrong


class _Wrong(msgspec.Struct, frozen=True):
    reason: str
    late: bool = False


class _Task(msgspec.Struct, frozen=True):
    folder: str
    domain: str
    seconds: float


class _Child:
    """One process, and how often it was asked."""

    def __init__(self, memory: int) -> None:
        self.trials = 0
        self.complaints = tempfile.TemporaryFile()  # noqa: SIM115 — it lives as long as the process
        self.process = subprocess.Popen(
            [sys.executable, "-m", "arbitrank.live.trial", str(memory)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.complaints,
            env=environment(),
            start_new_session=True,
        )

    def ask(self, folder: Path, domain: str, seconds: float) -> _Wrong | None:
        """What is wrong with an artifact; the process is of no use afterwards unless it says None."""
        self.trials += 1
        late = threading.Event()

        def overrun() -> None:
            late.set()
            self._kill()

        clock = threading.Timer(seconds, overrun)
        clock.daemon = True
        clock.start()
        try:
            assert self.process.stdin
            assert self.process.stdout
            self.complaints.seek(0)
            self.complaints.truncate()
            with suppress(OSError):  # a process that is gone says so by its silence
                self.process.stdin.write(msgspec.json.encode(_Task(str(folder), domain, seconds)) + b"\n")
                self.process.stdin.flush()
            said = self.process.stdout.readline()
        finally:
            clock.cancel()
        if said.endswith(b"\n"):
            try:
                reason = msgspec.json.decode(said, type=str | None)
                return _Wrong(reason) if reason is not None else None
            except ValueError:
                return _Wrong("the process that tried it said nothing that can be read")
        status = self.process.wait()
        if late.is_set():
            return _Wrong(f"not done after {seconds:g} s", late=True)
        self.complaints.seek(0)
        return _Wrong(f"the process that tried it {how_ended(status)}{last_line(self.complaints.read()[-4096:])}")

    def end(self) -> None:
        """End the process and whatever it started."""
        self._kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout, self.complaints):
            with suppress(OSError):  # what was still to be written
                if pipe:
                    pipe.close()

    def _kill(self) -> None:
        if self.process.returncode is None:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self.process.pid, signal.SIGKILL)


def main(arguments: Sequence[str]) -> None:
    """Try artifacts until nobody asks any more; `arguments` are the bytes of address space that may be used."""
    limit(int(arguments[0]))
    tasks, verdicts = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)  # what a plugin prints is no verdict
    found = {one.name: one for one in discover()}
    for line in tasks:
        task = msgspec.json.decode(line, type=_Task)
        _alarm(task.seconds)
        wrong = tried(Path(task.folder), task.domain, found)
        _alarm(0)
        verdicts.write(msgspec.json.encode(wrong) + b"\n")
        verdicts.flush()
    os._exit(0)  # nothing of a plugin's is to run or hang now


def _alarm(seconds: float) -> None:
    """End this process by itself, should the one that asks die before it can."""
    if hasattr(signal, "alarm"):
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(math.ceil(seconds) + 1 if seconds else 0)


if __name__ == "__main__":
    main(sys.argv[1:])
