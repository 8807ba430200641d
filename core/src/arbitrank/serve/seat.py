"""Seat of a worker: its process as the supervisor sees it, the pipes between them, and its heartbeat."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import msgspec

from arbitrank.serve.board import Phase, WorkerBoard
from arbitrank.serve.settings import ServiceSettings
from arbitrank.serve.worker_place import WorkerReport, WorkerStart


class WorkerSeat:
    """Place of one worker, in which one process follows another.

    `serving_since` is the time at which the process took its first connection, None before. `silent` are the seconds
    for which it was seen without a new heartbeat, `in_a_row` counts the processes before it that did not serve
    steadily. `due` is the time at which the next process starts, None where none is to.
    """

    def __init__(self, number: int, board: WorkerBoard) -> None:
        self.number, self._board = number, board
        self.process: subprocess.Popen[bytes] | None = None
        self.reports = self._lifeline = -1
        self.report = WorkerReport()
        self.serving_since: float | None = None
        self.silent = 0.0
        self.in_a_row = 0
        self.due: float | None = None
        self._received = b""
        self._last_beat = 0

    def start(self, settings: ServiceSettings, folder: Path, listening: int, *, first: bool) -> None:
        """Start a process. Raises `OSError` where the system cannot."""
        self._board.reset(self.number)
        self.report, self._received = WorkerReport(), b""
        self.serving_since, self.due, self.silent, self._last_beat = None, None, 0.0, 0
        lifeline, self._lifeline = os.pipe()
        self.reports, reports = os.pipe()
        start = WorkerStart(
            settings, self.number, settings.workers, first, listening, self._board.descriptor, lifeline, reports, folder
        )
        path = os.pathsep.join(path for path in sys.path if path)  # it finds the modules that this process does
        masked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})  # it waits until the process can handle it
        try:
            # In a process group of its own, so that a terminal's signals reach the supervisor alone; -P: nothing is
            # imported from the working folder.
            self.process = subprocess.Popen(
                [sys.executable, "-P", "-m", "arbitrank.serve.worker_main"],
                stdin=subprocess.PIPE,
                pass_fds=start.descriptors,
                env={**os.environ, "PYTHONPATH": path},
                process_group=0,
            )
        except OSError:
            self._close()
            raise
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, masked)
            os.close(lifeline)
            os.close(reports)
        assert self.process.stdin
        with suppress(OSError), self.process.stdin as into:  # its end is seen by its pipe
            into.write(start.encoded())

    def received(self) -> list[WorkerReport]:
        """The reports that have arrived; none where its pipe is closed, as the process has ended."""
        content = os.read(self.reports, 1 << 16)
        *lines, self._received = (self._received + content).split(b"\n")
        reports = [msgspec.json.decode(line, type=WorkerReport) for line in lines]
        self.report = reports[-1] if reports else self.report
        return reports

    def silent_for(self, seconds: float) -> float:
        """The seconds without a heartbeat, `seconds` after the last look."""
        beat = self._board.last_beat(self.number)
        self.silent = 0.0 if beat != self._last_beat else self.silent + seconds
        self._last_beat = beat
        return self.silent

    def ended(self) -> bool:
        """True where the process has ended; it is not reaped, so that its number is no other's yet."""
        if self.process is None or not hasattr(os, "waitid"):
            return False
        return os.waitid(os.P_PID, self.process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None

    def end(self) -> int:
        """Reap the process, with what is left of its group; its exit status, or minus the signal that ended it."""
        assert self.process
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)
        status = self.process.wait()
        self.process = None
        self._board.enter(self.number, Phase.ABSENT)
        self._close()
        return status

    def _close(self) -> None:
        os.close(self.reports)
        os.close(self._lifeline)
