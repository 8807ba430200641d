"""The benchmark of what an answer costs."""

from __future__ import annotations

import numpy as np
from benchmarks.predict import answering, floor, medians, requests, spec


def test_the_requests_are_of_the_promised_size() -> None:
    one, (request, *_) = answering(3, n=2)
    assert request.hypotheses is not None
    assert len(request.hypotheses) == 15
    assert len(spec("domain0").reading_names) == 20
    assert [report.status for report in one.answer(request).domains.values()] == ["answered"] * 3
    assert requests(["domain0"], 2) == requests(["domain0"], 2)


def test_the_floor_sorts_as_many_readings() -> None:
    assert sorted(floor(3)(0).tolist()) == list(range(15))


def test_the_contestants_take_turns() -> None:
    calls: list[str] = []
    cost = medians({"a": lambda i: calls.append("a"), "b": lambda i: calls.append("b")}, 0.05)
    assert cost.keys() == {"a", "b"}
    assert all(np.isfinite(us) and us > 0.0 for us in cost.values())
    assert "".join(calls).count("ba") >= 1
