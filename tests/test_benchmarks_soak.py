"""The soak test: the requests that count as failed, the calls that count as lost, and a short run of a real service."""

from __future__ import annotations

import msgspec
from benchmarks.soak import Course, Plan, measured
from benchmarks.soak_client import Watch
from benchmarks.soak_service import ENDS, RAISES
from benchmarks.soak_table import print_table

from arbitrank.values import Answer, Decision, DomainReport


def body(**statuses: str) -> bytes:
    reports = {name: DomainReport(status) for name, status in statuses.items()}  # type: ignore[arg-type]
    return msgspec.json.encode(Answer("1", Decision("none"), (), reports, {}))


def test_only_failures_of_other_domains_or_of_the_service_count_as_failed() -> None:
    watch = Watch(["music"])
    watch(200, body(music="answered", flaky="failed", frail="skipped"))
    watch(503, b"")
    assert watch.seen["failed"] == 0
    watch(200, body(music="late", flaky="answered", frail="answered"))
    watch(200, body(flaky="answered", frail="answered"))
    watch(500, b"{}")
    assert dict(watch.seen) == {
        "answered": 1, "turned away": 1, "failed": 3, f"{RAISES} failed": 1, f"{ENDS} skipped": 1,
    }  # fmt: skip


def test_who_is_turned_away_without_being_told_when_to_come_again_has_failed() -> None:
    watch = Watch(["music"])
    watch(503, b"", head=b"http/1.1 503 service unavailable\r\nretry-after: 1")
    watch(503, b"", head=b"http/1.1 503 service unavailable")
    assert dict(watch.seen) == {"turned away": 1, "failed": 1}


def test_a_broken_call_is_the_tests_own_doing_only_on_a_struck_workers_connection() -> None:
    course = Course.__new__(Course)
    course.struck = [(100.0, {5_001, 5_002})]
    broken = [(102.0, 5_001, "EOFError"), (102.0, 6_000, "EOFError"), (90.0, 5_002, "EOFError"), (150.0, 5_002, "")]
    assert course.by_own_hand(broken) == 1


def test_a_short_run_loses_no_call_though_a_plugin_fails_and_a_worker_is_killed(capsys) -> None:  # type: ignore[no-untyped-def]
    figures = measured(Plan(1.5, 0.2, 60.0, swap=0.5, reload=1.0, kill=2.0, hang=0, drains=0, settle=0.1))
    assert figures["failed"] == figures["lost"] == 0, (figures["wrong"], figures["broken"])
    assert figures["done"]["swaps"] >= 1
    assert figures["answered"] >= 20
    assert {key.partition(":")[0] for key in figures["storm"]} >= {"list", "slow", "holder", "heads"}
    assert min(figures["memory_mb"]["oldest worker"]) > 10
    print_table(figures)
    assert "p99 in the storm over p99 in quiet" in capsys.readouterr().out
