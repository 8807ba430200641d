"""Benchmark of the cost of an answer."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from benchmarks.predict import answering, floor, medians, requests, spec
from benchmarks.versus import Contestant, same

ROOT = Path(__file__).parents[1]


def test_the_requests_have_the_stated_size() -> None:
    one, (request, *_) = answering(3, n=2)
    assert request.hypotheses is not None
    assert len(request.hypotheses) == 15
    assert len(spec("domain0").reading_names) == 20
    assert [report.status for report in one.answer(request).domains.values()] == ["answered"] * 3
    assert requests(["domain0"], 2) == requests(["domain0"], 2)


def test_the_floor_sorts_as_many_readings() -> None:
    assert sorted(floor(3)(0).tolist()) == list(range(15))


def test_the_contestants_run_interleaved() -> None:
    calls: list[str] = []
    cost = medians({"a": lambda i: calls.append("a"), "b": lambda i: calls.append("b")}, 0.05)
    assert cost.keys() == {"a", "b"}
    assert all(np.isfinite(us) and us > 0.0 for us in cost.values())
    assert "".join(calls).count("ba") >= 1


def test_two_versions_are_compared_by_paired_ratios() -> None:
    with (
        Contestant(ROOT, sys.executable, "factored", 1) as here,
        Contestant(ROOT, sys.executable, "factored", 1) as other,
    ):
        assert same(here.answers, other.answers)
        assert here.seconds(1) > 0.0
    different = [[(domain, intent, p + 1e-6, q) for domain, intent, p, q in one] for one in other.answers]
    assert not same(here.answers, different)
