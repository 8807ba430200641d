"""All verbs on domains of environments: two domains of one package, which nothing here imports."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import fakes
import pytest
from click.testing import CliRunner
from environment_folders import released

from arbitrank.cli.main import cli
from arbitrank.registry import ENVIRONMENTS
from arbitrank.store.store import Store, open_store

WORDS = ("up", "down", "left", "right", "high", "low", "far", "near", "fast", "slowly")
DATA = f"""
import hashlib
WORDS = {WORDS!r}


def reading(self, request):
    return [Hypothesis(self.name, "Fly", 0.9 if self.name in (request.utterance or "") else 0.1)]


def scored(self, request):
    n = len(request.hypotheses)
    p = request.hypotheses[0].domain_confidence or 0.5
    return Scores(p, np.full(n, 0.9 * p / n))


def data(self):
    for one in WORDS:
        yield Example(Request(utterance=f"{{self.name}} {{one}}"), Truth(self.name, "Fly"))
        yield Example(Request(utterance=f"the news {{one}}"), Truth("news", "Read"))


TalkingModel.recognise, TalkingModel.rerank, Talking.examples = reading, scored, data
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the environment, and files of labelled requests."""
    home = tmp_path_factory.mktemp("home")
    released(home / "environments", ("kite", "swing"), package="arbitrank-playground", extra=DATA)
    rows = []
    for n in range(200):
        name = ("kite", "swing")[n % 2]
        words = f"{name} {WORDS[n % 10]} {n}"
        rows.append({"id": str(n), "utterance": words, "truth": {"domain": name, "intent": "Fly"}})
    (home / "labelled.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    corpus = home / "corpus"
    corpus.mkdir()
    for split, part in (("train", rows[:120]), ("test", rows[120:])):
        lines = [
            {"id": row["id"], "text": row["utterance"], "domain": row["truth"]["domain"], "intent": "Fly", "slots": []}
            for row in part
        ]
        (corpus / f"{split}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return home


@pytest.fixture
def run(home: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A call of a verb with the folder and a store; what it printed, and its exit status."""
    monkeypatch.setenv(ENVIRONMENTS, str(home / "environments"))
    monkeypatch.setenv("ARBITRANK_STORE", str(home / "store"))
    monkeypatch.setenv("ARBITRANK_DOMAINS", "kite,swing")

    def call(*arguments: object, input: str | None = None, status: int = 0) -> str:
        done = CliRunner().invoke(cli, [str(one) for one in arguments], input=input)
        assert done.exit_code == status, (done.exit_code, done.output, done.exception)
        return done.stdout

    return call


@pytest.fixture(scope="module", autouse=True)
def store(home: Path) -> Store:
    """A store in which a version of both is stable."""
    store = open_store(home / "store", environment={})
    for name in ("kite", "swing"):
        artifact = home / f"artifact-{name}"
        fakes.artifact(artifact, name, fakes.CARD)
        store.publish(artifact, promote=True)
    return store


def test_ask_and_domains_answer_from_both(run: Any) -> None:
    assert "accept  kite Fly (81.0 % right" in run("ask", "kite up")
    rows = {row["name"]: row for row in json.loads(run("domains", "--json"))}
    assert {row["status"] for name, row in rows.items() if name in ("kite", "swing")} == {"loaded"}
    assert rows["swing"]["release"] == "1.0-00000000"


def test_rank_takes_hypotheses_and_explains(run: Any, capfd: pytest.CaptureFixture[str]) -> None:
    given = [{"domain": name, "intent": "Fly", "domain_confidence": p} for name, p in (("kite", 0.2), ("swing", 0.7))]
    run("rank", "--explain", input=json.dumps({"hypotheses": given}) + "\n")
    answer = json.loads(capfd.readouterr().out)
    assert [row["domain"] for row in answer["ranked"]] == ["swing", "kite"]
    assert answer["domains"]["kite"]["release"] == "1.0-00000000"


def test_examples_are_written_there(run: Any, capfd: pytest.CaptureFixture[str]) -> None:
    run("examples", "kite", "-n", "4")
    lines = list(map(json.loads, capfd.readouterr().out.splitlines()))
    assert {line["domain"] for line in lines} == {"kite", "news"}


def test_a_candidate_goes_through_impact_gate_canary_and_rollback(run: Any, home: Path) -> None:
    run("audit-set", home / "labelled.jsonl")
    run("train", "kite", "--seed", "3")
    assert "200 with a truth; 0 are answered differently" in run("impact", "kite")
    assert "the gate refuses: " in run("promote", "kite", status=1)
    assert "canary 50 %" in run("canary", "kite", "0.5")
    run("promote", "kite", "--force", "--reason", "a test")
    assert "rollback" not in run("rollback", "kite")


def test_report_measures_it_alone_and_beside_its_neighbour(run: Any, home: Path) -> None:
    report = json.loads(run("report", "kite", "--on", home / "labelled.jsonl", "--curve", "none", "--json"))
    assert report["name" if "name" in report else "domain"] == "kite"


def test_evaluate_trains_and_measures_it_as_a_plugin(run: Any, home: Path) -> None:
    assert "plugins  100.0" in run("evaluate", home / "corpus", "--plugins")


def test_the_shortlister_has_its_skills(run: Any) -> None:
    assert "2 skills" in run("shortlist", "train")
    run("promote", ".shortlist", "--force", "--reason", "a test")
    assert "kite" in run("shortlist", "query", "kite up")


def test_check_runs_there(run: Any, store: Store) -> None:
    """By the core of the environment; one entry point may have several domains."""
    report = json.loads(run("check", "kite", "--json", "--limit-seconds", "60"))
    assert report["weights"] == f"{store.state('kite')[1].stable}, stable in {store}"
    assert report["checks"] > 30
    assert "arbitrank_playground" not in sys.modules
