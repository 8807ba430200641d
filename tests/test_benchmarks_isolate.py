"""The benchmark of isolation: its figures, however busy the machine is."""

from __future__ import annotations

import sys
from argparse import Namespace

from benchmarks.isolate import measured


def test_the_benchmark_measures_the_cost_of_isolation_and_of_a_hang() -> None:
    path = list(sys.path)
    try:
        found = measured(Namespace(quick=True))
    finally:
        sys.path[:] = path
        sys.modules.pop("arbitrank_bench", None)
    assert found["overhead_us_30"] > 0
    assert found["hang_overshoot_ms"] > 0
    assert 0 <= found["answered_beside_it"] <= 29
