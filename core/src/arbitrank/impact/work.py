"""Work on the requests of a file or a log, chunk by chunk: the same chunks wherever it is done."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby, islice
from pathlib import Path
from typing import Protocol, TypeVar

from arbitrank.answerlog.feedback import FeedbackUse
from arbitrank.answerlog.joining import LogView, reacted_requests
from arbitrank.answerlog.reader import placed_lines
from arbitrank.wire.json_lines import BadLine
from arbitrank.wire.requests import Logged

CHUNK = 256
"""Requests that are scored at once."""

_TASK = 8
"""Chunks of a task: some seconds of work, beside which its transport to a cluster counts for little."""

Lines = Sequence[tuple[int, str | None, bytes | BadLine]]
"""Numbered lines, those of a log with their `FILE:LINE`."""

ReactedLines = Sequence[tuple[int, str | None, bytes | BadLine | Logged | None]]
"""Lines of which some are decoded already; None is a request without a reaction."""

Requests = Path | LogView
L = TypeVar("L")

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
        yield from _chunks(placed_lines(self._requests, self._own, self._count))

    def reacted(self) -> Iterator[ReactedLines]:
        """The chunks of a log with the requests with a reaction decoded; those of a file as they are."""
        if isinstance(self._requests, LogView):
            return _chunks(reacted_requests(self._requests, own=self._own, use=self._count))
        return iter(self)

    @property
    def _own(self) -> Callable[[int], bool] | None:
        k, of = self._k, self._of
        return None if of == 1 else lambda number: _chunk(number) % of == k

    def _count(self, use: FeedbackUse) -> None:
        self.use = use


def _chunks(lines: Iterable[tuple[int, str | None, L]]) -> Iterator[list[tuple[int, str | None, L]]]:
    for _, some in groupby(lines, lambda line: _chunk(line[0])):
        yield [*some]


def _chunk(number: int) -> int:
    """The chunk of a line, which are numbered from 1 on."""
    return (number - 1) // CHUNK
