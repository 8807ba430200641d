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
from msgspec import UNSET, Raw, UnsetType

from arbitrank.answerlog.feedback import Feedback, FeedbackById, FeedbackUse, LineHead, read_feedback
from arbitrank.answerlog.segments import segments
from arbitrank.errors import DataError, InputError, os_errors
from arbitrank.wire.json_lines import MAX_LINE, BadLine
from arbitrank.wire.requests import Logged, decode_logged

_ID = b'{"id":"'  # as the log writes it
_REACTION = b'"outcome"'  # a value that holds these words has their quotes escaped
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


class _FeedbackLine(Feedback, frozen=True, kw_only=True):
    """Feedback with the fields that only a request has, undecoded."""

    utterance: Raw | UnsetType = UNSET
    hypotheses: Raw | UnsetType = UNSET
    answer: Raw | UnsetType = UNSET


_decode_head = msgspec.json.Decoder(LineHead).decode
_decode_feedback = msgspec.json.Decoder(_FeedbackLine).decode


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
    feedback = _feedback(log)
    for number, where, line, head in _requests(log, own):
        if isinstance(line, BadLine):
            yield number, where, line
            continue
        known = head or head_of(where, line)
        if isinstance(known, BadLine):
            yield number, where, known
        elif not labelled or known.truth is not UNSET or feedback.truth(known) is not None:
            yield number, where, feedback.joined(line, known)
    if use is not None:
        use(feedback.use())


def reacted_requests(
    log: LogView,
    *,
    own: Callable[[int], bool] | None = None,
    use: Callable[[FeedbackUse], object] | None = None,
) -> Iterator[tuple[int, str, Logged | BadLine | None]]:
    """The requests of `joined_lines` with their feedback, decoded; None in the place of each without a reaction."""
    feedback = _feedback(log)
    for number, where, line, head in _requests(log, own):
        yield number, where, line if isinstance(line, BadLine) else _reacted(feedback, where, line, head)
    if use is not None:
        use(feedback.use())


def _reacted(feedback: FeedbackById, where: str, line: bytes, head: LineHead | None) -> Logged | BadLine | None:
    try:
        if head is None and feedback.only_reaction_to(_first_id(line)):  # then it is decoded once
            request = decode_logged(line)
            joined = feedback.with_feedback(request)
            return joined if joined is not request or has_reaction(line) else None
    except InputError:
        pass  # its head shows if it has a reaction at all
    known = head or head_of(where, line)
    if isinstance(known, BadLine):
        return known
    line = feedback.joined(line, known)
    try:
        return decode_logged(line) if has_reaction(line) else None
    except InputError as error:
        return BadLine(where, str(error))


def _first_id(line: bytes) -> str:
    """The id that a line begins with, as the log writes it; empty where it begins otherwise."""
    begin = len(_ID)
    return str(line[begin : line.find(b'"', begin)], "utf-8", "replace") if line.startswith(_ID) else ""


def has_reaction(line: bytes) -> bool:
    """True where the line of a request holds a reaction; that of feedback is joined at its end."""
    return line.rfind(_REACTION) >= 0


def feedback_use(log: LogView) -> FeedbackUse:
    """The use that `joined_lines` makes of the reactions in a log."""
    feedback = _feedback(log)
    for _, where, line, head in _requests(log, None):
        known = line if isinstance(line, BadLine) else head or head_of(where, line)
        if isinstance(known, LineHead):
            feedback.meet(known)
    return feedback.use()


def _requests(
    log: LogView, own: Callable[[int], bool] | None
) -> Iterator[tuple[int, str, bytes | BadLine, LineHead | None]]:
    """The numbered requests and bad lines that are one's `own`, each with `FILE:LINE` and its head, if it is known."""
    number = 0
    for where, line in raw_lines(log):
        head = None if isinstance(line, BadLine) or _is_request(line) else _head_or_feedback(where, line)
        if isinstance(head, Feedback):
            continue
        number += 1
        if own is not None and not own(number):
            continue
        yield (number, where, head, None) if isinstance(head, BadLine) else (number, where, line, head)


def _head_or_feedback(where: str, line: bytes) -> LineHead | Feedback | BadLine:
    """A line of feedback, decoded once; else the head of a request, or the problem where it is neither."""
    try:
        found = _decode_feedback(line)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        found = None
    if found is not None and UNSET is found.utterance is found.hypotheses is found.answer:
        return found
    head = head_of(where, line)
    return read_feedback(where, line) if isinstance(head, LineHead) and head.is_feedback else head


def _feedback(log: LogView) -> FeedbackById:
    """All feedback in a log, of which the latest counts whatever the order of the segments."""
    feedback = FeedbackById()
    for where, line in raw_lines(log):
        if not isinstance(line, BadLine) and not _is_request(line):
            found = _head_or_feedback(where, line)
            if isinstance(found, Feedback):
                feedback.take(found)
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
