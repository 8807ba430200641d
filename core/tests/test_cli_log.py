"""A log as an operator uses it: trained on, replayed, measured on, looked after."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from distributions import install, serving
from fakes import artifact

from arbitrank.answerlog.feedback import Feedback
from arbitrank.answerlog.segments import segments
from arbitrank.answerlog.settings import LogSettings
from arbitrank.answerlog.writer import AnswerLog
from arbitrank.arbitration.arbitrator import Arbitrator
from arbitrank.values import Hypothesis, Request, Truth


@pytest.fixture
def run(site: Path, tmp_path: Path, arbitrank) -> Callable[..., Any]:
    """The command that sees two domains without weights, and a store of its own."""
    install(site, "arbitrank-fruit", serving("apples", "pears", kind="ReferenceDomain"))

    def run(*args: object) -> Any:
        names = "fruit,apples,pears"
        store = str(tmp_path / "store")
        return arbitrank(*map(str, args), ARBITRANK_STORE=store, PYTHONPATH=str(site), ARBITRANK_DOMAINS=names)

    return run


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """A log of several segments, the last of which is torn: 400 requests, 300 of them labelled."""
    drawn = random.Random(1)
    arbitrator = Arbitrator({})
    with AnswerLog(tmp_path / "log", LogSettings(segment_bytes=40_000)) as log:
        for i in range(400):
            p = drawn.uniform(0.05, 0.95)
            readings = Hypothesis("apples", "Eat", p, 0.9), Hypothesis("pears", "Eat", min(0.99, 1.1 - p), 0.9)
            request = Request(id=str(i), utterance=f"fruit {i}", hypotheses=readings)
            log.write(request, arbitrator.answer(request))
            if i % 4:
                log.feedback(Feedback(id=str(i), truth=Truth("apples" if drawn.random() < p else "pears", "Eat")))
            else:
                log.feedback(Feedback(id=str(i), outcome="accepted"))
    last = segments(tmp_path / "log")[-1]
    last.write_bytes(last.read_bytes() + b'{"id": "400", "utt')
    return tmp_path / "log"


def test_status_counts_what_there_is_and_names_what_cannot_be_read(run, log: Path) -> None:
    done = run("log", "status", log)
    assert done.returncode == 0, done.stderr
    assert re.search(
        r"400 requests from .*Z to .*Z, 300 with their truth, 100 with an outcome; \d+ segments", done.stdout
    )
    assert f"1 line cannot be read and is skipped, as {segments(log)[-1]}:" in done.stdout
    found = json.loads(run("log", "status", log, "--json").stdout)
    assert (found["requests"], found["bad_lines"], found["segments"]) == (400, 1, len(segments(log)))
    assert run("log", "status", log.parent / "none").returncode == 2


def test_prune_removes_what_is_too_old(run, log: Path) -> None:
    (old, *rest) = segments(log)
    old.rename(log / f"20200101T000000.000000Z{old.name[23:]}")
    done = run("log", "prune", log, "--days", "30")
    assert done.stdout.startswith(f"{log}: removed 20200101T"), done.stderr
    assert segments(log) == rest
    assert run("log", "prune", log, "--days", "30").stdout == f"{log}: removed nothing\n"
    assert run("log", "prune", log, "--days", "0").returncode == 2


def test_domains_are_trained_measured_and_judged_on_a_log(run, log: Path, tmp_path: Path) -> None:
    done = run("train", "--data", log, "--promote")
    assert done.returncode == 0, done.stderr
    assert "ends in the middle of a line" in done.stderr
    trained = [int(n) for n in re.findall(r"(\d+) examples", done.stdout)]
    held_out = [int(n) for n in re.findall(r"on (\d+) held-out requests", done.stdout)]
    assert [a + b for a, b in zip(trained, held_out, strict=True)] == [300, 300]

    done = run("evaluate", log, "--json")
    assert done.returncode == 0, done.stderr
    metrics = json.loads(done.stdout)
    assert metrics["n"] == 300
    assert any("ends in the middle of a line" in note for note in metrics["notes"])

    done = run("train", "apples", "--data", log, "--model", "loglinear")
    assert done.returncode == 0
    assert "examples, R3 (loglinear); on" in done.stdout  # as `evaluate` names it
    artifact(tmp_path / "theirs", "pears")
    done = run("train", "apples", "--data", log, "--out", str(tmp_path / "theirs"))
    assert done.returncode == 2
    assert "holds the weights of pears, expected a folder of apples or a new one" in done.stderr
    one, two = (json.loads(run("impact", "apples", "--on", log, "--jobs", jobs, "--json").stdout) for jobs in (1, 2))
    assert one == two
    assert (one["n"], one["labelled"], one["bad_lines"]) == (400, 300, 1)

    done = run("audit-set", log)
    assert done.returncode == 0, done.stderr
    assert "300 requests, 600 hypotheses" in done.stdout
    assert "ends in the middle of a line" in done.stderr


def test_a_log_without_truths_trains_nothing(run, tmp_path: Path) -> None:
    with AnswerLog(tmp_path / "log") as log:
        log.write(Request(id="1", hypotheses=()), Arbitrator({}).answer(Request(hypotheses=())))
    for verb in (("train", "--data"), ("audit-set",)):
        done = run(*verb, tmp_path / "log")
        assert done.returncode == 2
        assert "has a truth" in done.stderr


def test_a_logged_request_is_replayed_by_its_id(run, log: Path) -> None:
    assert run("train", "--data", log, "--promote").returncode == 0
    done = run("replay", "7", "--log", log)
    assert done.returncode == 0, done.stderr
    assert "request 7, “fruit 7”" in done.stdout
    assert "today, rescored from the logged hypotheses" in done.stdout
    assert "apples: unserved, now answered" in done.stdout
    assert "truth: " in done.stdout
    found = json.loads(run("replay", "8", "--log", log, "--json").stdout)
    assert (found["id"], found["outcome"], found["anew"]) == ("8", "accepted", False)
    assert found["today"]["ranked"]
    done = run("replay", "four", "--log", log)
    assert done.returncode == 2
    assert f"no request with the id 'four'; run: arbitrank log status {log}" in done.stderr
