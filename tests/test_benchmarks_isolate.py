"""The benchmark of isolation gives the figures that it promises."""

from __future__ import annotations

import sys
from argparse import Namespace

from benchmarks.isolate import measured


def test_the_benchmark_measures_what_isolation_costs_and_what_a_hang_does() -> None:
    path = list(sys.path)
    try:
        found = measured(Namespace(quick=True))
    finally:
        sys.path[:] = path
        sys.modules.pop("arbitrank_bench", None)
    assert found["overhead_us_30"] > 0
    assert found["hang_overshoot_ms"] < 500
    assert found["answered_beside_it"] == 29
