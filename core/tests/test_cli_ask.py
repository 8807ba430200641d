"""`arbitrank ask`: text in, ranked list out, through the installed command and the three reference domains."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

POPPINS = "play mary poppins"


def answered(run, *args: str, **variables: str) -> dict[str, Any]:
    done = run("ask", "--json", *args, **variables)
    assert (done.returncode, done.stderr) == (0, "")
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def domains_in_order(answer: dict[str, Any]) -> list[str]:
    return list(dict.fromkeys(entry["domain"] for entry in answer["ranked"]))


def test_on_a_tv_video_is_first_and_the_others_are_in_the_list(arbitrank) -> None:
    answer = answered(arbitrank, POPPINS, "--device", "tv")
    assert domains_in_order(answer)[0] == "video"
    assert set(domains_in_order(answer)) == {"video", "music", "books"}
    assert answer["decision"] == {"action": "accept", "contenders": [0]}


def test_on_a_speaker_video_is_not_first(arbitrank) -> None:
    assert domains_in_order(answered(arbitrank, POPPINS, "--device", "speaker"))[0] != "video"


@pytest.mark.parametrize(
    ("text", "domain"), [("read me mary poppins", "books"), ("play the mary poppins soundtrack", "music")]
)
def test_a_cue_in_the_words_decides(arbitrank, text: str, domain: str) -> None:
    assert domains_in_order(answered(arbitrank, text))[0] == domain


def test_an_out_of_scope_request_is_none(arbitrank) -> None:
    assert answered(arbitrank, "what is the weather")["decision"] == {"action": "none", "contenders": []}


def test_the_list_is_ordered_by_a_score_that_explains_itself(arbitrank) -> None:
    answer = answered(arbitrank, POPPINS, "--device", "tv", "--explain")
    scores = [entry["score"] for entry in answer["ranked"]]
    assert scores == sorted(scores, reverse=True)
    for entry in answer["ranked"]:
        assert entry["score"] == pytest.approx(entry["domain_probability"] * entry["probability"])
        assert 0 <= entry["probability"] <= entry["domain_probability"] <= 1
        assert entry["version"] == answer["domains"][entry["domain"]]["version"]
        assert entry["why"].keys() >= {"domain", "intent", "slots", "context"}
    assert answer["ms"].keys() == {"shortlist", "recognise", "rerank", "merge"}
    assert {report["status"] for report in answer["domains"].values()} == {"answered"}


def test_why_is_given_to_those_who_ask(arbitrank) -> None:
    assert all("why" not in entry for entry in answered(arbitrank, POPPINS)["ranked"])


def test_a_person_reads_a_table_and_a_decision(arbitrank) -> None:
    done = arbitrank("ask", POPPINS, "--device", "tv")
    head, first, *_, decision = done.stdout.splitlines()
    assert head.split() == ["#", "domain", "intent", "slots", "P(mine)", "P(right)", "why"]
    assert first.split()[:5] == ["1", "video", "PlayVideo", "title=mary", "poppins"]
    assert decision.startswith("accept  video PlayVideo (")
    assert "\x1b" not in done.stdout, "colours are for terminals"


def test_words_that_look_like_markup_are_shown_as_they_are(arbitrank) -> None:
    assert "[red]dune[/red]" in arbitrank("ask", "play [red]dune[/red]").stdout


def test_words_that_would_steer_the_terminal_are_shown_and_not_obeyed(arbitrank) -> None:
    shown = arbitrank("ask", "play \x1b[31mdune\x07").stdout
    assert "\ufffd[31mdune\ufffd" in shown
    assert not {"\x1b", "\x07"} & set(shown)


def test_an_ascii_terminal_gets_an_answer(arbitrank) -> None:
    done = arbitrank("ask", "播放 moana", PYTHONIOENCODING="ascii")
    assert (done.returncode, done.stderr) == (0, "")


# Text that nobody expects: each gets an answer from every domain.
STRANGE = {
    "punctuation": "?!…",
    "10,000 characters": "play mary poppins " * 556,
    "10,000 letters": "a" * 10_000,
    "emoji": "🎵👩‍👩‍👧 ▶️",
    "right-to-left": "\u200fשיר ושלום נגן את מרי פופינס",
    "arabic": "شغل ماري بوبينز",
    "chinese": "播放玛丽·波平斯",
    "control characters": "play\x07 \x1b[31mmary poppins",
    "combining": "ple\u0301ase pla\u0308y m" + "\u0301" * 500,
    "an option in disguise": "-",
}


@pytest.mark.parametrize("text", STRANGE.values(), ids=STRANGE)
def test_strange_text_is_answered(arbitrank, text: str) -> None:
    answer = answered(arbitrank, "--device", "toaster", "--", text)
    assert {report["status"] for report in answer["domains"].values()} == {"answered"}
    for entry in answer["ranked"]:
        for slot in entry.get("slots", []):
            assert text[slot["start"] : slot["end"]] == slot["value"]


@pytest.mark.parametrize("text", ["", " \t\n ", "\u200b\u2060"], ids=["empty", "blank", "invisible"])
def test_a_text_without_words_is_a_wrong_call(arbitrank, text: str) -> None:
    done = arbitrank("ask", text)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(
        "arbitrank: a blank utterance and no hypotheses; expected utterance, hypotheses or both"
    )


def test_texts_that_look_alike_are_read_alike(arbitrank) -> None:
    plain = answered(arbitrank, "play café del mar")
    for text in ("play cafe\u0301 del mar", "play\u00a0café\u200bdel mar", "play ca\u00adfé del\u2060 mar"):
        alike = answered(arbitrank, text)
        assert alike["decision"] == plain["decision"]
        for one, other in zip(alike["ranked"], plain["ranked"], strict=True):
            assert (one["domain"], one["intent"], one["probability"]) == (
                other["domain"], other["intent"], pytest.approx(other["probability"], abs=1e-12)
            )  # fmt: skip
            for slot in one.get("slots", []):
                assert text[slot["start"] : slot["end"]] == slot["value"]


def test_a_context_key_that_no_domain_reads_is_reported(arbitrank) -> None:
    done = arbitrank("ask", POPPINS, "--context", "devise=tv", "--json")
    assert done.returncode == 0
    assert done.stderr.startswith("arbitrank: context key 'devise' is read by no domain (did you mean 'device'?)")


def test_an_unknown_device_changes_nothing(arbitrank) -> None:
    unknown = answered(arbitrank, POPPINS, "--device", "toaster")
    assert unknown["ranked"] == answered(arbitrank, POPPINS, "--device", "🍞")["ranked"]
    assert domains_in_order(unknown)[0] in {"video", "music", "books"}


def test_context_is_given_in_pairs(arbitrank) -> None:
    by_device = answered(arbitrank, POPPINS, "--device", "tv", "--context", "has_screen=true")
    by_pairs = answered(arbitrank, POPPINS, "--context", "device=tv", "--context", "has_screen=true")
    assert by_device["ranked"] == by_pairs["ranked"]
    assert by_device["ranked"] != answered(arbitrank, POPPINS)["ranked"]


# What the call gets wrong, and what the one line on standard error says of it.
WRONG = {
    "no text": ((), "Missing argument 'TEXT'"),
    "two texts": (("play", "dune"), "unexpected extra argument"),
    "no such option": (("x", "--nope"), "No such option"),
    "a threshold above 1": (("x", "--none", "1.5"), "1.5 is not in the range 0<=x<=1"),
    "a threshold below 0": (("x", "--clarify", "-0.1"), "-0.1 is not in the range 0<=x<=1"),
    "a threshold of NaN": (("x", "--clarify", "nan"), "nan is not in the range 0<=x<=1"),
    "a threshold in words": (("x", "--none", "half"), "'half' is no number in the range"),
    "context without a value": (("x", "--context", "tv"), "--context: 'tv' is no pair, expected KEY=VALUE"),
    "context without a key": (("x", "--context", "=tv"), "--context: '=tv' is no pair, expected KEY=VALUE"),
    "a preference above 1": (
        ("x", "--context", "preference.music=7"),
        "context['preference.music']: out of range, so it counts as absent; expected a number in [0, 1]",
    ),
    "a preference of NaN": (
        ("x", "--context", "preference.music=nan"),
        "a text is of the wrong type, so it counts as absent; expected a number in [0, 1]",
    ),
    "bytes that are no text": (("play \udcff",), "bytes that are no UTF-8"),
}


@pytest.mark.parametrize(("args", "said"), WRONG.values(), ids=WRONG)
def test_a_wrong_call_gets_one_line_and_status_2(arbitrank, args: tuple[str, ...], said: str) -> None:
    done = arbitrank("ask", *args)
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith("arbitrank: ")
    assert said in line


def test_zero_is_a_threshold(arbitrank) -> None:
    cautious = ("read me mary poppins", "--none", "0.0")
    assert answered(arbitrank, *cautious)["decision"]["action"] == "none"
    wide = answered(arbitrank, POPPINS, "--none", "1", "--clarify", "1.0")
    assert wide["decision"]["action"] == "clarify"
    assert len(wide["decision"]["contenders"]) == 3
    assert answered(arbitrank, POPPINS, "--none", "1", "--clarify", "0.0")["decision"]["action"] == "accept"


def test_claims_are_measured_against_one_another_when_asked_to(arbitrank) -> None:
    def claims(*options: str) -> dict[str, float]:
        ranked = answered(arbitrank, POPPINS, *options)["ranked"]
        return {entry["domain"]: entry["domain_probability"] for entry in ranked}

    measured = claims("--normalise")
    assert sum(measured.values()) == pytest.approx(1.0)
    assert claims("--normalise", "--independence", "1") != measured
    assert claims("--no-normalise") == claims() != measured


def test_contenders_are_shown_to_be_chosen_from(arbitrank) -> None:
    shown = arbitrank("ask", POPPINS, "--none", "1", "--clarify", "1").stdout
    _, clarify, question = shown.partition("clarify  ")
    assert clarify
    assert question.count("% mine") == 3
    assert question.startswith("do you want to watch a video (Video, ")
    assert question.count(") or ") == 2
    assert question.endswith("?\n")


def test_a_subset_of_the_domains_answers(arbitrank) -> None:
    whole = answered(arbitrank, POPPINS)
    answer = answered(arbitrank, POPPINS, ARBITRANK_DOMAINS="music,books")
    assert {name: one["status"] for name, one in answer["domains"].items()} == {
        "books": "answered",
        "music": "answered",
        "video": "skipped",
    }
    assert answer["domains"]["video"]["reason"] == "ARBITRANK_DOMAINS does not name it"
    assert answer["ranked"] == [entry for entry in whole["ranked"] if entry["domain"] != "video"]


def test_no_domain_at_all_decides_none_and_the_status_tells(arbitrank) -> None:
    done = arbitrank("ask", "--json", POPPINS, ARBITRANK_DOMAINS="")
    answer = json.loads(done.stdout)
    assert done.returncode == 1
    assert answer["ranked"] == []
    assert {one["status"] for one in answer["domains"].values()} == {"skipped"}
    assert answer["decision"]["action"] == "none"


def test_where_domains_failed_the_request_is_not_called_out_of_scope(arbitrank, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    none = arbitrank("ask", "play dune", "--store", str(tmp_path / "file"))
    assert none.returncode == 1
    assert "no domain could answer" in none.stdout
    assert arbitrank("ask", "play dune", "--json", "--store", str(tmp_path / "file")).returncode == 1
    damaged = tmp_path / "store" / "books" / "history"
    damaged.mkdir(parents=True)
    (damaged / "00000001.json").write_text("{")
    some = arbitrank("ask", "what is the weather", "--store", str(tmp_path / "store"))
    assert some.returncode == 0
    assert "out of scope for the domains that answered" in some.stdout


def test_a_seed_is_a_number_that_all_of_training_can_take(arbitrank) -> None:
    for seed in ("-1", "99999999999999999999"):
        done = arbitrank("train", "music", "--seed", seed)
        assert (done.returncode, done.stderr.count("\n")) == (2, 1)
