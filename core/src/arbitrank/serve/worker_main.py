"""Main program of a worker: `python -m arbitrank.serve.worker_main`, its `WorkerStart` on standard input."""

from __future__ import annotations

import sys
from functools import partial
from importlib import import_module

from arbitrank.background import giving_way
from arbitrank.errors import ArbitrankError
from arbitrank.serve.worker_place import WorkerPlace, WorkerReport, WorkerStart


def main() -> None:
    """Run one worker until it is signalled, or the supervisor ends."""
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
