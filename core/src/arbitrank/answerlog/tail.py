"""The last requests of a log, read from its end and then followed, each with the feedback on it."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec
from msgspec.structs import replace

from arbitrank.answerlog.feedback import Feedback
from arbitrank.answerlog.joining import size_of
from arbitrank.answerlog.segments import segments
from arbitrank.errors import DataError, InputError, os_errors
from arbitrank.values import Answer
from arbitrank.wire.requests import Logged, decode_logged

LINES = 2_000
"""Requests that are kept."""

_BYTES = 4 << 20  # read of what is new; more than that, and the older part of it is left out
_KEPT = 16 << 20  # of hypotheses that are kept, with those that go before them
_decode_feedback = msgspec.json.Decoder(Feedback).decode


class Place(NamedTuple):
    """The bytes of a line in a segment."""

    segment: str
    begin: int
    size: int


class TailLine(NamedTuple):
    """A request of a log in short, and the time of the last line on it, its own or its feedback's, since 1970.

    Its answer has only the reading that was acted on, else the first, and the domains that did not answer. Hypotheses
    are there where the caller brought them, or where they stand for words that are not kept.
    """

    line: Logged
    changed: float
    place: Place


class LogTail:
    """The last requests of a log that others write, at most `LINES` of them. Thread-safe.

    Reading costs what was written since it was read before.
    """

    def __init__(self, folder: Path) -> None:
        self._folder, self._reading = folder, threading.Lock()
        self._read: dict[str, int] = {}  # bytes of each segment that were read
        self._lines: OrderedDict[str, TailLine] = OrderedDict()  # by id, else by a number
        self._unnamed = self._kept = 0

    def lines(self) -> list[TailLine]:
        """The last requests, the latest first. Raises `DataError` where the folder cannot be read."""
        with self._reading:
            self._follow()
            return sorted(self._lines.values(), key=lambda one: one.line.time or 0.0, reverse=True)

    def whole(self, id: str) -> Logged | None:
        """One of the last requests as it was logged, with its feedback; None where it is not among them.

        Raises `DataError` where it cannot be read any more.
        """
        with self._reading:
            self._follow()
            known = self._lines.get(id)
        if known is None:
            return None
        segment, begin, size = known.place
        path = self._folder / segment
        with os_errors(DataError, f"{path}: cannot be read"), path.open("rb") as file:
            file.seek(begin)
            line = _logged(file.read(size))
        if line is None:
            raise DataError(f"{path}: changed since it was written")
        return replace(line, truth=known.line.truth, outcome=known.line.outcome, called=known.line.called)

    def _follow(self) -> None:
        with os_errors(DataError, f"{self._folder}: cannot be read", "; expected the folder of a log"):
            found = [path for path in segments(self._folder) if path.suffix != ".gz"] if self._folder.is_dir() else []
        left, parts = _BYTES, list[list[tuple[Place, bytes]]]()
        for path in reversed(found):  # the latest first, as only so much is read
            size = size_of(path)
            begin = min(self._read.get(path.name, 0), size)
            if size > begin and left > 0:
                lines, self._read[path.name] = _lines_of(path, begin, max(begin, size - left), size)
                parts.append(lines[-LINES:])
                left -= size - begin
            else:
                self._read[path.name] = size if left <= 0 else begin
        self._read = {path.name: self._read[path.name] for path in found}
        self._add(line for part in reversed(parts) for line in part)

    def _add(self, lines: Iterable[tuple[Place, bytes]]) -> None:
        reactions, found = [], []
        for place, raw in lines:
            if b'"answer":' not in raw and (feedback := _feedback(raw)) is not None:
                reactions.append(feedback)
            elif (line := _logged(raw)) is not None and line.answer is not None:
                found.append((_in_short(line, line.answer), place))
        for line, place in sorted(found, key=lambda one: one[0].time or 0.0):
            self._unnamed += 1
            key = line.id or f"\0{self._unnamed}"
            self._drop(key)
            self._lines[key] = TailLine(line, line.time or 0.0, place)
            self._kept += _held(self._lines[key])
            while len(self._lines) > LINES or self._kept > _KEPT:
                self._drop(next(iter(self._lines)))
        for feedback in reactions:
            if (known := self._lines.get(feedback.id)) is not None:
                line = replace(
                    known.line,
                    truth=known.line.truth if feedback.truth is None else feedback.truth,
                    outcome=known.line.outcome if feedback.outcome is None else feedback.outcome,
                    called=known.line.called if feedback.outcome is None else feedback.called,
                )
                self._lines[feedback.id] = TailLine(line, max(known.changed, feedback.time or 0.0), known.place)

    def _drop(self, key: str) -> None:
        if (one := self._lines.pop(key, None)) is not None:
            self._kept -= _held(one)


def _held(one: TailLine) -> int:
    """Bytes of hypotheses that a line holds, about."""
    return one.place.size if one.line.hypotheses else 0


def _in_short(line: Logged, answer: Answer) -> Logged:
    head = answer.chosen or answer.best
    short = replace(
        answer,
        decision=replace(answer.decision, contenders=(0,) if answer.decision.contenders else ()),
        ranked=() if head is None else (replace(head, why=None, details=None),),
        domains={name: one for name, one in answer.domains.items() if one.status in ("failed", "late")},
        ms={},
    )
    recognised = line.recognised and line.utterance is not None
    return replace(line, answer=short, hypotheses=None if recognised else line.hypotheses, claims={})


def _lines_of(path: Path, known: int, begin: int, size: int) -> tuple[list[tuple[Place, bytes]], int]:
    """The whole lines from `begin` on with their places, and the end of the last of them.

    Beyond what is `known` of the segment, the first may be the rest of a line, which is left out. A segment that cannot
    be read has no lines.
    """
    try:
        with path.open("rb") as file:
            file.seek(begin)
            content = file.read(size - begin)
    except OSError:
        return [], known
    lines = list(_placed(path.name, content, begin))
    return lines if begin == known else lines[1:], begin + content.rfind(b"\n") + 1


def _placed(name: str, content: bytes, begin: int) -> Iterator[tuple[Place, bytes]]:
    at = 0
    while (end := content.find(b"\n", at)) >= 0:
        yield Place(name, begin + at, end - at), content[at:end]
        at = end + 1


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
