"""Orphans: processes whose parent has ended, which become children of the first process of a container."""

from __future__ import annotations

import os
from collections.abc import Collection


def reap_orphans(known: Collection[int]) -> int:
    """Reap the children of this process that have ended and that it did not start; their number.

    One that is `known` is left, and so are those behind it until it is reaped.
    """
    reaped = 0
    try:
        while found := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT):
            if found.si_pid in known:
                break
            os.waitpid(found.si_pid, 0)
            reaped += 1
    except ChildProcessError:  # there is none at all
        pass
    return reaped
