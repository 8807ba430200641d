"""Tuned decision settings from the command to the answer: published, judged, followed, canaried and rolled back."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fakes
import numpy as np
import pytest
from msgspec import UNSET

from arbitrank.arbitration.arbitrator import Arbitrator
from arbitrank.arbitration.competition import Competition, Term
from arbitrank.arbitration.decide import DecisionSettings
from arbitrank.arbitration.following import ShareFollowing
from arbitrank.arbitration.recalibration import Recalibration
from arbitrank.arbitration.risk_bound import GroupBound, RiskBound
from arbitrank.domain import Domain
from arbitrank.errors import DataError
from arbitrank.impact.observation import observe
from arbitrank.live.live import Live
from arbitrank.promotion import consider, promote
from arbitrank.registry import discover
from arbitrank.store.decision_settings import load_decisions, save_decisions
from arbitrank.store.kinds import DECISIONS
from arbitrank.store.loading import load_found, settled
from arbitrank.store.store import Store, open_store
from arbitrank.values import Hypothesis, Request

ODDS = 3.0


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A store of domains that claim three times the log-odds that they should."""
    store = open_store(tmp_path / "store", environment={})
    for name in ("lights", "shades"):
        fakes.artifact(tmp_path / name, name, strength=ODDS)
        store.publish(tmp_path / name, promote=True)
    return store


def rows(n: int, *, none: float = 0.1, seed: int = 0, labelled: bool = True) -> Iterator[dict[str, Any]]:
    """Lines with a hypothesis of both domains, which gives the true probability that the request is its own."""
    rng = np.random.default_rng(seed)
    owners = rng.choice(3, n, p=[(1 - none) / 2, (1 - none) / 2, none])
    for i, owner in enumerate(owners):
        evidence = rng.normal([1.5 if d == owner else -1.5 for d in range(2)], 1.2) * 3.0 / 1.44
        hypotheses = [
            {"domain": name, "intent": "Do", "domain_confidence": float(1 / (1 + np.exp(-z)))}
            for name, z in zip(("lights", "shades"), evidence, strict=True)
        ]
        line = {"id": str(i), "utterance": "more light", "hypotheses": hypotheses}
        truth = {"domain": ("lights", "shades", None)[owner], "intent": "Do"}
        yield {**line, "truth": truth} if labelled else line


def file(path: Path, *parts: Iterator[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for part in parts for row in part))
    return path


REQUEST = Request(
    utterance="x", hypotheses=(Hypothesis("lights", "Do", 0.7, 0.7), Hypothesis("shades", "Do", 0.6, 0.6))
)


def competing(store: Store, version: str = "", slope: float = 1 / ODDS) -> DecisionSettings:
    terms = {name: Term(slope, 0.0, version or store.state(name)[1].stable) for name in ("lights", "shades")}
    return DecisionSettings(competition=Competition(terms, 0.0, 0.1))


def published(store: Store, folder: Path, settings: DecisionSettings, *, promoted: bool = True) -> str:
    save_decisions(settings, folder)
    return store.publish(folder, promote=promoted).version


# --------------------------------------------------------------------------------------------------------- the command


def test_what_is_tuned_is_published_promoted_and_named_by_answers(
    arbitrank: Any, lights_site: Path, store: Store, tmp_path: Path
) -> None:
    audit = file(tmp_path / "audit.jsonl", rows(1_500))
    where = {"ARBITRANK_STORE": str(store), "PYTHONPATH": str(lights_site), "ARBITRANK_DOMAINS": "lights,shades"}
    done = arbitrank("tune", "--on", str(audit), **where)
    assert done.returncode == 0, done.stderr
    assert "candidate in" in done.stdout
    assert "together" not in done.stderr
    candidate = store.state(DECISIONS)[1].candidate
    assert arbitrank("promote", DECISIONS, **where).returncode == 0
    line = json.dumps(next(rows(1)))
    answer = json.loads(arbitrank("rank", input=line, **where).stdout)
    assert answer["settings"] == candidate
    again = arbitrank("tune", "--on", str(audit), **where)
    assert again.returncode == 1
    assert "not tuned: no setting is surely better than those in force" in again.stderr


def test_the_command_writes_a_folder_and_json(arbitrank: Any, lights_site: Path, store: Store, tmp_path: Path) -> None:
    audit, out = file(tmp_path / "audit.jsonl", rows(1_500), rows(500, labelled=False)), tmp_path / "out"
    where = {"ARBITRANK_STORE": str(store), "PYTHONPATH": str(lights_site), "ARBITRANK_DOMAINS": "lights,shades"}
    done = arbitrank("tune", "--on", str(audit), "--out", str(out), "--json", **where)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["n"] == 1_500
    assert found["share"]["n"] == 500
    assert load_decisions(out).competition is not None
    assert found["version"] == load_decisions(out).version
    assert store.state(DECISIONS)[1].candidate is None


def test_a_bound_on_risk_is_certified_promoted_and_stated_by_answers_of_the_same_versions(
    arbitrank: Any, lights_site: Path, store: Store, tmp_path: Path
) -> None:
    audit = file(tmp_path / "audit.jsonl", rows(3_000))
    where = {"ARBITRANK_STORE": str(store), "PYTHONPATH": str(lights_site), "ARBITRANK_DOMAINS": "lights,shades"}
    store.set_audit_set(audit)
    done = arbitrank("tune", "--risk", "0.1", "--per", "domain", **where)
    assert done.returncode == 0, done.stderr
    assert "at most 10 % of the accepted answers wrong, with 95 % confidence" in done.stdout
    assert "* domain lights: accept 0." in done.stdout
    assert "do not state the bound" not in done.stderr
    (tmp_path / "arbitrank.toml").write_text(
        '[serve]\npolicy = "policy.toml"\nlog = "log"\nexplore = ["lights=0.01"]\n'
    )
    again = arbitrank("tune", "--risk", "0.1", ARBITRANK_CONFIG=str(tmp_path / "arbitrank.toml"), **where)
    noted = "answers do not state the bound where the operator's policy decides, where readings are explored: it is"
    assert noted in again.stderr
    assert arbitrank("promote", DECISIONS, **where).returncode == 0
    line = json.dumps(next(rows(1)))
    answer = json.loads(arbitrank("rank", input=line, **where).stdout)
    assert answer["risk"] == {"most": 0.1, "confidence": 0.95}
    assert answer["settings"] == store.state(DECISIONS)[1].stable
    stated = arbitrank("rank", "--none", "0.45", input=line, **where)
    assert "risk" not in json.loads(stated.stdout)
    assert "the bound on risk, at most 10 % wrong, is not in force: none 0.45 is stated, " in stated.stderr
    fakes.artifact(tmp_path / "next", "lights", strength=2.0)
    store.publish(tmp_path / "next", promote=True)
    done = arbitrank("rank", input=line, **where)
    assert "risk" not in json.loads(done.stdout)
    changed = "the bound on risk, at most 10 % wrong, is not in force: lights: another version was tested; run:"
    assert changed in done.stderr
    store.rollback("lights")
    store.rollback(DECISIONS, to_package=True)
    assert "risk" not in json.loads(arbitrank("rank", input=line, **where).stdout)


def test_a_bound_that_cannot_be_kept_publishes_nothing(
    arbitrank: Any, lights_site: Path, store: Store, tmp_path: Path
) -> None:
    audit = file(tmp_path / "audit.jsonl", rows(400))
    where = {"ARBITRANK_STORE": str(store), "PYTHONPATH": str(lights_site), "ARBITRANK_DOMAINS": "lights,shades"}
    done = arbitrank("tune", "--risk", "0.0001", "--on", str(audit), **where)
    assert done.returncode == 1
    assert "the bound cannot be kept: of the" in done.stderr
    assert store.state(DECISIONS)[1].candidate is None
    for wrong, seen in (
        (("--confidence", "0.9"), "--confidence: no --risk"),
        (("--risk", "0.02", "--per", "weather"), "--per weather: expected domain, context, or context.KEY"),
        (("--risk", "0.02", "--per", "context.room"), "--per context.room: no labelled request has"),
        (("--risk", "0.02", "--accept", "0.5"), "accept is stated"),
        (("--risk", "1"), "is not in the range"),
    ):
        done = arbitrank("tune", "--on", str(audit), *wrong, **where)
        assert (done.returncode, seen in done.stderr) == (2, True), done.stderr


def test_the_gate_refuses_a_bound_that_the_audit_set_contradicts(
    store: Store, domains: dict[str, Domain], tmp_path: Path
) -> None:
    store.set_audit_set(file(tmp_path / "audit.jsonl", rows(1_500)))
    bound = RiskBound(0.01, 0.95, {"": GroupBound(500, 1, 0.01)})
    save_decisions(DecisionSettings(accept=0.4, bound=bound), tmp_path / "bound")
    store.publish(tmp_path / "bound")
    (reason,) = consider(store, domains, DECISIONS).reasons
    assert reason.what == "risk"
    assert reason.text.startswith("more than 1 % of the answers that it accepts are wrong: ")


def test_the_gate_refuses_a_domain_with_which_the_bound_in_force_does_not_hold(
    store: Store, domains: dict[str, Domain], tmp_path: Path
) -> None:
    store.set_audit_set(file(tmp_path / "audit.jsonl", rows(600)))
    save_decisions(DecisionSettings(bound=RiskBound(0.2, 0.95)), tmp_path / "bound")
    store.publish(tmp_path / "bound", promote=True)
    for strength, refused in ((2.9, False), (-1.0, True)):
        fakes.artifact(tmp_path / str(strength), "lights", fakes.CARD, strength=strength)
        store.publish(tmp_path / str(strength))
        reasons = {one.what: one.text for one in consider(store, domains, "lights").reasons}
        assert ("risk" in reasons) == refused
    assert "with it more than 20 % of the accepted answers are wrong" in reasons["risk"]


@pytest.mark.parametrize(
    ("lines", "status", "reason"),
    [
        ([], 2, "0 requests with a truth, expected at least 200"),
        (list(rows(30)), 2, "30 requests with a truth, expected at least 200"),
        ([one for one in rows(800) if one["truth"]["domain"] == "lights"], 2, "are of one domain, lights"),
        (list(rows(400, labelled=False)), 2, "0 requests with a truth, expected at least 200"),
    ],
    ids=["none", "30", "one domain", "unlabelled"],
)
def test_requests_that_say_too_little_are_refused(
    arbitrank: Any, lights_site: Path, store: Store, tmp_path: Path, lines: list[Any], status: int, reason: str
) -> None:
    where = {"ARBITRANK_STORE": str(store), "PYTHONPATH": str(lights_site), "ARBITRANK_DOMAINS": "lights,shades"}
    done = arbitrank("tune", "--on", str(file(tmp_path / "a.jsonl", iter(lines))), **where)
    assert (done.returncode, reason in done.stderr) == (status, True), done.stderr
    assert store.state(DECISIONS)[1].candidate is None


def test_an_only_domain_has_nothing_to_compete_with(store: Store, domains: dict[str, Domain], tmp_path: Path) -> None:
    with pytest.raises(DataError, match="lights can answer, expected at least 2 domains"):
        observe({"lights": domains["lights"]}, store, file(tmp_path / "a.jsonl", rows(300)))


def test_requests_of_other_versions_are_scored_by_those_that_answer_now(
    store: Store, domains: dict[str, Domain], tmp_path: Path
) -> None:
    """A log that earlier versions answered, with an unreadable line and hypotheses of a domain that is gone."""
    report = {"status": "answered", "version": "0" * 12, "ms": 0.0, "reason": None, "shrunk": None}
    answer = {"id": None, "decision": {"action": "none"}, "ranked": [], "domains": {"lights": report}, "ms": {}}
    lines = [{**row, "answer": answer} for row in rows(300)]
    lines[0]["hypotheses"] = [*lines[0]["hypotheses"], {"domain": "gone", "intent": "Do", "domain_confidence": 0.5}]
    path = file(tmp_path / "a.jsonl", iter(lines))
    path.write_text(path.read_text() + "{\n")
    seen, without = (observe(domains, store, one) for one in (path, file(tmp_path / "b.jsonl", rows(300))))
    assert np.array_equal(seen.observed.mine, without.observed.mine)
    notes = " | ".join(seen.notes)
    assert "1 lines could not be read, the first: " in notes
    assert "not installed, so their hypotheses do not compete: gone" in notes
    assert "logged answers of other versions of lights: their readings are scored" in notes
    assert without.notes == ()


def test_requests_of_domains_that_do_not_answer_are_named(
    store: Store, domains: dict[str, Domain], tmp_path: Path
) -> None:
    lines = list(rows(300))
    for line, name in zip(lines, ["Lights", "weather", "weather"], strict=False):
        line["truth"] = {"domain": name, "intent": "Do"}
    lines[3]["truth"] = {"domains": ["weather", "shades"], "intent": "Do"}
    lines[4]["truth"] = {"domains": ["weather", None], "intent": "Do"}
    (note,) = observe(domains, store, file(tmp_path / "a.jsonl", iter(lines))).notes
    assert note.startswith("3 requests are of domains that do not answer here, ")
    assert "Lights (1), weather (2); install these, or correct the names" in note


def test_copies_of_few_requests_are_named(store: Store, domains: dict[str, Domain], tmp_path: Path) -> None:
    """The words alone are no copy: users repeat these, and what the domains claim depends on the situation."""
    lines = [*rows(40)] * 10
    (note,) = observe(domains, store, file(tmp_path / "a.jsonl", iter(lines))).notes
    assert note.startswith("400 requests with a truth, 40 different ones: ")


def test_a_fallback_that_stands_in_the_requests_alone_does_not_compete(
    store: Store, domains: dict[str, Domain], tmp_path: Path
) -> None:
    lines = list(rows(300))
    for line in lines[:200]:
        line["hypotheses"] = [*line["hypotheses"], {"domain": "llm", "intent": "Chat"}]
        if line["truth"]["domain"] is None:
            line["truth"] = {"domain": "llm", "intent": "Chat"}
    seen = observe(domains, store, file(tmp_path / "a.jsonl", iter(lines)), DecisionSettings(fallback="llm"))
    assert (seen.fallback, seen.observed.domains, seen.notes) == ("llm", ("lights", "shades"), ())
    owned = np.array([line["truth"]["domain"] in ("llm", None) for line in lines])
    assert np.array_equal(seen.observed.out_of_scope, owned)
    assert np.array_equal(seen.observed.on_none.right, owned)
    kept = seen.observed.at(np.flatnonzero(~owned[:200]))
    assert not kept.on_none.right.any()


# ------------------------------------------------------------------------------------------------------------ the gate


def test_the_gate_refuses_settings_that_answer_worse(store: Store, domains: dict[str, Domain], tmp_path: Path) -> None:
    store.set_audit_set(file(tmp_path / "audit.jsonl", rows(1_000)))
    bad = DecisionSettings(competition=Competition({"lights": Term(1.0, 25.0)}, 0.0, 0.1))
    published(store, tmp_path / "bad", bad, promoted=False)
    judgement = consider(store, domains, DECISIONS)
    assert {reason.what for reason in judgement.reasons} >= {"irer", "neighbour"}
    assert promote(store, judgement) is None
    published(store, tmp_path / "good", competing(store), promoted=False)
    judgement = consider(store, domains, DECISIONS)
    assert judgement.reasons == ()
    assert promote(store, judgement)


def test_the_gate_tells_of_domains_that_changed_and_are_gone(
    store: Store, domains: dict[str, Domain], tmp_path: Path
) -> None:
    store.set_audit_set(file(tmp_path / "audit.jsonl", rows(300)))
    terms = {"lights": Term(0.5, 0.0, "0" * 12), "gone": Term(0.5, 0.0, "0" * 12)}
    published(store, tmp_path / "a", DecisionSettings(competition=Competition(terms)), promoted=False)
    notes: list[str] = []
    consider(store, domains, DECISIONS, note=notes.append)
    assert any(note.startswith("lights, shades: another version was tuned on") for note in notes)
    assert "gone: tuned, and answers no longer" in notes


def test_a_recalibrated_domain_is_promoted_under_the_settings_tuned_before(
    store: Store, domains: dict[str, Domain], tmp_path: Path
) -> None:
    """Its old slope would divide log-odds that are right by now; it holds for the old version alone."""
    store.set_audit_set(file(tmp_path / "audit.jsonl", rows(1_500)))
    published(store, tmp_path / "settings", competing(store))
    fakes.artifact(tmp_path / "new", "lights", fakes.CARD, strength=1.0)
    store.publish(tmp_path / "new")
    judgement = consider(store, domains, "lights")
    assert judgement.reasons == ()
    assert judgement.impact is not None
    pooled = judgement.impact.pooled
    assert pooled is not None
    assert pooled.right_to_wrong == pooled.wrong_to_right == 0  # the slope did the same to the old version
    assert pooled.difference["nll"].mean == pytest.approx(0.0, abs=3e-3)  # clipped log-odds apart
    assert promote(store, judgement)


# ----------------------------------------------------------------------------------------------------------- answering


def test_slopes_hold_for_the_version_that_they_were_fitted_on(
    store: Store, domains: dict[str, Domain], tmp_path: Path, lights_site: Path
) -> None:
    def best(settings: DecisionSettings) -> float | None:
        parts = load_found(discover({"ARBITRANK_DOMAINS": "lights,shades"}), store)
        answer = Arbitrator(decisions=settings, **parts._asdict()).answer(REQUEST)
        return answer.ranked[0].domain_probability

    fitted, other = best(competing(store)), best(competing(store, "0" * 12))
    identity = best(DecisionSettings(competition=Competition({}, 0.0, 0.1)))
    assert other == identity
    assert fitted != identity


def test_live_follows_settings_and_returns_to_those_of_the_operator(
    store: Store, domains: dict[str, Domain], tmp_path: Path
) -> None:
    stated = DecisionSettings(accept=0.11)
    with Live(domains, store, decisions=stated, poll=60) as live:
        assert live.answer(REQUEST).settings is UNSET
        one = published(store, tmp_path / "one", competing(store))
        live.look()
        first = live.arbitrate(REQUEST)
        assert (first.answer.settings, first.decisions.accept) == (one, 0.11)
        assert live.remarks() == ()
        two = published(store, tmp_path / "two", DecisionSettings(none=0.9))
        live.look()
        assert live.arbitrate(REQUEST).decisions.none == 0.9
        assert live.answer(REQUEST).settings == two
        published(store, tmp_path / "three", competing(store, "0" * 12))
        live.look()
        assert live.remarks()[0].startswith("lights, shades: another version was tuned on")
        store.rollback(DECISIONS)
        live.look()
        assert live.status().domains[DECISIONS].version == two
        store.promote(DECISIONS, one)
        live.look()
        assert live.answer(REQUEST).settings == one
        assert live.answer(REQUEST).ranked == first.answer.ranked
    assert settled(stated, store).version == one


def test_a_canary_of_settings_answers_its_share(store: Store, domains: dict[str, Domain], tmp_path: Path) -> None:
    one = published(store, tmp_path / "one", DecisionSettings(none=0.8))
    two = published(store, tmp_path / "two", competing(store), promoted=False)
    store.canary(DECISIONS, 0.5)
    with Live(domains, store, poll=60) as live:
        live.look()
        versions = [live.answer(Request(id=str(i), hypotheses=REQUEST.hypotheses)).settings for i in range(200)]
        assert {*versions} == {one, two}
        assert 60 < versions.count(two) < 140
        report = live.report()[DECISIONS]
        assert report.arms["canary"].answers == versions.count(two)


def test_the_first_settings_can_be_a_canary_beside_the_operators(
    store: Store, domains: dict[str, Domain], tmp_path: Path
) -> None:
    one = published(store, tmp_path / "one", competing(store), promoted=False)
    store.canary(DECISIONS, 0.5)
    lines: list[str] = []
    with Live(domains, store, decisions=DecisionSettings(none=0.8), poll=60, notify=lines.append) as live:
        assert not any(DECISIONS in line for line in lines)
        live.look()
        found = [live.arbitrate(Request(id=str(i), hypotheses=REQUEST.hypotheses)) for i in range(100)]
        assert {one.answer.settings for one in found} == {UNSET, one}
        assert {one.decisions.none for one in found} == {0.8}  # stated by the operator, on both sides
        report = live.report()[DECISIONS]
        assert (report.stable, report.candidate) == ("operator", one)
        published(store, tmp_path / "one", competing(store))
        live.look()
        assert live.answer(REQUEST).settings == one
        store.rollback(DECISIONS, to_package=True)
        live.look()
        assert live.answer(REQUEST).settings is UNSET


def counted(live: Live) -> int | None:
    share = live.status().share
    return None if share is None else share.n


def test_a_service_follows_the_share_with_the_requests_that_its_stable_versions_answer(
    store: Store, domains: dict[str, Domain], tmp_path: Path
) -> None:
    one = published(store, tmp_path / "one", competing(store))
    foreign = Hypothesis("gone", "Do", 0.9)
    following = ShareFollowing(follow=True, half_life=100.0)
    nonsense = Request(hypotheses=(Hypothesis("lights", "Do", 0.01, 0.5), Hypothesis("shades", "Do", 0.01, 0.5)))
    with Live(domains, store, poll=60, following=following) as live:
        live.look()
        first = live.answer(REQUEST)
        assert (first.settings, first.out_of_scope_share) == (one, 0.1)
        for _ in range(300):
            live.answer(nonsense)
        moved = live.status().share
        assert moved is not None
        assert moved.share == pytest.approx(4 / 13, rel=0.03)
        assert live.answer(REQUEST).out_of_scope_share == moved.share
        live.answer(Request(hypotheses=(*nonsense.hypotheses, foreign)))
        assert counted(live) == 302
        published(store, tmp_path / "two", DecisionSettings(none=0.9), promoted=False)
        store.canary(DECISIONS, 1.0)
        live.look()
        assert live.answer(Request(id="1", hypotheses=REQUEST.hypotheses)).out_of_scope_share is UNSET
        assert counted(live) == 302
    store.canary(DECISIONS, 0.0)
    with Live(domains, store, poll=60, following=following) as live:
        live.look()
        assert live.answer(REQUEST).out_of_scope_share == 0.1
    with Live(domains, store, poll=60) as live:
        live.look()
        assert live.answer(REQUEST).out_of_scope_share is UNSET
        assert live.status().share is None


def test_a_slope_is_in_force_exactly_while_the_version_answers_that_it_was_fitted_on(
    store: Store, domains: dict[str, Domain], tmp_path: Path
) -> None:
    """Whose log-odds it divides by three: the new version states them right, so that every answer is the same."""
    published(store, tmp_path / "settings", competing(store))
    fakes.artifact(tmp_path / "new", "lights", fakes.CARD, strength=1.0)
    new, old = store.publish(tmp_path / "new").version, store.state("lights")[1].stable
    assert old is not None
    with Live(domains, store, poll=60) as live:

        def claims() -> tuple[str | None, float | None]:
            live.look()
            (one,) = (one for one in live.answer(REQUEST).ranked if one.domain == "lights")
            return one.version, one.domain_probability

        first = claims()
        store.canary("lights", 1.0)
        assert claims() == (new, pytest.approx(first[1], abs=1e-6))
        store.promote("lights", new)
        assert claims() == (new, pytest.approx(first[1], abs=1e-6))
        assert live.remarks()[0].startswith("lights: another version was tuned on")
        store.rollback("lights")
        assert claims() == first
        store.promote("lights", old, recalibration=Recalibration(0.5))
        assert claims()[0] == old
        assert claims()[1] != pytest.approx(first[1], abs=0.01)  # log-odds that are halved compete as they are
        store.promote("lights", old, recalibration=None)
        assert claims() == first
        assert live.remarks() == ()


def test_damaged_settings_leave_those_before(store: Store, domains: dict[str, Domain], tmp_path: Path) -> None:
    one = published(store, tmp_path / "one", DecisionSettings(none=0.8))
    with Live(domains, store, poll=60) as live:
        two = published(store, tmp_path / "two", DecisionSettings(none=0.7))
        (Path(str(store)) / DECISIONS / two / "decisions.json").write_text("{}")
        live.look()
        assert live.answer(REQUEST).settings == one
        assert "SHA-256" in (live.status().domains[DECISIONS].problem or "")


def test_promote_is_left_to_the_gate_where_there_is_an_audit_set(
    arbitrank: Any, lights_site: Path, store: Store, tmp_path: Path
) -> None:
    store.set_audit_set(file(tmp_path / "audit.jsonl", rows(300)))
    where = {"ARBITRANK_STORE": str(store), "PYTHONPATH": str(lights_site), "ARBITRANK_DOMAINS": "lights,shades"}
    done = arbitrank("tune", "--promote", **where)
    assert done.returncode == 2
    assert "run without it, then: arbitrank promote .decisions" in done.stderr


def test_without_requests_to_tune_on_the_next_command_is_named(arbitrank: Any, lights_site: Path) -> None:
    done = arbitrank("tune", PYTHONPATH=str(lights_site), ARBITRANK_DOMAINS="lights,shades")
    assert done.returncode == 2
    assert "run: arbitrank audit-set FILE, or give --on FILE" in done.stderr
