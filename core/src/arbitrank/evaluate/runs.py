"""Runs of the domains of one evaluation, in processes that share its corpus, with their time and peak memory."""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple, TypeVar

import msgspec
import numpy as np
from joblib import Parallel, delayed

from arbitrank.arbitration.merge import BestReadings
from arbitrank.domain import Progress
from arbitrank.evaluate.corpus import Corpus
from arbitrank.evaluate.joint import JointParts, Masks
from arbitrank.evaluate.labelled import LabelledReadings
from arbitrank.nlu.encoded import Encoded
from arbitrank.nlu.training import encode_all
from arbitrank.packed import packed

T = TypeVar("T")

_FOLDS = 5  # of the re-rankers, where one file of hypotheses is all there is


class Peak(NamedTuple):
    """The most memory that a process, by its number, has held so far, in bytes."""

    process: int
    held: int


class DomainRun(NamedTuple):
    """Results of one domain in an experiment.

    `hypotheses` is the file of its hypotheses, `readings` are each system's best readings of the held-out requests,
    `seconds` the time by stage. `tuning` are each system's labelled readings of the requests that its decision settings
    are tuned on (`arbitrank.evaluate.tuning`), none where there are no such requests. `peak` is its process's memory,
    `joint` its rows for the joint model (None where there is none). `notes` name what was left out.
    `changed` are some systems' best readings of held-out requests that were changed, by the name of the change, where
    it concerns the domain.
    """

    domain: str
    hypotheses: Path
    readings: Mapping[str, BestReadings]
    seconds: Mapping[str, float]
    tuning: Mapping[str, LabelledReadings]
    peak: Peak | None
    joint: JointParts | None = None
    notes: tuple[str, ...] = ()
    changed: Mapping[str, Mapping[str, BestReadings]] = MappingProxyType({})


def splits(corpus: Corpus, seed: int) -> list[Masks]:
    """Masks of the training requests to learn from and of the held-out ones then scored: all once, or fold by fold."""
    if not corpus.cross_fitted:
        return [(np.ones(len(corpus.train), bool), np.ones(len(corpus.held), bool))]
    fold = np.random.default_rng(seed).permutation(len(corpus.held)) % _FOLDS
    return [(fold != f, fold == f) for f in range(_FOLDS)]


class Clock:
    """Laps of wall time in seconds, by name."""

    def __init__(self) -> None:
        self.laps: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, name: str) -> None:
        """End the present lap under this name."""
        now = time.perf_counter()
        self.laps[name] = round(self.laps.get(name, 0.0) + now - self._last, 3)
        self._last = now


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


@lru_cache(maxsize=1)
def _read(path: Path) -> SharedCorpus:
    return SharedCorpus(msgspec.msgpack.decode(path.read_bytes(), type=Corpus), path)


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
    progress(stage, 0, len(tasks))
    with tempfile.TemporaryDirectory(prefix="arbitrank-") as folder:
        shared = SharedCorpus(corpus, Path(folder) / "corpus")
        shared.path.write_bytes(packed(msgspec.msgpack.encode, corpus))
        calls = (delayed(function)(shared, *task) for task in tasks)
        for result in Parallel(n_jobs=jobs, return_as="generator_unordered")(calls):
            results.append(result)
            progress(stage, len(results), len(tasks))
    return results


def peak() -> Peak | None:
    """The peak of this process; None where the system does not report it."""
    # On Linux `ru_maxrss` includes the process that this one was forked from; VmHWM does not.
    with suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return Peak(os.getpid(), int(line.split()[1]) * 1024)
    try:
        from resource import RUSAGE_SELF, getrusage
    except ImportError:  # Windows
        return None
    return Peak(os.getpid(), getrusage(RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024))


def total(peaks: Iterable[Peak | None]) -> int | None:
    """The peak of all processes, in bytes: the sum of their peaks, shared pages counted once for each."""
    held: dict[int, int] = {}
    for one in peaks:
        if one is None:
            return None
        held[one.process] = max(one.held, held.get(one.process, 0))
    return sum(held.values())
