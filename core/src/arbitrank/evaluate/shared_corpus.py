"""What the processes of one evaluation share: the corpus, read once by each, and the account of their memory."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from arbitrank.evaluate.corpus import Corpus
from arbitrank.nlu.encoded import Encoded
from arbitrank.nlu.training import encode_all


@dataclass(frozen=True, eq=False)
class Shared:
    """A corpus that other processes read from a file, each of them once, instead of being sent it with every task."""

    value: Corpus
    path: Path

    @cached_property
    def seen(self) -> list[list[Encoded]]:
        """The utterances of each split, looked at once by a process for all its domains."""
        return [encode_all(split) for split in (self.value.train, self.value.tuning, self.value.held)]

    def __reduce__(self) -> tuple[Any, ...]:
        return _read, (self.path,)


def share(corpus: Corpus, path: Path) -> Shared:
    """Write the corpus where the processes that are handed what this gives find it."""
    path.write_bytes(msgspec.msgpack.encode(corpus))
    return Shared(corpus, path)


@lru_cache(maxsize=1)
def _read(path: Path) -> Shared:
    return Shared(msgspec.msgpack.decode(path.read_bytes(), type=Corpus), path)


class Peak(NamedTuple):
    """The most memory that a process has held so far, in bytes."""

    process: int
    held: int


def peak() -> Peak | None:
    """This process's peak; None where the system doesn't say."""
    held = _peak()
    return Peak(os.getpid(), held) if held else None


def total(peaks: Iterable[Peak | None]) -> int | None:
    """What all processes held at most, in bytes: the sum of their peaks, shared pages counted once for each."""
    held: dict[int, int] = {}
    for one in peaks:
        if one is None:
            return None
        held[one.process] = max(one.held, held.get(one.process, 0))
    return sum(held.values())


def _peak() -> int | None:
    try:
        # Linux counts what a process was forked from in `ru_maxrss`; this is the program's own.
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    try:
        from resource import RUSAGE_SELF, getrusage
    except ImportError:  # Windows
        return None
    return getrusage(RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
