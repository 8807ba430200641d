"""The corpus that the processes of one evaluation share, each reading it once, and their peak memory."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import msgspec
from joblib import Parallel, delayed

from arbitrank.domain import Progress
from arbitrank.evaluate.corpus import Corpus
from arbitrank.nlu.encoded import Encoded
from arbitrank.nlu.training import encode_all

T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class SharedCorpus:
    """A corpus that other processes read from a file, each once, instead of receiving it with every task."""

    value: Corpus
    path: Path

    @cached_property
    def seen(self) -> list[list[Encoded]]:
        """The encoded utterances of each split, computed once by a process for all its domains."""
        return [encode_all(split) for split in (self.value.train, self.value.tuning, self.value.held)]

    def __reduce__(self) -> tuple[Any, ...]:
        return _read, (self.path,)


def in_processes(
    function: Callable[..., T],
    corpus: Corpus,
    tasks: Sequence[tuple[Any, ...]],
    *,
    jobs: int,
    stage: str,
    progress: Progress,
) -> list[T]:
    """The results of `function(shared corpus, *task)` for each task, in the order in which they end."""
    results: list[T] = []
    with tempfile.TemporaryDirectory(prefix="arbitrank-") as folder:
        path = Path(folder) / "corpus"
        path.write_bytes(msgspec.msgpack.encode(corpus))
        shared = SharedCorpus(corpus, path)
        calls = (delayed(function)(shared, *task) for task in tasks)
        for result in Parallel(n_jobs=jobs, return_as="generator_unordered")(calls):
            results.append(result)
            progress(stage, len(results), len(tasks))
    return results


@lru_cache(maxsize=1)
def _read(path: Path) -> SharedCorpus:
    return SharedCorpus(msgspec.msgpack.decode(path.read_bytes(), type=Corpus), path)


class Peak(NamedTuple):
    """The most memory that a process, by its number, has held so far, in bytes."""

    process: int
    held: int


def peak() -> Peak | None:
    """The peak of this process; None where the system does not report it."""
    held = _peak()
    return Peak(os.getpid(), held) if held else None


def total(peaks: Iterable[Peak | None]) -> int | None:
    """The peak of all processes, in bytes: the sum of their peaks, shared pages counted once for each."""
    held: dict[int, int] = {}
    for one in peaks:
        if one is None:
            return None
        held[one.process] = max(one.held, held.get(one.process, 0))
    return sum(held.values())


def _peak() -> int | None:
    try:
        # On Linux `ru_maxrss` includes the process that this one was forked from; VmHWM does not.
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
