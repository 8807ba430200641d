"""Sequences whose items are computed or read only when they are needed, so that they are never in memory as a whole."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar, cast, overload

import numpy as np
from numpy.typing import NDArray

S = TypeVar("S")
T = TypeVar("T")


class Each(Sequence[T]):
    """The results of a function for each item of a sequence."""

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


def chosen(items: Sequence[T], places: NDArray[np.int64]) -> Each[T]:
    """Some items of a sequence, by their places."""
    return Each(cast(Sequence[np.int64], places), lambda place: items[int(place)])
