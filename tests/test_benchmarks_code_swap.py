"""The benchmark of swaps of code: which answers count as stale, mixed or failed, and a short run of a real service."""

from __future__ import annotations

import math
from typing import Any

from benchmarks.code_swap import Changes, Seen, measured, print_table


def answer(release: str, weights: str, *, code: str | None = None, status: str = "answered") -> dict[str, Any]:
    """An answer that states a release and a version, made by `code`."""
    made = code or release
    return {
        "id": "worker-1",
        "domains": {"kite": {"status": status, "release": release}, "swing": {"status": status, "version": weights}},
        "ranked": [
            {"domain": "kite", "intent": f"Code_{made}_{made}", "slots": []},
            {"domain": "swing", "intent": "Any", "slots": [{"name": "weights", "value": f"content of {weights}"}]},
        ],
    }


def seen() -> Seen:
    return Seen(4.0, Changes("1.0"), Changes("v1"), {one: f"content of {one}" for one in ("v1", "v2")})


def test_a_value_is_held_while_it_is_current_and_for_the_bound_after() -> None:
    changes = Changes("1.0")
    changes.spells = [(-math.inf, 100.0, "1.0"), (99.0, math.inf, "1.1")]
    assert changes.held("1.0", 103.9, 104.0, 4.0)
    assert not changes.held("1.0", 104.1, 104.2, 4.0)
    assert changes.held("1.1", 98.0, 99.5, 4.0)
    assert not changes.held("1.1", 98.0, 98.5, 4.0)


def test_answers_are_judged_by_what_they_state_and_what_made_them() -> None:
    one = seen()
    one.judge([answer("1.0", "v1")], 0.0, 1.0)
    assert one.last == {"worker": ("1.0", "v1")}
    assert "mixed" not in one.counts
    one.judge([answer("1.0", "v1", code="1.1")], 0.0, 1.0)
    one.judge([answer("1.0", "v1"), answer("1.1", "v1")], 0.0, 1.0)
    assert one.counts["mixed"] == 2
    assert one.counts["stale"] == 1
    one.judge([answer("1.0", "v1", status="late")], 0.0, 1.0)
    one.broken("failed: 503")
    assert one.counts["failed"] == 2


def test_swaps_of_code_and_weights_fail_no_request(capsys) -> None:  # type: ignore[no-untyped-def]
    figures = measured(2, 2, poll=0.2, deadline=10_000.0)
    assert (figures["failed"], figures["mixed"]) == (0, 0), figures["wrong"]
    assert figures["processes"] == [11.0, 11.0]  # a supervisor, two workers, each with two pairs
    print_table(figures)
    assert "2 swaps of code, 2 promotions" in capsys.readouterr().out
