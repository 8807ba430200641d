"""Work that nobody waits for: it gives way to what answers requests."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from arbitrank.guard import Fault, guarded

_NICE = 5  # by which the priority is lowered: beside a busy process it gets a quarter of a processor
_SESSION = Path("/proc/self/autogroup")  # Linux may share the processors between sessions, and compares within them

T = TypeVar("T")


def give_way() -> None:
    """Have this process, which leads a session, give way to others for good."""
    if hasattr(os, "nice"):
        os.nice(_NICE)
        if os.getsid(0) == os.getpid():
            with suppress(OSError):
                _SESSION.write_text(str(_NICE))


def giving_way(function: Callable[[], T]) -> T:
    """The result of a function that gives way to other processes' threads while it runs. Raises what it raises.

    It runs in a thread of its own, as a priority that was lowered cannot be raised again. Linux only.
    """
    if sys.platform != "linux":  # where the priority is the whole process's
        return function()
    found: list[T | Fault] = []

    def run() -> None:
        os.nice(_NICE)  # of this thread alone
        found.append(guarded(function))

    thread = threading.Thread(target=run, name="arbitrank background")
    thread.start()
    thread.join()
    if isinstance(found[0], Fault):
        raise found[0].error
    return found[0]
