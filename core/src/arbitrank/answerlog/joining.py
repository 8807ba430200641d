"""The lines of a log joined with the feedback that names their id, wherever in the log it stands.

A log is read while others write to it: up to its size when reading began. A line that a crash tore, and any other that
cannot be read, is reported and skipped.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import msgspec
from msgspec import UNSET

from arbitrank.answerlog.feedback import FeedbackById, LineHead, UnusedFeedback, read_feedback
from arbitrank.answerlog.segments import segments
from arbitrank.errors import DataError, os_errors
from arbitrank.wire.json_lines import MAX_LINE, BadLine

_TORN = "ends in the middle of a line: its writer was killed, or is writing it now; skipped"


@dataclass(frozen=True)
class LogView:
    """A log at one moment: its segments and their sizes in bytes, -1 for all of a gzipped one."""

    folder: Path
    segments: tuple[tuple[str, int], ...]

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.folder.name

    def __str__(self) -> str:
        return str(self.folder)


def view(folder: Path) -> LogView:
    """The log in a folder now. Raises `DataError` where the folder holds none."""
    with os_errors(DataError, f"{folder}: cannot be read", "; expected the folder of a log"):
        sizes = tuple((path.name, -1 if path.suffix == ".gz" else size_of(path)) for path in segments(folder))
    if not sizes:
        raise DataError(f"{folder}: no segment of a log in it, expected a service's log; see docs/how-to/log.md")
    return LogView(folder, sizes)


def written_since(log: LogView, since: float) -> LogView:
    """The segments of a log that were written to since then, in seconds since 1970."""

    def written(name: str) -> bool:
        try:
            return (log.folder / name).stat().st_mtime >= since
        except OSError:  # gzipped meanwhile
            return True

    return LogView(log.folder, tuple(one for one in log.segments if written(one[0])))


def size_of(path: Path) -> int:
    """A file's size in bytes, 0 where it cannot be read."""
    try:
        return path.stat().st_size
    except OSError:
        return 0


_decode_head = msgspec.json.Decoder(LineHead).decode


def head_of(where: str, line: bytes) -> LineHead | BadLine:
    """The head of a line, or the problem where it is no JSON object of a log."""
    try:
        return _decode_head(line)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        return BadLine(where, f"no line of a log: {error}")


def joined_lines(
    log: LogView, *, labelled: bool = False, count: Callable[[UnusedFeedback], object] | None = None
) -> Iterator[tuple[str, bytes | BadLine]]:
    """The requests with their feedback, and bad lines, each as (`FILE:LINE`, line); `labelled`: those with a truth.

    `count` is called at the end, where all requests are read, with the reactions that were joined with none.
    """
    feedback = _feedback(log)
    for where, line in raw_lines(log):
        if isinstance(line, BadLine):
            yield where, line
            continue
        head = head_of(where, line)
        if isinstance(head, BadLine):
            yield where, head
        elif head.is_feedback:
            read = read_feedback(where, line)
            if isinstance(read, BadLine):
                yield where, read
        elif not labelled or head.truth is not UNSET or head.id in feedback.truths:
            yield where, feedback.joined(line, head)
    if count is not None:
        count(feedback.end())


def unused_feedback(log: LogView) -> UnusedFeedback:
    """Counts of the reactions in a log that `joined_lines` joins with no request."""
    feedback = _feedback(log)
    for where, line in raw_lines(log):
        head = line if isinstance(line, BadLine) else head_of(where, line)
        if isinstance(head, LineHead) and not head.is_feedback:
            feedback.meet(head)
    return feedback.end()


def _feedback(log: LogView) -> FeedbackById:
    """All feedback in a log, of which the latest counts."""
    feedback = FeedbackById()
    for where, line in raw_lines(log):
        # A line with an answer is no feedback: this test saves decoding its head.
        if not isinstance(line, BadLine) and b'"answer":' not in line:
            head = head_of(where, line)
            if isinstance(head, LineHead) and head.is_feedback:
                feedback.add(where, line)
    return feedback


def raw_lines(log: LogView) -> Iterator[tuple[str, bytes | BadLine]]:
    """The lines of all segments, undecoded, each with `FILE:LINE`."""
    for name, size in log.segments:
        path, number = log.folder / name, 0
        zipped = path.with_name(f"{name}.gz")
        if not path.exists() and zipped.exists():  # gzipped since the view was taken
            path = zipped
        try:
            with _open(path) as file:
                for number, line in enumerate(_bounded_lines(file, -1 if path is zipped else size), 1):
                    where = f"{path}:{number}"
                    if len(line.removesuffix(b"\n")) > MAX_LINE:
                        yield where, BadLine(where, f"longer than {MAX_LINE} bytes, the most that is read")
                    elif not line.endswith(b"\n"):
                        yield where, BadLine(where, _TORN)
                    elif line.strip():
                        yield where, line
        except (OSError, EOFError, zlib.error) as error:
            where = f"{path}:{number + 1}"
            yield where, BadLine(where, f"cannot be read from here on: {error}")


def _bounded_lines(file: IO[bytes], size: int) -> Iterator[bytes]:
    """The lines up to a size in bytes; of each at most a little more than `MAX_LINE`."""
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
