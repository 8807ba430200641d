"""The benchmark of retraining has the documented figures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from benchmarks.retrain import batch_of, custom, loglinear, memory, one_of, plain, side_by_side, write_domain

from arbitrank.training.datasets import Dataset, prepare
from arbitrank.training.example_file import ExampleFile


def test_the_figures_are_ratios_of_what_was_measured_in_one_run() -> None:
    assert loglinear(2_000, 1)["over_gradients"] > 0
    assert custom(2_000, 1)["over_binary"] > 0
    one = one_of(3, 500)
    assert one["time"] > 0
    assert one["data"] == pytest.approx(1 / 3)
    both = side_by_side(2, 500, threads=False)
    assert both["over_two_processes"] == pytest.approx(both["two_processes"] / both["seconds"])


def test_memory_is_that_of_the_process_that_trains() -> None:
    found = memory([500, 1_000], "loglinear")
    assert all(peak > 10 for peak in found["mb"])
    assert found["slope"] < 1


def test_the_bare_gradient_is_the_one_of_the_toolkit() -> None:
    from functools import partial

    from arbitrank.learn.linear_training import BlockedLoss
    from arbitrank.learn.losses import mixed

    features, batch = batch_of(500, 4)
    w = np.array([0.3, -0.2, 0.5, 0.1])
    value, slope = BlockedLoss(partial(mixed, form="null", r1=1.0, r2=1.0), features, batch)(w)
    bare, steep = plain(features, batch, w)
    assert value == pytest.approx(bare)
    np.testing.assert_allclose(slope, steep, rtol=1e-9, atol=1e-12)


def test_the_data_that_are_made_up_can_be_read(tmp_path: Path) -> None:
    write_domain(tmp_path / "data.jsonl", "d0", 100, 0)
    prepare(Dataset(str(tmp_path / "data.jsonl")), ["d0"], {"d0": tmp_path / "d0"})
    found = list(ExampleFile(tmp_path / "d0"))
    assert len(found) == 20
    assert all(len(one.request.hypotheses or ()) == 5 for one in found)
