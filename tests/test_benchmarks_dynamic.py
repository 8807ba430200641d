"""The benchmark of the classifier's training: its tasks and its figures."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pytest
from benchmarks import dynamic
from benchmarks.dynamic import Held, counts, f1, recall, relative, tuned
from benchmarks.lists import sorted_lists
from benchmarks.skills import bbai, sgd, synthetic

SERVICES = [
    {"service": f"{domain}_{i}", "domain": domain, "description": f"{domain} service", "intents": {
        f"Find{domain}": {"description": f"find a {domain}"}}}
    for domain in ("Taxi", "Table")
    for i in (1, 2)
]  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Dialogues of four services, two per domain, in the format of sgd."""
    path = tmp_path_factory.mktemp("sgd")
    (path / "services.json").write_text(json.dumps(SERVICES))
    rng = np.random.default_rng(0)
    for split, dialogues in (("train", 150), ("dev", 40)):
        with gzip.open(path / f"{split}.jsonl.gz", "wt") as file:
            for number in range(dialogues):
                domain, i = rng.choice(["Taxi", "Table"]), rng.integers(1, 3)
                row = {"domain": f"{domain}_{i}", "intent": f"Find{domain}", "dialogue": str(number)}
                context = {"prev_service": row["domain"], "prev_intent": row["intent"], "prev_sys_acts": "OFFER(x)"}
                word = f"{domain.lower()} number{rng.integers(9)}"
                print(json.dumps({**row, "text": f"find me a {word}", "turn": 0}), file=file)
                more = {"turn": 2, "context": context, "system_failed": bool(number % 5 == 0)}
                print(json.dumps({**row, "text": f"yes that one {word}", **more}), file=file)
                print(json.dumps({**row, "intent": "NONE", "text": "bye", "turn": 4}), file=file)
    return path


def test_both_services_of_a_domain_are_acceptable(folder: Path) -> None:
    task = sgd(folder, spare=0.2)
    assert task.skills == ("Table_1", "Table_2", "Taxi_1", "Taxi_2")
    assert task.acceptable.sum(axis=1).tolist() == [2] * len(task.named)
    assert task.acceptable[np.arange(len(task.named)), task.named].all()
    assert all(task.utterances[row].startswith("yes") for row in task.failed)
    assert 0 < len(task.spare) < 60
    assert all(
        text.startswith("find") for text in (task.utterances[i] for i in range(len(task.named)) if i not in task.failed)
    )


def test_bbai_draws_a_label_from_the_assistants_that_answered_and_reads_refusals(tmp_path: Path) -> None:
    for split, lines in {
        "train": [{"text": "a", "agents_ok": ["x", "y"]}],
        "dev": [{"text": "b", "agents_ok": ["y"]}],
        "responses": [{"text": "c", "responses": {"x": "Didn't get that!", "y": "For what date?"}}],
    }.items():
        with gzip.open(tmp_path / f"{split}.jsonl.gz", "wt") as file:
            file.writelines(json.dumps(line) + "\n" for line in lines)
    task = bbai(tmp_path)
    assert task.acceptable.tolist() == [[True, True], [False, True]]
    assert task.named[1] == 1
    assert task.refused is not None
    assert task.refused.tolist() == [[True, False]]


def test_f1_counts_pairs_at_the_threshold_of_the_other_part() -> None:
    p = np.array([[0.9, 0.4], [0.2, 0.6], [0.9, 0.1], [0.1, 0.8]])
    truth = p > 0.35
    held = Held(p, truth, np.arange(4), np.array([0, 0, 1, 1]))
    assert f1(counts(held)[0]) == 1.0
    assert f1(counts(held, 0.85)[0]) == pytest.approx(2 / 3)
    assert 0.2 < tuned(p, truth) <= 0.4
    assert recall(held, 1) == 1.0
    assert relative([held], [held], None, 0) == (0.0, 0.0, 0.0)


def test_the_quick_figures_show_the_gain_of_pseudo_labels() -> None:
    found = dynamic.compared(lambda seed: synthetic(700, seed=seed), dynamic._main, range(1))["arms"]
    assert found["pseudo-labels, chosen"]["f1_half"] > 1.1 * found["one label"]["f1_half"]
    assert found["oracle labels"]["f1"] >= found["one label"]["f1"]
    dynamic.print_tables({"synthetic": {"n": 1, "seeds": 1, "arms": found}})


def test_hyprank_reads_the_intended_service_from_the_dialogue(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = sorted_lists(folder, range(1), lambda text: None)
    mean, low, _ = found["accuracy"]["the very service, of those seen"]["HypRank with the dialogue"]
    assert mean >= low > 0.0
    dynamic.print_tables({"lists": found})
    assert "HypRank with the dialogue" in capsys.readouterr().out
