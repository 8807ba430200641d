"""`arbitrank train` as an operator calls it: what it prints, and its exit status."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from distributions import install, serving


@pytest.fixture
def run(site: Path, tmp_path: Path, arbitrank) -> Callable[..., Any]:
    """The command that sees three domains without weights, and a store of its own."""
    install(site, "arbitrank-fruit", serving("apples", "pears", "rotten", kind="FakeReferenceDomain"))

    def run(*args: object) -> Any:
        store = str(tmp_path / "store")
        names = "fruit,apples,pears,rotten"
        return arbitrank(*map(str, args), ARBITRANK_STORE=store, PYTHONPATH=str(site), ARBITRANK_DOMAINS=names)

    return run


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Requests of which some are for apples, as their recogniser believes too, though not enough; none has pears."""
    drawn = random.Random(1)
    lines = []
    for i in range(600):
        p = round(drawn.uniform(0.05, 0.95), 4)
        own = drawn.random() < p * p
        hypotheses = [
            {"domain": "apples", "intent": "Eat", "domain_confidence": p, "intent_confidence": 0.9},
            {"domain": "rotten", "intent": "Eat", "domain_confidence": p},
        ]
        truth = {"domain": "apples", "intent": "Eat"} if own else {"domain": None}
        line = {"id": str(i), "utterance": f"fruit {i}", "hypotheses": hypotheses, "truth": truth, "time": 1e9 + i}
        lines.append(json.dumps(line))
    (tmp_path / "data.jsonl").write_text("\n".join(lines))
    return tmp_path / "data.jsonl"


def test_one_that_fails_is_named_with_its_log_and_the_others_are_published(run, data: Path, tmp_path: Path) -> None:
    done = run("train", "--all", "--data", data, "--jobs", "2")
    assert done.returncode == 2
    (published,) = done.stdout.splitlines()
    assert published.startswith("apples ")
    assert "candidate in" in published
    log = tmp_path / "store.logs" / "rotten.log"
    assert "domain rotten: train() raised ValueError: the data are rotten (" in done.stderr
    assert f"expected files in `out`; run: arbitrank check rotten; its log: {log}" in done.stderr
    assert "domain pears: 0 examples are too few" in done.stderr
    assert "not trained: " in done.stderr.splitlines()[-1]
    assert "Traceback" in log.read_text()

    again = run("train", "apples", "--data", data)
    assert (again.returncode, again.stdout.split(":")[1]) == (0, " unchanged")
    later = run("train", "apples", "--data", data, "--split-by", "time", "--since", "2001-09-09", "--promote")
    assert later.returncode == 0
    assert "stable in" in later.stdout


def test_events_are_json_lines(run, data: Path) -> None:
    done = run("train", "apples", "--data", data, "--json")
    assert done.returncode == 0, done.stderr
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert {event["event"] for event in events} == {"progress", "outcome"}
    assert next(event["stage"] for event in events if event["event"] == "progress") == "data"
    (outcome,) = (event for event in events if event["event"] == "outcome")
    assert (outcome["domain"], outcome["kind"], outcome["reason"]) == ("apples", "published", None)
    assert outcome["nll"] < outcome["baseline"]
    assert outcome["rows"] + outcome["held"] == 600


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("--since", "30d"), "--since: no --data; expected both"),
        (("--scheduler", "tcp://127.0.0.1:1"), "--scheduler: no --backend dask"),
        (("--partitioned",), "--partitioned: no --backend dask"),
        (("--backend", "dask"), "no --scheduler; expected its address"),
        (("--data", "no/such/file"), "no/such/file: cannot be read"),
    ],
)
def test_a_call_that_cannot_be_meant_is_refused(run, args: tuple[str, ...], said: str) -> None:
    done = run("train", "apples", *args)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr


@pytest.mark.parametrize("option", ["--log-dir", "--scratch"])
def test_a_file_in_the_place_of_a_folder_is_refused_in_one_line(run, data: Path, option: str) -> None:
    done = run("train", "apples", "--data", data, option, data)
    assert (done.returncode, done.stdout) == (2, "")
    (said,) = done.stderr.splitlines()
    assert str(data) in said
    assert option in said


def test_a_partition_without_a_domain_is_reported(run, data: Path, tmp_path: Path) -> None:
    for name in ("apples", "aples"):
        part = tmp_path / "lab" / f"domain={name}" / "part.jsonl"
        part.parent.mkdir(parents=True)
        part.write_bytes(data.read_bytes())
    done = run("train", "apples", "--data", tmp_path / "lab")
    assert done.returncode == 0
    assert "no plugin is loaded for aples (1); their files are not read" in done.stderr
