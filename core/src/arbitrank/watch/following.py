"""Following of a log that grows: each look reads what its writers have appended since the last one."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO

from arbitrank.answerlog.segments import begun, segments
from arbitrank.watch.collector import DAYS, Collector
from arbitrank.wire.json_lines import MAX_LINE

_BLOCK = 1 << 20  # bytes that are read at a time


class LogFollower:
    """Collector of a log's folder, which need not exist yet. Not thread-safe.

    Segments that were begun more than `DAYS` and a day before the newest are not read. `problem` is the reason why a
    segment could not be read in the last look, None where all could.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.collected = folder, Collector()
        self.problem: str | None = None
        self._read: dict[str, int] = {}  # bytes of each segment

    def look(self) -> None:
        """Read what is new. Never raises for what cannot be read: it is tried again by the next look."""
        self.problem, now = None, datetime.now(UTC)
        try:
            paths = segments(self.folder)
        except FileNotFoundError:  # nothing was logged so far
            paths = []
        except OSError as error:
            self.problem = f"{self.folder}: cannot be read: {error}"
            return
        newest = max((when for path in paths if (when := begun(path)) <= now), default=now)
        oldest = newest - timedelta(days=DAYS + 1)
        names = set()
        for path in paths:
            name = path.name.removesuffix(".gz")
            names.add(name)
            if begun(path) < oldest or (path.suffix == ".gz" and name in self._read):
                continue  # what was read of a segment before it was gzipped is not read again
            try:
                for line in self._lines(path, name):
                    self.collected.line(path.name, line)
            except (OSError, EOFError, zlib.error) as error:
                self.problem = f"{path}: cannot be read: {error}"
        self._read = {name: size for name, size in self._read.items() if name in names}

    def _lines(self, path: Path, name: str) -> Iterator[bytes]:
        """The whole lines after those that were read; one that is being written is left for the next look."""
        done = self._read.get(name, 0)
        with _open(path) as file:
            file.seek(done)
            rest = b""
            while block := file.read(_BLOCK):
                *lines, rest = (rest + block).split(b"\n")
                for line in lines:
                    done += len(line) + 1
                    self._read[name] = done
                    if line.strip() and len(line) <= MAX_LINE:
                        yield line
                if len(rest) > MAX_LINE:  # longer than any line of a log: it is skipped in parts
                    done += len(rest)
                    self._read[name], rest = done, b""
        self._read[name] = done


def _open(path: Path) -> IO[bytes]:
    return gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb")  # type: ignore[return-value]
