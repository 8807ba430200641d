"""Shadow answers: the other version's answer to requests that are answered already, compared and never served."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from contextlib import suppress

from arbitrank.answerlog.shadow_lines import ShadowAnswer, ShadowLine
from arbitrank.arbitration.arbitrator import Arbitration
from arbitrank.guard import Fault, guarded
from arbitrank.live.comparison import Comparison
from arbitrank.live.routing import Routing, takes_part
from arbitrank.values import Request

WAITING = 1_000
"""Requests that may wait for their comparison; those that come while so many wait are not compared."""


class Shadow:
    """A thread that has requests answered by the other version too.

    `dropped` counts the requests for which there was no time, `failed` the comparisons that `compared` raised on.
    """

    def __init__(self, comparison: Comparison, compared: Callable[[ShadowLine], object] | None) -> None:
        self.dropped, self.failed = 0, 0
        self._comparison, self._compared = comparison, compared
        self._queue: queue.Queue[tuple[Routing, Request, frozenset[str], Arbitration] | None] = queue.Queue(WAITING)
        self._thread: threading.Thread | None = None

    def compare(self, routing: Routing, request: Request, drawn: frozenset[str], served: Arbitration) -> None:
        """Enqueue a request that was answered with the candidates of `drawn`."""
        try:
            self._queue.put_nowait((routing, request, drawn, served))
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

    def _compare(self, routing: Routing, request: Request, drawn: frozenset[str], served: Arbitration) -> None:
        found: dict[str, ShadowAnswer] = {}
        answer = served.answer
        for name, candidate in routing.candidates.items():
            if not candidate.shadow or not takes_part(name, answer):
                continue
            other = routing.arbitrator(drawn ^ {name}).answer(request)
            side = candidate.side("shadowed" if name in drawn else "shadow")
            flips = self._comparison.unserved(name, side, other, answer)
            found[name] = ShadowAnswer(side.version, side.arm == "shadow", flips, other)
        if found and self._compared:
            written = guarded(self._compared, _line(request, served, found))
            self.failed += isinstance(written, Fault)


def _line(request: Request, served: Arbitration, found: dict[str, ShadowAnswer]) -> ShadowLine:
    fields = {name: getattr(request, name) for name in Request.__struct_fields__}
    recognised = request.hypotheses is None
    if recognised:
        fields["hypotheses"] = served.hypotheses
    return ShadowLine(**fields, answer=served.answer, recognised=recognised, shadow=found)
