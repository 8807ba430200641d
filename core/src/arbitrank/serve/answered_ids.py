"""Which domain the answer to each of the latest requests chose, in memory that all workers read.

Feedback comes to any worker, so each has a table of its own that the others look into. A table is direct-mapped: a
request whose hash falls on the place of an older one replaces it. Only hashes are kept, of ids and of choices.
"""

from __future__ import annotations

import mmap
import os
import struct
from contextlib import suppress
from pathlib import Path
from zlib import crc32

from arbitrank.arbitration.outcomes import ServedArm

_PLACES = 1 << 16  # requests that one worker remembers, at most
_ENTRY = struct.Struct("<QII")  # hash of the id, mark of the choice, what was reported already
_BYTES = _PLACES * _ENTRY.size
_SUFFIX = "answered"
REACTION, TRUTH = 1, 2


def mark_of(domain: str, arm: ServedArm) -> int:
    """A number that stands for a domain and the arm of its version, the same in all workers; never 0."""
    return crc32(f"{domain}\0{arm}".encode("utf-8", "surrogatepass")) or 1


class AnsweredIds:
    """The table of one worker, which it alone adds to. Raises `OSError` where there is no room."""

    def __init__(self, folder: Path, number: int | str) -> None:
        self._folder = folder
        file = os.open(folder / f"{number}.{_SUFFIX}", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.posix_fallocate(file, 0, _BYTES)  # a disk that fills up later kills no worker
            self._table = memoryview(mmap.mmap(file, _BYTES)).cast("Q")
        finally:
            os.close(file)

    def add(self, id: str, mark: int) -> None:
        """Remember the choice of an answer by the request's id."""
        key = _key(id)
        place = 2 * (key % _PLACES)
        self._table[place + 1] = mark  # nothing is reported yet
        self._table[place] = key

    def report(self, id: str, what: int) -> int:
        """The mark of an answer, the first time that its `REACTION` or `TRUTH` is reported to any worker; else 0."""
        key = _key(id)
        offset = (key % _PLACES) * _ENTRY.size
        for path in sorted(self._folder.glob(f"*.{_SUFFIX}")):
            with suppress(OSError, ValueError), path.open("r+b") as file, mmap.mmap(file.fileno(), _BYTES) as table:
                seen, mark, reported = _ENTRY.unpack_from(table, offset)
                if seen == key and mark and not reported & what:
                    _ENTRY.pack_into(table, offset, seen, mark, reported | what)
                    return int(mark)
        return 0


def _key(id: str) -> int:
    """A hash that is the same in all processes, of 32 bits and the length."""
    content = id.encode("utf-8", "surrogatepass")
    return crc32(content) | len(content) << 32
