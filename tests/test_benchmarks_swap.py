"""The benchmark of hot swap gives the figures that it promises."""

from __future__ import annotations

from argparse import Namespace

from benchmarks.swap import measured


def test_the_benchmark_measures_latency_beside_swaps() -> None:
    found = measured(Namespace(blocks=4, seconds=1.0, poll=1.0, per_poll=2.0))
    assert found["failed"] == 0
    assert found["swaps"] >= 1
    assert min(found["requests"]) > 50
    assert found["p99_ratio"] > 0
