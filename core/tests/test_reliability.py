"""Reliability by the log: curves of the answers, of R0 and of every domain, by context and over time."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import numpy as np
import pytest

from arbitrank.evaluate.reliability import reliability_bins, reliability_curve
from arbitrank.serve.watch_main import ServiceWatch, WatchStart
from arbitrank.serve.watch_process import RELIABILITY
from arbitrank.watch.collector import Collector
from arbitrank.watch.reliability import ALL, ReliabilityReport, reliability_report

DAY = 86_400.0
START = 20_000 * DAY
RIGHT, WRONG = {"domain": "lights", "intent": "On"}, {"domain": "shades", "intent": "Open"}


def line(
    i: int, claimed: float, right: bool, *, device: str = "tv", product: float | None = 0.5, version: str = "a" * 12
) -> str:
    """A line of a log: `lights` answers with this P(right), and R0's product of confidences is for `shades`."""
    hypotheses = [
        {"domain": "lights", "intent": "On", "domain_confidence": 0.5, "intent_confidence": 0.5},
        {"domain": "shades", "intent": "Open", "domain_confidence": product, "intent_confidence": 1.0},
    ]
    ranked = [
        {"domain": "lights", "intent": "On", "score": claimed, "domain_probability": claimed, "probability": claimed},
        {"domain": "shades", "intent": "Open", "score": 0.01, "domain_probability": 0.1, "probability": 0.1},
    ]
    report = {"status": "answered", "version": version}
    answer = {"id": str(i), "decision": {"action": "accept", "contenders": [0]}, "ranked": ranked, "ms": {},
              "domains": {"lights": report, "shades": report}}  # fmt: skip
    return json.dumps({"id": str(i), "utterance": "on", "time": START + i * 0.02 * DAY, "context": {"device": device},
                       "hypotheses": hypotheses, "answer": answer, "claims": {"lights": [claimed, claimed]},
                       "truth": RIGHT if right else WRONG})  # fmt: skip


def collected(*lines: str) -> Collector:
    found = Collector()
    for number, one in enumerate(lines):
        found.line(str(number), one.encode())
    assert (found.bad, found.skipped) == (0, 0)
    return found


@pytest.fixture(scope="module")
def log() -> list[str]:
    """Three days of requests that claim 0.8 and are right in four of five; on a phone in two of five."""
    return [
        line(i, 0.8, i % 5 != 0 and (i % 3 != 0 or i % 2 == 0), device="phone" if i % 3 == 0 else "tv",
             version="a" * 12 if i < 75 else "b" * 12)
        for i in range(150)
    ]  # fmt: skip


@pytest.fixture(scope="module")
def found(log: list[str]) -> ReliabilityReport:
    return reliability_report(collected(*log))


def test_answers_and_r0_are_judged_on_the_same_requests(found: ReliabilityReport) -> None:
    assert (found.requests, found.labelled, found.notes) == (150, 150, ())
    whole = found.slices[0]
    assert (whole.name, whole.n) == (ALL, 150)
    answer, r0 = whole.answers["answer"], whole.answers["R0"]
    assert answer.figures.n == r0.figures.n == 150
    assert answer.bins[0].probability == pytest.approx(0.8)
    assert r0.bins[0].probability == pytest.approx(0.5)
    share = sum(one.n * one.share for one in answer.bins) / 150
    assert share + sum(one.n * one.share for one in r0.bins) / 150 == pytest.approx(1.0)  # R0 takes the other reading


def test_a_segment_has_curves_of_its_own(found: ReliabilityReport) -> None:
    by_name = {one.name: one for one in found.slices}
    assert set(by_name) == {ALL, "device tv", "device phone"}
    ece = {name: one.answers["answer"].figures.ece for name, one in by_name.items()}
    assert ece["device phone"] > 0.3 > ece["device tv"]
    assert by_name["device tv"].n + by_name["device phone"].n == 150


def test_a_domains_curve_is_of_the_version_that_serves_and_its_changes_are_dated(found: ReliabilityReport) -> None:
    assert [one.version for one in found.versions["lights"]] == ["a" * 12, "b" * 12]
    assert found.versions["lights"][1].begin == pytest.approx(START + 75 * 0.02 * DAY)
    lights = found.slices[0].domains["lights"]
    assert lights.mine is not None
    assert lights.mine.figures.n == 75
    assert sum(one.n for one in found.domains["lights"]) == 150  # over time all versions count


def test_over_time_a_log_of_days_is_shown_by_days(found: ReliabilityReport, log: list[str]) -> None:
    assert found.seconds == DAY
    assert [one.begin for one in found.answers["answer"]] == [START, START + DAY, START + 2 * DAY]
    assert sum(one.n for one in found.answers["R0"]) == 150
    assert all(one.seen.low <= one.seen.mean <= one.seen.high for one in found.answers["answer"])
    assert reliability_report(collected(*log[:40])).seconds == 6 * 3600.0


@pytest.mark.parametrize("product", [None, 7.5])
def test_without_confidences_in_zero_to_one_there_is_no_r0(product: float | None) -> None:
    rows = [json.loads(line(i, 0.8, True)) for i in range(40)]
    for row in rows:
        for one in row["hypotheses"]:
            for key in ("domain_confidence", "intent_confidence"):
                one[key] = product
    found = reliability_report(collected(*map(json.dumps, rows)))
    assert set(found.slices[0].answers) == {"answer"}
    assert found.answers["R0"] == ()


def test_too_little_is_said(log: list[str]) -> None:
    nothing = reliability_report(Collector())
    assert (nothing.labelled, nothing.domains) == (0, {})
    assert "report some: POST /v1/feedback" in nothing.notes[0]
    assert "only 5 requests" in reliability_report(collected(*log[:5])).notes[0]


def test_the_services_watch_writes_it_beside_its_report(log: list[str], tmp_path: Any) -> None:
    (tmp_path / "log").mkdir()
    (tmp_path / "log" / "20260101T000000Z-1-aaaa.jsonl").write_text("\n".join(log) + "\n")
    start = WatchStart(str(tmp_path / "log"), str(tmp_path), 1.0, "1d", store=str(tmp_path / "store"))
    watch = ServiceWatch(start, type("Events", (), {"write": lambda *_, **__: None})())
    watch.look()
    written = msgspec.json.decode((tmp_path / RELIABILITY).read_bytes(), type=ReliabilityReport)
    assert written.labelled in (0, 150)  # 0 where the segment's name is not of this log's time
    assert not list(tmp_path.glob("*.new"))


def test_bins_hold_every_request_once_and_their_share_is_in_its_interval() -> None:
    rng = np.random.default_rng(0)
    for n in (1, 9, 10, 151, 1000):
        p = rng.random(n)
        y = (rng.random(n) < p).astype(np.float64)
        bins = reliability_bins(p, y)
        assert sum(one.n for one in bins) == n
        assert all(one.low <= one.share + 1e-12 and one.share <= one.high + 1e-12 for one in bins)
        assert [one.probability for one in bins] == sorted(one.probability for one in bins)
        assert reliability_curve(p, y, draws=20).bins == bins
