"""Reading a log: every request with its answer, and with the feedback that names its id, wherever that stands.

A log is read while others write to it: as far as it went when the reading began. A line that a crash tore is reported
and skipped, and so is any other that cannot be read.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import msgspec
from msgspec import UNSET, Raw, UnsetType

from arbitrank.answerlog.segments import segments
from arbitrank.answerlog.writer import Feedback
from arbitrank.errors import DataError, InputError
from arbitrank.values import Example, Truth
from arbitrank.wire import MAX_LINE, BadLine, Logged, Outcome, decode_example, decode_logged, place, read_lines

_TORN = "ends in the middle of a line: who wrote it was killed then, or is writing it now; skipped"


@dataclass(frozen=True)
class LogView:
    """A log as far as it goes at one moment: its segments and their sizes, -1 for all of one that is gzipped."""

    folder: Path
    segments: tuple[tuple[str, int], ...]

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.folder.name

    def __str__(self) -> str:
        return str(self.folder)


def view(folder: Path) -> LogView:
    """A log as it is now. Raises `DataError` where the folder holds none."""
    try:
        found = tuple((one.name, -1 if one.suffix == ".gz" else _size(one)) for one in segments(folder))
    except OSError as error:
        raise DataError(f"{folder}: cannot be read: {error.strerror}; promised the folder of a log") from error
    if not found:
        raise DataError(f"{folder}: no segment of a log in it; promised what a service logged; see docs/operating.md")
    return LogView(folder, found)


def source(path: Path) -> Path | LogView:
    """The log in a folder as it is now, or the file. Raises `DataError` where a folder holds no log."""
    return view(path) if path.is_dir() else path


def lines_of(source: Path | LogView) -> Iterator[tuple[int, bytes | BadLine]]:
    """The lines of a file, or the requests of a log, each with its feedback; undecoded, with their numbers."""
    if isinstance(source, LogView):
        return ((number, line) for number, (_, line) in enumerate(_joined(source), 1))
    return read_lines(source)


def read_log(folder: Path) -> Iterator[Logged | BadLine]:
    """The requests of a log, each with its answer and feedback. Raises `DataError` where the folder holds none."""
    return _decoded(view(folder))


def _decoded(log: LogView) -> Iterator[Logged | BadLine]:
    for where, line in _joined(log):
        yield line if isinstance(line, BadLine) else _logged(where, line)


def read_truths(path: str | Path) -> Iterator[Example | BadLine]:
    """The labelled requests of a file, or those of a log of which somebody told the truth. Raises `DataError`."""
    path = Path(path)
    log = path.is_dir()
    for number, line in _labelled(view(path)) if log else read_lines(path):
        if isinstance(line, BadLine):
            yield line
            continue
        try:
            yield decode_example(line)
        except InputError as error:
            yield BadLine(place(path, number), str(error))


def write_truths(folder: Path, file: IO[bytes]) -> tuple[int, list[BadLine]]:
    """Write those requests of a log of which somebody told the truth; how many, and the lines that cannot be read."""
    n, bad = 0, []
    for where, line in _joined(view(folder), labelled=True):
        one = line if isinstance(line, BadLine) else _logged(where, line)
        if isinstance(one, BadLine):
            bad.append(one)
        else:
            file.write(line.rstrip() + b"\n")  # type: ignore[union-attr]
            n += 1
    return n, bad


def find(log: LogView, id: str) -> Logged | None:
    """The latest request with an id, with its answer and feedback; None where there is none."""
    found, told = None, _Told()
    named = msgspec.json.encode(id)
    for where, line in _lines(log):
        if isinstance(line, BadLine) or named not in line:
            continue
        head = _head(where, line)
        if isinstance(head, BadLine) or head.id != id:
            continue
        if head.is_feedback:
            told.hear(where, line)
        else:
            found = where, line, head
    if found is None:
        return None
    where, line, head = found
    one = _logged(where, told.joined(line, head))
    if isinstance(one, BadLine):
        raise DataError(f"{one.where}: {one.reason}")
    return one


class LogReport(msgspec.Struct, frozen=True):
    """What a log holds: segments and bytes, requests, those with a truth and an outcome, and bad lines with examples.

    `first` and `last` are when the first and the last request were answered, seconds since 1970.
    """

    folder: str
    segments: int
    bytes: int
    requests: int
    with_truth: int
    with_outcome: int
    first: float | None
    last: float | None
    bad_lines: int
    bad: list[str]


def report(log: LogView) -> LogReport:
    """What a log holds; reads all of it."""
    requests = truths = outcomes = 0
    times: list[float] = []
    bad: list[str] = []
    n_bad = 0
    for where, line in _joined(log):
        one = line if isinstance(line, BadLine) else _logged(where, line)
        if isinstance(one, BadLine):
            n_bad += 1
            bad[5:] = []
            bad.append(f"{one.where}: {one.reason}")
            continue
        requests += 1
        truths += one.truth is not None
        outcomes += one.outcome is not None
        if one.time is not None:
            times = [min(times[0], one.time), max(times[1], one.time)] if times else [one.time, one.time]
    sizes = (size if size >= 0 else _size(log.folder / name) for name, size in log.segments)
    first, last = times or (None, None)
    return LogReport(str(log), len(log.segments), sum(sizes), requests, truths, outcomes, first, last, n_bad, bad[:5])


# ---------------------------------------------------------------------------------------------------------- the joining


class _Head(msgspec.Struct, frozen=True):
    """What tells one kind of line from the other, the rest being left as it is."""

    id: str | None = None
    utterance: Raw | UnsetType = UNSET
    hypotheses: Raw | UnsetType = UNSET
    answer: Raw | UnsetType = UNSET
    truth: Raw | UnsetType = UNSET

    @property
    def is_feedback(self) -> bool:
        return UNSET is self.utterance is self.hypotheses is self.answer


_decode_head = msgspec.json.Decoder(_Head).decode
_decode_feedback = msgspec.json.Decoder(Feedback).decode


class _Told:
    """The feedback of all requests, by their ids: of each kind the latest."""

    def __init__(self) -> None:
        self.truths: dict[str, Truth] = {}
        self.outcomes: dict[str, Outcome] = {}

    def hear(self, where: str, line: bytes) -> BadLine | None:
        """Take in a line of feedback; what is wrong with it."""
        try:
            one = _decode_feedback(line)
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            return BadLine(where, f"feedback that cannot be read: {error}")
        if one.truth is not None:
            self.truths[one.id] = one.truth
        if one.outcome is not None:
            self.outcomes[one.id] = one.outcome
        return None

    def joined(self, line: bytes, head: _Head) -> bytes:
        """A request's line with its feedback. Of a key that stands twice, the latter counts."""
        truth = self.truths.get(head.id) if head.id is not None else None
        outcome = self.outcomes.get(head.id) if head.id is not None else None
        if truth is None and outcome is None:
            return line
        told = msgspec.json.encode(truth) if truth is not None else None
        more = (b',"truth":' + told if told else b"") + (f',"outcome":"{outcome}"'.encode() if outcome else b"")
        return line.rstrip()[:-1] + more + b"}\n"


def _joined(log: LogView, *, labelled: bool = False) -> Iterator[tuple[str, bytes | BadLine]]:
    """The requests with their feedback, and bad lines, each with where it stands; `labelled`: those with a truth."""
    told = _Told()
    for where, line in _lines(log):
        # What has an answer is no feedback, and need not be looked into for that.
        if not isinstance(line, BadLine) and b'"answer":' not in line:
            head = _head(where, line)
            if isinstance(head, _Head) and head.is_feedback:
                told.hear(where, line)
    for where, line in _lines(log):
        if isinstance(line, BadLine):
            yield where, line
            continue
        head = _head(where, line)
        if isinstance(head, BadLine):
            yield where, head
        elif head.is_feedback:
            wrong = told.hear(where, line)
            if wrong:
                yield where, wrong
        elif not labelled or head.truth is not UNSET or head.id in told.truths:
            yield where, told.joined(line, head)


def _labelled(log: LogView) -> Iterator[tuple[int, bytes | BadLine]]:
    return ((number, line) for number, (_, line) in enumerate(_joined(log, labelled=True), 1))


def _head(where: str, line: bytes) -> _Head | BadLine:
    try:
        return _decode_head(line)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        return BadLine(where, f"no line of a log: {error}")


def _logged(where: str, line: bytes) -> Logged | BadLine:
    try:
        return decode_logged(line)
    except InputError as error:
        return BadLine(where, str(error))


def _lines(log: LogView) -> Iterator[tuple[str, bytes | BadLine]]:
    for name, size in log.segments:
        path, number = log.folder / name, 0
        zipped = path.with_name(f"{name}.gz")
        if not path.exists() and zipped.exists():  # since then
            path = zipped
        try:
            with _open(path) as file:
                for number, line in enumerate(_raw(file, -1 if path is zipped else size), 1):
                    where = f"{path}:{number}"
                    if len(line.removesuffix(b"\n")) > MAX_LINE:
                        yield where, BadLine(where, f"longer than the {MAX_LINE} bytes promised")
                    elif not line.endswith(b"\n"):
                        yield where, BadLine(where, _TORN)
                    elif line.strip():
                        yield where, line
        except (OSError, EOFError, zlib.error) as error:
            where = f"{path}:{number + 1}"
            yield where, BadLine(where, f"cannot be read from here on: {error}")


def _raw(file: IO[bytes], size: int) -> Iterator[bytes]:
    """The lines up to a size, at most a little more than `MAX_LINE` of each."""
    left = size if size >= 0 else 1 << 62
    while left > 0 and (line := file.readline(min(MAX_LINE + 2, left))):
        left -= len(line)
        whole = line
        while len(whole) > MAX_LINE + 1 and not line.endswith(b"\n") and left > 0:  # the rest of it is not kept
            line = file.readline(min(MAX_LINE, left))
            if not line:
                break
            left -= len(line)
        yield whole


def _open(path: Path) -> IO[bytes]:
    return gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb")  # type: ignore[return-value]


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
