"""Reader of the answer log: requests with their answers, truths and outcomes, and a summary of the whole."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import msgspec
from msgspec import UNSET

from arbitrank.answerlog.feedback import FeedbackById, FeedbackUse, LineHead
from arbitrank.answerlog.joining import LogView, head_of, joined_lines, raw_lines, size_of, view
from arbitrank.errors import DataError, InputError
from arbitrank.values import Example
from arbitrank.wire.json_lines import BadLine, place, read_lines
from arbitrank.wire.notices import Notices, unnoticed
from arbitrank.wire.offsets import Offsets
from arbitrank.wire.requests import Logged, decode_example, decode_logged

_EXAMPLES = 5  # bad lines that a report quotes


def source(path: Path) -> Path | LogView:
    """The log in a folder as it is now, or the file. Raises `DataError` where a folder holds no log."""
    return view(path) if path.is_dir() else path


def lines_of(
    source: Path | LogView,
    own: Callable[[int], bool] | None = None,
    use: Callable[[FeedbackUse], object] | None = None,
) -> Iterator[tuple[int, bytes | BadLine]]:
    """The numbered lines of a file, or the requests of a log, each with its feedback; undecoded.

    `own` and `use` are those of `joined_lines`; `use` is not called for a file.
    """
    return ((number, line) for number, _, line in placed_lines(source, own, use))


def placed_lines(
    source: Path | LogView,
    own: Callable[[int], bool] | None = None,
    use: Callable[[FeedbackUse], object] | None = None,
) -> Iterator[tuple[int, str | None, bytes | BadLine]]:
    """The lines of `lines_of`, those of a log with their `FILE:LINE`: it has several files, and lines of feedback."""
    if isinstance(source, LogView):
        return joined_lines(source, own=own, use=use)
    return ((number, None, line) for number, line in read_lines(source) if own is None or own(number))


@dataclass
class UnreadableLines:
    """Number of the lines that could not be read, and the first of them."""

    n: int = 0
    first: BadLine | None = None

    def add(self, line: BadLine) -> None:
        """Count a line."""
        self.n += 1
        self.first = self.first or line

    def __str__(self) -> str:
        return f"{self.n} lines could not be read, the first: {self.first}"


def read_log(folder: Path) -> Iterator[Logged | BadLine]:
    """The requests of a log, each with its answer and feedback. Raises `DataError` where the folder holds none."""
    return (decoded_at(where, line) for _, where, line in joined_lines(view(folder)))


def read_truths(
    path: str | Path, notices: Notices | None = None, *, offsets: Offsets = "characters"
) -> Iterator[Example | BadLine]:
    """The labelled requests of a file, or those of a log with a known truth. Raises `DataError`.

    `notices` are called with remarks on what is not as expected; `offsets` are of a corpus, in its unit.
    """
    path = Path(path)
    for where, line in _placed_truths(path):
        if isinstance(line, BadLine):
            yield line
            continue
        try:
            yield decode_example(line, unnoticed if notices is None else notices.at(where), offsets=offsets)
        except InputError as error:
            yield BadLine(where, str(error))


def _placed_truths(path: Path) -> Iterator[tuple[str, bytes | BadLine]]:
    """The lines of a file, or the requests of a log with a truth, each with its `FILE:LINE`."""
    if path.is_dir():
        return ((where, line) for _, where, line in joined_lines(view(path), labelled=True))
    return ((place(path, number), line) for number, line in read_lines(path))


def write_truths(folder: Path, file: IO[bytes]) -> tuple[int, list[BadLine]]:
    """Write the requests of a log with a known truth; their number, and the lines that cannot be read."""
    n, bad = 0, []
    for _, where, line in joined_lines(view(folder), labelled=True):
        request = decoded_at(where, line)
        if isinstance(request, BadLine):
            bad.append(request)
        elif isinstance(line, bytes):
            file.write(line.rstrip() + b"\n")
            n += 1
    return n, bad


def find(log: LogView, id: str) -> Logged | None:
    """The latest request with an id, with its answer and feedback; None where there is none. Raises `DataError`."""
    latest: tuple[str, bytes, LineHead] | None = None
    feedback = FeedbackById()
    quoted = msgspec.json.encode(id)
    for where, line in raw_lines(log):
        if isinstance(line, BadLine) or quoted not in line:
            continue
        head = head_of(where, line)
        if isinstance(head, BadLine) or head.id != id:
            continue
        if head.is_feedback:
            feedback.add(where, line)
        else:
            latest = where, line, head
    if latest is None:
        return None
    where, line, head = latest
    request = decoded_at(where, feedback.joined(line, head))
    if isinstance(request, BadLine):
        raise DataError(str(request))
    return request


class LogReport(msgspec.Struct, frozen=True):
    """Contents of a log: segments, bytes, requests, those with a truth and an outcome, and bad lines with examples.

    `with_selection` are the requests whose answer says how it was drawn, which `value` needs. `first` and `last`: when
    the first and the last request were answered, seconds since 1970.
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
    with_selection: int = 0


def report(log: LogView) -> LogReport:
    """The contents of a log; reads all of it."""
    requests = truths = outcomes = drawn = bad_lines = 0
    first = last = None
    bad: list[str] = []
    for _, where, line in joined_lines(log):
        request = decoded_at(where, line)
        if isinstance(request, BadLine):
            bad_lines += 1
            if bad_lines <= _EXAMPLES:
                bad.append(str(request))
            continue
        requests += 1
        truths += request.truth is not None
        outcomes += request.outcome is not None
        drawn += request.answer is not None and request.answer.selection is not UNSET
        if (time := request.time) is not None:
            first = time if first is None else min(first, time)
            last = time if last is None else max(last, time)
    size = sum(size if size >= 0 else size_of(log.folder / name) for name, size in log.segments)
    return LogReport(str(log), len(log.segments), size, requests, truths, outcomes, first, last, bad_lines, bad, drawn)


def decoded_at(where: str, line: bytes | BadLine) -> Logged | BadLine:
    """A line of a log at a place, decoded, or the problem with it."""
    if isinstance(line, BadLine):
        return line
    try:
        return decode_logged(line)
    except InputError as error:
        return BadLine(where, str(error))
