"""Board of a service: memory that the supervisor and its workers share, with a row for each worker.

A worker writes its own row, and all read all rows. Each cell is one aligned machine word, so it is never half-written.
"""

from __future__ import annotations

import mmap
import os
import tempfile
from enum import IntEnum
from time import monotonic

_CELLS = 8  # of a row, of 8 bytes each: as long as a line of the processor's cache
_BEAT, _PHASE, _CONNECTIONS, _CLOSING = range(4)
_FRESH = 1.0  # seconds for which a heartbeat shows that a worker takes connections


class Phase(IntEnum):
    """Phase of a worker's life."""

    ABSENT = 0
    LOADING = 1
    SERVING = 2
    STOPPING = 3


class WorkerBoard:
    """The rows of all workers, in memory that child processes share by its file `descriptor`."""

    def __init__(self, workers: int, descriptor: int | None = None) -> None:
        if descriptor is None:
            descriptor = _shared_file(8 * _CELLS * workers)
        self.workers, self.descriptor = workers, descriptor
        self._cells = memoryview(mmap.mmap(descriptor, 8 * _CELLS * workers)).cast("Q")

    def reset(self, number: int) -> None:
        """Clear the row of a worker that is about to start."""
        self._set(number, _BEAT, 0)
        self._set(number, _CONNECTIONS, 0)
        self.enter(number, Phase.ABSENT)

    def enter(self, number: int, phase: Phase) -> None:
        """Note the phase of a worker."""
        self._set(number, _PHASE, phase)

    def phase(self, number: int) -> Phase:
        """The phase of a worker."""
        return Phase(self._cells[number * _CELLS + _PHASE])

    def beat(self, number: int) -> None:
        """Note that a worker's event loop is running."""
        self._set(number, _BEAT, int(1e6 * monotonic()))

    def last_beat(self, number: int) -> int:
        """The time of a worker's last heartbeat, in microseconds of the monotonic clock; 0 before its first."""
        return self._cells[number * _CELLS + _BEAT]

    def connect(self, number: int, connections: int) -> None:
        """Note how many connections a worker has."""
        self._set(number, _CONNECTIONS, connections)

    def fewest(self, number: int) -> int | None:
        """The connections of that other worker which has the fewest, of those that take any; None where none does."""
        cells, since, found = self._cells, 1e6 * (monotonic() - _FRESH), None
        for row in range(0, self.workers * _CELLS, _CELLS):
            if row != number * _CELLS and cells[row + _PHASE] == Phase.SERVING and cells[row + _BEAT] >= since:
                connections = cells[row + _CONNECTIONS]
                if found is None or connections < found:
                    found = connections
        return found

    def serving(self) -> int:
        """The number of workers that take connections."""
        return sum(self._cells[row + _PHASE] == Phase.SERVING for row in range(0, self.workers * _CELLS, _CELLS))

    def close(self) -> None:
        """Note that the service ends, not a worker alone."""
        self._set(0, _CLOSING, 1)

    def closing(self) -> bool:
        """True once the service ends."""
        return self._cells[_CLOSING] == 1

    def alone(self, number: int) -> bool:
        """True where no other worker takes connections, or will."""
        return self.highest(number) and self._stopped(range(number))

    def highest(self, number: int) -> bool:
        """True where no worker of a higher number takes connections, or will."""
        return self._stopped(range(number + 1, self.workers))

    def _stopped(self, numbers: range) -> bool:
        return all(self.phase(number) in (Phase.STOPPING, Phase.ABSENT) for number in numbers)

    def _set(self, number: int, cell: int, value: int) -> None:
        self._cells[number * _CELLS + cell] = value


def _shared_file(size: int) -> int:
    """The descriptor of a file without a name."""
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("arbitrank board")
    else:
        with tempfile.TemporaryFile() as file:
            descriptor = os.dup(file.fileno())
    os.ftruncate(descriptor, size)
    return descriptor
