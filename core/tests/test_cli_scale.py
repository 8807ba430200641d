"""Scales on the command line: option, environment and file, in answers, training and isolation alike."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Command = Callable[..., subprocess.CompletedProcess[str]]

TITLE = {"name": "title", "value": "lantern tales"}


def line(id: str, score: Any, times: int = 1, **more: Any) -> str:
    one = {"domain": "books", "intent": "ReadBook", "domain_confidence": score, "slots": [TITLE], **more}
    other = {"domain": "video", "intent": "PlayVideo", "domain_confidence": 0.8}
    return json.dumps({"id": id, "utterance": "play lantern tales", "hypotheses": [other, *[one] * times]})


def ranked(arbitrank: Command, *lines: str, options: tuple[str, ...] = (), **variables: str | None) -> list[Any]:
    done = arbitrank("rank", "-", *options, input="\n".join(lines), **variables)
    assert done.returncode == 0, done.stderr
    return [json.loads(one) for one in done.stdout.splitlines()]


def of_books(answer: Any) -> Any:
    """The status of the domain, and the probabilities of its readings."""
    probabilities = [round(one["probability"], 9) for one in answer["ranked"] if one["domain"] == "books"]
    return answer["domains"]["books"]["status"], probabilities


def test_a_score_out_of_range_fails_its_domain_and_a_stated_scale_reads_it(arbitrank: Command) -> None:
    lines = line("sixty", 60), line("text", "60%"), line("share", 0.6)
    sixty, text, share = ranked(arbitrank, *lines)
    assert [of_books(one)[0] for one in (sixty, text, share)] == ["failed", "failed", "answered"]
    assert sixty["domains"]["books"]["reason"] == (
        "hypotheses[1].domain_confidence: 60 is out of range, expected a number in [0, 1]; state its scale: --scale "
        "books.domain_confidence=0..100 or [domains.books] in arbitrank.toml"
    )
    assert {one["domains"]["video"]["status"] for one in (sixty, text, share)} == {"answered"}
    stated = ranked(arbitrank, *lines[:2], options=("--scale", "books=percent"))
    assert [of_books(one) for one in stated] == [of_books(share)] * 2
    assert stated[0]["domains"]["books"]["scales"]["domain_confidence"] == "percent"
    assert "scales" not in share["domains"]["books"]


def test_one_percent_is_no_certainty(arbitrank: Command) -> None:
    (certain,) = ranked(arbitrank, line("1", 1))
    (stated,) = ranked(arbitrank, line("1", 1), options=("--scale", "books.domain_confidence=0..100"))
    (share,) = ranked(arbitrank, line("1", 0.01))
    assert of_books(stated) == of_books(share) != of_books(certain)


@pytest.mark.parametrize("isolated", [(), ("--follow", "--isolate", "all", "--deadline", "5000")])
def test_readings_count_once_in_whatever_process(arbitrank: Command, isolated: tuple[str, ...]) -> None:
    lines = [line(str(times), 60, times) for times in (1, 2, 56)]
    options = ("--scale", "books=0..100", *isolated)
    found = [of_books(one) for one in ranked(arbitrank, *lines, options=options)]
    (share,) = ranked(arbitrank, line("share", 0.6))
    assert found == [of_books(share)] * 3


def test_a_domain_in_a_process_of_its_own_names_the_place_in_the_request(arbitrank: Command) -> None:
    options = ("--follow", "--isolate", "each", "--deadline", "5000")
    (answer,) = ranked(arbitrank, line("sixty", 60), options=options)
    assert answer["domains"]["books"]["reason"].startswith("hypotheses[1].domain_confidence: 60 is out of range")


def test_option_environment_and_file_in_this_order(arbitrank: Command, tmp_path: Path) -> None:
    file = tmp_path / "arbitrank.toml"
    file.write_bytes(b"\xef\xbb\xbf[domains.books]\nscale = '0..1000'\n")
    option, environment = ("--scale", "books=0..10"), {"ARBITRANK_SCALE": "books=0..100"}
    named = {"ARBITRANK_CONFIG": str(file)}

    def scale(*options: str, **variables: str) -> str:
        (answer,) = ranked(arbitrank, line("6", 6), options=options, **variables)
        return str(answer["domains"]["books"]["scales"]["domain_confidence"])

    assert scale("--config", str(file)) == scale(**named) == "0..1000"
    assert scale(**environment, **named) == scale("--config", str(file), **environment) == "0..100"
    assert scale(*option, **environment, **named) == "0..10"
    assert scale("--scale", "books.slots_confidence=0..10", **named) == "0..1000"


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("--scale", "books=prcent"), "did you mean percent?"),
        (("--scale", "books"), "expected DOMAIN=SCALE"),
        (("--scale", "books.confidence=percent"), "no such score, expected domain_confidence"),
        (("--config", "nowhere.toml"), "nowhere.toml: cannot be read"),
    ],
)
@pytest.mark.parametrize("verb", ["rank", "ask", "train", "impact", "domains"])
def test_a_wrong_scale_or_file_is_refused_by_every_verb(
    arbitrank: Command, verb: str, arguments: tuple[str, ...], problem: str
) -> None:
    subject = {"ask": ("x",), "train": ("books",), "impact": ("books",)}.get(verb, ())
    done = arbitrank(verb, *subject, *arguments, input="")
    assert (done.returncode, done.stdout) == (2, "")
    assert problem in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_scale_of_an_unknown_domain_is_remarked_on(arbitrank: Command) -> None:
    done = arbitrank("rank", "-", "--scale", "boks=percent", input=line("1", 0.5))
    assert done.returncode == 0
    assert "a scale is stated for boks, which is no domain here" in done.stderr
    assert "did you mean books?" in done.stderr


def test_weights_trained_on_one_scale_serve_no_other(arbitrank: Command, tmp_path: Path) -> None:
    data = tmp_path / "data.jsonl"
    with data.open("w") as file:
        for i in range(300):
            own = i % 3 == 0
            hypothesis = {"domain": "books", "intent": "ReadBook", "domain_confidence": (70 if own else 20) + i % 25}
            truth = {"domain": "books", "intent": "ReadBook"} if own else {"domain": "video", "intent": "PlayVideo"}
            row = {"id": str(i), "utterance": f"u {i}", "hypotheses": [hypothesis], "truth": truth}
            file.write(json.dumps(row) + "\n")
    store, scale = str(tmp_path / "store"), ("--scale", "books=0..100")
    trained = arbitrank("train", "books", "--data", str(data), "--promote", *scale, ARBITRANK_STORE=store)
    assert trained.returncode == 0, trained.stderr
    (stated,) = ranked(arbitrank, line("1", 80), options=scale, ARBITRANK_STORE=store)
    (unstated,) = ranked(arbitrank, line("1", 0.8), ARBITRANK_STORE=store)
    assert stated["domains"]["books"]["status"] == "answered"
    assert (
        "trained on scores of the scale domain_confidence=0..100, stated is domain_confidence=0..1"
        in unstated["domains"]["books"]["reason"]
    )
    again = arbitrank("train", "books", "--data", str(data), *scale, ARBITRANK_STORE=store)
    assert "unchanged" in again.stdout
    unread = arbitrank("train", "books", "--data", str(data), ARBITRANK_STORE=store)
    assert unread.returncode == 2
    assert "hypotheses of 300 examples cannot be read and are left out; the first: 0: hypotheses[0]" in unread.stderr
    assert "; state its scale: --scale books.domain_confidence=0..100" in unread.stderr
