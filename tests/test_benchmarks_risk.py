"""The benchmarks of bounds on risk and of segments, on made requests: their figures are those that can be counted."""

from __future__ import annotations

import numpy as np
from benchmarks import risk, segments
from benchmarks.unseen import Unseen

from arbitrank.arbitration.decide import DecisionSettings
from arbitrank.arbitration.merge import BestReadings
from arbitrank.decisions.observed import Observed, heads_of
from arbitrank.probability import sigmoid

NAMES = ("a", "b")


def made(n: int) -> Unseen:
    """Requests to two domains that state what they should."""
    rng = np.random.default_rng(0)
    owner = rng.integers(0, 2, n)
    z = rng.normal(np.where(np.arange(2) == owner[:, None], 3.0, -3.0), 2.45)
    right = np.arange(2) == owner[:, None]
    readings = tuple(BestReadings(p, 0.98 * p, np.zeros(n, np.int32), p) for p in sigmoid(z).T)
    owners = np.column_stack([right, np.zeros(n, np.bool_)])
    contexts = [{"device": "tv" if i % 3 else "car"} for i in range(n)]
    return Unseen(Observed(NAMES, readings, right, owners), contexts, [5] * n, [["Do"] * n] * 2)


def test_bounds_are_counted_in_the_population_and_on_the_rest() -> None:
    heads = heads_of(made(3_000).observed, DecisionSettings())
    one, *_ = rows = risk.measured(heads, None, NAMES, 4, 0)
    assert [(row["risk"], row["per"]) for row in rows] == [(0.02, "all"), (0.05, "all"), (0.1, "all"), (0.05, "domain")]
    assert (one["splits"], one["held"] >= 3, one["met"] <= 4) == (4, True, True)
    assert all(row["held"] >= row["held_on_rest"] or row["held_on_rest"] >= 3 for row in rows)


def test_candidates_that_are_as_good_pass_and_moved_ones_are_refused() -> None:
    found = segments.measured(made(2_000), 4, 0)
    assert (found["candidates"], found["refused"], found["moved"]) == (4, 0, 4)
    assert found["moved_refused"] >= found["moved_named"] >= 3
