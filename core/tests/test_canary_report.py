"""Reports of canaries: over all processes by the log, with intervals, and of which time they are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

import fakes
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from arbitrank.answerlog.feedback import Feedback
from arbitrank.answerlog.joining import view
from arbitrank.answerlog.reader import UnreadableLines
from arbitrank.answerlog.writer import AnswerLog
from arbitrank.cli.main import cli
from arbitrank.errors import InputError
from arbitrank.evaluate.intervals import Estimate
from arbitrank.live.canary_report import CanaryPeriod, CanaryReport, canary_period, difference, from_log
from arbitrank.live.comparison import ComparedVersions, Comparison
from arbitrank.store.kinds import HYPRANK, SHORTLIST
from arbitrank.store.state import Change, State
from arbitrank.store.store import Store, open_store
from arbitrank.values import Answer, Decision, DomainReport, Ranked, Request, Shortlist, Truth

OLD, NEW, OTHER = "a" * 12, "b" * 12, "c" * 12


def change(number: int, verb: str = "canary", **state: Any) -> Change:
    return Change(number=number, time=float(number), by="ops", token="t", verb=verb, state=State(**state))


def test_the_period_is_the_last_one_in_which_the_same_two_versions_answered() -> None:
    changes = [
        change(1, stable=OLD),
        change(2, stable=OLD, candidate=OTHER, canary=0.5),
        change(3, stable=OLD, candidate=NEW),
        change(4, stable=OLD, candidate=NEW, canary=0.01),
        change(5, stable=OLD, candidate=NEW, canary=0.2),
        change(6, stable=OLD, candidate=NEW, canary=0.2, temperature=1.2),
    ]
    assert canary_period(changes) == CanaryPeriod(OLD, NEW, 0.2, 4.0, None)
    assert canary_period([*changes, change(7, stable=NEW, previous=OLD)]) == CanaryPeriod(OLD, NEW, 0.2, 4.0, 7.0)
    assert canary_period([*changes, change(7, stable=OLD, candidate=NEW)]) == CanaryPeriod(OLD, NEW, 0.2, 4.0, 7.0)
    assert canary_period(changes[:3]) == CanaryPeriod(OLD, OTHER, 0.5, 2.0, 3.0)
    assert canary_period(changes[:1]) is None
    assert canary_period([]) is None


def answer(id: str, version: str, action: Literal["accept", "none"] = "accept", **more: Any) -> Answer:
    best = Ranked("music", "Play" if version == OLD else "Stop", probability=0.8, domain_probability=0.9)
    decision = Decision(action, (0,) if action == "accept" else ())
    return Answer(id, decision, (best,), {"music": DomainReport("answered", version)}, {}, **more)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """The log of two hosts: 200 requests of which 40 fell to the candidate, and some of before and after."""
    for host in range(2):
        with AnswerLog(tmp_path / "log", clock=lambda: 100.0) as one:
            for number in range(100):
                id, version = f"{host}-{number}", NEW if number % 5 == 0 else OLD
                arm: Literal["canary", "stable"] = "canary" if version == NEW else "stable"
                one.write(Request(id=id, utterance="a"), answer(id, version), arms={"music": arm, HYPRANK: arm})
                # Reported to another process than the one that answered, as behind a load balancer.
        with AnswerLog(tmp_path / "log", clock=lambda: 500.0) as other:
            for number in range(0, 100, 2):
                id = f"{host}-{number}"
                other.feedback(Feedback(id=id, outcome="accepted" if number % 5 else "rejected"))
                other.feedback(Feedback(id=id, truth=Truth("music", "Play")))
    for time in (10.0, 400.0):
        with AnswerLog(tmp_path / "log", clock=lambda time=time: time) as one:  # type: ignore[misc]
            one.write(Request(id="x", utterance="a"), answer("x", NEW))
    with AnswerLog(tmp_path / "log", clock=lambda: 100.0) as one:
        one.write(Request(id="y", utterance="a"), answer("y", OTHER))
    return tmp_path / "log"


PERIOD = CanaryPeriod(OLD, NEW, 0.25, 50.0, 300.0)


def test_the_log_sums_over_processes_with_intervals_and_the_share_that_was_answered(log: Path) -> None:
    report = from_log("music", PERIOD, view(log))
    stable, canary = report.arms["stable"], report.arms["canary"]
    assert (stable.answers, canary.answers) == (160, 40)
    assert (stable.version, canary.version) == (OLD, NEW)
    assert (stable.accept, canary.accept) == (160, 40)
    assert report.share == 0.25
    assert report.answered is not None
    assert report.answered.mean == 0.2
    assert 0.1 < report.answered.low < 0.2 < report.answered.high < 0.3
    assert (stable.accepted, stable.rejected) == (80, 0)
    assert (canary.accepted, canary.rejected) == (0, 20)
    assert stable.outcomes is not None
    assert canary.outcomes is not None
    assert (stable.outcomes.n, canary.outcomes.n) == (80, 20)
    assert (stable.outcomes.accuracy.mean, canary.outcomes.accuracy.mean) == (1.0, 0.0)
    for one in report.differences.values():
        assert one.mean == -1.0
        assert one.low < one.high < -0.7
    assert set(report.differences) == {"accuracy", "acceptance"}
    assert report.bad_lines == 0


def test_a_stage_without_a_version_in_answers_is_told_by_the_arms_of_the_log(log: Path) -> None:
    report = from_log(HYPRANK, PERIOD, view(log))
    assert {arm: one.answers for arm, one in report.arms.items()} == {"stable": 160, "canary": 40}


def test_beside_the_packages_version_any_other_is_the_stable_one(log: Path) -> None:
    report = from_log("music", PERIOD._replace(stable=None), view(log))
    assert report.arms["stable"].answers == 161
    assert report.arms["stable"].version == report.stable == "the package's"


def test_a_shortlisters_version_is_that_of_the_shortlist(tmp_path: Path) -> None:
    with AnswerLog(tmp_path / "log", clock=lambda: 100.0) as one:
        for id, version in (("1", OLD), ("2", NEW), ("3", NEW)):
            one.write(Request(id=id, utterance="a"), answer(id, OLD, shortlist=Shortlist((), False, 0, version)))
        one.write(Request(id="4", utterance="a"), answer("4", OLD))  # brought its hypotheses
    report = from_log(SHORTLIST, PERIOD, view(tmp_path / "log"))
    assert {arm: one.answers for arm, one in report.arms.items()} == {"stable": 1, "canary": 2}


def test_a_log_without_such_answers_and_with_damaged_lines_is_reported_as_that(log: Path) -> None:
    report = from_log("books", PERIOD, view(log))
    assert (report.arms, report.answered, report.differences) == ({}, None, {})
    segment = sorted(log.iterdir())[0]
    segment.write_bytes(b'{"broken\n' + segment.read_bytes())
    unreadable = UnreadableLines()
    assert from_log("music", PERIOD, view(log), unreadable).bad_lines == unreadable.n == 1
    assert str(unreadable).startswith(f"1 lines could not be read, the first: {segment}:1: no line of a log")


shares = st.integers(0, 50).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)) if n else st.just((0, 1)))


@given(shares, shares)
def test_a_difference_of_shares_holds_its_mean_and_is_odd(one: tuple[int, int], other: tuple[int, int]) -> None:
    from arbitrank.live.comparison import _share

    a, b = _share(*one), _share(*other)
    assert a is not None
    assert b is not None
    found, back = difference(a, b), difference(b, a)
    assert -1.0 - 1e-9 <= found.low <= found.mean <= found.high <= 1.0 + 1e-9
    assert (found.low, found.high) == pytest.approx((-back.high, -back.low))


def test_newcombes_published_example() -> None:
    """56 of 70 against 48 of 80: 0.2, with the interval 0.0524 to 0.3339 (method 10)."""
    from arbitrank.live.comparison import _share

    one, other = _share(56, 70), _share(48, 80)
    assert isinstance(one, Estimate)
    assert isinstance(other, Estimate)
    found = difference(one, other)
    assert (found.mean, found.low, found.high) == pytest.approx((0.2, 0.0524, 0.3339), abs=1e-4)


def test_a_reaction_of_another_session_leaves_the_request_to_its_own() -> None:
    comparison = Comparison()
    side = {"music": ComparedVersions(OLD, NEW, 0.5, "canary")}
    comparison.served(answer("1", NEW), side, {"id": "s1", "turn": 2})
    comparison.served(answer("2", NEW), side)
    assert not comparison.feedback("1", None, "rejected", "s2")
    assert comparison.feedback("1", None, "accepted", "s1")
    assert comparison.feedback("2", None, "accepted", "s1")  # the request named none
    assert comparison.report()["music"].arms["canary"].rejected == 0


def test_reactions_are_counted_for_the_version_that_was_served_and_once() -> None:
    comparison = Comparison()
    served = answer("1", NEW)
    comparison.served(served, {"music": ComparedVersions(OLD, NEW, 0.5, "canary")})
    comparison.unserved("music", ComparedVersions(OLD, NEW, 0.5, "shadowed"), answer("1", OLD), served)
    assert comparison.feedback("1", None, "rejected")
    assert not comparison.feedback("1", None, "accepted")
    assert not comparison.feedback("2", None, "accepted")
    arms = comparison.report()["music"].arms
    assert (arms["canary"].rejected, arms["shadowed"].rejected) == (1, 0)


# ---------------------------------------------------------------------------------------------------------- the command


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = open_store(tmp_path / "store", environment={})
    for number in range(2):
        fakes.artifact(tmp_path / f"v{number}", "music", mine=0.6 + number / 100)
        store.publish(tmp_path / f"v{number}", promote=number == 0)
    return store


def test_the_command_sets_a_share_and_reports_the_canary(store: Store, tmp_path: Path) -> None:
    def run(*arguments: str, status: int = 0) -> str:
        result = CliRunner().invoke(cli, ["canary", "music", *arguments, "--store", str(tmp_path / "store")])
        if isinstance(result.exception, InputError):
            assert status == 2
            return str(result.exception)
        assert result.exit_code == status, result.output
        return result.output

    assert "run: arbitrank canary music 0.05" in run(status=2)
    assert "canary 5 %" in run("0.05")
    state = store.state("music")[1]
    assert f"music: 5 % of the requests to {state.candidate} beside {state.stable}, since " in run()
    with AnswerLog(tmp_path / "log") as one:
        for number in range(20):
            version = (state.candidate if number < 2 else state.stable) or ""
            one.write(Request(id=str(number), utterance="a"), answer(str(number), version))
            one.feedback(Feedback(id=str(number), outcome="accepted"))
    shown = run("--on", str(tmp_path / "log"))
    assert "the candidate answered 10.0 % [2.8, 30.1] of 20 requests" in shown
    assert f"stable {state.stable}" in shown
    assert "acceptance, the canary's minus the stable version's: +0.0 [" in shown
    report = json.loads(run("--on", str(tmp_path / "log"), "--json"))
    assert set(report) == set(CanaryReport.__struct_fields__)
    assert report["arms"]["canary"]["answers"] == 2
    run("0.1", "--on", str(tmp_path / "log"), status=2)
    run("--reason", "none", status=2)
    assert store.state("music")[1].canary == 0.05
