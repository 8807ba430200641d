"""The other version's answer to requests that are answered already: made beside them, compared, and never served."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from pathlib import Path

import msgspec

from arbitrank.errors import DataError, describe
from arbitrank.live.comparison import Arm, Side, Tally
from arbitrank.live.routing import Lineup
from arbitrank.values import Answer, Request
from arbitrank.wire import Logged

WAITING = 1_000
"""Requests that may wait to be compared; of those that come while so many wait, none is."""


class Compared(msgspec.Struct, frozen=True):
    """What the other version of one domain, `version`, would have answered, and whether that `flips` the answer.

    `candidate` says whether it is the candidate; it is the stable one where the candidate's answer was served.
    """

    version: str
    candidate: bool
    flips: bool
    answer: Answer


class ShadowLine(Logged, frozen=True, omit_defaults=True, kw_only=True):
    """A line of a log, as a replay reads it, with what the other versions say, by domain."""

    shadow: dict[str, Compared]


class Shadow:
    """A thread that has requests answered by the other version too. `dropped` counts those it had no time for."""

    def __init__(self, tally: Tally, told: Callable[[ShadowLine], None] | None) -> None:
        self.dropped, self.failed = 0, 0
        self._tally, self._told = tally, told
        self._waiting: queue.Queue[tuple[Lineup, Request, frozenset[str], Answer] | None] = queue.Queue(WAITING)
        self._thread: threading.Thread | None = None

    def compare(self, lineup: Lineup, request: Request, drawn: frozenset[str], answer: Answer) -> None:
        """Have a request compared that was answered, the candidates of `drawn` being among those who spoke."""
        try:
            self._waiting.put_nowait((lineup, request, drawn, answer))
        except queue.Full:
            self.dropped += 1

    @property
    def waiting(self) -> int:
        """Requests that wait, about."""
        return self._waiting.qsize()

    def start(self) -> None:
        """Begin to compare what waits and what comes."""
        self._thread = threading.Thread(target=self._work, name="arbitrank shadow", daemon=True)
        self._thread.start()

    def stop(self, timeout: float) -> None:
        """Compare what waits, for `timeout` seconds at most, and end."""
        if self._thread:
            try:
                self._waiting.put(None, timeout=timeout)
                self._thread.join(timeout)
            except queue.Full:  # it hangs in somebody's model
                pass
            self._thread = None

    def drain(self) -> None:
        """Compare what waits now, in the thread that calls."""
        while True:
            try:
                item = self._waiting.get_nowait()
            except queue.Empty:
                return
            if item is not None:
                self._compare(*item)

    def _work(self) -> None:
        while (item := self._waiting.get()) is not None:
            self._compare(*item)

    def _compare(self, lineup: Lineup, request: Request, drawn: frozenset[str], answer: Answer) -> None:
        found = {}
        for name, candidate in lineup.candidates.items():
            if not candidate.shadow or name not in answer.domains:  # or the shortlist passed it over
                continue
            other = lineup.arbitrator(drawn ^ {name}).answer(request)
            arm: Arm = "shadowed" if name in drawn else "shadow"
            side = Side(candidate.beside, candidate.serving.version, candidate.share, arm)
            flips = self._tally.unserved(name, side, other, answer)
            version = candidate.beside if name in drawn else candidate.serving.version
            found[name] = Compared(version, name not in drawn, flips, other)
        if found and self._told:
            fields = {name: getattr(request, name) for name in Request.__struct_fields__}
            try:
                self._told(ShadowLine(**fields, answer=answer, shadow=found))
            except Exception:  # whatever the caller's function raises costs this one comparison
                self.failed += 1


class ShadowFile:
    """Appends what was compared to a file, JSON Lines; raises `DataError` where it cannot be written."""

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
