"""The files of a log: each written by one process, from its beginning, and never touched again once it is closed.

A segment is named by the time it was begun, the process and a number: `20261120T124605.123456Z-4711-000001.jsonl`. It
is created, never reopened, so no lock is needed between processes, and nothing is appended to a line that a crash tore.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import monotonic

_NAME = re.compile(r"(\d{8}T\d{6}\.\d{6})Z-\d+-\d{6,}\.jsonl(\.gz)?")
_TIME = "%Y%m%dT%H%M%S.%f"


class Segment:
    """A segment that is being written. Raises `OSError` where it cannot be created."""

    def __init__(self, folder: Path, time: float, number: int) -> None:
        begun = datetime.fromtimestamp(time, UTC).strftime(_TIME)
        self.path = folder / f"{begun}Z-{os.getpid()}-{number:06}.jsonl"
        self._file = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
        self._begun = monotonic()
        self.size = self._synced = 0
        with suppress(OSError):  # not every file system can sync a folder
            _sync_folder(folder)

    @property
    def age(self) -> float:
        """Seconds since it was created."""
        return monotonic() - self._begun

    @property
    def unsynced(self) -> int:
        """Bytes that would not survive a power failure."""
        return self.size - self._synced

    @property
    def exists(self) -> bool:
        """True while the file still has its name: not removed, not replaced."""
        try:
            return os.path.samestat(os.stat(self.path), os.fstat(self._file))
        except OSError:
            return False

    def append(self, lines: Sequence[bytes]) -> tuple[int, OSError | None]:
        """Append whole lines; how many were written, and the error where not all were. A partial line is cut off."""
        content, done = b"".join(lines), 0
        try:
            while done < len(content):
                done += os.write(self._file, content[done:])
        except OSError as error:
            kept = content.rfind(b"\n", 0, done) + 1
            with suppress(OSError):  # else the line stays torn: readers skip it
                os.ftruncate(self._file, self.size + kept)
            self.size += kept
            return content.count(b"\n", 0, kept), error
        self.size += done
        return len(lines), None

    def sync(self) -> None:
        """Make what was appended survive a power failure. Raises `OSError`."""
        os.fsync(self._file)
        self._synced = self.size

    def close(self) -> None:
        """Close the file; remove it where it is empty."""
        with suppress(OSError):
            if self.exists and os.fstat(self._file).st_size == 0:
                self.path.unlink()
        with suppress(OSError):
            os.close(self._file)


def segments(folder: Path) -> list[Path]:
    """The segments of a log in the order in which they were begun, gzipped ones too. Raises `OSError`."""
    found: dict[str, Path] = {}
    for path in _files(folder):  # of the two, the plain file is complete: gzip removes it when done
        found.setdefault(path.name.removesuffix(".gz"), path)
    return [found[name] for name in sorted(found)]


def is_log(folder: Path) -> bool:
    """True for a folder that holds segments of a log."""
    try:
        return bool(_files(folder))
    except OSError:
        return False


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if _NAME.fullmatch(path.name))


def begun(path: Path) -> datetime:
    """The time in a segment's name; the latest possible time where the name has none."""
    try:
        return datetime.strptime(path.name.partition("Z-")[0], _TIME).replace(tzinfo=UTC)
    except ValueError:
        return datetime.max.replace(tzinfo=UTC)


def prune(folder: Path, days: float, now: float) -> list[Path]:
    """Remove the segments begun more than `days` before `now` and return them. Raises `OSError`.

    A segment dated in the future (a clock was wrong) is kept.
    """
    limit = datetime.fromtimestamp(now, UTC) - timedelta(days=days)
    old = [path for path in _files(folder) if begun(path) < limit]
    for path in old:
        path.unlink(missing_ok=True)  # another process may prune too
    if old:
        with suppress(OSError):
            _sync_folder(folder)
    return old


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
