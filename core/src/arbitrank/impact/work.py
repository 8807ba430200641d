"""Work on the requests of a file or a log, chunk by chunk: the same chunks wherever it is done."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby, islice
from pathlib import Path
from typing import Protocol, TypeVar

from arbitrank.answerlog.feedback import FeedbackUse
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

    `use`, at the end, is the use that these chunks made of a log's reactions; None of a file.
    """

    def __init__(self, requests: Requests, k: int = 0, of: int = 1) -> None:
        self._requests, self._k, self._of = requests, k, of
        self.use: FeedbackUse | None = None

    def __iter__(self) -> Iterator[Lines]:
        lines = lines_of(self._requests, self._own if self._of > 1 else None, self._count)
        for _, some in groupby(lines, lambda line: _chunk(line[0])):
            yield [*some]

    def _own(self, number: int) -> bool:
        return _chunk(number) % self._of == self._k

    def _count(self, use: FeedbackUse) -> None:
        self.use = use


def _chunk(number: int) -> int:
    """The chunk of a line, which are numbered from 1 on."""
    return (number - 1) // CHUNK
