"""The service's metrics: the cells that workers share, the page, each domain's part, and the table."""

from __future__ import annotations

import os
import re
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from arbitrank.answerlog.feedback import Feedback
from arbitrank.arbitration.outcomes import Answered, Arbitration, Failed, Late, Outcome, ServedArm, Skipped
from arbitrank.domain import Scores
from arbitrank.errors import InputError
from arbitrank.serve.answered_ids import REACTION, TRUTH, AnsweredIds
from arbitrank.serve.auth import make_token
from arbitrank.serve.counters import Counters, read_series, summed
from arbitrank.serve.gauges import SUPERVISOR, WorkerGauges, write_gauges
from arbitrank.serve.metric_table import BY_NAME, FAILURE_KINDS, METRICS
from arbitrank.serve.metrics import Metrics, failure_kind
from arbitrank.serve.metrics_page import page
from arbitrank.serve.metrics_port import metrics_server
from arbitrank.store.kinds import SHORTLIST
from arbitrank.values import Answer, Decision, DomainReport, Ranked, Truth

FINE = Answered((), Scores(0.5, np.zeros(0)), None, 1.0, 2.0)


def values(folder: Path) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """The samples of the page, as Prometheus' own parser reads them."""
    found = {}
    for family in text_string_to_metric_families(page(folder).decode()):
        for sample in family.samples:
            key = sample.name, frozenset(sample.labels.items())
            assert key not in found, "a series twice"
            found[key] = sample.value
    return found


def value(folder: Path, name: str, **labels: str) -> float | None:
    return values(folder).get((name, frozenset(labels.items())))


def arbitrated(
    action: str = "accept", best: str = "music", id: str = "1", arms: Mapping[str, ServedArm] = {}, **outcomes: Outcome
) -> Arbitration:
    given = outcomes or {"music": FINE, "books": FINE}
    reports = {name: DomainReport("answered") for name in given}
    decision = Decision(action, () if action == "none" else (0,))  # type: ignore[arg-type]
    return Arbitration(Answer(id, decision, (Ranked(best, "Play"),), reports, {}), given, arms=arms)


def count(metrics: Metrics, arbitration: Arbitration) -> None:
    metrics.answered(arbitration, arbitration.answer)


# ---------------------------------------------------------------------------------------------------------------- cells


@given(st.lists(st.tuples(st.integers(0, 2), st.sampled_from(["200", "404", "503"])), max_size=30))
def test_the_sum_over_workers_is_what_they_counted(
    tmp_path_factory: pytest.TempPathFactory, calls: list[tuple[int, str]]
) -> None:
    folder = tmp_path_factory.mktemp("shared")
    workers = [Counters(folder, number) for number in range(3)]
    for number, status in calls:
        workers[number].add("refused", status)
    for one in workers:
        one.close()
    expected = {status: float(sum(other == status for _, other in calls)) for _, status in calls}
    assert {labels[0]: cells[0] for (_, labels), cells in summed(folder).items()} == expected


def test_a_workers_successor_continues_where_it_was_killed(tmp_path: Path) -> None:
    first = Counters(tmp_path, 0)
    first.add("calls", "/v1/rank", "200")
    with (tmp_path / "0.keys").open("ab") as keys:
        keys.write(b'["calls",["/v1/ra')  # killed while it wrote a key
    second = Counters(tmp_path, 0)
    second.add("calls", "/v1/rank", "200")
    second.add("calls", "/v1/rank", "503")
    assert read_series(tmp_path, "0") == {
        ("calls", ("/v1/rank", "200")): [2.0],
        ("calls", ("/v1/rank", "503")): [1.0],
    }


def test_series_beyond_the_capacity_are_not_shown_and_disturb_no_other(tmp_path: Path) -> None:
    counters = Counters(tmp_path, 0)
    counters.add("refused", "first")
    places = {counters.place("call_seconds", f"route {number}") for number in range(9_000)}
    beyond = counters.place("call_seconds", "one more")
    assert beyond + 16 <= len(counters.cells)
    assert beyond in places
    counters.cells[beyond] += 1
    assert summed(tmp_path)["refused", ("first",)] == [1.0]
    assert ("call_seconds", ("one more",)) not in summed(tmp_path)


# ---------------------------------------------------------------------------------------------------------- of a domain


def test_each_domains_answers_wins_decisions_and_seconds_are_counted(tmp_path: Path) -> None:
    metrics = Metrics(tmp_path)
    count(metrics, arbitrated())
    count(metrics, arbitrated("clarify", "books"))
    count(metrics, arbitrated("none", "books"))
    assert value(tmp_path, "arbitrank_domain_answers_total", domain="music", arm="stable") == 3
    assert value(tmp_path, "arbitrank_domain_wins_total", domain="music", arm="stable", action="accept") == 1
    assert value(tmp_path, "arbitrank_domain_wins_total", domain="books", arm="stable", action="clarify") == 1
    assert value(tmp_path, "arbitrank_domain_wins_total", domain="books", arm="stable", action="none") == 1
    own = {"domain": "books", "arm": "stable"}
    assert value(tmp_path, "arbitrank_domain_seconds_bucket", le="0.002", **own) == 0
    assert value(tmp_path, "arbitrank_domain_seconds_bucket", le="0.005", **own) == 3
    assert value(tmp_path, "arbitrank_domain_seconds_count", **own) == 3
    assert value(tmp_path, "arbitrank_domain_seconds_sum", **own) == pytest.approx(0.009)


def test_a_canary_is_counted_beside_the_stable_version(tmp_path: Path) -> None:
    metrics = Metrics(tmp_path)
    for id, arm in (("1", "stable"), ("2", "canary"), ("3", "canary")):
        count(metrics, arbitrated(id=id, arms={"music": arm, SHORTLIST: arm}))  # type: ignore[dict-item]
    metrics.feedback(Feedback(id="1", outcome="accepted"), ["music", "books"])
    metrics.feedback(Feedback(id="3", outcome="rejected", truth=Truth("books", "Read")), ["music", "books"])
    for arm, n in (("stable", 1), ("canary", 2)):
        assert value(tmp_path, "arbitrank_domain_answers_total", domain="music", arm=arm) == n
        assert value(tmp_path, "arbitrank_stage_answers_total", stage=SHORTLIST, arm=arm, action="accept") == n
    of = {"domain": "music"}
    assert value(tmp_path, "arbitrank_domain_feedback_total", arm="stable", outcome="accepted", **of) == 1
    assert value(tmp_path, "arbitrank_domain_feedback_total", arm="canary", outcome="rejected", **of) == 1
    assert value(tmp_path, "arbitrank_domain_truths_total", arm="canary", owner="other", **of) == 1
    assert value(tmp_path, "arbitrank_domain_answers_total", domain="books", arm="canary") is None


def test_failures_are_counted_by_kind_and_an_uninstalled_domain_never(tmp_path: Path) -> None:
    metrics = Metrics(tmp_path)
    troubled = {
        "music": Failed("RuntimeError", 1.0),
        "books": Late("late", 1.0),
        "video": Skipped("open"),
        "maps": Failed("read", 0.0, 0, 1, kind="request"),
    }
    arbitration = arbitrated(best="made up by a caller", **troubled)
    arbitration.answer.domains["made up by a caller"] = DomainReport("failed")
    count(metrics, arbitration)
    metrics.unqueried(["lights"], "unloaded")
    kinds = {"music": "raised", "books": "late", "video": "skipped", "maps": "request", "lights": "unloaded"}
    for name, kind in kinds.items():
        assert value(tmp_path, "arbitrank_domain_failures_total", domain=name, arm="stable", kind=kind) == 1
    assert b"made up" not in page(tmp_path)
    assert set(map(failure_kind, troubled.values())) <= FAILURE_KINDS.keys()


def test_feedback_reaches_the_domain_whichever_worker_receives_it_and_counts_once(tmp_path: Path) -> None:
    one, two = Metrics(tmp_path, 0), Metrics(tmp_path, 1)
    count(one, arbitrated(id="a"))
    two.feedback(Feedback(id="a", outcome="accepted"), ["music"])
    one.feedback(Feedback(id="a", outcome="accepted"), ["music"])
    two.feedback(Feedback(id="unknown", outcome="accepted"), ["music"])
    assert value(tmp_path, "arbitrank_feedback_total") == 3
    assert value(tmp_path, "arbitrank_feedback_unmatched_total") == 2
    assert value(tmp_path, "arbitrank_domain_feedback_total", domain="music", arm="stable", outcome="accepted") == 1


def test_answers_without_an_id_or_with_any_text_as_one_are_counted(tmp_path: Path) -> None:
    ids = AnsweredIds(tmp_path, 0)
    for id in ("", "\ud800", "x" * 10_000):
        ids.add(id, 7)
        assert ids.report(id, REACTION) == 7
        assert ids.report(id, REACTION) == 0
        assert ids.report(id, TRUTH) == 7
    count(Metrics(tmp_path), arbitrated(id=None))  # type: ignore[arg-type]


# ------------------------------------------------------------------------------------------------------------- the page


def test_the_page_shows_the_gauges_of_running_processes_alone(tmp_path: Path) -> None:
    Metrics(tmp_path)
    ended = os.spawnlp(os.P_WAIT, "true", "true")
    assert ended == 0
    write_gauges(WorkerGauges("41", os.getpid(), 1.0, {"pending": [((), 3.0)], "cut": [(("slow",), 2.0)]}), tmp_path, 0)
    write_gauges(WorkerGauges("42", 2**22 + 1, 1.0, {"pending": [((), 5.0)]}), tmp_path, 1)  # above any pid
    write_gauges(WorkerGauges(SUPERVISOR, os.getpid(), 1.0), tmp_path, SUPERVISOR)
    (tmp_path / "2.gauges").write_bytes(b"{")
    assert value(tmp_path, "arbitrank_pending", worker="41") == 3
    assert value(tmp_path, "arbitrank_pending", worker="42") is None
    assert value(tmp_path, "arbitrank_cut_total", worker="41", why="slow") == 2
    memory = value(tmp_path, "process_resident_memory_bytes", worker=SUPERVISOR)
    assert memory is not None
    assert memory > 1e6


def test_names_keep_prometheus_conventions() -> None:
    assert len(BY_NAME) == len(METRICS)
    for metric in METRICS:
        assert re.fullmatch("[a-z][a-z_]*[a-z]", metric.full_name)
        assert metric.full_name.endswith("_total") == (metric.kind == "counter"), metric
        assert metric.text.endswith(".")
        assert not any(unit in metric.full_name for unit in ("_ms", "milli", "kilo", "percent"))
        assert "le" not in metric.labels
        assert not {"utterance", "context", "id", "session", "account"} & set(metric.labels)


def fetched(url: str, **headers: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=10) as reply:
            return reply.status, reply.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def test_a_port_of_their_own_serves_the_metrics_and_nothing_else(tmp_path: Path) -> None:
    Metrics(tmp_path).called("/readyz", 200, 0.1)
    with metrics_server(tmp_path, "127.0.0.1", 0, None) as url:
        status, text = fetched(url)
        assert status == 200
        assert 'arbitrank_calls_total{route="/readyz",status="200"} 1.0' in text
        assert fetched(url.replace("/metrics", "/v1/domains"))[0] == 404
        port = int(url.split(":")[2].partition("/")[0])
        with pytest.raises(InputError, match="cannot listen"), metrics_server(tmp_path, "127.0.0.1", port, None):
            pass


def test_where_others_reach_that_port_it_needs_a_token_of_the_scope_metrics(tmp_path: Path) -> None:
    (scraper, one), (client, two) = make_token("prometheus", ["metrics"]), make_token("kitchen", ["rank"])
    (tmp_path / "tokens").write_text(f"{one}\n{two}\n")
    with metrics_server(tmp_path, "127.0.0.1", 0, tmp_path / "tokens") as url:
        assert fetched(url, authorization=f"Bearer {scraper}")[0] == 200
        assert fetched(url, authorization=f"Bearer {client}")[0] == 403
        assert fetched(url)[0] == 401
        assert fetched(url.replace("/metrics", "/other"))[0] == 401
