"""Suites: cases that a candidate must not lose, from a logged answer to the refusal of a promotion."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import fakes
import pytest
from msgspec.structs import replace

from arbitrank.answerlog.redaction import redactor
from arbitrank.domain import Domain
from arbitrank.errors import DataError, InputError, StoreError
from arbitrank.exchanged import suites_now
from arbitrank.outcomes.incidents import incident_of
from arbitrank.outcomes.suite_cases import (
    Case,
    CaseNotes,
    WrongReading,
    case_of,
    cases_of,
    conflicts,
    encoded,
    new_cases,
)
from arbitrank.outcomes.suite_runs import run_suites
from arbitrank.promotion import consider, promote
from arbitrank.store.store import Store, open_store
from arbitrank.store.store_checks import store_checks
from arbitrank.store.suites import KINDS, change_suites, read_suites, suite_domains
from arbitrank.values import Answer, Decision, Hypothesis, Ranked, Request, Slot, Truth
from arbitrank.watch.report import WatchReport
from arbitrank.watch.suites import with_suites
from arbitrank.wire.requests import Logged

HYPOTHESES = [
    {"domain": "lights", "intent": "Do", "domain_confidence": 0.7, "intent_confidence": 0.9},
    {"domain": "shades", "intent": "Do", "domain_confidence": 0.4, "intent_confidence": 0.9},
]
LINE = {"utterance": "more light", "hypotheses": HYPOTHESES}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = open_store(tmp_path / "store", environment={})
    for name in ("lights", "shades"):
        fakes.artifact(tmp_path / name, name, strength=1.0)
        store.publish(tmp_path / name, promote=True)
    return store


@pytest.fixture
def where(lights_site: Path, store: Store) -> dict[str, str]:
    return {"ARBITRANK_STORE": str(store), "PYTHONPATH": str(lights_site), "ARBITRANK_DOMAINS": "lights,shades"}


def file(path: Path, *rows: dict[str, Any]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def answer(domain: str | None, intent: str = "Do", *slots: Slot) -> Answer:
    if domain is None:
        return Answer("1", Decision("none"), (), {}, {})
    return Answer("1", Decision("accept", (0,)), (Ranked(domain, intent, slots),), {}, {})


def case(kind: Any, domain: str = "lights", **keys: Any) -> Case:
    return case_of(domain, kind, json.dumps({**LINE, **keys}))


# ------------------------------------------------------------------------------------------------------------- a case


@pytest.mark.parametrize(
    ("kind", "keys", "passing", "failing"),
    [
        ("must_win", {}, [answer("lights"), answer("lights", "Dim")], [answer("shades"), answer(None)]),
        ("must_win", {"truth": {"domain": "lights", "intent": "Do"}}, [answer("lights")], [answer("lights", "Dim")]),
        ("must_not_win", {}, [answer("shades"), answer(None)], [answer("lights")]),
        ("incidents", {"truth": {"domain": None}}, [answer(None)], [answer("lights")]),
        ("incidents", {"truth": {"domain": "shades", "intent": "Do"}}, [answer("shades")], [answer("lights")]),
        ("incidents", {"wrong": {"domain": "lights", "intent": "Do"}}, [answer("lights", "Dim")], [answer("lights")]),
        ("incidents", {"wrong": {}}, [answer("lights")], [answer(None)]),
    ],
)
def test_a_case_passes_as_its_kind_demands(
    kind: Any, keys: dict[str, Any], passing: list[Answer], failing: list[Answer]
) -> None:
    one = case(kind, **keys)
    assert [one.passes(each) for each in (*passing, *failing)] == [True] * len(passing) + [False] * len(failing)


ROOM = Slot("room", "attic")
LIT = {"domain": "lights", "intent": "Do"}
IN_ATTIC = [{"name": "room", "value": "attic"}]


@pytest.mark.parametrize("kind", ["must_win", "incidents"])
@pytest.mark.parametrize(
    ("truth", "chosen", "differs"),
    [
        (LIT, answer("lights", "Do", ROOM), ()),
        ({**LIT, "slots": None}, answer("lights", "Do", ROOM), ()),
        ({**LIT, "slots": []}, answer("lights", "Do", ROOM), ("slots (room)",)),
        ({**LIT, "slots": []}, answer("lights", "Do"), ()),
        ({**LIT, "slots": IN_ATTIC}, answer("lights", "Dim", ROOM), ("intent (expected Do)",)),
        ({**LIT, "slots": IN_ATTIC}, answer("lights", "Dim"), ("intent (expected Do)", "slots (room)")),
        ({"domain": "lights", "slots": IN_ATTIC}, answer("lights", "Dim", ROOM), ()),
        ({"domain": "lights", "slots": IN_ATTIC}, answer("lights", "Dim", Slot("room", "hall")), ("slots (room)",)),
        ({"domain": "lights", "slots": []}, answer("lights", "Dim", ROOM), ("slots (room)",)),
        ([{**LIT, "slots": []}, {"domain": "lights", "intent": "Dim"}], answer("lights", "Dim", ROOM), ()),
        ({"domains": ["shades", "lights"], "intent": "Do"}, answer("lights", "Do", ROOM), ()),
        (LIT, answer("shades"), ("domain (expected lights)",)),
        ({"domains": ["lights", None]}, answer("shades"), ("domain (expected lights or none)",)),
    ],
)
def test_intent_and_slots_of_a_truth_count_where_they_are_given(
    kind: Any, truth: Any, chosen: Answer, differs: tuple[str, ...]
) -> None:
    one = case(kind, truth=truth)
    assert (one.differences(chosen), one.passes(chosen)) == (differs, not differs)
    again = case_of("lights", kind, encoded(one))
    assert again == one


def test_the_slots_of_a_line_of_a_corpus_count_where_they_are_given() -> None:
    line = {"text": "more light", "domain": "lights", "intent": "Do"}
    assert case_of("lights", "must_win", json.dumps(line)).slots == (False,)
    assert case_of("lights", "must_win", json.dumps({**line, "slots": []})).slots == (True,)


def test_a_failing_case_says_in_what_the_answer_differs_without_a_value() -> None:
    one = case("must_win", name="more", owner="team", truth={**LIT, "slots": IN_ATTIC})
    (found,) = run_suites([one], lambda request: answer("lights", "Dim")).failing
    text = "lights must_win more (owner team): answered lights Dim; differs in intent (expected Do) and slots (room)"
    assert found.text == text


@pytest.mark.parametrize("kind", KINDS)
def test_a_case_is_written_as_it_is_read(kind: Any) -> None:
    keys = {"name": "rain-1", "date": "2026-11-02", "reason": "a song", "owner": "team", "context": {"device": "tv"}}
    wrong = {"domain": "lights", "intent": "Do", "slots": [{"name": "room", "value": "attic"}]}
    one = case(kind, **keys, wrong=wrong, truth={"domain": "shades", "intent": "Do"})
    assert case_of("lights", kind, encoded(one)) == one
    assert one.name == f"lights {kind} rain-1"


@pytest.mark.parametrize(("id", "named"), [("rain-1", "rain-1"), ("ask 1", None), ("", None), (7, "7"), (None, None)])
def test_a_case_without_a_name_has_its_requests_id_or_a_digest(id: Any, named: str | None) -> None:
    one = case("must_win", id=id)
    assert one.notes.name == named or (named is None and len(one.notes.name or "") == 12)
    assert one.request.id is None


@pytest.mark.parametrize(
    ("line", "seen"),
    [
        ("{", "an object over several lines"),
        ('{"context": {}}', "neither utterance nor hypotheses"),
        ('{"utterance": "x", "date": "2026-13-01"}', 'date: "2026-13-01" is invalid, expected a day as YYYY-MM-DD'),
        ('{"utterance": "x", "name": "a b"}', "name: 'a b' is no name"),
        ('{"utterance": "x", "reason": ""}', "reason: 0 characters, expected 1 to 300"),
        ('{"utterance": "x", "owner": 3}', "owner: 3 is invalid, expected str"),
    ],
)
def test_a_line_that_is_no_case_is_named(line: str, seen: str) -> None:
    with pytest.raises(DataError, match=r"^f: must_win:1: .*suites.md$") as error:
        cases_of("lights", {"must_win": line.encode()}, "f")
    assert seen in str(error.value)


@pytest.mark.parametrize(
    ("kind", "truth", "seen"),
    [
        ("must_win", {"domain": "shades"}, "truth: \"shades\" is invalid, expected 'lights' among its domains"),
        ("must_win", {"domain": None}, "truth: null is invalid, expected 'lights' among its domains"),
        ("must_win", {"domains": ["shades", "music"]}, 'truth: ["shades", "music"] is invalid'),
        ("must_win", {"domains": ["shades", "lights"]}, None),
        ("must_win", [{"domain": "shades"}, LIT], None),
        ("must_not_win", LIT, "expected another domain than 'lights', or one beside it"),
        ("must_not_win", [LIT, {"domain": "lights", "intent": "Dim"}], "expected another domain than 'lights'"),
        ("must_not_win", {"domains": ["shades", "lights"]}, None),
        ("must_not_win", {"domains": ["lights", None]}, None),
        ("must_not_win", {"domain": None}, None),
        ("incidents", {"domain": "shades"}, None),
    ],
)
def test_a_new_case_that_its_truth_contradicts_is_refused_by_its_line(kind: Any, truth: Any, seen: str | None) -> None:
    content = "".join(json.dumps({**LINE, **more}) + "\n" for more in ({}, {"truth": truth})).encode()
    assert len(cases_of("lights", {kind: content})) == 2  # those stored before are read
    if seen is None:
        assert len(new_cases("lights", kind, content, "w.jsonl")) == 2
        return
    with pytest.raises(DataError, match=r"^w.jsonl:2: .*; correct or leave out the truth, or store") as error:
        new_cases("lights", kind, content, "w.jsonl")
    assert seen in str(error.value)


def test_cases_that_no_answer_satisfies_conflict() -> None:
    truth = {"domain": "shades", "intent": "Do"}
    won, other = case("must_win"), case("must_win", "shades")
    barred, wrong = case("must_not_win"), case("incidents", truth=truth)
    assert conflicts([won, other]) == [(won, other)]
    assert conflicts([won, barred]) == [(won, barred)]
    assert conflicts([won, wrong]) == [(won, wrong)]
    assert conflicts([other, barred, wrong]) == []
    assert conflicts([won, case("must_win", "shades", context={"device": "tv"})]) == []
    assert conflicts([won, replace_words(other, "More  LIGHT ")]) != []


def replace_words(one: Case, text: str) -> Case:
    return Case(one.domain, one.kind, replace(one.request, utterance=text), one.notes)


# ----------------------------------------------------------------------------------------------------------- incidents


def logged(**keys: Any) -> Logged:
    slots = (Slot("room", "attic"),)
    fields: dict[str, Any] = {
        "id": "7", "utterance": "more light", "hypotheses": (Hypothesis("lights", "Do", 0.7, 0.9, slots),),
        "session": "s", "account": {"age": 7}, "answer": answer("lights", "Do", *slots), **keys,
    }  # fmt: skip
    return Logged(**fields)


def test_an_incident_demands_the_truth_or_another_answer() -> None:
    one = incident_of(logged(), CaseNotes("7"))
    assert (one.domain, one.truth, one.notes.wrong) == (
        "lights",
        None,
        WrongReading("lights", "Do", (Slot("room", "attic"),)),
    )
    assert (one.request.session, one.request.account, one.request.id) == (None, None, None)
    assert incident_of(logged(recognised=True), CaseNotes("7")).request.hypotheses is None
    known = incident_of(logged(answer=answer(None), truth=Truth("shades", "Do")), CaseNotes("7"))
    assert (known.domain, known.truth) == ("shades", Truth("shades", "Do"))
    assert incident_of(logged(), CaseNotes("7"), "shades").domain == "shades"


def test_an_incident_keeps_that_its_truth_has_no_slots() -> None:
    one = incident_of(logged(truth=Truth("lights", "Do")), CaseNotes("7"))
    again = case_of("lights", "incidents", encoded(one))
    assert again == one
    assert [again.passes(answer("lights", "Do", *slots)) for slots in ((), (ROOM,))] == [True, False]
    named = incident_of(logged(truth=Truth("shades")), CaseNotes("7"))
    assert case_of("lights", "incidents", encoded(named)).passes(answer("shades", "Do", ROOM))


@pytest.mark.parametrize(
    ("keys", "seen"),
    [
        ({"answer": None}, "no answer in the log"),
        ({"truth": Truth("lights", "Do", (Slot("room", "attic"),))}, "the answer was right by the truth"),
        ({"answer": answer(None)}, "no domain was acted on and no truth names one"),
        ({"utterance": None, "hypotheses": None}, "keeps neither its words nor hypotheses"),
    ],
)
def test_what_is_no_incident_is_refused(keys: dict[str, Any], seen: str) -> None:
    with pytest.raises(InputError, match=seen):
        incident_of(logged(**keys), CaseNotes("7"))


def test_redacted_words_are_in_no_case(tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text("k" * 32)
    for words in ("hash", "drop"):
        one = incident_of(logged(), CaseNotes("7")).redacted(redactor(words, key))
        assert b"attic" not in encoded(one)
        assert b'light"' not in encoded(one).replace(b"lights", b"")
        wrong = one.notes.wrong
        assert wrong is not None
        same = answer("lights", "Do", *wrong.slots)
        assert not one.passes(same)
        assert case_of("lights", "incidents", encoded(one)) == one
    with pytest.raises(InputError, match="cannot be answered without its words"):
        Case("lights", "must_win", Request(utterance="x"), CaseNotes("1")).redacted(redactor("drop", None))
    hashed = redactor("hash", key)
    assert hashed is not None
    again = incident_of(hashed.line(logged()), CaseNotes("7"))
    assert again == incident_of(logged(), CaseNotes("7")).redacted(hashed)


# ----------------------------------------------------------------------------------------------------------- the store


def test_files_have_a_history_and_are_checked(store: Store) -> None:
    history = store.suite_history("lights")
    line = encoded(case("must_win", name="a"))
    made = change_suites(history, "lights", lambda before: {"must_win": line})
    assert made is not None
    assert change_suites(history, "lights", lambda before: {"must_win": line}) is None
    assert suite_domains(store.backend) == ["lights"]
    assert store.domains() == ["lights", "shades"]
    assert read_suites(store.suite_history("lights"), "lights") == {"must_win": line}
    (kept,) = [Path(str(store)) / one.key for one in store.backend.under(".suites/lights") if one.key.endswith("jsonl")]
    kept.chmod(0o644)
    kept.write_bytes(b"{}")
    with pytest.raises(StoreError, match="must_win of lights's suites is damaged; set it again: arbitrank"):
        read_suites(store.suite_history("lights"), "lights")
    assert any(one.problem for one in store_checks(store))


def test_concurrent_changes_are_both_kept(store: Store) -> None:
    one, two = encoded(case("must_win", name="a")), encoded(case("must_not_win", name="b"))
    calls = []

    def change(before: Any) -> Any:
        if not calls:
            calls.append(change_suites(store.suite_history("lights"), "lights", lambda other: {"must_not_win": two}))
        return {**before, "must_win": one}

    change_suites(store.suite_history("lights"), "lights", change)
    assert read_suites(store.suite_history("lights"), "lights") == {"must_win": one, "must_not_win": two}


# ---------------------------------------------------------------------------------------------------------- the gate


def put(store: Store, domain: str, kind: Any, *names: str) -> None:
    content = b"".join(encoded(case(kind, domain, name=name, owner="team")) for name in names)
    change_suites(store.suite_history(domain), domain, lambda before: {kind: content})


def test_a_candidate_that_fails_a_case_is_refused_by_name_and_forced_in(
    store: Store, domains: dict[str, Domain], tmp_path: Path
) -> None:
    put(store, "lights", "must_win", "more", "twice")
    assert suites_now(store, domains).failing == []
    fakes.artifact(tmp_path / "weak", "lights", fakes.CARD, strength=-1.0)
    store.publish(tmp_path / "weak")
    judged = consider(store, domains, "lights")
    assert [one.what for one in judged.reasons] == ["suite", "suite"]
    assert "a case of the suites: lights must_win more (owner team): answered shades Do" in judged.reasons[0].text
    assert promote(store, judged) is None
    put(store, "shades", "must_win", "contrary")
    notes: list[str] = []
    conflicting = consider(store, domains, "lights", note=notes.append)
    assert not conflicting.reasons
    assert any("demand contrary answers to the same request; neither refuses" in text for text in notes)
    assert promote(store, judged, force=True, reason="urgent") is not None
    assert "more light" not in "".join(store.history("lights")[-1].overrode or ())


def test_the_commands_tell_of_cases_and_conflicts(
    store: Store, tmp_path: Path, arbitrank: Any, where: dict[str, str]
) -> None:
    lines = file(tmp_path / "w.jsonl", {**LINE, "name": "more"}, {**LINE, "name": "twice"})
    put(store, "shades", "must_win", "contrary")
    done = arbitrank("suite", "lights", "--must-win", str(lines), "--remove", "twice", **where)
    assert (done.returncode, "must_win 1" in done.stdout) == (0, True), done.stderr
    assert "demand contrary answers to the same request" in done.stderr
    put(store, "shades", "must_not_win")
    fakes.artifact(tmp_path / "weak", "lights", fakes.CARD, strength=-1.0)
    store.publish(tmp_path / "weak")
    done = arbitrank("promote", "lights", **where)
    assert done.returncode == 1
    assert "the gate refuses: it breaks a case of the suites: lights must_win more" in " ".join(done.stdout.split())
    assert "0 of 1 cases of the suites pass, 1 that passed before fail" in done.stdout
    store.promote("lights", store.state("lights")[1].candidate or "")
    done = arbitrank("suite", **where)
    assert done.returncode == 1
    assert "fails: lights must_win more: answered shades Do\n0 of 1 cases" in done.stdout
    (one,) = json.loads(arbitrank("suite", "--json", **where).stdout)["cases"]
    assert (one["name"], one["passes"]) == ("more", False)


def test_a_failing_case_in_conflict_is_listed_marked_and_blocks_no_promotion(
    store: Store, tmp_path: Path, arbitrank: Any, where: dict[str, str]
) -> None:
    put(store, "lights", "must_win", "more")
    put(store, "shades", "must_win", "contrary")
    done = arbitrank("suite", **where)
    failing = (
        "fails: shades must_win contrary (owner team): answered lights Do; in conflict with lights must_win more\n"
    )
    assert (done.returncode, done.stdout.startswith(failing)) == (1, True), done.stdout
    assert "1 of 2 cases of the suites pass" in done.stdout
    assert "1 of 1 cases" in arbitrank("suite", "lights", **where).stdout
    done = arbitrank("suite", "shades", **where)
    assert (done.returncode, done.stdout.startswith(failing), "0 of 1 cases" in done.stdout) == (1, True, True)
    fakes.artifact(tmp_path / "other", "lights", fakes.CARD, strength=0.5)
    store.publish(tmp_path / "other")
    done = arbitrank("promote", "lights", **where)
    assert (done.returncode, "1 in conflict with others fail" in done.stdout) == (0, True), done.stdout


def test_a_removed_case_is_named_with_its_file(store: Store, arbitrank: Any, where: dict[str, str]) -> None:
    lines: Any = {kind: encoded(case(kind, name="a")) for kind in ("must_not_win", "incidents")}
    change_suites(store.suite_history("lights"), "lights", lambda before: lines)
    done = arbitrank("suite", "lights", "--remove", "a", **where)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("removed: lights must_not_win a\nremoved: lights incidents a\nsuites of lights in ")


def test_without_cases_there_is_nothing_to_fail_and_options_that_do_nothing_are_refused(
    tmp_path: Path, arbitrank: Any, where: dict[str, str]
) -> None:
    done = arbitrank("suite", **where)
    assert (done.returncode, "--must-win FILE" in done.stdout) == (0, True)
    assert json.loads(arbitrank("suite", "lights", "--json", **where).stdout) == {"cases": [], "conflicts": []}
    for given, seen in (
        (("--words", "drop"), "--words: no --must-win"),
        (("--remove", "more", "--out", str(tmp_path / "out")), "--out beside a change"),
        (("--remove", "more"), "no case 'more' in its suites (known: none); run: arbitrank suite lights"),
    ):
        done = arbitrank("suite", "lights", *given, **where)
        assert (done.returncode, seen in done.stderr) == (2, True), done.stderr


def test_names_that_are_mistaken_are_told(tmp_path: Path, arbitrank: Any, where: dict[str, str]) -> None:
    twice = file(tmp_path / "w.jsonl", {**LINE, "name": "more"}, {**LINE, "id": "more"})
    done = arbitrank("suite", "lights", "--must-win", str(twice), **where)
    assert (done.returncode, "'more' names several cases, expected a name of its own" in done.stderr) == (2, True)
    once = str(file(tmp_path / "w.jsonl", LINE))
    done = arbitrank("suite", "ligths", "--must-win", once, **where)
    assert (done.returncode, "no domain 'ligths' is installed or in" in done.stderr) == (2, True), done.stderr
    assert "lights, music, shades, video); run: arbitrank domains" in done.stderr
    empty = str(file(tmp_path / "empty.jsonl"))
    assert arbitrank("suite", "ligths", "--must-win", empty, **where).returncode == 0
    assert arbitrank("suite", "lights", "--must-win", once, **where).returncode == 0
    late = file(tmp_path / "late.jsonl", LINE, {**LINE, "date": "2026-13-01"})
    done = arbitrank("suite", "lights", "--must-win", str(late), **where)
    seen = f'{late}:2: date: "2026-13-01" is invalid, expected a day as YYYY-MM-DD'
    assert (done.returncode, seen in done.stderr) == (2, True), done.stderr


def test_files_of_two_kinds_are_set_at_once_without_their_words(
    store: Store, tmp_path: Path, arbitrank: Any, where: dict[str, str]
) -> None:
    lines = str(file(tmp_path / "w.jsonl", {**LINE, "name": "dim"}))
    given = ("--must-not-win", lines, "--incidents", lines, "--words", "drop")
    done = arbitrank("suite", "shades", *given, **where)
    assert (done.returncode, "must_win 0, must_not_win 1, incidents 1" in done.stdout) == (0, True), done.stderr
    assert not any(b'utterance"' in one for one in read_suites(store.suite_history("shades"), "shades").values())


def test_the_neighbours_cases_count_too(store: Store, domains: dict[str, Domain], tmp_path: Path) -> None:
    other = {
        **LINE,
        "hypotheses": [{**HYPOTHESES[0], "domain_confidence": 0.3}, {**HYPOTHESES[1], "domain_confidence": 0.6}],
    }
    line = encoded(case_of("shades", "must_win", json.dumps({**other, "name": "dim"})))
    change_suites(store.suite_history("shades"), "shades", lambda before: {"must_win": line})
    fakes.artifact(tmp_path / "greedy", "lights", fakes.CARD, strength=-1.0)
    store.publish(tmp_path / "greedy")
    (reason,) = consider(store, domains, "lights").reasons
    assert (reason.what, reason.neighbours) == ("suite", ("shades",))


def test_one_command_makes_an_incident_of_a_logged_answer(
    store: Store, tmp_path: Path, arbitrank: Any, where: dict[str, str]
) -> None:
    log = tmp_path / "log"
    log.mkdir()
    given = arbitrank("rank", input=json.dumps({**LINE, "id": "3f", "session": "s1"}), **where)
    row = {**LINE, "id": "3f", "session": "s1", "time": 1_796_000_000.0, "answer": json.loads(given.stdout)}
    rows = [row, {**row, "id": "5f", "recognised": True}, {"id": "3f", "truth": {"domain": "shades", "intent": "Do"}}]
    file(log / "20261201T000000.000000Z-1-000001.jsonl", *rows)
    notes = ("--reason", "not the lamp", "--owner", "shade-team")
    done = arbitrank("incident", "3f", "--log", str(log), *notes, **where)
    assert done.returncode == 0, done.stderr
    assert "lights incidents 3f in" in done.stdout
    content = read_suites(store.suite_history("lights"), "lights")["incidents"]
    assert b'"date":"2026-11-30"' in content
    assert b"s1" not in content
    done = arbitrank("incident", "3f", "--log", str(log), *notes, **where)
    assert "; it was there already" in done.stdout
    done = arbitrank("suite", "lights", **where)
    assert (done.returncode, "owner shade-team, not the lamp): answered lights Do" in done.stdout) == (1, True)
    done = arbitrank("incident", "3f", "--log", str(log), "--domain", "shades", "--name", "lamp", **where)
    assert "shades incidents lamp in" in done.stdout
    done = arbitrank("incident", "5f", "--log", str(log), "--words", "drop", "--name", "mute", **where)
    assert (done.returncode, "lights incidents mute in" in done.stdout) == (0, True), done.stderr
    dropped = read_suites(store.suite_history("lights"), "lights")["incidents"].splitlines()[-1]
    assert (b"utterance" in dropped.replace(b"utterance_length", b""), b'"hypotheses":[{' in dropped) == (False, True)
    assert arbitrank("suite", "lights", "--remove", "mute", **where).returncode == 0
    done = arbitrank("incident", "3f", "--log", str(log), "--domain", "nodomain", **where)
    assert (done.returncode, "no domain 'nodomain' is installed or in" in done.stderr) == (2, True), done.stderr
    assert suite_domains(store.backend) == ["lights", "shades"]
    done = arbitrank("incident", "4f", "--log", str(log), **where)
    assert (done.returncode, "no request with the id '4f'" in done.stderr) == (2, True)
    out = tmp_path / "out"
    assert arbitrank("suite", "lights", "--out", str(out), **where).returncode == 0
    assert (out / "incidents.jsonl").read_bytes() == content


# --------------------------------------------------------------------------------------------------------- the watch


def test_a_case_that_fails_alarms_its_domain(store: Store, domains: dict[str, Domain]) -> None:
    put(store, "shades", "must_win", "dim")
    put(store, "lights", "must_win", "more")
    quiet = WatchReport(0, 0, 0, 0, 0, 0, (), {}, {}, (), (), (), 0, 0)
    assert with_suites(quiet, suites_now(store, domains)).alarms == ()
    put(store, "lights", "must_win")
    run = suites_now(store, domains)
    (alarm,) = with_suites(quiet, run).alarms
    assert (alarm.domain, alarm.kind, alarm.next) == ("shades", "suite", ("arbitrank suite shades",))
    assert alarm.text == "1 of the 1 cases of its suites fail: must_win dim: answered lights Do"
    assert with_suites(quiet, run).suites == run.results
    assert with_suites(quiet, suites_now(store, domains, cases=[])) is quiet


def test_a_case_that_fails_in_conflict_is_a_remark_of_the_watch(store: Store, domains: dict[str, Domain]) -> None:
    put(store, "shades", "must_win", "dim")
    put(store, "lights", "must_win", "more")
    quiet = WatchReport(0, 0, 0, 0, 0, 0, (), {}, {}, (), (), (), 0, 0)
    found = with_suites(quiet, suites_now(store, domains))
    assert found.alarms == ()
    failing = (
        "a case fails: shades must_win dim (owner team): answered lights Do; in conflict with lights must_win more"
    )
    assert failing in found.notes


# --------------------------------------------------------------------------------------------------------- the check


def test_a_check_counts_the_cases_that_fail_and_warns_of_those_in_conflict(
    store: Store, arbitrank: Any, where: dict[str, str]
) -> None:
    def checked() -> tuple[dict[str, Any], list[str]]:
        report = json.loads(arbitrank("check", "shades", "--json", **where).stdout)
        return report, [one["seen"] for one in report["broken"] if one["check"] == "cases_of_its_suites_pass"]

    (without, none), text = checked(), "shades must_win dim (owner team): answered lights Do"
    put(store, "shades", "must_win", "dim")
    (failing, broken), done = checked(), arbitrank("check", "shades", **where)
    assert (none, broken, failing["checks"]) == ([], [text], without["checks"] + 1)
    counts = f"{failing['checks']} checks, {len(without['broken']) + 1} broken, {len(without['broken']) + 1} findings"
    assert (done.returncode, counts in done.stdout) == (1, True), done.stdout
    assert done.stdout.endswith("; 0 of 1 cases of its suites pass\n")
    put(store, "lights", "must_win", "more")
    disputed, broken = checked()
    assert (broken, len(disputed["broken"])) == ([], len(without["broken"]))
    assert f"{text}; in conflict with lights must_win more" in [one["seen"] for one in disputed["warnings"]]
