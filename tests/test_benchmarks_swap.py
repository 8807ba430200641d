"""The benchmark of hot swap: its figures, however busy the machine is."""

from __future__ import annotations

from argparse import Namespace

from benchmarks.swap import measured


def test_the_benchmark_measures_latency_beside_swaps() -> None:
    found = measured(Namespace(blocks=4, seconds=1.0, poll=1.0, per_poll=2.0, least=1))
    assert found["failed"] == found["stale"]  # a version becomes stale where the machine is too busy to load the next
    assert found["swaps"] >= 2
    assert min(found["requests"]) > 0
    assert found["p99_ratio"] > 0
