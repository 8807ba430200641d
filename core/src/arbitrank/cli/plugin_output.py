"""Standard output kept for a command: what plugins print, C code's too, goes to standard error."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from io import UnsupportedOperation
from typing import IO, cast


@contextmanager
def apart() -> Iterator[IO[bytes]]:
    """The command's standard output, in bytes, while everything else that writes to it writes to standard error."""
    try:
        out, errors = sys.stdout.fileno(), sys.stderr.fileno()
    except (UnsupportedOperation, AttributeError):  # replaced by a caller, as in tests
        with redirect_stdout(sys.stderr):
            yield cast(IO[bytes], (sys.__stdout__ or sys.stdout).buffer)
        return
    sys.stdout.flush()
    kept = os.dup(out)
    try:
        os.dup2(errors, out)
        with os.fdopen(os.dup(kept), "wb") as stream, redirect_stdout(sys.stderr):
            yield stream
    finally:
        os.dup2(kept, out)
        os.close(kept)
