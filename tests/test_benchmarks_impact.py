"""The benchmark of the impact report has the documented figures."""

from __future__ import annotations

from argparse import Namespace

from benchmarks.impact import measured


def test_the_benchmark_measures_time_and_memory_of_a_report() -> None:
    found = measured(Namespace(quick=True, requests=200, jobs=1))
    assert (found["requests"], found["labelled"], found["domains"]) == (200, 200, 18)
    assert found["seconds_100k"] > 0
    assert 10 < found["peak_mb"] < 2_000
