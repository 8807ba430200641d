"""Calls that may hang, one after another in a thread: one that is late is left to its thread, and the others go on."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Hashable, Mapping
from time import monotonic

MOST = 16
"""Calls that may hang at a time; no further one begins then."""

_LATER = 0.2  # of the deadline, for the calls after one that was late
_LATE = 2  # calls in a row that are late, after which the others are left for another time
_SLICE = 0.2  # seconds between two looks whether to stop


class Patience:
    """Runs calls that may hang, such as reads of a file system that has gone. One thread at a time may `run`.

    A call that hangs keeps its thread until it returns, if ever, and no other with its key begins before.
    """

    def __init__(self, name: str, stopping: threading.Event) -> None:
        self._name, self._stopping = name, stopping
        self._lock = threading.Lock()
        self._hanging: dict[Hashable, float] = {}

    def since(self, key: Hashable) -> float | None:
        """The time since which the call with a key hangs, None where it does not."""
        return self._hanging.get(key)

    @property
    def full(self) -> bool:
        """True while so many calls hang that no further one begins."""
        return len(self._hanging) >= MOST

    def run(self, calls: Mapping[Hashable, Callable[[], None]], seconds: float) -> None:
        """Run the calls, which raise nothing, each for so many seconds at most; those that hang already are left out.

        The first that is late gets all of its time, those after it a fifth, and where several in a row are late, the
        rest are left out too: they would take as long.
        """
        waiting = deque((key, call) for key, call in calls.items() if key not in self._hanging)
        late, patience = 0, seconds
        while waiting and late < _LATE and not self.full and not self._stopping.is_set():
            left = len(waiting)
            if self._finished(_Calls(waiting, self._name, self._returned), patience):
                return
            late = late + 1 if len(waiting) == left - 1 else 1
            patience = _LATER * seconds

    def _finished(self, thread: _Calls, seconds: float) -> bool:
        """Wait for a thread; False once a call of it is late, or the wait is to stop."""
        thread.start()
        while not thread.finished.wait(min(_SLICE, max(0.0, thread.began + seconds - monotonic()))):
            with self._lock:
                if not thread.finished.is_set() and thread.leave(seconds, now=self._stopping.is_set()):
                    self._hanging[thread.key] = thread.began
                    return False
        return True

    def _returned(self, thread: _Calls) -> None:
        """Note that a call which was late has returned."""
        with self._lock:
            self._hanging.pop(thread.key, None)


class _Calls(threading.Thread):
    """Thread that runs calls until none waits, or one of them was left to it: that is its last then."""

    def __init__(
        self, waiting: deque[tuple[Hashable, Callable[[], None]]], name: str, returned: Callable[[_Calls], None]
    ) -> None:
        super().__init__(name=f"arbitrank {name}", daemon=True)
        self.finished = threading.Event()
        self.key: Hashable = None
        self.began = monotonic()
        self._waiting, self._returned = waiting, returned
        self._left = False
        self._turn = threading.Lock()

    def leave(self, seconds: float, *, now: bool) -> bool:
        """Leave the present call to this thread, where it is late or `now`; True where that was done."""
        with self._turn:
            self._left = now or monotonic() - self.began >= seconds
            return self._left

    def run(self) -> None:
        """Run the calls."""
        while self._next():
            self._call()
        self.finished.set()
        if self._left:
            self._returned(self)

    def _next(self) -> bool:
        with self._turn:
            if self._left or not self._waiting:
                return False
            self.key, self._call = self._waiting.popleft()
            self.began = monotonic()
            return True
