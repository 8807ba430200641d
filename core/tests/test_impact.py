"""The impact report: a replay answers as the arbitrator does, and the report counts its flips and errors."""

from __future__ import annotations

import dataclasses
import gzip
import json
import re
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest
from benchmarks.exchanged import World, world, write
from fakes import FakeDomain, FakeModel
from msgspec.structs import replace
from msgspec.structs import replace as replaced

from arbitrank.arbitration.arbitrator import Arbitrator, Serving
from arbitrank.arbitration.decide import DecisionSettings
from arbitrank.arbitration.recalibration import Recalibration
from arbitrank.domain import Domain, Model
from arbitrank.errors import ArtifactError, InputError
from arbitrank.evaluate.metrics import calibration
from arbitrank.evaluate.segment_report import BrokenSegment
from arbitrank.impact.curves import curves_of
from arbitrank.impact.flips import FLIPS, KINDS
from arbitrank.impact.gate import judge
from arbitrank.impact.logged_actions import NO_WORDS
from arbitrank.impact.page import write_impact
from arbitrank.impact.plan import ReplayPlan, installed_domains, plan, sendable
from arbitrank.impact.replay import replay
from arbitrank.impact.replayed import Replayed
from arbitrank.impact.report import Impact, measure
from arbitrank.impact.value_work import valued
from arbitrank.learn.rerankers import baseline
from arbitrank.outcomes.suite_runs import CaseResult
from arbitrank.store.artifact import Manifest, read_card, seal
from arbitrank.store.store import Store, open_store
from arbitrank.values import Answer, Request, Truth
from arbitrank.wire.requests import Logged, decode_logged

NAME = "domain1"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> World:
    return world(tmp_path_factory.mktemp("world"), domains=3, train=800, held=900)


@pytest.fixture(scope="module")
def store(made: World, tmp_path_factory: pytest.TempPathFactory) -> Store:
    return made.fill(open_store(tmp_path_factory.mktemp("store"), environment={}))


@pytest.fixture(scope="module")
def exchange(made: World, store: Store, tmp_path_factory: pytest.TempPathFactory) -> ReplayPlan:
    """A domain exchanged for one that learned from an eighth of the data."""
    folder = made.build(NAME, tmp_path_factory.mktemp("candidate") / "a", 100)
    return plan(made.domains, store, NAME, folder)


@pytest.fixture(scope="module")
def impact(exchange: ReplayPlan, made: World) -> Impact:
    return measure(exchange, made.audit, card=read_card(exchange.candidate.folder))[0]


def arbitrator(exchange: ReplayPlan, side: str) -> Arbitrator:
    parts = {**exchange.parts}
    if side == "after":
        parts[exchange.name] = exchange.candidate
    serving = {
        name: Serving(part.domain.load(part.folder), part.version, "store", part.recalibration)
        for name, part in parts.items()
    }
    return Arbitrator(serving, replaced(exchange.decisions, rank_unserved=True), fallback=baseline)


def heads(found: Replayed, side: str) -> list[str | None]:
    return [[*found.names, None][head] for head in found.rows[side]["head"]]


@pytest.mark.parametrize("normalise", [False, True])
def test_a_replay_ranks_as_the_arbitrator_does(exchange: ReplayPlan, made: World, normalise: bool) -> None:
    hot = dataclasses.replace(exchange.parts["domain2"], recalibration=Recalibration(1 / 1.7))
    changed = dataclasses.replace(
        exchange, parts={**exchange.parts, "domain2": hot}, decisions=replaced(exchange.decisions, normalise=normalise)
    )
    found = replay(changed, made.audit)
    assert len(found.rows) == len(made.held)
    for side in ("before", "after"):
        answers = [arbitrator(changed, side).answer(e.request) for e in made.held[:200]]
        rows = found.rows[side][:200]
        assert heads(found, side)[:200] == [answer.ranked[0].domain for answer in answers]
        np.testing.assert_allclose(rows["probability"], [answer.ranked[0].probability for answer in answers], atol=1e-9)
        own = [next(r for r in answer.ranked if r.domain == NAME) for answer in answers]
        if not changed.decisions.normalise:
            np.testing.assert_allclose(rows["own_mine"], [r.domain_probability for r in own], atol=1e-9)
            np.testing.assert_allclose(rows["own_probability"], [r.probability for r in own], atol=1e-9)
            out_of_scope = [
                np.prod([1 - p for p in {r.domain: r.domain_probability for r in answer.ranked}.values()])
                for answer in answers
            ]
            np.testing.assert_allclose(rows["out_of_scope"], out_of_scope, atol=1e-9)


def test_many_requests_at_once_and_one_at_a_time_give_the_same(
    exchange: ReplayPlan, made: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    fast = replay(exchange, made.audit)
    monkeypatch.setattr("arbitrank.impact.batch_scores.matrix_reranker", lambda model: None)
    slow = replay(exchange, made.audit)
    for side in ("before", "after"):
        for column in fast.rows[side].dtype.names or ():
            np.testing.assert_allclose(
                fast.rows[side][column].astype(float), slow.rows[side][column].astype(float), atol=1e-9
            )
    assert [flip.line for flip in fast.worst[False]] == [flip.line for flip in slow.worst[False]]


def test_any_number_of_processes_finds_the_same(
    exchange: ReplayPlan, made: World, impact: Impact, tmp_path: Path
) -> None:
    again, _ = measure(exchange, made.audit, card=read_card(exchange.candidate.folder), jobs=2)
    assert msgspec.json.encode(again) == msgspec.json.encode(impact)


def test_the_report_has_the_figures_counted_by_hand(impact: Impact, exchange: ReplayPlan, made: World) -> None:
    assert impact.n == impact.labelled == len(made.held)
    assert (impact.before, impact.after) == (exchange.parts[NAME].version, exchange.candidate.version)
    before, after = (
        [arbitrator(exchange, s).answer(e.request).ranked[0] for e in made.held] for s in ("before", "after")
    )
    truths = [e.truth for e in made.held]
    answered = [[(r.domain, r.intent, r.slots[0].value) for r in side] for side in (before, after)]
    expected = [(t.domain, t.intent, t.slots[0].value) for t in truths]
    right = [np.array([a == b for a, b in zip(side, expected, strict=True)]) for side in answered]
    assert impact.flips == sum(a != b for a, b in zip(*answered, strict=True)) > 0
    assert impact.pooled
    assert impact.pooled.before.irer == pytest.approx(1 - right[0].mean())
    assert impact.pooled.after.irer == pytest.approx(1 - right[1].mean())
    assert impact.pooled.difference["irer"].mean == pytest.approx(right[0].mean() - right[1].mean())
    assert impact.pooled.right_to_wrong == (right[0] & ~right[1]).sum()
    assert sum(pair.n for pair in impact.pairs) == impact.flips
    assert sum(pair.right_to_wrong for pair in impact.pairs) == impact.pooled.right_to_wrong
    assert set(impact.per_device) == {"tv", "phone"}
    assert sum(one.n for one in impact.per_domain.values()) == impact.n
    for name, one in impact.per_domain.items():
        owned = np.array([t.domain == name for t in truths])
        assert one.after.irer == pytest.approx(1 - right[1][owned].mean())
        won = np.array([r.domain == name for r in after])
        figures = calibration(np.array([r.probability for r in after])[won], right[1][won].astype(float), draws=100)
        assert one.calibration_after
        assert one.calibration_after.n == won.sum()
        assert one.calibration_after.ece == pytest.approx(figures.ece)


def test_the_flips_that_matter_most_come_first_and_read_well(impact: Impact, made: World) -> None:
    assert 0 < len(impact.worst) <= FLIPS
    order = [(KINDS.index(flip.kind), -flip.after.probability) for flip in impact.worst]
    assert order == sorted(order)
    flip = impact.worst[0]
    assert flip.kind == "right to wrong"
    example = made.held[flip.line - 1]
    assert (flip.utterance, flip.id) == (example.request.utterance, example.request.id)
    assert flip.truth == flip.before.reading
    assert flip.truth == f"{example.truth.domain}: {example.truth.intent} (name “{example.truth.slots[0].value}”)"


def test_requests_without_truth_count_for_flips_alone(
    exchange: ReplayPlan, made: World, impact: Impact, tmp_path: Path
) -> None:
    write(tmp_path / "log.jsonl", made.held, truth=False)
    found, _ = measure(exchange, tmp_path / "log.jsonl")
    assert (found.n, found.labelled, found.flips) == (impact.n, 0, impact.flips)
    assert found.pooled is None
    assert found.per_domain == {}
    assert {flip.kind for flip in found.worst} == {"no truth"}
    assert judge(found, None) == []


def test_a_compressed_file_is_read_and_bad_lines_are_reported(
    exchange: ReplayPlan, made: World, tmp_path: Path
) -> None:
    path = tmp_path / "log.jsonl.gz"
    raw = made.audit.read_bytes().splitlines(keepends=True)[:50]
    path.write_bytes(gzip.compress(b"".join([*raw[:10], b'{"utterance": 5}\n', b"\n", *raw[10:]])))
    found, replayed = measure(exchange, path)
    assert (found.n, found.bad_lines) == (50, 1)
    assert replayed.bad[0].where == f"{path}:11"
    assert any("1 lines could not be read" in note and "utterance" in note for note in found.notes)


def test_a_file_without_a_request_is_no_error(exchange: ReplayPlan, tmp_path: Path) -> None:
    (tmp_path / "empty.jsonl").touch()
    found, replayed = measure(exchange, tmp_path / "empty.jsonl")
    assert (found.n, found.flips, found.pooled, found.worst) == (0, 0, None, [])
    write_impact(found, curves_of(found, replayed), tmp_path / "out")


# --------------------------------------------------------------------------------------------------------- logs


def logged(
    made: World, exchange: ReplayPlan, path: Path, change: Callable[[Answer], Answer] = lambda answer: answer
) -> Path:
    """A log of what the present versions answered."""
    present = arbitrator(exchange, "before")
    with path.open("wb") as file:
        for e in made.held[:300]:
            fields = {name: getattr(e.request, name) for name in Request.__struct_fields__}
            answer = change(present.answer(e.request))
            file.write(msgspec.json.encode(Logged(**fields, truth=e.truth, answer=answer)) + b"\n")
    return path


def test_scores_that_the_log_has_of_the_same_versions_are_not_computed_again(
    exchange: ReplayPlan, made: World, tmp_path: Path
) -> None:
    path = logged(made, exchange, tmp_path / "log.jsonl")
    fresh = replay(exchange, made.audit)
    found = replay(exchange, path)
    assert found.from_log == 300  # of the three domains one is exchanged, and one is scored to check the log
    assert heads(found, "after") == heads(fresh, "after")[:300]
    np.testing.assert_allclose(
        found.rows["after"]["out_of_scope"], fresh.rows["after"]["out_of_scope"][:300], atol=1e-12
    )


@pytest.mark.parametrize("what", ["other version", "other scores", "shrunk"])
def test_scores_of_other_versions_or_settings_are_not_taken_from_the_log(
    exchange: ReplayPlan, made: World, tmp_path: Path, what: str
) -> None:
    def change(answer: Answer) -> Answer:
        if what == "other scores":  # as after normalisation over the domains
            return replace(answer, ranked=tuple(replace(r, domain_probability=0.5) for r in answer.ranked))
        field = {"version": "0123456789ab"} if what == "other version" else {"shrunk": 2.0}
        return replace(answer, domains={name: replace(r, **field) for name, r in answer.domains.items()})

    fresh = replay(exchange, made.audit)
    found = replay(exchange, logged(made, exchange, tmp_path / "log.jsonl", change))
    assert found.from_log == 0
    np.testing.assert_allclose(found.rows["after"]["probability"], fresh.rows["after"]["probability"][:300], atol=1e-12)


def test_a_line_of_a_corpus_is_read_as_words_with_their_truth() -> None:
    line = decode_logged('{"text": "dim the hall", "domain": "lights", "intent": "Dim"}')
    assert (line.utterance, line.hypotheses, line.truth) == ("dim the hall", None, Truth("lights", "Dim"))
    with pytest.raises(InputError, match="neither utterance nor hypotheses"):
        decode_logged('{"truth": {"domain": null}}')


# ------------------------------------------------------------------------------------------- domains of other kinds


class Stub(FakeDomain):
    """A domain whose artifacts hold the scores and the intent of their models; its state is its name."""

    _skills = ()

    def __init__(self, name: str) -> None:
        self.name = name

    def load(self, folder: Path) -> Model:
        intent, mine = folder / "recogniser" / "intent", float((folder / "mine").read_text())
        does = "raise" if mine > 1 else ""
        return FakeModel(self.name, intent.read_text() if intent.exists() else None, mine, does)


class Other(Stub):
    """A domain of the same name from another package."""


def stub(folder: Path, name: str, mine: float, intent: str | None = None) -> Path:
    folder.mkdir()
    (folder / "mine").write_text(str(mine))
    if intent:
        (folder / "recogniser").mkdir()
        (folder / "recogniser" / "intent").write_text(intent)
    seal(folder, Manifest(domain=name, package="p", package_version="1"))
    return folder


@pytest.fixture
def stubs(tmp_path: Path) -> tuple[dict[str, Domain], Store]:
    store = open_store(tmp_path / "store", environment={})
    for name, mine in (("a", 0.6), ("b", 0.7)):
        store.publish(stub(tmp_path / name, name, mine, "Old"), promote=True)
    return {name: Stub(name) for name in ("a", "b")}, store


def lines(path: Path, *rows: dict[str, object]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


OWN, OTHER = {"domain": "a", "intent": "Old"}, {"domain": "b", "intent": "I"}


def test_another_recogniser_reads_the_utterances_again(tmp_path: Path, stubs) -> None:
    domains, store = stubs
    new = stub(tmp_path / "new", "a", 0.9, "New")
    path = lines(
        tmp_path / "log.jsonl",
        {"utterance": "x", "hypotheses": [OWN], "truth": {"domain": "a", "intent": "New"}},
        {"utterance": "x", "truth": {"domain": "b", "intent": "Old"}},
        {"hypotheses": [OWN], "truth": {"domain": "a", "intent": "Old"}},
    )
    found, _ = measure(plan(domains, store, "a", new), path)
    flips = {flip.line: (flip.before.reading, flip.after.reading, flip.kind) for flip in found.worst}
    assert flips == {1: ("a: Old", "a: New", "wrong to right"), 2: ("b: Old", "a: New", "right to wrong")}
    assert any("another recogniser" in note and "except for 1 without one" in note for note in found.notes)
    same = stub(tmp_path / "same", "a", 0.9, "Old")
    found, _ = measure(plan(domains, store, "a", same), path)
    assert {flip.line: flip.after.reading for flip in found.worst} == {2: "a: Old"}


def answered(intent: str, version: str, status: str = "answered") -> dict[str, object]:
    """A logged request to a, recognised by a version, and accepted by the user."""
    report = {"status": status, "version": version, "ms": 0.0, "reason": None, "shrunk": None}
    best = {"domain": "a", "intent": intent, "score": 0.5, "domain_probability": 0.6, "probability": 0.5}
    answer = {"id": None, "decision": {"action": "accept", "contenders": [0]}, "ranked": [{**best, "version": version}]}
    selection = {"eligible": [0], "probability": 1.0, "decisions": None}
    answer |= {"domains": {"a": report}, "ms": {}, "selection": selection}
    own = {"hypotheses": [{"domain": "a", "intent": intent}], "recognised": True, "claims": {"a": [0.6, 0.5]}}
    return {"answer": answer, "outcome": "accepted", "truth": {"domain": "a", "intent": "Old"}, **own}


def test_each_version_reads_the_words_again_where_the_other_read_them(tmp_path: Path, stubs) -> None:
    domains, store = stubs
    compared = plan(domains, store, "a", stub(tmp_path / "new", "a", 0.9, "New"))
    now, candidate = compared.parts["a"].version, compared.candidate.version
    path = lines(
        tmp_path / "log.jsonl",
        {"utterance": "x", **answered("Old", now)},
        {"utterance": "x", **answered("New", candidate)},
        {"utterance": "x", **answered("New", candidate, "skipped")},
    )
    found, _ = measure(compared, path)
    flips = {flip.line: (flip.before.reading, flip.after.reading) for flip in found.worst}
    assert flips == {1: ("a: Old", "a: New"), 2: ("a: Old", "a: New")}
    rows = valued(compared, path).rows
    assert rows["moved"].tolist()[:2] == [True, True]
    assert rows["reaction"].tolist()[:2] == [1, 1]


def test_a_reaction_is_no_evidence_where_a_version_lacks_the_words_that_it_reads(tmp_path: Path, stubs) -> None:
    domains, store = stubs
    compared = plan(domains, store, "a", stub(tmp_path / "new", "a", 0.9, "New"))
    path = lines(tmp_path / "log.jsonl", answered("Old", compared.parts["a"].version), {"utterance": "x"})
    for replayed in (replay, valued):
        found = replayed(compared, path)
        assert (found.rows["reaction"] >= 0).sum() == 0
        assert found.left_out == {NO_WORDS: 1}


def test_domains_that_are_not_installed_are_ranked_by_r0_and_named(tmp_path: Path, stubs) -> None:
    domains, store = stubs
    other = {"domain": "weather", "intent": "Ask", "domain_confidence": 0.9, "intent_confidence": 0.9}
    other |= {"slots_confidence": 0.99}
    path = lines(tmp_path / "log.jsonl", {"hypotheses": [OWN, other], "truth": {"domain": "weather", "intent": "Ask"}})
    found, _ = measure(plan(domains, store, "a", stub(tmp_path / "new", "a", 0.95)), path)
    assert [(pair.before, pair.after, pair.right_to_wrong) for pair in found.pairs] == [("weather", "a", 1)]
    assert any("not installed and ranked by R0" in note and "weather" in note for note in found.notes)


def test_a_candidate_that_fails_is_out_and_the_others_answer(tmp_path: Path, stubs) -> None:
    domains, store = stubs
    path = lines(tmp_path / "log.jsonl", {"hypotheses": [OWN], "truth": {"domain": "a", "intent": "Old"}})
    found, _ = measure(plan(domains, store, "a", stub(tmp_path / "new", "a", 2.0)), path)
    assert found.failures == {"candidate": 1}
    assert any("candidate failed on 1 requests: RuntimeError: out of order" in note for note in found.notes)
    assert "failures" in {one.what for one in judge(found, None)}


def test_deciding_none_counts_where_a_request_is_out_of_scope(tmp_path: Path, stubs) -> None:
    domains, store = stubs
    rows = [{"hypotheses": [OWN], "truth": {"domain": "a", "intent": "Old"}} for _ in range(3)]
    new = stub(tmp_path / "new", "a", 0.3)  # P(out of scope) = 0.7: the decision is none
    found, _ = measure(plan(domains, store, "a", new), lines(tmp_path / "one.jsonl", *rows))
    assert (found.none_counts, found.flips) == (False, 0)
    path = lines(tmp_path / "two.jsonl", *rows, {"hypotheses": [OWN], "truth": {"domain": None}})
    found, _ = measure(plan(domains, store, "a", new), path)
    assert (found.none_counts, found.flips) == (True, 4)
    (pair,) = found.pairs
    assert (pair.before, pair.after, pair.right_to_wrong, pair.wrong_to_right) == ("a", None, 3, 1)
    assert found.worst[0].after.reading == "out of scope"


def test_a_fallback_acts_before_and_after_where_no_other_domain_should(tmp_path: Path, stubs) -> None:
    domains, store = stubs
    rows = [{"hypotheses": [OWN, OTHER], "truth": {"domain": "b", "intent": "I"}} for _ in range(3)]
    new = stub(tmp_path / "new", "a", 0.3)  # P(out of scope) = 0.7, as b's claim does not count
    settings = DecisionSettings(fallback="b")
    found, _ = measure(plan(domains, store, "a", new, decisions=settings), lines(tmp_path / "one.jsonl", *rows))
    assert (found.decisions["before"].fallback, found.decisions["after"].fallback) == (0.0, 1.0)
    assert (found.decisions["after"].accept, found.pooled and found.pooled.wrong_to_right) == (1.0, 3)


def test_a_request_of_several_domains_counts_for_each(tmp_path: Path, stubs) -> None:
    domains, store = stubs
    truth = {"domains": ["a", "b"], "intent": "New"}
    path = lines(tmp_path / "one.jsonl", *[{"hypotheses": [OWN, OTHER], "truth": truth}] * 3)
    found, replayed = measure(plan(domains, store, "a", stub(tmp_path / "new", "a", 0.9)), path)
    assert {name: one.n for name, one in found.per_domain.items()} == {"a": 3, "b": 3}
    assert found.pooled
    assert found.pooled.after.domain_accuracy == 1.0
    assert replayed.owned("a").all()
    assert replayed.owned("b").all()


def test_the_first_version_of_a_domain_is_compared_with_nothing(tmp_path: Path, stubs) -> None:
    domains, store = stubs
    path = lines(tmp_path / "log.jsonl", {"hypotheses": [{"domain": "c", "intent": "I"}], "truth": {"domain": "c"}})
    found, _ = measure(plan({**domains, "c": Stub("c")}, store, "c", stub(tmp_path / "c", "c", 0.9)), path)
    assert (found.before, found.flips) == (None, 1)
    assert any("c does not answer now" in note for note in found.notes)


def test_a_domain_or_an_artifact_that_cannot_be_compared_is_refused_by_name(tmp_path: Path, stubs) -> None:
    domains, store = stubs
    new = stub(tmp_path / "new", "a", 0.5)
    with pytest.raises(InputError, match=r"domain 'x' is not loaded \(loaded: a, b\); run: arbitrank domains"):
        plan(domains, store, "x", new)
    with pytest.raises(ArtifactError, match="an artifact of 'a', expected one of 'b'"):
        plan(domains, store, "b", new)
    (new / "mine").write_text("0.9")
    with pytest.raises(ArtifactError, match="SHA-256"):
        plan(domains, store, "a", new)


def test_a_domain_that_another_process_could_not_load_is_replayed_in_this_one(tmp_path: Path, stubs) -> None:
    domains, store = stubs
    domains["a"].handle = lambda: None  # type: ignore[attr-defined]
    path = lines(tmp_path / "log.jsonl", {"hypotheses": [OWN]})
    made = plan(domains, store, "a", stub(tmp_path / "new", "a", 0.5))
    assert sendable(made) is None
    assert len(replay(made, path, jobs=2).rows) == 1


def test_an_installed_domain_is_sent_by_its_name_and_loads_the_same(
    tmp_path: Path, stubs, monkeypatch: pytest.MonkeyPatch
) -> None:
    domains, store = stubs
    domains["a"].handle = lambda: None  # type: ignore[attr-defined]
    monkeypatch.setattr("arbitrank.impact.plan.loaded", lambda found: {"a": Stub("a"), "b": Other("b")})
    made = plan(domains, store, "a", stub(tmp_path / "new", "a", 0.5))
    sent = sendable(made)
    assert sent
    assert (sent.candidate.domain, sent.parts["a"].domain, sent.parts["b"].domain) == ("a", "a", domains["b"])
    installed_domains.cache_clear()
    assert sent.candidate.load().mine == made.candidate.load().mine == 0.5  # type: ignore[attr-defined]
    installed_domains.cache_clear()


# ------------------------------------------------------------------------------------------------------------ files


def test_the_page_needs_no_file_beside_it_and_escapes_every_text(tmp_path: Path, stubs) -> None:
    domains, store = stubs
    nasty = "<script>alert(1)</script>"
    path = lines(
        tmp_path / "log.jsonl",
        {
            "utterance": nasty,
            "context": {"device": nasty},
            "hypotheses": [OWN, {"domain": "b", "intent": nasty, "slots": [{"name": "n", "value": nasty}]}],
            "truth": {"domain": "b", "intent": nasty, "slots": [{"name": "n", "value": nasty}]},
        },
    )
    replayed = plan(domains, store, "a", stub(tmp_path / "new", "a", 0.95))
    found, raw = measure(replayed, path)
    curves = curves_of(found, raw)
    write_impact(found, curves, tmp_path / "out", judge(found, None))
    with pytest.raises(InputError, match=r"log\.jsonl: cannot be created: File exists; expected a folder"):
        write_impact(found, curves, path)
    (tmp_path / "taken" / "impact.html").mkdir(parents=True)
    with pytest.raises(InputError, match=r"impact\.html: cannot be written: Is a directory"):
        write_impact(found, curves, tmp_path / "taken")
    page = (tmp_path / "out" / "impact.html").read_text(encoding="utf-8")
    assert "<script>" not in page
    assert re.findall("<script[^>]*>", page) == ['<script type="application/json">'] * page.count("data-plot=") + [
        '<script type="module">'
    ]
    assert "http" not in page
    assert "&lt;script&gt;" in page
    assert {file.name for file in (tmp_path / "out").iterdir()} == {"impact.json", "impact.html"}
    assert msgspec.json.decode((tmp_path / "out" / "impact.json").read_bytes(), type=Impact) == found


def test_the_page_has_segments_and_the_cases_of_the_suites(exchange: ReplayPlan, made: World, tmp_path: Path) -> None:
    found, raw = measure(exchange, made.audit)
    assert found.segments is not None
    worst = found.segments.after.worst
    assert worst is not None
    broken = BrokenSegment(worst, worst, 0.031)
    cases = [
        CaseResult(NAME, "must_win", name, passes, "<b>", before=True) for name, passes in (("a", True), ("b", False))
    ]
    found = replace(found, segments=replace(found.segments, broken=(broken,)), suites=tuple(cases))
    write_impact(found, curves_of(found, raw), tmp_path)
    page = (tmp_path / "impact.html").read_text(encoding="utf-8")
    assert f"{worst.text}; surely 3.1 points more than before" in page
    assert "1 of 2 cases of the suites pass, 1 that passed before fail" in page
    assert f"{NAME} must_win b: answered &lt;b&gt;; what served before passes it" in page
