"""The watch over all domains by a log: what alarms, what does not, and whose fault it is."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import os
import re
import signal
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from itertools import permutations
from pathlib import Path
from time import monotonic
from types import SimpleNamespace
from typing import Any

import fakes
import msgspec
import numpy as np
import pytest
from click.testing import CliRunner
from starlette.exceptions import HTTPException
from waiting import until

from arbitrank.answerlog.feedback import Feedback
from arbitrank.answerlog.period import begin, begin_in
from arbitrank.arbitration.recalibration import Recalibration
from arbitrank.cli.main import cli
from arbitrank.errors import DataError, InputError
from arbitrank.evaluate.intervals import Estimate
from arbitrank.outcomes.recalibrating import OutcomeRecalibration
from arbitrank.probability import log_odds, sigmoid
from arbitrank.serve import watch_process
from arbitrank.serve.routes import Handlers
from arbitrank.serve.settings import ServiceSettings, WatchSettings
from arbitrank.serve.watch_main import ServiceWatch, WatchStart, samples_of
from arbitrank.serve.watch_process import REPORT, WatchProcess
from arbitrank.store.state import Undo, served_with
from arbitrank.store.store import open_store
from arbitrank.values import Ranked, Truth
from arbitrank.watch import collector
from arbitrank.watch.alarms import Commands
from arbitrank.watch.collector import Collector
from arbitrank.watch.drift import Drift
from arbitrank.watch.evidence import miscalibration, surprise
from arbitrank.watch.following import LogFollower
from arbitrank.watch.judging import judge
from arbitrank.watch.period import Known
from arbitrank.watch.reading import known_of
from arbitrank.watch.report import Proposal, WatchReport
from arbitrank.watch.rows import DomainNumbers, WatchedRow, row_of
from arbitrank.wire.requests import decode_logged

NAMES = ("apples", "pears", "plums")
DAY = 86_400.0
START = 20_000 * DAY
CHANGE = START + 4 * DAY
END = START + 5 * DAY

Fault = Callable[[DomainNumbers], DomainNumbers]


def same(one: DomainNumbers) -> DomainNumbers:
    """No fault."""
    return one


def sharper(one: DomainNumbers) -> DomainNumbers:
    """Confidences of which the log-odds are spread and raised, and the claims that follow from them."""
    return one._replace(confidence=_moved(one.confidence, 2.2, 3.0), mine=_moved(one.mine, 1.0, 9.0))


def _moved(p: float, slope: float, shift: float) -> float:
    return float(sigmoid(slope * log_odds(np.array(p)) + shift))


def rows(
    fault: Fault = same,
    shares: tuple[float, ...] = (0.4, 0.3, 0.3),
    *,
    own: bool = True,
    labelled: float = 0.1,
    n: int = 600,
) -> Iterator[WatchedRow]:
    """Five days of n requests each; on the last one `pears` has a fault, and the traffic has these shares."""
    rng = np.random.default_rng(0)
    for i in range(5 * n):
        time = START + i * DAY / n
        changed = time >= CHANGE
        owner = int(rng.choice(3, p=shares if changed else (0.4, 0.3, 0.3)))
        numbers = {}
        for k, name in enumerate(NAMES):
            z = float(rng.normal(2.0 if k == owner else -2.0, 1.2))
            claim = float(sigmoid(np.array(z * 4.0 / 1.44 - 0.7)))  # as its log-odds of being the owner are
            best = Ranked(name, "Eat", (), 0.0, claim, 0.9 * claim, "v1")
            one = DomainNumbers(float(sigmoid(np.array(z))), 0.9, claim, 0.9 * claim, own, "v1", best, ("ripe",))
            numbers[name] = fault(one) if changed and name == "pears" else one
        claims = {name: one.mine for name, one in numbers.items()}
        total = max(1.0, sum(claims.values()))
        head = max(claims, key=lambda name: claims[name])
        wanted = tuple(name for name, claim in claims.items() if claim >= 0.5)
        row = WatchedRow(
            str(i),
            time,
            numbers,
            {name: claim / total for name, claim in claims.items()},
            head,
            wanted,
            {"device": "tv"},
        )
        if rng.random() < labelled:
            row.learn(Truth(NAMES[owner], "Eat" if rng.random() < 0.9 else "Buy"))
        yield row


def watched(made: Iterator[WatchedRow], known: dict[str, Known] | None = None) -> WatchReport:
    """The report on the last day of rows."""
    collected = Collector()
    for row in made:
        collected.row(row)
    return judge(collected, CHANGE, known or {}, Commands("log", "1d", "store"))


@pytest.fixture(scope="module")
def sharpened() -> WatchReport:
    return watched(rows(sharper))


def test_a_sharpened_domain_alarms_and_no_other_one(sharpened: WatchReport) -> None:
    assert {one.domain for one in sharpened.alarms} == {"pears"}
    assert {name: one.status for name, one in sharpened.domains.items()} == {
        "apples": "quiet", "pears": "alarm", "plums": "quiet",
    }  # fmt: skip
    drift = next(one for one in sharpened.domains["pears"].drifts if one.stream == "confidence")
    assert drift.slope == pytest.approx(2.2, rel=0.15)
    assert drift.shift == pytest.approx(3.0, abs=0.5)


def test_an_alarm_names_the_neighbours_that_lose_requests_and_the_next_command(sharpened: WatchReport) -> None:
    losses = sharpened.domains["pears"].takes_from
    assert set(losses) == {"apples", "plums"}
    assert all(0 < one.requests.low < one.requests.mean < one.requests.high for one in losses.values())
    first = sharpened.alarms[0]
    assert "has become sharper" in first.text
    assert "it takes requests from apples" in first.text
    assert first.next == (
        "arbitrank shrink pears --on log --since 1d --store store",
        "arbitrank train pears --data log --since 1d --store store",
    )


def test_quiet_traffic_is_quiet(quiet: WatchReport) -> None:
    assert (quiet.alarms, quiet.shifts, quiet.new_contexts) == ((), (), ())
    mine = quiet.domains["apples"].mine
    assert mine is not None
    assert mine.band.seen.low < mine.band.claimed < mine.band.seen.high
    assert mine.contexts["device=tv"].n == mine.band.n


@pytest.fixture(scope="module")
def quiet() -> WatchReport:
    return watched(rows())


def test_a_change_of_shares_is_a_shift_and_no_domains_fault() -> None:
    report = watched(rows(shares=(0.1, 0.8, 0.1)))
    assert report.alarms == ()
    assert set(report.shifts) == set(NAMES)
    assert report.shares["pears"].now > 2 * report.shares["pears"].before


def test_domains_that_all_drift_at_once_are_not_to_blame() -> None:
    made = []
    for row in rows(sharper):
        numbers = {
            name: sharper(one) if name != "pears" and row.time >= CHANGE else one for name, one in row.domains.items()
        }
        made.append(WatchedRow(row.id, row.time, numbers, row.chances, row.head, row.wanted, row.context))
    report = watched(iter(made))
    assert [one.kind for one in report.alarms if one.kind == "drift"] == []
    assert any("the readings of 3 of 3 domains have changed at once" in text for text in report.notes)


def test_of_a_log_without_the_domains_own_claims_the_confidences_tell_whose_fault_it_is() -> None:
    report = watched(rows(sharper, own=False))
    assert {one.domain for one in report.alarms} == {"pears"}
    assert any("no claims of its own" in text for text in report.domains["pears"].notes)


def test_a_new_version_that_claims_too_much_is_to_be_rolled_back() -> None:
    def worse(one: DomainNumbers) -> DomainNumbers:
        return one._replace(mine=0.97, right=0.9, version="v2")

    collected = Collector()
    for row in rows(worse, labelled=0.5):
        collected.row(row)

    def next_of(undo: Undo | None) -> tuple[str, ...]:
        known = {"pears": Known("v2", undo=undo)}
        return judge(collected, CHANGE, known, Commands("log", "1d", "store")).alarms[0].next

    report = judge(collected, CHANGE, {}, Commands("log", "1d", "store"))
    one = report.domains["pears"]
    assert (one.serving, one.since, one.drifts) == ("v2", CHANGE, ())
    assert {alarm.kind for alarm in report.alarms} == {"calibration"}
    rest = ("arbitrank shrink pears --on log --since 1d --store store", report.alarms[0].next[-1])
    assert report.alarms[0].next == rest  # no store says that there is a version to go back to
    assert next_of(None) == rest
    assert next_of("previous version") == ("arbitrank rollback pears --store store", *rest)
    assert next_of("package") == ("arbitrank rollback pears --to-package --store store", *rest)
    assert next_of("recalibration") == ("arbitrank shrink pears --off --store store", *rest)
    assert any("pears has a new version" in text and "arbitrank impact pears" in text for text in report.notes)


def test_the_store_shows_how_the_last_change_is_undone(tmp_path: Path) -> None:
    store = open_store(tmp_path / "store", environment={})

    def undo(shipped: Path | None = None) -> Undo | None:
        return known_of({"pears": fakes.FakeDomain("pears", shipped)}, store)["pears"].undo

    for number, way in enumerate((None, "previous version")):  # this package has no weights to go back to
        fakes.artifact(tmp_path / f"v{number}", "pears", fakes.CARD, mine=0.5 + 0.1 * number)
        assert number or undo(tmp_path / "v0") is None
        store.publish(tmp_path / f"v{number}", promote=True)
        assert undo() == way
        assert undo(tmp_path / "v0") == (way or "package")
    for by, way in ((Recalibration(0.5), "recalibration"), (None, None)):
        number, state = store.state("pears")
        store.change("pears", "shrink", served_with(state, by), number)
        assert undo() == way


def canaried(row: WatchedRow, *, told: bool) -> WatchedRow:
    """A row beside a canary, whose candidate answers two of three requests of the last day."""
    if row.time >= CHANGE and int(row.id or 0) % 3:
        one = row.domains["pears"]._replace(version="v2", canary=told)
        return dataclasses.replace(row, domains={**row.domains, "pears": one})
    return row


@pytest.mark.parametrize("told", [True, False])
def test_a_canary_that_answers_more_than_the_stable_version_is_not_what_serves(told: bool) -> None:
    known = {} if told else {"pears": Known("v1")}  # lines of before do not say which of the two answered
    one = watched((canaried(row, told=told) for row in rows()), known).domains["pears"]
    assert (one.serving, one.requests, one.since) == ("v1", 200, None)


def test_of_a_canary_that_answers_everything_its_version_is_watched() -> None:
    made = (
        dataclasses.replace(row, domains={**row.domains, "pears": row.domains["pears"]._replace(canary=True)})
        for row in rows(n=100)
    )
    assert watched(made).domains["pears"].serving == "v1"


def test_with_few_truths_the_recalibration_that_undoes_the_drift_is_named() -> None:
    (first, *_) = watched(rows(sharper, labelled=0.02)).alarms
    found = re.fullmatch(r"arbitrank shrink pears --temperature (\S+) --shift (\S+) --store store", first.next[0])
    assert found is not None
    assert (float(found[1]), float(found[2])) == pytest.approx((1.0, -9.0), rel=0.1)


def test_a_lost_feature_alarms_and_its_new_name_is_told() -> None:
    report = watched(rows(lambda one: one._replace(features=("ripeness",))))
    (alarm,) = report.alarms
    assert (alarm.domain, alarm.kind) == ("pears", "features")
    assert "lost the feature 'ripe'" in alarm.text
    assert "new and unknown: 'ripeness'" in alarm.text
    assert report.domains["pears"].new_features == ("ripeness",)


def test_new_values_of_the_context_are_told_with_the_domains_that_did_not_learn_them() -> None:
    made = list(rows())
    for row in made[-60:]:
        row.context = {"device": "glasses"}
    known = {"apples": Known("v1", None, frozenset({"context.device=tv"})), "pears": Known("v1")}
    (value,) = watched(iter(made), known).new_contexts
    assert (value.key, value.value, value.unlearned) == ("device", "glasses", ("apples",))
    assert value.share == pytest.approx(0.1)


def test_too_little_is_said() -> None:
    few = watched(rows(n=40, labelled=0.05))
    assert few.alarms == ()
    assert any("160 requests before the time that is watched" in text for text in few.notes)
    assert any("requests of known truth: its figures say next to nothing" in one for one in few.domains["pears"].notes)
    none = watched(rows(n=40, labelled=0.0))
    assert any("no request has a truth" in text for text in none.notes)


@pytest.mark.parametrize(("n", "begins", "advised"), [(600, START, "1d"), (48, CHANGE, "12h"), (40, CHANGE, None)])
def test_a_shorter_time_is_advised_only_where_it_helps(n: int, begins: float, advised: str | None) -> None:
    collected = Collector()
    for row in rows(n=n):
        collected.row(row)
    (note,) = (one for one in judge(collected, begins, {}).notes if "are needed to see drift" in one)
    assert note.endswith(f"judged; watch a shorter time: --since {advised}" if advised else "outcomes are judged")


def test_a_truth_without_an_intent_judges_p_mine_alone() -> None:
    made = list(rows(labelled=0.0))
    for row in made:
        row.learn(Truth(max(row.chances, key=lambda name: row.chances[name])))
    one = watched(iter(made)).domains["apples"]
    assert one.mine is not None
    assert one.right is None


# ------------------------------------------------------------------------------------------------------------ evidence


def test_the_evidence_against_a_true_mixture_is_an_e_value() -> None:
    rng = np.random.default_rng(1)
    parts = np.array([[0.7, 0.2, 0.1], [0.1, 0.2, 0.7]])
    values = []
    for _ in range(200):
        shares = rng.dirichlet([1.0, 1.0])
        values.append(np.exp(surprise(rng.multinomial(50, shares @ parts).astype(float), parts)[0]))
    assert np.mean(values) < 1.0


def test_outcomes_of_claims_that_are_right_but_for_the_traffics_share_are_no_evidence() -> None:
    rng = np.random.default_rng(1)
    z = rng.normal(0.0, 2.0, 2_000)
    y = rng.random(2_000) < sigmoid(z + 0.6)
    assert miscalibration(sigmoid(z), y) < 3.0
    assert miscalibration(sigmoid(2.2 * z + 3.0), y) > 50.0


def test_an_alarm_is_raised_from_the_level_on() -> None:
    assert [Drift("mine", x, 13.0, 1.0, 0.0, 9, 9, True).alarms for x in (12.9, 13.0)] == [False, True]


# ---------------------------------------------------------------------------------------------------------- collection


def line(i: int, time: float = START, **more: Any) -> bytes:
    """A line of a log."""
    made: dict[str, Any] = {
        "id": str(i), "utterance": "an apple", "time": time, "context": {"device": "tv", "preference.apples": 0.3},
        "hypotheses": [{"domain": "apples", "intent": "Eat", "domain_confidence": 0.8, "features": {"ripe": 1}}],
        "answer": {
            "id": str(i), "decision": {"action": "accept", "contenders": [0]}, "ms": {},
            "ranked": [{"domain": "apples", "intent": "Eat", "domain_probability": 0.7, "probability": 0.6}],
            "domains": {
                "apples": {"status": "answered", "version": "v1", "shrunk": 2.0}, "pears": {"status": "failed"},
            },
        },
    }  # fmt: skip
    return json.dumps({**made, **more}).encode()


def truth_line(i: int, domain: str = "apples") -> bytes:
    return json.dumps({"id": str(i), "truth": {"domain": domain, "intent": "Eat"}, "time": START}).encode()


def test_a_row_holds_numbers_of_the_domains_that_answered_and_no_word() -> None:
    row = row_of(decode_logged(line(1, claims={"apples": [0.9, 0.8]})))
    assert row is not None
    one = row.domains["apples"]
    assert not one.canary
    assert (one.confidence, one.mine, one.right, one.own, one.version) == (0.8, 0.9, 0.8, True, "v1 shrunk 2")
    assert (list(row.domains), row.head, row.wanted) == (["apples"], "apples", ("apples",))
    assert row.context == {"device": "tv"}
    row = row_of(decode_logged(line(1, arms={"apples": "canary"})))
    assert row is not None
    assert row.domains["apples"].canary
    assert row_of(decode_logged(b'{"utterance": "an apple"}')) is None


@pytest.mark.parametrize("truth_first", [False, True])
def test_a_truth_is_joined_whenever_it_comes(truth_first: bool) -> None:
    collected = Collector()
    for each in (truth_line(1), line(1)) if truth_first else (line(1), truth_line(1)):
        collected.line("log:1", each)
    (row,) = collected.rows()
    assert row.outcomes == {"apples": (True, True)}


def test_memory_is_bounded_and_the_counters_count_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collector, "ROWS", 20)
    collected = Collector()
    for i in range(200):
        collected.line("log:1", line(i))
    (slot,) = collected.slots
    assert (slot.n, len(slot.rows), slot.wins["apples"]) == (200, 20, 200)
    assert max(int(row.id or 0) for row in slot.rows) > 100  # drawn from all of it
    for i in range(200):
        collected.line("log:1", truth_line(i))
    assert all(row.truth is not None for row in slot.rows)
    collected.line("log:1", line(300, START + 20 * DAY))
    assert [slot.n for slot in collected.slots] == [1]  # the old ones are forgotten
    collected.line("log:1", b"{")
    assert collected.bad == 1


def test_of_truths_the_latest_counts_in_any_order_and_none_that_names_another_session() -> None:
    for places in permutations(range(4)):
        collected = Collector()
        said = [
            line(1),
            *(
                msgspec.json.encode(Feedback(id="1", truth=Truth(domain), time=when, session=session))
                for domain, when, session in (("pears", START + 2, None), ("apples", START + 1, None))
            ),
            truth_line(2),
        ]
        for place in places:
            collected.line("log:1", said[place])
        (row,) = collected.rows()
        assert row.truth == Truth("pears")
    asked = json.loads(line(1)) | {"session": "own"}
    for other in ("another", "own"):
        collected = Collector()
        collected.line("log:1", msgspec.json.encode(asked))
        collected.line("log:1", msgspec.json.encode(Feedback(id="1", truth=Truth("pears"), session=other)))
        assert [row.truth for row in collected.rows()] == [Truth("pears") if other == "own" else None]


def test_a_log_that_grows_is_read_once_and_by_whole_lines(tmp_path: Path) -> None:
    follower = LogFollower(tmp_path / "log")
    follower.look()
    assert follower.problem is None, "nothing was logged so far"
    (tmp_path / "log").write_text("")
    follower.look()
    assert "cannot be read" in (follower.problem or "")
    (tmp_path / "log").unlink()
    (tmp_path / "log").mkdir()
    path = tmp_path / "log" / "20261120T124605.123456Z-4711-000001.jsonl"
    path.write_bytes(line(1) + b"\n" + line(2)[:30])
    follower.look()
    assert (follower.problem, follower.collected.slots[0].n) == (None, 1)
    with path.open("ab") as file:
        file.write(line(2)[30:] + b"\n")
    follower.look()
    follower.look()
    assert (follower.collected.slots[0].n, follower.collected.bad) == (2, 0)


# ----------------------------------------------------------------------------------------------- command, file, service


def log_of(folder: Path, made: Iterator[WatchedRow]) -> Path:
    """A log of one segment with these rows."""
    folder.mkdir()
    lines = []
    for row in made:
        ranked = [
            {"domain": name, "intent": "Eat", "domain_probability": row.chances[name], "probability": one.right}
            for name, one in sorted(row.domains.items(), key=lambda pair: -pair[1].mine)
        ]
        hypotheses = [
            {"domain": name, "intent": "Eat", "domain_confidence": one.confidence} for name, one in row.domains.items()
        ]
        answer = {
            "id": row.id, "decision": {"action": "accept", "contenders": [0]}, "ms": {}, "ranked": ranked,
            "domains": {name: {"status": "answered", "version": "v1"} for name in row.domains},
        }  # fmt: skip
        made_line = {"id": row.id, "utterance": "x", "time": row.time, "hypotheses": hypotheses, "answer": answer}
        lines.append(json.dumps(made_line))
        if row.truth is not None:
            lines.append(json.dumps({"id": row.id, "truth": {"domain": row.truth.domain, "intent": row.truth.intent}}))
    (folder / "20241004T000000.000000Z-1-000001.jsonl").write_text("\n".join(lines) + "\n")
    return folder


@pytest.fixture(scope="module")
def drifted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return log_of(tmp_path_factory.mktemp("watch") / "log", rows(sharper, n=300, labelled=0.2))


def test_the_command_exits_1_where_a_domain_alarms(drifted: Path, tmp_path: Path) -> None:
    run = CliRunner().invoke
    store = str(tmp_path / "store")
    done = run(cli, ["watch", "--on", str(drifted), "--since", "1d", "--store", store])
    assert done.exit_code == 1, done.output
    assert "ALARM pears: its domain confidence has become sharper" in done.output
    assert f"run: arbitrank shrink pears --on {drifted} --since 1d --store {store}" in done.output
    found = json.loads(run(cli, ["watch", "--on", str(drifted), "--since", "1d", "--json"]).output)
    assert {one["domain"] for one in found["alarms"]} == {"pears"}
    still = log_of(tmp_path / "still", rows(n=100))
    done = run(cli, ["watch", "--on", str(still), "--since", "1d"])
    assert (done.exit_code, "quiet: no domain alarms" in done.output) == (0, True)


def test_a_file_of_lines_without_answers_is_no_log(tmp_path: Path) -> None:
    path = tmp_path / "requests.jsonl"
    path.write_text('{"utterance": "an apple"}\n')
    done = CliRunner().invoke(cli, ["watch", "--on", str(path)])
    assert isinstance(done.exception, DataError)
    assert "no request with an answer and a time, 1 lines without both" in str(done.exception)


def test_a_period_begins_so_long_before_the_last_request(drifted: Path) -> None:
    assert begin("2d", END) == END - 2 * DAY
    assert begin("12h", END) == END - DAY / 2
    assert begin("2024-10-04T12:00", END) == START + DAY / 2
    path = next(drifted.iterdir())
    assert begin_in("1d", path) == pytest.approx(END - DAY, abs=DAY / 100)
    with pytest.raises(InputError, match="'2 days' is no date"):
        begin("2 days", END)


class Events:
    """An event log that keeps its events."""

    def __init__(self) -> None:
        self.events: list[tuple[str, dict[str, Any]]] = []

    def write(self, event: str, level: str = "info", **fields: Any) -> None:
        self.events.append((event, fields))


FOUND = OutcomeRecalibration(Recalibration(0.5), Estimate(0.1, 0.05, 0.2), 200, 60, 90.0, 0.05, 0.1, 0, 0, 0)
PROPOSAL = Proposal("pears", None, FOUND, "arbitrank shrink pears --outcomes --on log")


@pytest.fixture
def hook() -> Iterator[tuple[str, list[Any]]]:
    """A webhook, and what it has received; it refuses the first call."""
    received: list[Any] = []

    class Hook(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            self.send_response(200 if received else 500)
            received.append(body)
            self.end_headers()

        def log_message(self, *arguments: object) -> None:
            """Print nothing."""

    with HTTPServer(("127.0.0.1", 0), Hook) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/", received
        server.shutdown()


def test_a_service_reports_once_and_posts_until_it_is_taken(
    drifted: Path, tmp_path: Path, hook: tuple[str, list[Any]]
) -> None:
    url, received = hook
    events = Events()
    start = WatchStart(str(drifted), str(tmp_path), 1.0, "1d", url, str(tmp_path / "store"))
    watch = ServiceWatch(start, events)  # type: ignore[arg-type]
    watch.look()
    watch.look()
    named = [event for event, _ in events.events]
    assert named.count("webhook failed") == 1
    assert len(received) == named.count("watch alarm") + 1
    assert {one["alarm"]["domain"] for one in received} == {"pears"}
    report = msgspec.json.decode((tmp_path / REPORT).read_bytes(), type=WatchReport)
    assert {one.domain for one in report.alarms} == {"pears"}
    samples = samples_of(report)
    assert (("pears", "drift"), 1.0) in samples["watch_alarm"]
    assert (("apples", "drift"), 0.0) in samples["watch_alarm"]


def test_a_service_proposes_recalibrations_where_it_is_asked_to(
    drifted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[WatchReport] = []

    def proposed(report: WatchReport, path: Path, commands: Commands) -> WatchReport:
        made.append(report)
        return msgspec.structs.replace(report, proposals=(PROPOSAL,))

    monkeypatch.setattr("arbitrank.watch.proposals.with_proposals", proposed)
    for outcomes in (False, True):
        events = Events()
        start = WatchStart(str(drifted), str(tmp_path), 1.0, "1d", store=str(tmp_path / "store"), outcomes=outcomes)
        watch = ServiceWatch(start, events)  # type: ignore[arg-type]
        watch.look()
        watch.look()
        report = msgspec.json.decode((tmp_path / REPORT).read_bytes())
        assert [one["next"] for one in report.get("proposals", ())] == ([PROPOSAL.next] if outcomes else [])
        told = [fields for event, fields in events.events if event == "watch proposal"]
        assert told == ([{"domain": "pears", "next": PROPOSAL.next}] if outcomes else [])
    assert len(made) == 1, "made again after an hour"


def test_the_supervisor_starts_the_watch_notes_its_end_and_replaces_it(
    drifted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process of its own reads the log, and writes the report that the route replies; it ends with the service."""
    monkeypatch.setattr(watch_process, "_FIRST_SECONDS", 0.0)
    settings = ServiceSettings(log=drifted, watch=WatchSettings(since="1d"), store=str(tmp_path / "store"))
    events = Events()
    watch = WatchProcess(settings, tmp_path, events)  # type: ignore[arg-type]
    assert watch.pid == 0
    watch.tick(monotonic())
    first = watch.pid
    try:
        until((tmp_path / REPORT).exists)
        report = msgspec.json.decode((tmp_path / REPORT).read_bytes(), type=WatchReport)
        assert {one.domain for one in report.alarms} == {"pears"}

        os.kill(first, signal.SIGKILL)
        os.waitid(os.P_PID, first, os.WEXITED | os.WNOWAIT)
        now = monotonic()
        watch.tick(now)
        assert [(event, fields["status"]) for event, fields in events.events] == [("watch ended", -signal.SIGKILL)]
        watch.tick(now + 59)
        assert watch.pid == 0
        watch.tick(now + 61)
        second = watch.pid
        assert second not in (0, first)
    finally:
        watch.stop()
    with pytest.raises(ProcessLookupError):
        os.kill(second, 0)
    watch.tick(now + 1_000)
    assert watch.pid == 0
    assert WatchProcess(ServiceSettings(), tmp_path, events)._due is None  # type: ignore[arg-type]


def test_the_route_has_the_report_or_says_why_there_is_none(tmp_path: Path) -> None:
    def asked(settings: ServiceSettings) -> tuple[int, bytes]:
        handlers = Handlers(SimpleNamespace(settings=settings, folder=tmp_path))  # type: ignore[arg-type]
        try:
            reply = asyncio.run(handlers.domain_health(None, None, None))  # type: ignore[arg-type]
        except HTTPException as error:
            return error.status_code, str(error.detail).encode()
        return reply.status_code, bytes(reply.body)

    assert asked(ServiceSettings()) == (409, b"the domains are not watched; run: arbitrank serve --log DIR")
    assert asked(ServiceSettings(log=tmp_path, watch=WatchSettings(on=False)))[0] == 409
    assert asked(ServiceSettings(log=tmp_path)) == (503, b"the log was not read yet; try again")
    (tmp_path / REPORT).write_bytes(b'{"alarms": []}')
    assert asked(ServiceSettings(log=tmp_path)) == (200, b'{"alarms": []}')
