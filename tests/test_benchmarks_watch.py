"""The benchmark of the watch finds a fault within a day, and nothing in a quiet week."""

from __future__ import annotations

from benchmarks.watch import FAULTS, QUIET, watched


def test_a_sharpened_domain_is_found_within_a_day_and_it_alone() -> None:
    found = watched(FAULTS["sharpened"], 1, own=True, fault=True, a_day=500)
    assert found.delay is not None
    assert found.delay <= 1.0
    assert found.false == ()


def test_weekends_alarm_nobody() -> None:
    assert watched(QUIET["cycles"], 1, own=True, fault=False, a_day=300).false == ()
