"""The benchmark of isolation: its figures, however busy the machine is."""

from __future__ import annotations

import gc
import sys
from argparse import Namespace

import pytest
from benchmarks import roles
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


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc of Linux")
def test_the_benchmark_plays_both_sides_of_a_workers_socket() -> None:
    path = list(sys.path)
    try:
        found = roles.measured(Namespace(rounds=2))
    finally:
        sys.path[:] = path
        sys.modules.pop("arbitrank_bench", None)
        gc.enable()
    for one in found.values():
        assert min(one.values()) > 0
