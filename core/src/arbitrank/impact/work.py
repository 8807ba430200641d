"""Work on the requests of a file or a log, chunk by chunk: the same chunks wherever it is done."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby, islice
from pathlib import Path
from typing import Protocol, TypeVar

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
    some = chunks(requests)
    yield list(islice(some, _TASK))
    while task := list(islice(some, _TASK)):
        yield task


def chunks(requests: Requests, k: int = 0, of: int = 1) -> Iterator[Lines]:
    """Every `of`-th chunk of the lines, from the k-th on."""
    for chunk, lines in groupby(enumerate(lines_of(requests)), lambda line: line[0] // CHUNK):
        if chunk % of == k:
            yield [line for _, line in lines]
