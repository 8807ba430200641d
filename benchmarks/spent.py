"""Seconds of the clock and of the processors: where other work runs on the machine, the latter say more."""

from __future__ import annotations

import os
import time
from resource import RUSAGE_CHILDREN, RUSAGE_SELF, getrusage
from typing import NamedTuple

from benchmarks.serve import processor_seconds
from benchmarks.start import children


class Spent(NamedTuple):
    """Seconds of the clock, and of processors: of this process and of its child processes, whether they live or not."""

    seconds: float
    processor: float

    @classmethod
    def now(cls) -> Spent:
        """What was spent until now."""
        ended = sum(one.ru_utime + one.ru_stime for one in map(getrusage, (RUSAGE_SELF, RUSAGE_CHILDREN)))
        return cls(time.perf_counter(), ended + sum(map(processor_seconds, children(os.getpid()))))

    def since(self, began: Spent) -> Spent:
        """What was spent since then."""
        return Spent(self.seconds - began.seconds, self.processor - began.processor)
