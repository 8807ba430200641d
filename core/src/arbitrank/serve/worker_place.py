"""Place of a worker in its service: what it gets from the supervisor, and reports to it.

The supervisor has a pipe to each worker and one from it. The first is never written to, and its end tells the worker
that the supervisor has ended. Through the second the worker reports, in JSON lines, that it has loaded or cannot start.
"""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from pathlib import Path

import msgspec

from arbitrank.serve.board import Phase, WorkerBoard
from arbitrank.serve.settings import ServiceSettings


@dataclass(frozen=True)
class WorkerStart:
    """Settings and place of a worker: its `number`, and the file descriptors that it shares with the supervisor.

    `folder` is the service's own, in which its processes keep their metrics. The `first` worker of a service takes
    connections while it loads, to report that; every other one once it has loaded.
    """

    settings: ServiceSettings
    number: int
    workers: int
    first: bool
    listening: int
    board: int
    lifeline: int
    reports: int
    folder: Path

    def encoded(self) -> bytes:
        """The start as bytes of plain values, which `decoded` reads."""
        return msgspec.msgpack.encode(self, enc_hook=str)  # of a path

    @classmethod
    def decoded(cls, content: bytes) -> WorkerStart:
        """The start of a worker from the bytes that `encoded` returned. Raises `msgspec.MsgspecError` for others."""
        return msgspec.msgpack.decode(content, type=cls, dec_hook=_path)

    @property
    def descriptors(self) -> tuple[int, ...]:
        """The file descriptors to be inherited."""
        return self.listening, self.board, self.lifeline, self.reports


class WorkerReport(msgspec.Struct, frozen=True, omit_defaults=True):
    """Report of a worker: it has loaded, or why it cannot start, and the exit status for that."""

    problem: str | None = None
    status: int = 0


class WorkerPlace:
    """The worker's side of what it shares with the supervisor."""

    def __init__(self, start: WorkerStart) -> None:
        for descriptor in start.descriptors:
            os.set_inheritable(descriptor, False)
        self.number, self.first, self.folder = start.number, start.first, start.folder
        self.listening = socket.socket(fileno=start.listening)
        self.board = WorkerBoard(start.workers, start.board)
        self.lifeline = start.lifeline
        self._reports = start.reports
        self.board.enter(self.number, Phase.LOADING)

    def report(self, report: WorkerReport) -> None:
        """Send a report to the supervisor, if it still runs."""
        try:
            os.write(self._reports, msgspec.json.encode(report) + b"\n")
        except OSError:
            return


def _path(kind: type, value: str) -> Path:
    """A path from its text: the only type of a worker's settings that is no plain value."""
    assert kind is Path
    return Path(value)
