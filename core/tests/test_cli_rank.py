"""`arbitrank rank`: hypotheses in, answers out; a bad line costs one line of complaint and no other line its answer."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

MUSIC = {"domain": "music", "intent": "PlayMusic", "domain_confidence": 0.7, "intent_confidence": 0.9}
VIDEO = {"domain": "video", "intent": "PlayVideo", "domain_confidence": 0.6, "intent_confidence": 0.9}
TITLE = {"name": "title", "value": "mary poppins", "confidence": 0.9}


def hypothesis(**changes: Any) -> str:
    """A line whose first hypothesis is sound and whose second is changed."""
    return json.dumps({"id": "bad", "hypotheses": [MUSIC, {**VIDEO, **changes}]})


# A bad line; and the field, what was seen and what was promised that the one line about it names.
BAD = {
    "NaN": (hypothesis(domain_confidence=float("nan")), "hypotheses[1].domain_confidence", "nan", "a finite number"),
    "infinity": (hypothesis(slots_confidence=float("inf")), "hypotheses[1].slots_confidence", "inf", "a finite number"),
    "1.2": (hypothesis(intent_confidence=1.2), "hypotheses[1].intent_confidence", "1.2", "a number in [0, 1]"),
    "-0.1": (
        hypothesis(slots=[TITLE, {**TITLE, "confidence": -0.1}]),
        "hypotheses[1].slots[1].confidence",
        "-0.1",
        "a number in [0, 1]",
    ),
    "a string for a number": (
        hypothesis(domain_confidence="0.9"),
        "hypotheses[1].domain_confidence",
        '"0.9"',
        "a number in [0, 1]",
    ),
    "a boolean for a number": (
        hypothesis(domain_confidence=True),
        "hypotheses[1].domain_confidence",
        "true",
        "a number in [0, 1]",
    ),
    "a number for a string": (hypothesis(intent=7), "hypotheses[1].intent", "7", "str"),
    "a feature in words": (hypothesis(features={"known": "yes"}), "hypotheses[1].features", "yes", "a finite number"),
    "no domain": (json.dumps({"hypotheses": [{"intent": "PlayMusic"}]}), "hypotheses[0]", "lacks", "domain"),
    "hypotheses as an object": ('{"hypotheses": {}}', "hypotheses", "{}", "array"),
    "a context as a list": ('{"context": [1], "hypotheses": []}', "context", "[1]", "an object"),
    "a preference of 2": (
        '{"context": {"preference.music": 2}, "hypotheses": []}',
        "context['preference.music']",
        "2",
        "a number in [0, 1]",
    ),
    "truncated JSON": (
        '{"id": "bad", "hypotheses": [{"domain": "mus',
        "not JSON: Unterminated string",
        "column 41",
        "one complete JSON object",
    ),
    "no JSON": ("play mary poppins", "not JSON", "", "one complete JSON object per line"),
    "two objects": ('{"hypotheses": []} {"hypotheses": []}', "not JSON", "", "one complete JSON object per line"),
    "half a character": ('{"utterance": "\\ud83d", "hypotheses": []}', "not JSON", "", "one complete JSON object"),
    "a list": ("[1, 2]", "the line", "[1, 2]", "an object"),
    "a string": ('"play"', "the line", '"play"', "an object"),
    "a number": ("3", "the line", "3", "an object"),
    "null": ("null", "the line", "null", "an object"),
}


def good(i: int) -> str:
    return json.dumps({"id": f"good-{i}", "context": {"device": "tv"}, "hypotheses": [MUSIC, VIDEO]})


@pytest.fixture(scope="module")
def mixed(arbitrank, tmp_path_factory: pytest.TempPathFactory):
    """One file of every bad line, each followed by a good one: its path and what came of ranking it."""
    path = tmp_path_factory.mktemp("rank") / "mixed.jsonl"
    lines = [line for i, (bad, *_) in enumerate(BAD.values()) for line in (bad, good(i))]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path, arbitrank("rank", str(path))


@pytest.mark.parametrize("name", BAD)
def test_a_bad_line_is_named_with_its_file_line_and_field(mixed, name: str) -> None:
    path, done = mixed
    number = 2 * list(BAD).index(name) + 1
    _, field, seen, promised = BAD[name]
    (line,) = [line for line in done.stderr.splitlines() if line.startswith(f"arbitrank: {path}:{number}: ")]
    reason = line.removeprefix(f"arbitrank: {path}:{number}: ")
    assert reason.startswith(field)
    assert seen in reason
    assert promised in reason


def test_bad_lines_make_the_status_2_and_print_nothing_else(mixed) -> None:
    path, done = mixed
    assert done.returncode == 2
    *complaints, summary = done.stderr.splitlines()
    assert len(complaints) == len(BAD)
    assert summary == f"arbitrank: {len(BAD)} lines of {path} could not be read, the others were answered"


def test_the_good_lines_are_answered_in_order_as_if_alone(mixed, arbitrank) -> None:
    _, done = mixed
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert [answer["id"] for answer in answers] == [f"good-{i}" for i in range(len(BAD))]
    alone = arbitrank("rank", "-", input=good(0) + "\n")
    assert (alone.returncode, alone.stderr) == (0, "")
    for answer in answers:
        assert answer["ranked"] == json.loads(alone.stdout)["ranked"]


def ranked(run, *lines: Any, args: tuple[str, ...] = (), **variables: str) -> list[dict[str, Any]]:
    text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
    done = run("rank", "-", *args, input=text, **variables)
    assert (done.returncode, done.stderr) == (0, "")
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(answers) == len(lines)
    return answers


def test_hypotheses_of_an_unserved_domain_are_reported_and_not_ranked(arbitrank) -> None:
    weather = {"domain": "weather", "intent": "AskRain", "domain_confidence": 0.99}
    beside, alone = ranked(arbitrank, {"hypotheses": [weather, MUSIC]}, {"hypotheses": [weather]})
    assert [entry["domain"] for entry in beside["ranked"]] == ["music"]
    assert beside["domains"]["weather"]["status"] == "unserved"
    assert "no installed domain has this name" in beside["domains"]["weather"]["reason"]
    assert beside["domains"]["video"]["status"] == "skipped"
    assert (alone["ranked"], alone["decision"]["action"]) == ([], "none")
    assert alone["domains"]["weather"]["status"] == "unserved"


def test_a_setting_ranks_them_by_r0(arbitrank) -> None:
    weather = {"domain": "weather", "intent": "AskRain", "domain_confidence": 0.9, "intent_confidence": 0.5}
    (answer,) = ranked(
        arbitrank, {"hypotheses": [MUSIC, {**weather, "slots_confidence": 0.5}]}, args=("--rank-unserved",)
    )
    (entry,) = [entry for entry in answer["ranked"] if entry["domain"] == "weather"]
    assert entry["probability"] == pytest.approx(0.9 * 0.5 * 0.5)
    assert entry["version"] == "r0"
    assert answer["domains"]["weather"]["status"] == "unserved"
    assert answer["domains"]["weather"]["reason"].endswith("ranked by R0")


def test_without_hypotheses_the_domains_recognise(arbitrank) -> None:
    (answer,) = ranked(arbitrank, {"id": "7", "utterance": "play mary poppins", "context": {"device": "tv"}})
    asked = arbitrank("ask", "play mary poppins", "--device", "tv", "--json")
    assert answer["id"] == "7"
    assert answer["ranked"] == json.loads(asked.stdout)["ranked"]
    assert answer["ranked"]


def test_an_empty_list_of_hypotheses_means_that_no_domain_has_one(arbitrank) -> None:
    (answer,) = ranked(arbitrank, {"utterance": "play mary poppins", "hypotheses": []})
    assert (answer["ranked"], answer["decision"]) == ([], {"action": "none", "contenders": []})
    assert {report["status"] for report in answer["domains"].values()} == {"skipped"}


def test_a_request_without_words_and_hypotheses_is_out_of_scope(arbitrank) -> None:
    for answer in ranked(arbitrank, {}, {"utterance": "  \t "}, {"utterance": None, "hypotheses": None}):
        assert (answer["ranked"], answer["decision"]["action"]) == ([], "none")
        assert {report["status"] for report in answer["domains"].values()} == {"answered"}


def test_strange_words_and_devices_are_answered(arbitrank) -> None:
    lines = [
        {"utterance": text, "context": {"device": device}, **extra}
        for text in ("a" * 10_000, "🎵", "שיר ושלום", "播放玛丽波平斯", "\x00")
        for device in ("toaster", "", None, 7, ["tv"])
        for extra in ({}, {"hypotheses": [{**MUSIC, "slots": [{"name": "title", "value": text}]}]})
    ]
    for answer in ranked(arbitrank, *lines):
        assert {report["status"] for report in answer["domains"].values()} <= {"answered", "skipped"}


def test_every_confidence_may_be_absent(arbitrank) -> None:
    (answer,) = ranked(
        arbitrank,
        {"hypotheses": [{"domain": "music", "intent": "PlayMusic", "slots": [{"name": "title", "value": "x"}]}]},
    )
    (entry,) = answer["ranked"]
    assert 0 < entry["probability"] <= entry["domain_probability"] < 1


def test_an_intent_that_the_domain_does_not_know_is_ranked(arbitrank) -> None:
    (answer,) = ranked(arbitrank, {"hypotheses": [{**MUSIC, "intent": "BakeBread"}]})
    assert [entry["intent"] for entry in answer["ranked"]] == ["BakeBread"]


def test_unknown_keys_and_blank_lines_are_passed_over(arbitrank) -> None:
    done = arbitrank("rank", "-", input='\n{"hypotheses": [], "colour": "red"}\n   \n')
    assert (done.returncode, done.stderr, len(done.stdout.splitlines())) == (0, "", 1)


def test_no_lines_are_no_answers(arbitrank) -> None:
    done = arbitrank("rank", input="")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_thresholds_apply_to_every_line(arbitrank) -> None:
    line = {"hypotheses": [MUSIC, VIDEO]}

    def action(none: str, clarify: str) -> str:
        (answer,) = ranked(arbitrank, line, args=("--none", none, "--clarify", clarify))
        decided: str = answer["decision"]["action"]
        return decided

    assert action("0.0", "0.0") == "none"
    assert action("1.0", "0.0") == "accept"
    assert action("1.0", "1.0") == "clarify"


def test_a_domains_place_does_not_depend_on_the_order_of_the_line(arbitrank) -> None:
    books = {"domain": "books", "intent": "ReadBook", "domain_confidence": 0.5}
    one, other = ranked(arbitrank, {"hypotheses": [MUSIC, VIDEO, books]}, {"hypotheses": [books, VIDEO, MUSIC]})
    assert one["ranked"] == other["ranked"]


def test_a_domain_alone_scores_as_it_does_beside_others(arbitrank) -> None:
    """Its re-ranker never sees the others' hypotheses, so they cannot move its scores."""
    alone, beside = ranked(arbitrank, {"hypotheses": [MUSIC]}, {"hypotheses": [VIDEO, MUSIC, {**VIDEO, "intent": "X"}]})
    assert alone["ranked"] == [entry for entry in beside["ranked"] if entry["domain"] == "music"]


def test_gzip_is_accepted_and_a_damaged_file_is_named(arbitrank, tmp_path: Path) -> None:
    path = tmp_path / "requests.jsonl.gz"
    path.write_bytes(gzip.compress(f"{good(0)}\n{good(1)}\n".encode()))
    done = arbitrank("rank", str(path))
    assert (done.returncode, len(done.stdout.splitlines())) == (0, 2)

    path.write_bytes(path.read_bytes()[:40])
    done = arbitrank("rank", str(path))
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"arbitrank: {path}: cannot be read: ")


def test_a_file_of_another_encoding_is_a_bad_line(arbitrank, tmp_path: Path) -> None:
    path = tmp_path / "latin.jsonl"
    path.write_bytes(f"{good(0)}\n".encode() + '{"utterance": "café", "hypotheses": []}\n'.encode("latin-1"))
    done = arbitrank("rank", str(path))
    assert (done.returncode, len(done.stdout.splitlines())) == (2, 1)
    assert done.stderr.startswith(f"arbitrank: {path}:2: not JSON: ")
