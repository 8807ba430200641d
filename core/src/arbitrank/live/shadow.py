"""Shadow answers: the other version's answer to requests that are answered already, compared and never served."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec

from arbitrank.errors import DataError, os_errors
from arbitrank.guard import Fault, guarded
from arbitrank.live.comparison import Comparison
from arbitrank.live.routing import Routing, takes_part
from arbitrank.values import Answer, Request
from arbitrank.wire.requests import Logged

WAITING = 1_000
"""Requests that may wait for their comparison; those that come while so many wait are not compared."""


class ShadowAnswer(msgspec.Struct, frozen=True):
    """The answer of the other `version` of one name, and whether it `flips` the answer that was served.

    `candidate` is False where the candidate's answer was served, so that this is the stable version.
    """

    version: str
    candidate: bool
    flips: bool
    answer: Answer


class ShadowLine(Logged, frozen=True, omit_defaults=True, kw_only=True):
    """A line of a log, as a replay reads it, with the other versions' answers, by name."""

    shadow: dict[str, ShadowAnswer]


class Shadow:
    """A thread that has requests answered by the other version too.

    `dropped` counts the requests for which there was no time, `failed` the comparisons that `compared` raised on.
    """

    def __init__(self, comparison: Comparison, compared: Callable[[ShadowLine], object] | None) -> None:
        self.dropped, self.failed = 0, 0
        self._comparison, self._compared = comparison, compared
        self._queue: queue.Queue[tuple[Routing, Request, frozenset[str], Answer] | None] = queue.Queue(WAITING)
        self._thread: threading.Thread | None = None

    def compare(self, routing: Routing, request: Request, drawn: frozenset[str], answer: Answer) -> None:
        """Enqueue a request that was answered with the candidates of `drawn`."""
        try:
            self._queue.put_nowait((routing, request, drawn, answer))
        except queue.Full:
            self.dropped += 1

    @property
    def waiting(self) -> int:
        """The requests that wait, approximately."""
        return self._queue.qsize()

    def start(self) -> None:
        """Compare in the background from now on."""
        self._thread = threading.Thread(target=self._work, name="arbitrank shadow", daemon=True)
        self._thread.start()

    def stop(self, timeout: float) -> None:
        """Compare the requests that wait, for `timeout` seconds at most, and end."""
        if self._thread:
            with suppress(queue.Full):  # it hangs in a plugin
                self._queue.put(None, timeout=timeout)
                self._thread.join(timeout)
            self._thread = None

    def _work(self) -> None:
        while (task := self._queue.get()) is not None:
            self._compare(*task)

    def _compare(self, routing: Routing, request: Request, drawn: frozenset[str], answer: Answer) -> None:
        found = {}
        for name, candidate in routing.candidates.items():
            if not candidate.shadow or not takes_part(name, answer):
                continue
            other = routing.arbitrator(drawn ^ {name}).answer(request)
            side = candidate.side("shadowed" if name in drawn else "shadow")
            flips = self._comparison.unserved(name, side, other, answer)
            found[name] = ShadowAnswer(side.version, side.arm == "shadow", flips, other)
        if found and self._compared:
            fields = {name: getattr(request, name) for name in Request.__struct_fields__}
            written = guarded(self._compared, ShadowLine(**fields, answer=answer, shadow=found))
            self.failed += isinstance(written, Fault)


@contextmanager
def shadow_file(path: Path) -> Iterator[Callable[[ShadowLine], object]]:
    """A function that appends comparisons to a JSON Lines file; raises `DataError` where that cannot be written."""
    with os_errors(DataError, f"{path}: cannot be written"):
        file = path.open("ab", buffering=0)
    with file:
        yield lambda line: file.write(msgspec.json.encode(line) + b"\n")
