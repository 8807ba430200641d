"""Room for matrices: in memory while they are small, else in a file that the system reads and writes as it sees fit.

Pages of such a file are given up where memory runs short, so that a matrix may be larger than the memory. The file has
no name; it goes with the process.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar, overload

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
S = TypeVar("S")
T = TypeVar("T")

LARGE = 1 << 27
"""Bytes from which on a matrix is kept in a file."""

BLOCK = 16_384
"""Rows that are worked on at a time: few enough to stay in a processor's cache, enough to make calls cheap."""


def room(rows: int, columns: int) -> Floats:
    """An array of float64 of this shape, to be filled."""
    if 8 * rows * columns < LARGE:
        return np.empty((rows, columns))
    file = tempfile.TemporaryFile(prefix="arbitrank-")  # noqa: SIM115  the mapping keeps it open
    return np.memmap(file, np.float64, "w+", shape=(rows, columns))


def blocks(rows: int) -> Iterator[slice]:
    """The rows in blocks, in order."""
    return (slice(first, min(first + BLOCK, rows)) for first in range(0, rows, BLOCK))


def taken(array: Floats, chosen: NDArray[np.bool_]) -> Floats:
    """The chosen rows, by a mask."""
    found = room(int(chosen.sum()), array.shape[1])
    done = 0
    for block in blocks(len(array)):
        part = array[block][chosen[block]]
        found[done : done + len(part)] = part
        done += len(part)
    return found


class Each(Sequence[T]):
    """What a function makes of each item of a sequence, when it is asked for."""

    def __init__(self, items: Sequence[S], function: Callable[[S], T]) -> None:
        self._items, self._function = items, function

    def __len__(self) -> int:
        return len(self._items)

    def __iter__(self) -> Iterator[T]:
        return map(self._function, self._items)

    @overload
    def __getitem__(self, index: int) -> T: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[T]: ...

    def __getitem__(self, index: int | slice) -> T | Sequence[T]:
        if isinstance(index, slice):
            return Each(self._items[index], self._function)
        return self._function(self._items[index])


class Chosen(Sequence[T]):
    """Some items of a sequence, by their places, each when it is asked for."""

    def __init__(self, items: Sequence[T], places: NDArray[np.int64]) -> None:
        self._items, self._places = items, places

    def __len__(self) -> int:
        return len(self._places)

    @overload
    def __getitem__(self, index: int) -> T: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[T]: ...

    def __getitem__(self, index: int | slice) -> T | Sequence[T]:
        if isinstance(index, slice):
            return Chosen(self._items, self._places[index])
        return self._items[int(self._places[index])]
