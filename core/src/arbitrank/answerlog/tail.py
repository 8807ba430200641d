"""The last requests of a log, read from its end and then followed, each with the feedback on it."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import msgspec
from msgspec.structs import replace

from arbitrank.answerlog.feedback import Feedback
from arbitrank.answerlog.joining import size_of
from arbitrank.answerlog.segments import segments
from arbitrank.errors import DataError, InputError, os_errors
from arbitrank.wire.requests import Logged, decode_logged

LINES = 2_000
"""Requests that are kept."""

_BYTES = 4 << 20  # read of what is new; more than that, and the older part of it is left out
_decode_feedback = msgspec.json.Decoder(Feedback).decode


class TailLine(NamedTuple):
    """A request of a log, and the time of the last line on it, in seconds since 1970: its own, or its feedback's."""

    line: Logged
    changed: float


class LogTail:
    """The last requests of a log that others write, at most `LINES` of them. Thread-safe.

    Reading costs what was written since it was read before.
    """

    def __init__(self, folder: Path) -> None:
        self._folder, self._reading = folder, threading.Lock()
        self._read: dict[str, int] = {}  # bytes of each segment that were read
        self._lines: OrderedDict[str, TailLine] = OrderedDict()  # by id, else by a number
        self._unnamed = 0

    def lines(self) -> list[TailLine]:
        """The last requests, the latest first. Raises `DataError` where the folder cannot be read."""
        with self._reading:
            self._follow()
            return sorted(self._lines.values(), key=lambda one: one.line.time or 0.0, reverse=True)

    def _follow(self) -> None:
        with os_errors(DataError, f"{self._folder}: cannot be read", "; expected the folder of a log"):
            found = [path for path in segments(self._folder) if path.suffix != ".gz"] if self._folder.is_dir() else []
        left, parts = _BYTES, []
        for path in reversed(found):  # the latest first, as only so much is read
            size = size_of(path)
            begin = min(self._read.get(path.name, 0), size)
            if size > begin and left > 0:
                parts.append(_lines_of(path, max(begin, size - left), size, whole=size - left <= begin))
                self._read[path.name] = begin if parts[-1] is None else parts[-1].end
                left -= size - begin
            else:
                self._read[path.name] = size if left <= 0 else begin
        self._read = {path.name: self._read[path.name] for path in found}
        self._add(line for part in reversed(parts) if part is not None for line in part.lines[-LINES:])

    def _add(self, lines: Iterable[bytes]) -> None:
        reactions, found = [], []
        for raw in lines:
            if b'"answer":' not in raw and (feedback := _feedback(raw)) is not None:
                reactions.append(feedback)
            elif (line := _logged(raw)) is not None and line.answer is not None:
                found.append(line)
        for line in sorted(found, key=lambda line: line.time or 0.0):
            self._unnamed += 1
            key = line.id or f"\0{self._unnamed}"
            self._lines.pop(key, None)
            self._lines[key] = TailLine(line, line.time or 0.0)
            if len(self._lines) > LINES:
                self._lines.popitem(last=False)
        for feedback in reactions:
            if (known := self._lines.get(feedback.id)) is not None:
                line = replace(
                    known.line,
                    truth=known.line.truth if feedback.truth is None else feedback.truth,
                    outcome=known.line.outcome if feedback.outcome is None else feedback.outcome,
                )
                self._lines[feedback.id] = TailLine(line, max(known.changed, feedback.time or 0.0))


class _Part(NamedTuple):
    """Whole lines of a segment, and the place of the first byte that is not in them."""

    lines: list[bytes]
    end: int


def _lines_of(path: Path, begin: int, size: int, *, whole: bool) -> _Part | None:
    """The whole lines between two places; not `whole`: the first of them is the rest of a line. None: unreadable."""
    try:
        with path.open("rb") as file:
            file.seek(begin)
            content = file.read(size - begin)
    except OSError:
        return None
    end = content.rfind(b"\n") + 1
    lines = content[:end].splitlines()
    return _Part(lines if whole else lines[1:], begin + end)


def _feedback(raw: bytes) -> Feedback | None:
    try:
        return _decode_feedback(raw)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None


def _logged(raw: bytes) -> Logged | None:
    try:
        return decode_logged(raw)
    except InputError:
        return None
