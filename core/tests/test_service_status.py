"""Status of a service: what its processes counted, added up."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from arbitrank.isolation.groups import GroupStatus
from arbitrank.serve.counters import Counters
from arbitrank.serve.gauges import SUPERVISOR, WorkerGauges, read_gauges, write_gauges
from arbitrank.serve.metric_table import DOMAIN_BOUNDS
from arbitrank.serve.service_status import service_status
from arbitrank.serve.watch_process import RELIABILITY


def test_counts_of_all_workers_are_added_up(tmp_path: Path) -> None:
    for number in (0, 1):
        counters = Counters(tmp_path, number)
        for _ in range(10):
            counters.add("answers", "accept")
            counters.add("domain_wins", "lights", "stable", "accept")
        counters.add("domain_failures", "lights", "stable", "late")
        counters.add("worker_ends")
        place = counters.place("domain_seconds", "lights", "stable")
        counters.cells[place + DOMAIN_BOUNDS.index(0.002)] += 99.0  # between 1 and 2 ms
        counters.cells[place + len(DOMAIN_BOUNDS)] += 1.0  # beyond the last bound
        counters.cells[place + len(DOMAIN_BOUNDS) + 1] += 0.15
        counters.close()
        gauges = {"ready": [((), 1.0)], "problem": [(("store",), 1.0)], "pending": [((), 2.0)]}
        write_gauges(WorkerGauges(str(number), os.getpid(), 5.0 + number, gauges), tmp_path, number)
    write_gauges(WorkerGauges(SUPERVISOR, os.getpid(), 4.0), tmp_path, SUPERVISOR)
    groups = {"all": GroupStatus(("lights",), (1, 2), 0, True, None)}
    found = service_status(tmp_path, groups)
    assert (found.time, found.ends, found.decisions, found.groups) == (6.0, 2, {"accept": 20}, groups)
    lights = found.domains["lights"]["stable"]
    assert (lights.answers, lights.wins, lights.failures) == (200, {"accept": 20}, {"late": 2})
    assert lights.seconds is not None
    assert lights.seconds.mean == pytest.approx(0.3 / 200)
    assert lights.seconds.p50 == pytest.approx(0.001 + 0.001 * 100 / 198)
    assert lights.seconds.p99 == pytest.approx(0.002)
    assert found.since is not None
    assert found.watched is None
    (tmp_path / RELIABILITY).touch()
    assert service_status(tmp_path, {}).watched is not None
    assert {one.worker: (one.ready, one.problems, one.pending) for one in found.workers} == {
        "0": (True, ("store",), 2),
        "1": (True, ("store",), 2),
        SUPERVISOR: (None, (), 0),
    }


def test_a_quantile_beyond_the_last_bucket_is_not_known(tmp_path: Path) -> None:
    counters = Counters(tmp_path, 0)
    counters.cells[counters.place("domain_seconds", "lights", "canary") + len(DOMAIN_BOUNDS)] += 3.0
    counters.close()
    seconds = service_status(tmp_path, {}).domains["lights"]["canary"].seconds
    assert seconds is not None
    assert (seconds.n, seconds.p50, seconds.p99) == (3, None, None)


def test_threads_that_write_the_gauges_at_once_do_not_disturb_each_other(tmp_path: Path) -> None:
    gauges = WorkerGauges("0", os.getpid(), 5.0, {"ready": [((), 1.0)]})
    with ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(write_gauges, gauges, tmp_path, 0) for _ in range(400)]:
            done.result()
    assert read_gauges(tmp_path) == [gauges]
    assert [one.name for one in tmp_path.iterdir()] == ["0.gauges"]
