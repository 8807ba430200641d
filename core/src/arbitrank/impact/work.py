"""Work on the requests of a file or a log, chunk by chunk: the same chunks wherever it is done."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby, islice
from pathlib import Path
from typing import Protocol, TypeVar

from arbitrank.answerlog.feedback import UnusedFeedback
from arbitrank.answerlog.joining import LogView
from arbitrank.answerlog.reader import lines_of
from arbitrank.wire.json_lines import BadLine

CHUNK = 256
"""Requests that are scored at once."""

_TASK = 8
"""Chunks of a task: some seconds of work, beside which its transport to a cluster counts for little."""

Lines = Sequence[tuple[int, bytes | BadLine]]
Requests = Path | LogView

R_co = TypeVar("R_co", covariant=True)


class Work(Protocol[R_co]):
    """Work of one process, with the models loaded."""

    def share(self, some: Iterable[Lines], path: Requests) -> R_co:
        """The result of some chunks of the requests at `path`."""
        ...


def tasks(requests: Requests) -> Iterator[list[Lines]]:
    """All chunks of the lines of a file or a log, some at a time; one task without any where there is no line."""
    some = iter(Chunks(requests))
    yield list(islice(some, _TASK))
    while task := list(islice(some, _TASK)):
        yield task


class Chunks:
    """Every `of`-th chunk of the lines, from the k-th on.

    `unused`, at the end, counts the reactions in a log that were joined with no request; None of a file.
    """

    def __init__(self, requests: Requests, k: int = 0, of: int = 1) -> None:
        self._requests, self._k, self._of = requests, k, of
        self.unused: UnusedFeedback | None = None

    def __iter__(self) -> Iterator[Lines]:
        lines = enumerate(lines_of(self._requests, self._count))
        for chunk, some in groupby(lines, lambda line: line[0] // CHUNK):
            if chunk % self._of == self._k:
                yield [line for _, line in some]

    def _count(self, unused: UnusedFeedback) -> None:
        self.unused = unused
