"""Calls of the C library that Python has no functions for, whose failures are `OSError`."""

from __future__ import annotations

import ctypes
import os

__all__ = ["checked", "failure", "libc", "refuse_new_privileges"]

_NO_NEW_PRIVILEGES = 38  # of prctl

libc = ctypes.CDLL(None, use_errno=True)
"""The C library of this process."""


def checked(result: int, what: str) -> int:
    """The result of a call, named `what`. Raises `OSError` where it is negative, which says that the call failed."""
    if result < 0:
        raise failure(what)
    return result


def failure(what: str) -> OSError:
    """The error of the last call, which failed."""
    number = ctypes.get_errno()
    return OSError(number, f"{what}: {os.strerror(number)}")


def refuse_new_privileges() -> None:
    """Have programs that this process executes get no privileges that it lacks, for good. Raises `OSError`."""
    checked(libc.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0), "prctl")
