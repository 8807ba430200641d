"""`arbitrank rank`: hypotheses in, answers out; a bad line costs one line of complaint and no other line its answer."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from arbitrank.cli.answer_tables import show_answer
from arbitrank.values import Answer, Decision, DomainReport

MUSIC = {"domain": "music", "intent": "PlayMusic", "domain_confidence": 0.7, "intent_confidence": 0.9}
VIDEO = {"domain": "video", "intent": "PlayVideo", "domain_confidence": 0.6, "intent_confidence": 0.9}
TITLE = {"name": "title", "value": "mary poppins", "confidence": 0.9}


# A bad line; and the field, what was seen and what was expected that the one line about it names.
BAD = {
    "nothing to read": ("{}", "neither utterance nor hypotheses", "", "utterance, hypotheses or both"),
    "a blank utterance": ('{"utterance": " \\t "}', "a blank utterance", "", "utterance, hypotheses or both"),
    "a misspelt key": ('{"utterence": "play dune"}', "utterence", "unknown key", "expected utterance"),
    "a line of a corpus": ('{"text": "play dune", "domain": "video"}', "text", "a line of a corpus", "utterance"),
    "a payload of Rasa": (
        '{"text": "x", "intent_ranking": []}',
        "it seems to be a payload of Rasa",
        "",
        "docs/reference/formats/payloads",
    ),
    "hypotheses as an object": ('{"hypotheses": {}}', "hypotheses", "{}", "a list"),
    "a context as a list": ('{"context": [1], "hypotheses": []}', "context", "[1]", "an object"),
    "truncated JSON": (
        '{"id": "bad", "hypotheses": [{"domain": "mus',
        "not JSON: Unterminated string",
        "column 41",
        "one complete JSON object",
    ),
    "no JSON": ("play mary poppins", "not JSON", "", "one complete JSON object per line"),
    "a trailing comma": ('{"hypotheses": []},', "not JSON", "a trailing comma", "one complete JSON object per line"),
    "a comment": ("// requests", "not JSON", "a comment", "one complete JSON object per line"),
    "two objects": ('{"hypotheses": []} {"hypotheses": []}', "not JSON", "", "one complete JSON object per line"),
    "half a character": ('{"utterance": "\\ud83d", "hypotheses": []}', "not JSON", "", "one complete JSON object"),
    "a list": ("[1, 2]", "the line", "[1, 2]", "an object"),
    "a string": ('"play"', "the line", '"play"', "an object"),
    "a number": ("3", "the line", "3", "an object"),
    "null": ("null", "the line", "null", "an object"),
}

# What a hypothesis of one domain may have at fault; and the field, and what is said of it in that domain's reason.
FAULTY = {
    "NaN": ({"domain_confidence": float("nan")}, ".domain_confidence", "NaN"),
    "infinity": ({"slots_confidence": float("inf")}, ".slots_confidence", "Infinity"),
    "1.2": ({"intent_confidence": 1.2}, ".intent_confidence", "1.2 is out of range, expected a number in [0, 1]"),
    "-0.1": ({"slots": [TITLE, {**TITLE, "confidence": -0.1}]}, ".slots[1].confidence", "-0.1 is out of range"),
    "a string for a number": ({"domain_confidence": "0.9"}, ".domain_confidence", "0.9"),
    "a boolean for a number": ({"domain_confidence": True}, ".domain_confidence", "rue"),
    "a number for a string": ({"intent": 7}, ".intent", "7 is invalid, expected a text"),
    "null for a string": ({"intent": None}, ".intent", "null is invalid, expected a text"),
    "a feature in words": ({"features": {"known": "yes"}}, ".features.known", "expected a finite number"),
    "a misspelt key": ({"conf": 0.9}, ".conf", "unknown key, expected domain_confidence"),
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


@pytest.mark.parametrize("name", FAULTY)
def test_a_faulty_hypothesis_costs_its_domain_alone_its_place(faulty, name: str) -> None:
    _, field, said = FAULTY[name]
    answer = faulty[list(FAULTY).index(name)]
    assert [entry["domain"] for entry in answer["ranked"]] == ["music"]
    assert answer["domains"]["music"]["status"] == "answered"
    assert answer["domains"]["video"]["status"] == "failed"
    reason = answer["domains"]["video"]["reason"]
    assert reason.startswith(f"hypotheses[1]{field}: ")
    assert said in reason


@pytest.fixture(scope="module")
def faulty(arbitrank) -> list[dict[str, Any]]:
    """The answers to a sound hypothesis of music beside each faulty one of video."""
    lines = [{"hypotheses": [MUSIC, {**VIDEO, **changes}]} for changes, *_ in FAULTY.values()]
    return ranked(arbitrank, *lines)


def test_strict_refuses_a_line_with_a_fault(arbitrank) -> None:
    lines = [{"hypotheses": [MUSIC, {**VIDEO, **changes}]} for changes, *_ in FAULTY.values()]
    text = "".join(json.dumps(line) + "\n" for line in (*lines, {"hypotheses": [MUSIC, VIDEO]}))
    done = arbitrank("rank", "-", "--strict", input=text)
    assert (done.returncode, len(done.stdout.splitlines())) == (2, 1)
    *refused, summary = done.stderr.splitlines()
    for i, ((_, field, said), line) in enumerate(zip(FAULTY.values(), refused, strict=True), 1):
        assert line.startswith(f"arbitrank: standard input:{i}: hypotheses[1]{field}: ")
        assert said in line
    assert summary.startswith(f"arbitrank: {len(lines)} lines of standard input could not be read")


def test_remarks_on_the_input_are_printed_once(arbitrank) -> None:
    lines = [
        {"id": i, "customer": "c", "utterance": "play dune", "context": {"audience": "guest", "has_screen": "true"},
         "hypotheses": [{**MUSIC, "rank": i, "slots": [{"name": "title", "value": i, "start": 5, "end": 99}]}]}
        for i in range(3)
    ]  # fmt: skip
    done = arbitrank("rank", "-", input="".join(json.dumps(line) + "\n" for line in lines))
    assert (done.returncode, len(done.stdout.splitlines())) == (0, 3)
    remarks = done.stderr.splitlines()
    assert all(line.startswith("arbitrank: standard input:1: ") for line in remarks)
    assert len(remarks) == 7
    for said in ("id: a number", "customer: unknown key", "'audience' is read by no domain", "['has_screen']: a text",
                 "rank: unknown key", "value: a number", "offsets are beyond the text"):  # fmt: skip
        assert sum(said in line for line in remarks) == 1, said


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
    (beside,) = ranked(arbitrank, {"hypotheses": [weather, MUSIC]})
    lines = json.dumps({"hypotheses": [weather]}) + "\n" + json.dumps({"hypotheses": [weather]})
    done = arbitrank("rank", "-", input=lines)
    alone = json.loads(done.stdout.splitlines()[1])
    assert done.returncode == 0
    assert done.stderr == (
        "arbitrank: standard input:1: weather: no installed domain has this name, so its hypotheses are not ranked; "
        "run: arbitrank domains, or rank them by R0: --rank-unserved\n"
    )
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


def test_strange_words_and_devices_are_answered(arbitrank) -> None:
    lines = [
        {"utterance": text, "context": {"device": device}, **extra}
        for text in ("a" * 10_000, "🎵", "שיר ושלום", "播放玛丽波平斯", "x\x00")
        for device in ("toaster", "", None)
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
    done = arbitrank("rank", "-", input='\n{"hypotheses": [], "colour": "red"}\n   \n{"hypotheses": [], "colour": 1}\n')
    assert (done.returncode, len(done.stdout.splitlines())) == (0, 2)
    assert done.stderr == "arbitrank: standard input:2: colour: unknown key, ignored\n"


def test_no_lines_are_no_answers(arbitrank) -> None:
    done = arbitrank("rank", input="")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_thresholds_apply_to_every_line(arbitrank) -> None:
    line = {"hypotheses": [MUSIC, VIDEO]}

    def action(none: str, clarify: str) -> str:
        (answer,) = ranked(arbitrank, line, args=("--none", none, "--clarify", clarify, "--accept", "0"))
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
    assert done.stderr.startswith(f"arbitrank: {path}:2: not JSON: byte 0xe9 at column 19 is no UTF-8")
    assert "it seems to be Latin-1 or Windows-1252" in done.stderr


def test_byte_order_marks_are_read_and_utf_16_is_named(arbitrank, tmp_path: Path) -> None:
    path = tmp_path / "marked.jsonl"
    path.write_bytes(f"\ufeff{good(0)}\r\n\ufeff{good(1)}\r\n".encode())
    done = arbitrank("rank", str(path))
    assert (done.returncode, done.stderr, len(done.stdout.splitlines())) == (0, "", 2)
    path.write_bytes(f"{good(0)}\n{good(1)}\n".encode("utf-16"))
    done = arbitrank("rank", str(path))
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"arbitrank: {path}:1: it seems to be UTF-16, expected UTF-8; convert it: iconv")


def test_a_list_over_several_lines_is_refused_as_such(arbitrank, tmp_path: Path) -> None:
    path = tmp_path / "list.jsonl"
    for text in (f"[\n{good(0)},\n{good(1)}\n]\n", f"[{good(0)}, {good(1)}]"):
        path.write_text(text)
        done = arbitrank("rank", str(path))
        assert (done.returncode, done.stdout) == (2, "")
        (line, _) = done.stderr.splitlines()
        assert (
            line
            == f"arbitrank: {path}:1: a JSON array, expected one object per line; convert it: jq -c '.[]' {path} > NEW"
        )


def test_a_table_of_unserved_hypotheses_says_why_nothing_is_ranked(capsys: pytest.CaptureFixture[str]) -> None:
    report = DomainReport("unserved", reason="no installed domain has this name; not ranked; run: arbitrank domains")
    show_answer(Answer(None, Decision("none"), (), {"music": DomainReport("skipped"), "weather": report}, {}))
    assert capsys.readouterr().out.splitlines() == [
        "none  its hypotheses are of no domain that answers here; run: arbitrank domains",
        "weather unserved: no installed domain has this name; not ranked; run: arbitrank domains",
    ]


def test_the_status_tells_where_no_domain_could_answer(arbitrank) -> None:
    """A request for domains that are not installed is answered by no domain, but others could have been."""
    lines = '{"utterance": "play dune"}\n{"hypotheses": []}\n'
    done = arbitrank("rank", input=lines, ARBITRANK_DOMAINS="")
    assert (done.returncode, len(done.stdout.splitlines())) == (1, 2)
    assert done.stderr.endswith(
        "2 requests that no domain could answer; the answers have the reasons; run: arbitrank domains\n"
    )
    foreign = '{"hypotheses": [{"domain": "zoo", "intent": "Feed", "domain_confidence": 0.5}]}\n'
    assert arbitrank("rank", input=lines + foreign, ARBITRANK_DOMAINS="music").returncode == 0
    assert arbitrank("rank", "--rank-unserved", input=foreign, ARBITRANK_DOMAINS="").returncode == 0
    assert arbitrank("rank", input=lines + "{\n", ARBITRANK_DOMAINS="").returncode == 2
