"""`shrink --outcomes` and `watch --outcomes`: recalibrations from what users did with answers."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fakes
import msgspec
import numpy as np
import pytest
from distributions import install, serving
from msgspec.structs import replace

from arbitrank.answerlog.writer import AnswerLog
from arbitrank.store.store import Store, open_store
from arbitrank.values import Truth
from arbitrank.wire.requests import Logged, decode_logged

Fruit = tuple[Store, Callable[..., Any]]


@pytest.fixture
def fruit(site: Path, tmp_path: Path, arbitrank) -> Fruit:
    """A store of three domains, of which apples claims three times its log-odds, and the command that sees them."""
    install(site, "arbitrank-fruit", serving("apples", "pears", "plums"))
    store = open_store(tmp_path / "store", environment={})
    for name, strength in (("apples", 3.0), ("pears", 1.0), ("plums", 1.0)):
        fakes.artifact(tmp_path / "made" / name, name, fakes.CARD, strength=strength)
        store.publish(tmp_path / "made" / name, promote=True)

    def run(*args: str, input: str | None = None) -> Any:
        names = "fruit,apples,pears,plums"
        environment = {"ARBITRANK_STORE": str(store), "PYTHONPATH": str(site), "ARBITRANK_DOMAINS": names}
        return arbitrank(*args, input=input, **environment)

    return store, run


def logged(run: Callable[..., Any], folder: Path, n: int = 900, **changes: Any) -> Path:
    """A log of requests that one domain claims with a confidence that is right, and of what users did with answers."""
    rng = np.random.default_rng(0)
    chosen, p = rng.integers(0, 3, n), rng.uniform(0.6, 0.95, n)
    right = rng.random(n) < p
    names = ("apples", "pears", "plums")
    requests = [
        {
            "id": str(i),
            "session": f"s{i // 3}",
            "hypotheses": [{"domain": names[chosen[i]], "intent": "Eat", "domain_confidence": p[i]}],
        }
        for i in range(n)
    ]
    done = run("rank", input="".join(json.dumps(one) + "\n" for one in requests))
    times = iter((1e9 + 60.0 * np.arange(n)).tolist())
    with AnswerLog(folder, clock=lambda: next(times, 1e9 + 60.0 * n)) as log:
        for i, (request, answer) in enumerate(zip(requests, done.stdout.splitlines(), strict=True)):
            line = decode_logged(json.dumps({**request, "answer": json.loads(answer)}))
            log.append(replace(line, outcome="accepted" if right[i] else "rejected", **changes))
    return folder


def test_outcomes_undo_a_drift_and_watch_proposes_it_and_leaves_others_alone(fruit: Fruit, tmp_path: Path) -> None:
    store, run = fruit
    log = str(logged(run, tmp_path / "log"))
    seen = run("watch", "--on", log, "--since", "2d", "--outcomes", "--json")
    (proposal,) = json.loads(seen.stdout)["proposals"]
    assert proposal["domain"] == "apples"
    assert proposal["next"] == f"arbitrank shrink apples --outcomes --on {log} --since 2d"
    assert "PROPOSAL apples: by " in run("watch", "--on", log, "--since", "2d", "--outcomes").stdout

    done = run("shrink", "apples", "--outcomes", "--on", log)
    assert done.returncode == 0, done.stdout + done.stderr
    _, state = store.state("apples")
    assert state.served_by is not None
    assert state.served_by.scale == pytest.approx(0.33, abs=0.2)
    change = store.history("apples")[-1]
    assert (change.verb, change.reason) == ("shrink", f"from outcomes in {log}")
    assert "nothing is changed: it is what serves" in run("shrink", "apples", "--outcomes", "--on", log).stdout

    assert run("shrink", "pears", "--outcomes", "--on", log).returncode == 0
    assert store.state("pears")[1].served_by is None


def test_a_recalibration_that_costs_a_neighbour_accepted_answers_is_refused(fruit: Fruit, tmp_path: Path) -> None:
    store, run = fruit
    folder = logged(run, tmp_path / "log")
    (path,) = folder.iterdir()
    lines = [decode_logged(raw) for raw in path.read_bytes().splitlines()]
    # Users accept every answer of apples: its claims rise, and with them its hold on what pears is accepted for.
    changed = [_shared(one) for one in lines]
    path.write_bytes(b"".join(msgspec.json.encode(one) + b"\n" for one in changed))
    done = run("shrink", "apples", "--outcomes", "--on", str(folder))
    assert done.returncode == 1, done.stdout + done.stderr
    assert "refused: IRER of pears increases" in done.stdout
    assert store.state("apples")[1].served_by is None
    assert run("shrink", "apples", "--outcomes", "--on", str(folder), "--force").returncode == 0


def _shared(line: Logged) -> Logged:
    """The line with a reading of apples beside every one of pears, a little less probable."""
    first = (line.hypotheses or ())[0]
    if first.domain == "apples":
        return replace(line, outcome="accepted")
    if first.domain == "pears":
        odds = (first.domain_confidence or 0.0) / (1.0 - (first.domain_confidence or 0.0))
        p = (0.9 * odds) ** (1 / 3)
        beside = replace(first, domain="apples", domain_confidence=p / (1.0 + p))
        return replace(line, hypotheses=(first, beside), outcome="accepted")
    return line


def test_claims_that_become_worse_on_known_truths_are_refused(fruit: Fruit, tmp_path: Path) -> None:
    store, run = fruit
    folder = logged(run, tmp_path / "log")
    (path,) = folder.iterdir()
    lines = [decode_logged(raw) for raw in path.read_bytes().splitlines()]
    answers = [one for one in lines if (one.hypotheses or ())[0].domain == "apples"]
    audited = [replace(one, id=f"a{i}", truth=Truth("apples", "Eat"), outcome=None) for i, one in enumerate(answers)]
    with path.open("ab") as file:
        # Truths of an audit that nobody's version answered: they judge, and the reactions alone are fitted to.
        for one in audited:
            assert one.answer is not None
            other = replace(one.answer.domains["apples"], version="0" * 12)
            answer = replace(one.answer, domains={**one.answer.domains, "apples": other})
            file.write(msgspec.json.encode(replace(one, answer=answer)) + b"\n")
    done = run("shrink", "apples", "--outcomes", "--on", str(folder))
    assert done.returncode == 1, done.stdout + done.stderr
    assert "refused: its claims become worse" in done.stdout
    assert store.state("apples")[1].served_by is None


def test_few_outcomes_and_one_client_change_nothing(fruit: Fruit, tmp_path: Path) -> None:
    store, run = fruit
    assert run("shrink", "apples", "--temperature", "1.5").returncode == 0
    folder = logged(run, tmp_path / "log", session=None)
    done = run("shrink", "apples", "--outcomes", "--on", str(folder))
    assert done.returncode == 0, done.stderr
    assert "outcomes name neither account nor session and count as one client's" in done.stdout
    assert "nothing is changed: outcomes and truths that weigh 50 are needed" in done.stdout
    assert store.state("apples")[1].temperature == 1.5
    (path,) = folder.iterdir()
    path.write_bytes(b"{torn\n" + path.read_bytes())
    done = run("shrink", "apples", "--outcomes", "--on", str(folder))
    assert f"1 lines could not be read, the first: {path}:1: " in done.stderr
    done = run("shrink", "apples", "--outcomes")
    assert (done.returncode, "--outcomes: no --on; expected both" in done.stderr) == (2, True)
