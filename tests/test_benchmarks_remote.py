"""The benchmarks of remote domains and of the box: their ratios, their tables, and that their sides answer."""

from __future__ import annotations

import gc
import sys
from argparse import Namespace

import pytest
from benchmarks import box, remote


def test_a_ratio_has_an_interval_around_it() -> None:
    middle, low, high = box.ratio([(float(i), 10.0) for i in range(5, 16)])
    assert low < middle == 1.0 < high
    assert box.ratio([(3.0, 2.0)]) == [1.5, 1.5, 1.5]


def test_the_table_of_the_box_has_every_figure(capsys: pytest.CaptureFixture[str]) -> None:
    one = {"us": 812.0, "without_us": 811.0, "ratio": [1.001, 0.99, 1.012], "processor_ratio": [1.02, 1.0, 1.04]}
    kinds = {"text": one, "hypotheses": one}
    start = {"s": 0.91, "without_s": 0.7, "ratio": [1.3, 1.2, 1.4]}
    measures = {"files": None, "disk": "unshare: Operation not permitted"}
    box.print_table({"measures": measures, "one": kinds, "thirty": kinds, "start": start, "load": 0.1})
    out = capsys.readouterr().out
    for text in ("812", "1.001", "0.990 to 1.012", "1.300", "unshare: Operation not permitted"):
        assert text in out


def test_the_table_of_remotes_has_every_figure(capsys: pytest.CaptureFixture[str]) -> None:
    sides = ("here", "isolated", "remote", "bare", "bare_three")
    one = {
        **{f"{name}_us": 100.0 + i for i, name in enumerate(sides)},
        "own_processor_us": dict.fromkeys(sides, 55.0),
        "isolated_overhead_us": 1.0, "remote_overhead_us": 2.0,
        "of_limit_bare": [1.25, 1.2, 1.3], "of_limit_bare_three": [0.875, 0.8, 0.9],
    }  # fmt: skip
    remote.print_table({"text": one, "hypotheses": one, "load": 0.1})
    out = capsys.readouterr().out
    for text in ("103", "1.250", "1.200 to 1.300", "0.875", "55"):
        assert text in out


def test_remotes_workers_and_this_process_answer_in_turns() -> None:
    path = list(sys.path)
    try:
        found = remote.measured(Namespace(quick=True))
    finally:
        sys.path[:] = path
        sys.modules.pop("arbitrank_bench", None)
        gc.enable()
    for kind in ("text", "hypotheses"):
        assert found[kind]["remote_us"] > found[kind]["here_us"]
