"""The last requests of a log, read from its end and then followed, each with the feedback on it."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from msgspec import UNSET
from msgspec.structs import replace

from arbitrank.answerlog.feedback import FeedbackById
from arbitrank.answerlog.joining import head_of, size_of
from arbitrank.answerlog.segments import segments
from arbitrank.errors import DataError, InputError, os_errors
from arbitrank.values import Answer
from arbitrank.wire.json_lines import BadLine
from arbitrank.wire.requests import Logged, decode_logged

LINES = 2_000
"""Requests that are kept."""

FAILURES = ("failed", "late")
"""Statuses of domains that were to answer, and did not."""

_BYTES = 4 << 20  # read of what is new; more than that, and the older part of it is left out
_KEPT = 16 << 20  # of hypotheses that are kept, with those that go before them, and of feedback
_SAID = 64 << 10  # of a line of feedback; a longer one is left out


class Place(NamedTuple):
    """The bytes of a line in a segment."""

    segment: str
    begin: int
    size: int


class TailLine(NamedTuple):
    """A request of a log in short, and the time of the last line on it, its own or its feedback's, since 1970.

    Its answer has only the reading that was acted on, else the first, and the domains that did not answer. Hypotheses
    are there where the caller brought them, or where they stand for words that are not kept; account, dialogue and the
    selection are not. `line` has the feedback,
    `written` has none.
    """

    line: Logged
    changed: float
    place: Place
    written: Logged


class LogTail:
    """The last requests of a log that others write, at most `LINES` of them. Thread-safe.

    Reading costs what was written since it was read before.
    """

    def __init__(self, folder: Path) -> None:
        self._folder, self._reading = folder, threading.Lock()
        self._read: dict[str, int] = {}  # bytes of each segment that were read
        self._lines: OrderedDict[str, TailLine] = OrderedDict()  # by id, else by a number
        self._said: OrderedDict[str, list[tuple[Place, bytes]]] = OrderedDict()  # feedback, by the request's id
        self._unnamed = self._kept = self._said_bytes = 0

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
                raw = file.read(size)
            head = head_of(str(path), raw)
            line = None if isinstance(head, BadLine) else _logged(self._feedback(id).joined(raw, head))
        if line is None:
            raise DataError(f"{path}: changed since it was written")
        return line

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
        reported, found = dict[str, float](), list[tuple[Logged, Place]]()
        for place, raw in lines:
            if b'"answer":' in raw:  # which feedback has not
                if (line := _logged(raw)) is not None and line.answer is not None:
                    found.append((_in_short(line, line.answer), place))
                continue
            head = head_of(place.segment, raw)
            if isinstance(head, BadLine) or not head.is_feedback:
                continue
            if head.id is not None and place.size <= _SAID:
                reported[head.id] = time.time() if head.time is None else head.time
                self._keep(head.id, place, raw)
        for line, place in sorted(found, key=lambda one: one[0].time or 0.0):
            self._unnamed += 1
            key = line.id or f"\0{self._unnamed}"
            self._drop(key)
            joined = self._feedback(line.id).with_feedback(line) if line.id in self._said else line
            self._lines[key] = TailLine(joined, line.time or 0.0, place, line)
            self._kept += _held(self._lines[key])
            while len(self._lines) > LINES or self._kept > _KEPT:
                self._drop(next(iter(self._lines)))
        for id, at in reported.items():
            if (one := self._lines.get(id)) is not None:
                joined = self._feedback(id).with_feedback(one.written)
                self._lines[id] = one._replace(line=joined, changed=max(one.changed, at))

    def _keep(self, id: str, place: Place, raw: bytes) -> None:
        """Keep feedback, and no more than is stated: the oldest is what requests that are kept have, or none."""
        self._said.setdefault(id, []).append((place, raw))
        self._said_bytes += len(raw)
        while len(self._said) > 2 * LINES or self._said_bytes > _KEPT:
            _, lines = self._said.popitem(last=False)
            self._said_bytes -= sum(len(one) for _, one in lines)

    def _feedback(self, id: str | None) -> FeedbackById:
        """The feedback on a request in the order of the log, in which the whole of it is joined."""
        found = FeedbackById()
        for place, raw in sorted(self._said.get(id or "", ())):
            found.add(place.segment, raw)
        return found

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
        domains={name: one for name, one in answer.domains.items() if one.status in FAILURES},
        ms={},
        selection=UNSET,
    )
    hypotheses = None if line.recognised and line.utterance is not None else line.hypotheses
    return replace(
        line, answer=short, hypotheses=hypotheses, claims={}, account=None, dialogue=None, utterances=(), refused={}
    )


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


def _logged(raw: bytes) -> Logged | None:
    try:
        return decode_logged(raw)
    except InputError:
        return None
