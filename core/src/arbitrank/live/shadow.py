"""Shadow answers: the other version's answer to requests that are answered already, compared and never served."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path

import msgspec

from arbitrank.errors import DataError, describe
from arbitrank.guard import Fault, guarded
from arbitrank.live.comparison import Comparison
from arbitrank.live.routing import Routing, takes_part
from arbitrank.values import Answer, Request
from arbitrank.wire import Logged

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

    def __init__(self, comparison: Comparison, compared: Callable[[ShadowLine], None] | None) -> None:
        self.dropped, self.failed = 0, 0
        self._comparison, self._compared = comparison, compared
        self._queue: queue.Queue[Callable[[], None] | None] = queue.Queue(WAITING)
        self._thread: threading.Thread | None = None

    def compare(self, routing: Routing, request: Request, drawn: frozenset[str], answer: Answer) -> None:
        """Enqueue a request that was answered with the candidates of `drawn`."""
        try:
            self._queue.put_nowait(partial(self._compare, routing, request, drawn, answer))
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
            try:
                self._queue.put(None, timeout=timeout)
                self._thread.join(timeout)
            except queue.Full:  # it hangs in a plugin
                pass
            self._thread = None

    def _work(self) -> None:
        while (task := self._queue.get()) is not None:
            task()

    def _compare(self, routing: Routing, request: Request, drawn: frozenset[str], answer: Answer) -> None:
        found = {}
        for name, candidate in routing.candidates.items():
            if not candidate.shadow or not takes_part(name, answer):
                continue
            other = routing.arbitrator(drawn ^ {name}).answer(request)
            flips = self._comparison.unserved(
                name, candidate.side("shadowed" if name in drawn else "shadow"), other, answer
            )
            version = candidate.beside if name in drawn else candidate.serving.version
            found[name] = ShadowAnswer(version, name not in drawn, flips, other)
        if found and self._compared:
            fields = {name: getattr(request, name) for name in Request.__struct_fields__}
            written = guarded(self._compared, ShadowLine(**fields, answer=answer, shadow=found))
            self.failed += isinstance(written, Fault)


class ShadowFile:
    """Appends comparisons to a JSON Lines file; raises `DataError` where it cannot be written."""

    def __init__(self, path: Path) -> None:
        try:
            self._file = path.open("ab", buffering=0)
        except OSError as error:
            raise DataError(f"{path}: cannot be written: {describe(error)}") from error

    def __call__(self, line: ShadowLine) -> None:
        """Append one comparison."""
        self._file.write(msgspec.json.encode(line) + b"\n")

    def __enter__(self) -> ShadowFile:
        return self

    def __exit__(self, *error: object) -> None:
        self._file.close()
