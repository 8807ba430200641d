"""The soak test: the requests that count as failed, and a short run against a real service."""

from __future__ import annotations

import msgspec
from benchmarks.soak import ENDS, RAISES, Watch, measured

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


def test_a_short_run_fails_no_request_though_a_plugin_fails() -> None:
    figures = measured(minutes=0.03, load=0.5, every=0.3, least=20)
    assert figures["failed"] == 0, figures["wrong"]
    assert figures["swaps"] >= 1
    assert sum(n for key, n in figures["plugins"].items() if key.startswith(RAISES)) >= 20  # queried each time
    assert min(figures["memory_mb"]) > 10
