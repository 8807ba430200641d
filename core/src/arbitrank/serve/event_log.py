"""Event log of the service: JSON lines on standard error, written by one thread so that no request waits.

A reader that stalls costs lines, which are counted, and never a request. No line holds an utterance or a token.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
import traceback
from collections import deque
from time import monotonic, time
from typing import Any

import msgspec

from arbitrank.serve.call_ids import CURRENT

_WAITING = 10_000  # lines that are buffered
_FLUSH_SECONDS = 0.05  # between writes; waking the thread for each line would cost its request more than the line
_RATE = 20  # lines of one event per second that clients can cause; further ones are counted


class EventLog:
    """Writes events to standard error. Thread-safe."""

    def __init__(self) -> None:
        self._out = sys.stderr.buffer
        self._lines: deque[bytes] = deque()
        self._rates: dict[str, tuple[float, int]] = {}
        self._lock = threading.Lock()
        self._ending = threading.Event()
        self.lost = self.lost_in_all = 0
        self._thread = threading.Thread(target=self._work, name="arbitrank event log", daemon=True)
        self._thread.start()

    def write(self, event: str, level: str = "info", **fields: Any) -> None:
        """Write an event with its fields and the ids of the call; its `lost` counts the lines lost before it."""
        line = {"time": round(time(), 3), "level": level, "event": event, "worker": os.getpid(), **fields}
        if (call := CURRENT.get()) is not None:
            line["request_id"] = call.request_id
            if call.traceparent is not None:
                line["traceparent"] = call.traceparent
        with self._lock:
            if len(self._lines) >= _WAITING:
                self._lose()
                return
            if self.lost:
                line["lost"], self.lost = self.lost, 0
            self._lines.append(msgspec.json.encode(line, enc_hook=str) + b"\n")

    def write_limited(self, event: str, level: str = "warning", **fields: Any) -> None:
        """Write an event that clients can cause at will: at most 20 a second; further ones count as lost."""
        now = monotonic()
        with self._lock:
            began, n = self._rates.get(event, (now, 0))
            if now - began >= 1.0:
                began, n = now, 0
            self._rates[event] = (began, n + 1)
            if n >= _RATE:
                self._lose()
                return
        self.write(event, level, **fields)

    def failure(self, event: str, error: BaseException, **fields: Any) -> None:
        """Write an exception's class and stack, without its text, which may hold a user's words."""
        frames = [f"{f.filename}:{f.lineno} {f.name}" for f in traceback.extract_tb(error.__traceback__)]
        self.write_limited(event, "error", error=type(error).__name__, frames=frames, **fields)

    def close(self) -> None:
        """Write the buffered lines, for at most two seconds."""
        self._ending.set()
        self._thread.join(2.0)

    def _work(self) -> None:
        while self._lines or not self._ending.is_set():
            self._ending.wait(_FLUSH_SECONDS)
            while self._lines:
                try:
                    self._out.write(self._lines.popleft())
                    self._out.flush()
                except (OSError, ValueError):  # the reader has gone
                    self._lose()

    def _lose(self) -> None:
        self.lost += 1
        self.lost_in_all += 1


class EventLogHandler(logging.Handler):
    """Handler of Python's `logging` that writes to the event log, with the logger's name as the event."""

    def __init__(self, events: EventLog) -> None:
        super().__init__(logging.WARNING)
        self.events = events

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record."""
        if record.exc_info and record.exc_info[1]:
            self.events.failure(record.name, record.exc_info[1])
        else:
            self.events.write_limited(record.name, record.levelname.lower(), message=record.getMessage())
