"""Previews of changes of stages: requests are answered whole with what serves and with the change."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import fakes
import made_stages
import msgspec
import numpy as np
import pytest
from click.testing import CliRunner
from fakes import FakeDomain

from arbitrank.answerlog.feedback import Feedback
from arbitrank.answerlog.writer import AnswerLog
from arbitrank.arbitration.decide import DecisionSettings
from arbitrank.arbitration.own_claims import own_claims
from arbitrank.arbitration.policy import Pin, Policy
from arbitrank.cli.main import cli
from arbitrank.domain import Domain
from arbitrank.errors import InputError
from arbitrank.impact import answered
from arbitrank.impact.report import Impact
from arbitrank.live.live import Live
from arbitrank.outcomes.propensities import selection_of
from arbitrank.previews import stage_preview
from arbitrank.promotion import consider
from arbitrank.shortlist.build import SkillUtterance, build, write
from arbitrank.shortlist.hyprank import save_hyprank
from arbitrank.shortlist.shortlister import ShortlistSettings
from arbitrank.store.decision_settings import save_decisions
from arbitrank.store.kinds import DECISIONS, HYPRANK, SHORTLIST
from arbitrank.store.store import Store, open_store
from arbitrank.values import Request

WORDS = {"lights": "the lamp", "shades": "the window"}


@pytest.fixture
def domains(tmp_path: Path) -> dict[str, Domain]:
    """Domains that read every request, `shades` with more confidence."""
    for name, mine in (("lights", 0.6), ("shades", 0.7)):
        fakes.artifact(tmp_path / name, name, mine=mine)
    return {name: FakeDomain(name, tmp_path / name) for name in WORDS}


@pytest.fixture
def requests(tmp_path: Path) -> Path:
    """Of ten requests, four are about windows and one is out of scope."""
    owners = ["lights"] * 5 + ["shades"] * 4 + [None]
    lines = [
        {"id": str(i), "utterance": WORDS.get(name or "", "the weather"), "truth": {"domain": name, "intent": "Do"}}
        for i, name in enumerate(owners)
    ]
    path = tmp_path / "requests.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(tmp_path / "store", environment={})


def shortlister(store: Store, folder: Path, texts: dict[str, str], *, promote: bool = False) -> str:
    write(build([SkillUtterance(text, name, name, frozenset([name]), Request(utterance=text))
                 for name, text in texts.items()]), folder)  # fmt: skip
    return store.publish(folder, promote=promote).version


def test_a_shortlister_is_previewed_by_whole_answers_and_nothing_is_changed(
    domains: dict[str, Domain], store: Store, requests: Path, tmp_path: Path
) -> None:
    crossed = dict(zip(WORDS, reversed(WORDS.values()), strict=True))
    shortlister(store, tmp_path / "crossed", crossed, promote=True)
    candidate = shortlister(store, tmp_path / "straight", WORDS)
    before = store.state(SHORTLIST)
    found = stage_preview(
        store, domains, SHORTLIST, "promote", requests, called="some", shortlist=ShortlistSettings(k=1)
    )
    assert (found.impact.before, found.impact.after) == (before[1].stable, candidate)
    assert (found.impact.n, found.impact.labelled, found.impact.on) == (10, 10, "some")
    moved = {(one.before, one.after): (one.n, one.wrong_to_right) for one in found.impact.pairs}
    assert moved[("shades", "lights")] == (5, 5)
    assert moved[("lights", "shades")] == (4, 4)
    assert {(one.utterance, one.kind) for one in found.impact.worst} >= {("the lamp", "wrong to right")}
    assert found.impact.pooled is not None
    assert found.impact.pooled.after.irer < found.impact.pooled.before.irer
    assert found.curves.keys() == {"before", "after"}
    assert found.own == {}
    assert any("no audit set" in one for one in found.impact.notes)
    assert store.state(SHORTLIST) == before
    assert msgspec.json.encode(found)


def test_decision_settings_are_previewed_with_the_gates_own_reasons(
    domains: dict[str, Domain], store: Store, requests: Path, tmp_path: Path
) -> None:
    store.set_audit_set(requests)
    save_decisions(DecisionSettings(none=0.0), tmp_path / "none")
    store.publish(tmp_path / "none")
    found = stage_preview(store, domains, DECISIONS, "promote", requests)
    assert found.impact.decisions["after"].none == 1.0
    assert found.impact.decisions["before"].none == 0.0
    assert {(one.before, one.after) for one in found.impact.pairs} == {("shades", None)}
    assert found.impact.value is None
    assert found.reasons == consider(store, domains, DECISIONS).reasons
    store.promote(DECISIONS, store.state(DECISIONS)[1].candidate or "")
    save_decisions(DecisionSettings(none=0.9), tmp_path / "others")
    store.publish(tmp_path / "others", promote=True)
    back = stage_preview(store, domains, DECISIONS, "rollback", requests)
    assert back.impact.decisions["after"].none == 1.0


def test_of_many_requests_a_sample_is_answered(
    domains: dict[str, Domain], store: Store, requests: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_decisions(DecisionSettings(none=0.0), tmp_path / "none")
    store.publish(tmp_path / "none")
    monkeypatch.setitem(answered.answered_impact.__kwdefaults__, "most", 4)
    found = stage_preview(store, domains, DECISIONS, "promote", requests)
    assert found.impact.n == 4
    assert "4 of 10 requests, drawn at random" in found.impact.notes


def test_what_is_no_change_of_a_stage_is_refused(domains: dict[str, Domain], store: Store, requests: Path) -> None:
    with pytest.raises(InputError, match=r"\.decisions: no candidate in"):
        stage_preview(store, domains, DECISIONS, "promote", requests)
    with pytest.raises(InputError, match="no probabilities of its own"):
        stage_preview(store, domains, DECISIONS, "shrink", requests)


N = 300  # requests of the log


@pytest.fixture
def log(domains: dict[str, Domain], store: Store, tmp_path: Path) -> Path:
    """The log of a canary of decision settings that act on nothing, of which users accept a fifth, else four fifths."""
    for name, none in (("now", 0.5), ("none", 0.0)):
        save_decisions(DecisionSettings(none=none), tmp_path / name)
        store.publish(tmp_path / name, promote=name == "now")
    store.canary(DECISIONS, 0.4)
    rng, folder = np.random.default_rng(0), tmp_path / "log"
    with Live(domains, store, selftest=lambda folder, name: None) as live, AnswerLog(folder) as written:
        live.look()
        for number in range(N):
            asked = Request(id=f"r{number}", session=f"s{number // 2}", utterance="the lamp")
            made = live.arbitrate(asked)
            drawn = partial(selection_of, asked, made.answer, made.canary)
            written.write(asked, made.answer, arms=made.arms, selection=drawn, claims=partial(own_claims, made))
            liked = rng.random() < (0.8 if made.answer.decision.action == "accept" else 0.2)
            written.feedback(Feedback(id=f"r{number}", outcome="accepted" if liked else "rejected"))
    return folder


def test_a_stages_candidate_has_its_value_by_the_reactions_of_its_canary(
    domains: dict[str, Domain], store: Store, requests: Path, log: Path
) -> None:
    on_log = stage_preview(store, domains, DECISIONS, "promote", log).impact
    beside = stage_preview(store, domains, DECISIONS, "promote", requests, log=log).impact
    assert (on_log.n, beside.n) == (N, 10)
    for value in (on_log.value, beside.value):
        assert value is not None
        assert (value.before, value.after) == (on_log.before, on_log.after)
        assert (value.n, value.left_out, value.notes) == (N, {}, [])
        one = value.estimate
        assert one is not None
        assert (one.n, one.sessions, one.flips, one.without_evidence, one.overlap) == (N, N // 2, N, 0.0, 1.0)
        assert one.difference.dr.low < -0.6 < one.difference.dr.high
        assert one.verdict == "worse"


def test_reactions_to_what_the_operators_policy_may_have_decided_are_left_out(
    domains: dict[str, Domain], store: Store, log: Path
) -> None:
    policy = Policy(pins=(Pin(domain="lights"),))
    value = stage_preview(store, domains, DECISIONS, "promote", log, policy=policy).impact.value
    assert value is not None
    assert (value.estimate, sum(value.left_out.values())) == (None, N)


def test_of_many_reactions_a_sample_is_answered(
    domains: dict[str, Domain], store: Store, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(answered.answered_impact.__kwdefaults__, "most", 100)
    impact = stage_preview(store, domains, DECISIONS, "promote", log).impact
    assert impact.n == 100
    assert impact.value is not None
    assert impact.value.estimate is not None
    assert (impact.value.n, impact.value.estimate.n) == (N, 100)
    assert f"100 of {N} reactions, drawn at random" in impact.value.notes


def test_lists_that_a_hyprank_sorted_are_replayed_for_a_stage(
    domains: dict[str, Domain], store: Store, tmp_path: Path
) -> None:
    for number in range(2):
        save_hyprank(made_stages.hyprank(number), tmp_path / f"h{number}")
        store.publish(tmp_path / f"h{number}", promote=number == 0)
    with Live(domains, store, selftest=lambda folder, name: None) as live, AnswerLog(tmp_path / "log") as written:
        live.look()
        for number in range(20):
            asked = Request(id=f"r{number}", utterance="the lamp")
            made = live.arbitrate(asked)
            assert "hyprank" in made.answer.ms
            written.write(asked, made.answer, selection=partial(selection_of, asked, made.answer, made.canary))
            written.feedback(Feedback(id=f"r{number}", outcome="accepted"))
    value = stage_preview(store, domains, HYPRANK, "promote", tmp_path / "log").impact.value
    assert value is not None
    assert (value.left_out, value.estimate and value.estimate.n) == ({}, 20)


def test_a_hyprank_of_the_operators_takes_the_place_of_the_stores(
    domains: dict[str, Domain], store: Store, requests: Path
) -> None:
    with pytest.raises(InputError, match="no version of the store does"):
        stage_preview(store, domains, HYPRANK, "promote", requests, hyprank=made_stages.hyprank(0))


# --------------------------------------------------------------------------------------------------- the command line


@pytest.fixture
def impact(domains: dict[str, Domain], store: Store, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """The command `arbitrank impact` on the store."""
    monkeypatch.setattr("arbitrank.cli.stage_impact.loaded", lambda found: domains)
    return lambda *more: CliRunner().invoke(cli, ["impact", *more, "--store", str(store)])


def test_the_command_prints_and_writes_the_report_of_a_stage(
    domains: dict[str, Domain], store: Store, log: Path, impact: Callable[..., Any], tmp_path: Path
) -> None:
    shown = impact(".decisions", "--on", str(log), "--out", str(tmp_path / "out"))
    assert shown.exit_code == 0, shown.output
    texts = ("none 0.0 -> 100.0 %", "its gate judges it on no request", f"{N} reactions in {N // 2} sessions", "fewer")
    assert all(text in shown.output for text in texts)
    assert "claims of" not in shown.output
    written = msgspec.json.decode((tmp_path / "out" / "impact.json").read_bytes(), type=Impact)
    assert written == stage_preview(store, domains, DECISIONS, "promote", log).impact
    page = (tmp_path / "out" / "impact.html").read_text()
    assert "Accepted by users" in page
    assert "on every request that it has a reading of" not in page


def test_a_shortlister_takes_part_in_the_report_with_the_services_options(
    store: Store, requests: Path, impact: Callable[..., Any], tmp_path: Path
) -> None:
    store.set_audit_set(requests)
    crossed = dict(zip(WORDS, reversed(WORDS.values()), strict=True))
    shortlister(store, tmp_path / "crossed", crossed, promote=True)
    candidate = shortlister(store, tmp_path / "straight", WORDS)
    found = msgspec.json.decode(impact("shortlist", "--shortlist", "--shortlist-k", "1", "--json").output, type=Impact)
    assert (found.domain, found.after, found.on) == (SHORTLIST, candidate, "the audit set")
    assert found.flips == 9


@pytest.mark.parametrize(
    ("args", "reason"),
    [
        ((".decisions", "--against", "3f9a1c07d2b4"), "a stage is compared with what serves"),
        ((".decisions", "--candidate", "folder"), "is no version; run: arbitrank publish FOLDER"),
        ((".decisions", "--backend", "dask", "--scheduler", "tcp://h:1"), "--backend dask is for domains"),
        ((".hyprank",), "no candidate in"),
        (("lights", "--shortlist"), "--shortlist: no stage"),
    ],
)
def test_what_a_stage_does_not_have_is_refused(
    store: Store, requests: Path, impact: Callable[..., Any], args: tuple[str, ...], reason: str
) -> None:
    store.set_audit_set(requests)
    assert reason in str(impact(*args).exception)
