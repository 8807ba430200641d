"""What several tests wait for: a condition, and children that they fork."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from typing import Any


def until(condition: Callable[[], object], seconds: float = 20.0) -> None:
    """Wait until something holds."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def forked(work: Callable[[], Any]) -> int:
    """Run `work` in a child; the child's process id."""
    child = os.fork()
    if child:
        return child
    try:
        work()
        os._exit(0)
    except BaseException as error:
        sys.__stderr__.write(f"{type(error).__name__}: {error}\n")
        os._exit(1)


def ended(child: int) -> int:
    """Wait for a child; its exit status, minus the signal where one killed it."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
