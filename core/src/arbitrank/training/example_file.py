"""Examples on disk: written once in sequence, read by any process through a memory map, one at a time.

    FILE              the examples in MessagePack, end to end
    FILE.places.npy   offsets of begin and end in bytes, int64, shape (2, n)

Only one example is in memory at a time, unless the reader keeps more.
"""

from __future__ import annotations

import hashlib
import mmap
from array import array
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, overload

import msgspec
import numpy as np
from numpy.typing import NDArray

from arbitrank.packed import packed
from arbitrank.values import Example

_decode = msgspec.msgpack.Decoder(Example).decode
_encode = partial(packed, msgspec.msgpack.Encoder(order="deterministic").encode)

Indices = NDArray[np.int64]


class Writer:
    """Writes examples into a file that `ExampleFile` reads.

    Of examples with equal ids the last counts; with `every`, each.
    """

    def __init__(self, path: Path, *, every: bool = False) -> None:
        self.path, self._every = path, every
        self._file = path.open("wb", buffering=1 << 20)
        self._ends, self._keys, self._end = array("q"), array("Q"), 0
        self.repeated = 0

    def add(self, example: Example) -> None:
        """Write an example."""
        raw = _encode(example)
        self._file.write(raw)
        self._end += len(raw)
        self._ends.append(self._end)
        self._keys.append(0 if self._every else _key(example.request.id))

    def __enter__(self) -> Writer:
        return self

    def __exit__(self, *raised: object) -> None:
        """Finish both files."""
        self._file.close()
        ends = np.array(self._ends, np.int64)
        kept = _latest(np.array(self._keys, np.uint64))
        self.repeated = len(ends) - len(kept)
        np.save(_places(self.path), np.stack([np.append(0, ends)[kept], ends[kept]]))


def write_examples(path: Path, examples: Sequence[Example]) -> ExampleFile:
    """Write all examples, repeated ids included, and return them as a file's."""
    with Writer(path, every=True) as writer:
        for example in examples:
            writer.add(example)
    return ExampleFile(path)


class ExampleFile(Sequence[Example]):
    """The examples of a file of `Writer`, or some of them; each is decoded on access."""

    def __init__(self, path: Path, chosen: Indices | None = None) -> None:
        self.path = path
        places = np.load(_places(path), mmap_mode="r")
        self._places: NDArray[np.int64] = places if chosen is None else places[:, chosen]
        self._chosen = chosen
        self._bytes = memoryview(b"")
        if path.stat().st_size:
            with path.open("rb") as file:
                self._bytes = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))

    def __len__(self) -> int:
        return int(self._places.shape[1])

    @overload
    def __getitem__(self, index: int) -> Example: ...

    @overload
    def __getitem__(self, index: slice) -> ExampleFile: ...

    def __getitem__(self, index: int | slice) -> Example | ExampleFile:
        if isinstance(index, slice):
            return self.at(np.arange(len(self))[index])
        begin, end = self._places[:, index].tolist()
        return _decode(self._bytes[begin:end])

    def __iter__(self) -> Iterator[Example]:
        for raw in self.raw():
            yield _decode(raw)

    def raw(self) -> Iterator[memoryview]:
        """The examples undecoded."""
        for first in range(0, len(self), 4096):
            for begin, end in self._places[:, first : first + 4096].T.tolist():
                yield self._bytes[begin:end]

    def at(self, indices: Indices) -> ExampleFile:
        """The examples at these indices."""
        return ExampleFile(self.path, indices if self._chosen is None else self._chosen[indices])


def select(examples: Sequence[Example], chosen: NDArray[np.bool_]) -> Sequence[Example]:
    """The examples chosen by a mask."""
    if isinstance(examples, ExampleFile):
        return examples.at(np.flatnonzero(chosen))
    return [example for example, kept in zip(examples, chosen.tolist(), strict=True) if kept]


def data_digest(examples: Sequence[Example]) -> str:
    """The digest of a data set: SHA-256 over its examples in order."""
    found = hashlib.sha256()
    raws: Any = examples.raw() if isinstance(examples, ExampleFile) else map(_encode, examples)
    for raw in raws:
        found.update(raw)
    return found.hexdigest()


def _key(id: str | None) -> int:
    """A hash of an id; 0 for None, which equals no other."""
    if id is None:
        return 0
    return int.from_bytes(hashlib.blake2b(id.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little") or 1


def _latest(keys: NDArray[np.uint64]) -> Indices:
    """Indices of the last occurrence of each key, and of every 0, in order."""
    _, last = np.unique(keys[::-1], return_index=True)
    kept = np.zeros(len(keys), bool)
    kept[len(keys) - 1 - last] = True
    return np.flatnonzero(kept | (keys == 0))


def _places(path: Path) -> Path:
    return path.with_name(f"{path.name}.places.npy")
