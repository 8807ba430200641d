"""Process that watches a service's log, as the supervisor starts, replaces and ends it."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from time import monotonic

import msgspec

from arbitrank.serve.event_log import EventLog
from arbitrank.serve.settings import ServiceSettings

REPORT = "watch.json"
"""Name of the report in the service's folder."""

RELIABILITY = "reliability.json"
"""Name of the report on calibration in that folder."""

ASKED = "watch.asked"
"""Name of the file in that folder that asks for a look at once; the watch removes it."""

_FIRST_SECONDS = 5.0  # after which it is started, so that the workers start first
_AGAIN_SECONDS = 60.0  # after which it is started again where it has ended


class WatchProcess:
    """The watch of a service with a log, None of it without one; `tick` keeps it running."""

    def __init__(self, settings: ServiceSettings, folder: Path, events: EventLog) -> None:
        self.settings, self._folder, self._events = settings, folder, events
        self._process: subprocess.Popen[bytes] | None = None
        wanted = settings.log is not None and settings.watch.on
        self._due: float | None = monotonic() + _FIRST_SECONDS if wanted else None

    @property
    def pid(self) -> int:
        """Its process's number, 0 while none runs."""
        return 0 if self._process is None else self._process.pid

    def tick(self, now: float) -> None:
        """Start it when that is due; note its end."""
        if self._process is not None and (status := self._process.poll()) is not None:
            self._events.write("watch ended", "error", status=status, restart_seconds=_AGAIN_SECONDS)
            self._close()
            self._due = now + _AGAIN_SECONDS
        if self._due is not None and now >= self._due:
            self._due = None
            try:
                self._start()
            except OSError as error:
                self._events.write("watch ended", "error", reason=str(error), restart_seconds=_AGAIN_SECONDS)
                self._due = now + _AGAIN_SECONDS

    def stop(self) -> None:
        """End it by the end of its input; at once, as it answers nobody."""
        self._due = None
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._close()

    def _start(self) -> None:
        settings = self.settings
        start = {
            "log": str(settings.log), "folder": str(self._folder), "every": settings.watch.every,
            "since": settings.watch.since, "webhook": settings.watch.webhook, "store": settings.store,
            "keys": settings.keys, "outcomes": settings.watch.outcomes,
        }  # fmt: skip
        path = os.pathsep.join(path for path in sys.path if path)
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "arbitrank.serve.watch_main"],  # -P: nothing from the working folder
            stdin=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": path},
            process_group=0,
        )
        assert self._process.stdin
        with suppress(OSError):  # its end is seen by `tick`
            self._process.stdin.write(msgspec.json.encode(start) + b"\n")
            self._process.stdin.flush()

    def _close(self) -> None:
        assert self._process
        assert self._process.stdin
        with suppress(OSError):
            self._process.stdin.close()
        self._process = None
