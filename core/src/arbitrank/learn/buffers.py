"""Buffers for matrices: in memory while they are small, in a memory-mapped file above that.

The system gives up pages of such a file where memory runs short, so that a matrix may be larger than the memory. The
file has no name; it goes with the process.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from arbitrank.probability import Floats

LARGE = 1 << 27
"""Bytes from which on a matrix is kept in a file."""

BLOCK = 16_384
"""Rows that are worked on at a time: few enough to stay in a processor's cache, enough to make calls cheap."""


def buffer(rows: int, columns: int) -> Floats:
    """An uninitialised array of float64 of this shape."""
    if 8 * rows * columns < LARGE:
        return np.empty((rows, columns))
    file = tempfile.TemporaryFile(prefix="arbitrank-")  # noqa: SIM115  the mapping keeps it open
    return np.memmap(file, np.float64, "w+", shape=(rows, columns))


def blocks(rows: int) -> Iterator[slice]:
    """The rows in blocks, in order."""
    return (slice(first, min(first + BLOCK, rows)) for first in range(0, rows, BLOCK))


def taken(array: Floats, chosen: NDArray[np.bool_]) -> Floats:
    """The chosen rows, by a mask."""
    rows = buffer(int(chosen.sum()), array.shape[1])
    done = 0
    for block in blocks(len(array)):
        part = array[block][chosen[block]]
        rows[done : done + len(part)] = part
        done += len(part)
    return rows
