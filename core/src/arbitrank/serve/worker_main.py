"""Main program of a worker: `python -m arbitrank.serve.worker_main`, its `WorkerStart` on standard input."""

from __future__ import annotations

import ctypes
import sys
from contextlib import suppress
from functools import partial
from importlib import import_module

from arbitrank.background import giving_way
from arbitrank.errors import ArbitrankError
from arbitrank.serve.worker_place import WorkerPlace, WorkerReport, WorkerStart

_M_ARENA_MAX = -8  # of glibc's `mallopt`


def one_arena() -> None:
    """Have all threads allocate from one arena, where glibc does it.

    Each version is loaded in a thread of its own, and an arena keeps what its thread has freed: a worker whose weights
    had been exchanged a hundred times had 40 MB more.
    """
    with suppress(AttributeError, OSError):
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 1)


def main() -> None:
    """Run one worker until it is signalled, or the supervisor ends."""
    one_arena()
    start = WorkerStart.decoded(sys.stdin.buffer.read())
    place = WorkerPlace(start)
    load = partial(import_module, "arbitrank.serve.server")  # half a second of a processor
    server = giving_way(load) if place.board.serving() else load()
    try:
        status: int = server.work(start.settings, place)
    except ArbitrankError as error:
        status = 2
        place.report(WorkerReport(str(error), status))
    sys.exit(status)


if __name__ == "__main__":
    main()
