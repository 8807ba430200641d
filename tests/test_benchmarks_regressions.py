"""The guard against regressions: its verdicts, and a table that has each ratio."""

from __future__ import annotations

from functools import partial

import pytest
from benchmarks.regressions import RATIOS, Recorded, in_turns, recorded, spread, verdict


def test_the_committed_table_has_each_ratio() -> None:
    table = recorded()
    assert table.keys() == RATIOS.keys()
    assert all(one.ratio > 0.0 and one.tolerance >= 0.1 for one in table.values())


def test_runs_that_differ_allow_half_as_much_again_and_others_a_tenth() -> None:
    runs = [{"wide": 1.0, "narrow": 2.0}, {"wide": 1.2, "narrow": 2.01}, {"wide": 1.4, "narrow": 2.0}]
    assert spread(runs) == {"wide": Recorded(1.2, 0.5), "narrow": Recorded(2.0, 0.1)}


@pytest.mark.parametrize(
    ("ratio", "times", "word"),
    [(2.1, 1.0, "as recorded"), (2.5, 1.0, "slower"), (2.5, 2.0, "as recorded"), (1.5, 1.0, "faster")],
)
def test_a_ratio_is_slower_beyond_its_tolerance(ratio: float, times: float, word: str) -> None:
    assert verdict(ratio, Recorded(2.0, 0.2), times) == word
    assert verdict(ratio, None) == "new"


def test_both_sides_of_a_ratio_run_in_turns() -> None:
    order = list[str]()

    def batch(name: str, seconds: float) -> float:
        order.append(name)
        return seconds

    assert in_turns((partial(batch, "ours", 3.0), partial(batch, "floor", 2.0)), 0.0) == 1.5
    assert order == ["ours", "floor", "floor", "ours", "ours", "floor", "floor", "ours"]
