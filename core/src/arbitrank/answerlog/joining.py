"""The lines of a log joined with the feedback that names their id, wherever in the log it stands.

A log is read while others write to it: up to its size when reading began. A line that a crash tore, and any other that
cannot be read, is reported and skipped.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO

import msgspec
from msgspec import UNSET

from arbitrank.answerlog.feedback import Feedback, FeedbackById, FeedbackUse, LineHead, read_feedback
from arbitrank.answerlog.segments import segments
from arbitrank.errors import DataError, os_errors
from arbitrank.wire.json_lines import MAX_LINE, BadLine

_BUFFER = 1 << 18  # bytes that are read at once: lines of some kilobytes would else be put together
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
    log: LogView,
    *,
    labelled: bool = False,
    own: Callable[[int], bool] | None = None,
    use: Callable[[FeedbackUse], object] | None = None,
) -> Iterator[tuple[int, str, bytes | BadLine]]:
    """The requests with their feedback, and bad lines, each as (number, `FILE:LINE`, line).

    Numbers count requests and bad lines from 1 on; of those that are not one's `own` by their number only the bytes
    are read. `labelled`: only requests with a truth, all numbered. At the end `use` is called with the use that was
    made of the log's reactions.
    """
    feedback, number = _feedback(log), 0
    for where, line in raw_lines(log):
        head = None if isinstance(line, BadLine) or _is_request(line) else _head_or_feedback(where, line)
        if isinstance(head, Feedback):
            continue
        number += 1
        if own is not None and not own(number):
            continue
        if isinstance(line, BadLine):
            yield number, where, line
            continue
        head = head or head_of(where, line)
        if isinstance(head, BadLine):
            yield number, where, head
        elif not labelled or head.truth is not UNSET or feedback.truth(head) is not None:
            yield number, where, feedback.joined(line, head)
    if use is not None:
        use(feedback.use())


def feedback_use(log: LogView) -> FeedbackUse:
    """The use that `joined_lines` makes of the reactions in a log."""
    feedback = _feedback(log)
    for where, line in raw_lines(log):
        head = line if isinstance(line, BadLine) else head_of(where, line)
        if isinstance(head, LineHead) and not head.is_feedback:
            feedback.meet(head)
    return feedback.use()


def _head_or_feedback(where: str, line: bytes) -> LineHead | Feedback | BadLine:
    head = head_of(where, line)
    return read_feedback(where, line) if isinstance(head, LineHead) and head.is_feedback else head


def _feedback(log: LogView) -> FeedbackById:
    """All feedback in a log, of which the latest counts whatever the order of the segments."""
    feedback = FeedbackById()
    for where, line in raw_lines(log):
        if not isinstance(line, BadLine) and not _is_request(line):
            head = head_of(where, line)
            if isinstance(head, LineHead) and head.is_feedback:
                feedback.add(where, line)
    return feedback


def _is_request(line: bytes) -> bool:
    """True for a line that is no feedback, which saves decoding its head; False where that has to be decoded.

    Feedback is written by the log itself, and none of its fields holds a key of these names.
    """
    return b'"utterance":' in line or b'"answer":' in line


def raw_lines(log: LogView) -> Iterator[tuple[str, bytes | BadLine]]:
    """The lines of all segments, undecoded, each with `FILE:LINE`."""
    for name, size in log.segments:
        path = log.folder / name
        zipped = path.with_name(f"{name}.gz")
        if not path.exists() and zipped.exists():  # gzipped since the view was taken
            yield from _segment_lines(zipped, -1)
        else:
            yield from _segment_lines(path, size)


def _segment_lines(path: Path, size: int) -> Iterator[tuple[str, bytes | BadLine]]:
    """The lines of one segment up to a size in bytes, −1 for all; no more of one is kept than `MAX_LINE`."""
    called, number, left = str(path), 0, size if size >= 0 else 1 << 62
    try:
        with _open(path) as file:
            read = partial(file.readline, MAX_LINE + 2)
            for line in iter(read, b""):
                number, left = number + 1, left - len(line)
                if left < 0 and not (line := line[:left]):
                    break
                where = f"{called}:{number}"
                ends = line.endswith(b"\n")
                if len(line) - ends > MAX_LINE:
                    yield where, BadLine(where, f"longer than {MAX_LINE} bytes, the most that is read")
                    while not ends and left > 0 and (rest := read()):  # the rest of it is not kept
                        ends, left = rest.endswith(b"\n"), left - len(rest)
                elif not ends:
                    yield where, BadLine(where, _TORN)
                elif not line.isspace():
                    yield where, line
    except (OSError, EOFError, zlib.error) as error:
        where = f"{called}:{number + 1}"
        yield where, BadLine(where, f"cannot be read from here on: {error}")


def _open(path: Path) -> IO[bytes]:
    return gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb", _BUFFER)  # type: ignore[return-value]
