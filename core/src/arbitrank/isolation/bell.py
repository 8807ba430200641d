"""Bell of a worker: a pipe that tells the service when to look at the socket, where it need not wake for every outcome.

Of a query of several models the service waits for the bell, which the worker rings after every eighth outcome, when it
is done, and when the socket is full. Only the socket says what happened, so that a bell that rings without a reason
costs a look, and no outcome.
"""

from __future__ import annotations

import os
from contextlib import suppress

__all__ = ["BELL", "CAPABILITY", "OUTCOMES", "Bell", "bell_of_service"]

BELL = "_ARBITRANK_BELL"
"""Environment variable with the file descriptor of the pipe's end that a worker writes to."""

OUTCOMES = 8
"""Outcomes after which it rings: one process reads them while the other calls the next models."""

CAPABILITY = "bell"
"""Capability of a worker that rings."""


class Bell:
    """The end of the pipe in the worker."""

    def __init__(self, file: int) -> None:
        self._file = file
        os.set_blocking(file, False)

    def ring(self) -> None:
        """Wake the service. A full pipe has woken it already, and one that a domain closed leaves it its deadline."""
        with suppress(OSError):
            os.write(self._file, b"\0")


def bell_of_service() -> Bell | None:
    """The bell that the service gave this process, None where it gave none."""
    file = os.environ.pop(BELL, "")
    with suppress(ValueError, OSError):
        return Bell(int(file))
    return None
