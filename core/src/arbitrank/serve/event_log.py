"""What the service says to whoever runs it: JSON lines on standard error, by one thread, so that no request waits.

A reader that stalls costs lines, which are counted, and never a request. No line holds an utterance or a token.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
import traceback
from collections import deque
from collections.abc import Callable
from time import monotonic, time
from typing import Any, BinaryIO

import msgspec

_WAITING = 10_000
_BREATH = 0.05  # seconds between looks at what waits; a wake-up for each line would cost its request more than the line
_A_SECOND = 20  # lines of one kind that are written in a second; a flood of errors is counted instead


class Journal:
    """Writes lines to `out`, by default standard error. Any thread may `say` something."""

    def __init__(self, out: BinaryIO | None = None, clock: Callable[[], float] = monotonic) -> None:
        self._out, self._clock = out or sys.stderr.buffer, clock
        self._lines: deque[bytes] = deque()
        self._kinds: dict[str, tuple[float, int]] = {}
        self._lock = threading.Lock()
        self._ending = threading.Event()
        self.lost = 0
        self._thread = threading.Thread(target=self._work, name="arbitrank journal", daemon=True)
        self._thread.start()

    def say(self, event: str, level: str = "info", **facts: Any) -> None:
        """Write a line: what happened, and its facts; `lost` counts the lines that were lost before it."""
        line = {"time": round(time(), 3), "level": level, "event": event, "worker": os.getpid(), **facts}
        with self._lock:
            if len(self._lines) >= _WAITING:
                self.lost += 1
                return
            if self.lost:
                line["lost"], self.lost = self.lost, 0
            self._lines.append(msgspec.json.encode(line, enc_hook=str) + b"\n")

    def say_some(self, event: str, level: str = "warning", **facts: Any) -> None:
        """The same, of what a client can bring about at will: at most 20 a second; the others are counted as lost."""
        now = self._clock()
        with self._lock:
            began, n = self._kinds.get(event, (now, 0))
            if now - began >= 1.0:
                began, n = now, 0
            self._kinds[event] = (began, n + 1)
            if n >= _A_SECOND:
                self.lost += 1
                return
        self.say(event, level, **facts)

    def failure(self, event: str, error: BaseException, **facts: Any) -> None:
        """Write where an error came from, without its text, which may hold what somebody said."""
        frames = [f"{f.filename}:{f.lineno} {f.name}" for f in traceback.extract_tb(error.__traceback__)]
        self.say_some(event, "error", error=type(error).__name__, frames=frames, **facts)

    def close(self, timeout: float = 2.0) -> None:
        """Write what waits, for so many seconds at most."""
        self._ending.set()
        self._thread.join(timeout)

    def _work(self) -> None:
        while self._lines or not self._ending.is_set():
            self._ending.wait(_BREATH)
            while self._lines:
                try:
                    self._out.write(self._lines.popleft())
                    self._out.flush()
                except (OSError, ValueError):  # nobody reads any more
                    self.lost += 1


class Handler(logging.Handler):
    """Says what Python's `logging` is told, by the name of the logger."""

    def __init__(self, journal: Journal) -> None:
        super().__init__(logging.WARNING)
        self.journal = journal

    def emit(self, record: logging.LogRecord) -> None:
        """Say it."""
        if record.exc_info and record.exc_info[1]:
            self.journal.failure(record.name, record.exc_info[1])
        else:
            self.journal.say_some(record.name, record.levelname.lower(), message=record.getMessage())
