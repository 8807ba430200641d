"""Counters of one worker in memory that the service's other processes read.

Each worker owns a file of cells, float64 in shared memory, and a file with the names of its series, one a line. Adding
to a cell is one store, so that a request costs no lock and no system call; nothing is lost when a worker is killed, and
its successor continues where it ended. A series is one cell, a histogram several in a row.

`cells` is for one thread per cell: two that add to one cell at once may lose one of the additions.
"""

from __future__ import annotations

import mmap
import os
import shutil
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from arbitrank.serve.metric_table import BY_NAME

_BYTES = 1 << 20  # 131,072 cells, allocated at the start: a disk that fills up later kills no worker
_ROOM = 32 << 20  # bytes that have to be free; a worker takes some two millions
_KEYS, _CELLS = "keys", "cells"
_SPARE = 64  # cells at the end, for series beyond the capacity; they are not shown

Series = tuple[str, tuple[str, ...]]
"""A metric's name and the values of its labels, in the table's order."""


@contextmanager
def shared_folder() -> Iterator[Path]:
    """A folder for the files of one service's processes while the context lasts: in memory, where there is room.

    On a disk, adding to a cell could wait for the disk whenever the system writes the page.
    """
    memory = Path("/dev/shm")
    roomy = memory.is_dir() and os.access(memory, os.W_OK) and shutil.disk_usage(memory).free >= _ROOM
    with tempfile.TemporaryDirectory(prefix="arbitrank-", dir=memory if roomy else None) as folder:
        yield Path(folder)


class Counters:
    """Cells of one worker, whose `number` no other running process has. Raises `OSError` where there is no room."""

    def __init__(self, folder: Path, number: int | str) -> None:
        self._keys = os.open(folder / f"{number}.{_KEYS}", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        cells = os.open(folder / f"{number}.{_CELLS}", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.posix_fallocate(cells, 0, _BYTES)
            self.cells = memoryview(mmap.mmap(cells, _BYTES)).cast("d")
        finally:
            os.close(cells)
        content = _whole_lines(os.pread(self._keys, os.fstat(self._keys).st_size, 0))
        os.ftruncate(self._keys, len(content))  # a predecessor may have been killed in the middle of a line
        os.lseek(self._keys, len(content), os.SEEK_SET)
        self._places, self._used = _places(content)
        self._lock = threading.Lock()

    def place(self, metric: str, *labels: str) -> int:
        """The first cell of a series, which is made where it is new."""
        series = metric, labels
        place = self._places.get(series)
        return self._make(series) if place is None else place

    def add(self, metric: str, *labels: str) -> None:
        """Add one to a counter."""
        self.cells[self.place(metric, *labels)] += 1

    def _make(self, series: Series) -> int:
        with self._lock:
            if series in self._places:
                return self._places[series]
            place, width = self._used, _width(series[0])
            if place + width > len(self.cells) - _SPARE:
                return len(self.cells) - _SPARE
            os.write(self._keys, msgspec.json.encode(series) + b"\n")
            self._used += width
            self._places[series] = place
            return place

    def close(self) -> None:
        """Close the files; the cells stay as they are."""
        os.close(self._keys)


def _width(metric: str) -> int:
    """The number of cells of a series: of a histogram its buckets and the sum."""
    bounds = BY_NAME[metric].bounds
    return len(bounds) + 2 if bounds else 1


def _whole_lines(content: bytes) -> bytes:
    return content[: content.rfind(b"\n") + 1]


def _places(content: bytes) -> tuple[dict[Series, int], int]:
    """The first cell of each series, and the number of cells in use."""
    places: dict[Series, int] = {}
    used = 0
    for line in content.splitlines():
        metric, labels = msgspec.json.decode(line, type=tuple[str, tuple[str, ...]])
        places[metric, labels] = used
        used += _width(metric)
    return places, used


def read_series(folder: Path, number: str) -> dict[Series, list[float]]:
    """The cells of each series of one worker, running or ended. Raises `OSError`."""
    places, used = _places(_whole_lines((folder / f"{number}.{_KEYS}").read_bytes()))
    with (
        (folder / f"{number}.{_CELLS}").open("rb") as file,
        mmap.mmap(file.fileno(), _BYTES, prot=mmap.PROT_READ) as shared,
        memoryview(shared) as content,
        content.cast("d") as cells,
        cells[:used] as own,
    ):
        values = [float(value) for value in own]
    return {series: values[place : place + _width(series[0])] for series, place in places.items()}


def summed(folder: Path) -> dict[Series, list[float]]:
    """The series of all workers of a service, those that ended included, added up."""
    total: dict[Series, list[float]] = {}
    for path in sorted(folder.glob(f"*.{_KEYS}")):
        for series, values in read_series(folder, path.stem).items():
            before = total.get(series)
            total[series] = values if before is None else [a + b for a, b in zip(before, values, strict=True)]
    return total
