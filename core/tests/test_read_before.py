"""Data that were read for a training are not read again to see that nothing has changed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest

from arbitrank.training import read_before
from arbitrank.training import task as tasks
from arbitrank.training.datasets import Dataset
from arbitrank.training.outcome import TrainingOutcome
from arbitrank.training.read_before import ReadBefore, remembered
from arbitrank.training.task import TrainingTask, run

Run = Callable[..., TrainingOutcome]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Partitioned data with a line that cannot be read."""
    path = tmp_path / "data" / "domain=lights" / "part.jsonl"
    path.parent.mkdir(parents=True)
    rows = []
    for i in range(60):
        hypothesis = {"domain": "lights", "intent": "On", "domain_confidence": 0.9 if i % 2 else 0.2}
        truth = {"domain": "lights", "intent": "On"} if i % 2 else {"domain": None}
        rows.append({"id": str(i), "utterance": f"words {i}", "hypotheses": [hypothesis], "truth": truth})
    path.write_text("\n".join([*map(json.dumps, rows), "{"]))
    return path


@pytest.fixture
def trained(data: Path, tmp_path: Path) -> Run:
    """A function that trains as a run does, with more of a task's fields or other ones."""

    def train(**more: Any) -> TrainingOutcome:
        folder = tmp_path / "task"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        settings = {
            "domain": "lights",
            "factory": "training_domains:reference",
            "data": Dataset(str(data.parent.parent)),
            "settings": {"model": "loglinear", "calibrate": False},
            **more,
        }
        task = TrainingTask(folder=str(folder), log=str(tmp_path / f"{settings['domain']}.log"), **settings)
        return run(task, progress=lambda *_: None, figures=lambda _: None)

    return train


def memory(tmp_path: Path) -> ReadBefore:
    return msgspec.json.decode((tmp_path / "lights.read.json").read_bytes(), type=ReadBefore)


def unread(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("read again")

    monkeypatch.setattr(tasks, "prepare", refuse)


def test_unchanged_files_are_not_read_again_and_their_remarks_are_repeated(
    trained: Run, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained()
    known = {memory(tmp_path).made_of: "1"}
    read = trained(known=known)
    unread(monkeypatch)
    again = trained(known=known)
    assert (again.kind, again.version, again.rows) == ("unchanged", "1", 60)
    assert msgspec.structs.replace(again, seconds=0.0) == msgspec.structs.replace(read, seconds=0.0)
    assert any("part.jsonl:61" in note for note in again.notes)
    assert trained(known={"another": "1"}).kind == "failed"  # the store has no version of it any more
    with data.open("a") as file:
        file.write("\n")
    assert "read again" in str(trained(known=known).reason)


def test_what_the_self_check_refused_is_not_trained_again(
    trained: Run, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ARBITRANK_TEST_FOLDER", str(tmp_path))
    path = tmp_path / "data of poor" / "domain=poor" / "part.jsonl"
    path.parent.mkdir(parents=True)
    path.write_text(data.read_text().replace('"lights"', '"poor"'))
    poor = {"domain": "poor", "factory": "training_domains:make", "data": Dataset(str(path.parent.parent))}
    train = partial(trained, **poor)

    refused = train()
    assert refused.kind == "refused"
    with monkeypatch.context() as patched:
        unread(patched)
        again = train()
        assert "read again" in str(train(again=True).reason)
    assert (again.kind, again.reason, again.rows, again.held) == ("refused", refused.reason, refused.rows, refused.held)
    assert again.notes[: len(refused.notes)] == refused.notes
    assert "not trained again; to train it all the same: --force" in again.notes[-1]
    with path.open("a") as file:
        file.write("\n")
    assert "--force" not in "".join(train().notes)


@pytest.mark.parametrize("content", [b"", b"{", b'{"made_of": 1}'])
def test_a_damaged_memory_is_none(trained: Run, tmp_path: Path, content: bytes) -> None:
    trained()
    known = {memory(tmp_path).made_of: "1"}
    (tmp_path / "lights.read.json").write_bytes(content)
    assert trained(known=known).kind == "unchanged"
    assert memory(tmp_path).made_of in known


def test_other_negatives_count_where_some_may_be_added(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = tmp_path / "a.log"
    for negatives, holds in (("", True), ("now", True), ("before", False)):
        read_before.remember(str(log), ReadBefore("made of", 1, (), "files", negatives))
        monkeypatch.setattr(read_before, "negatives_digest", lambda: "now")
        assert (remembered(str(log), "files") is not None) is holds
        assert remembered(str(log), "other files") is None


def test_a_file_whose_bytes_cannot_be_read_is_left_to_the_reading_of_examples(
    trained: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr("hashlib.file_digest", refuse)
    unread(monkeypatch)
    assert "read again" in str(trained().reason)
    assert not (tmp_path / "lights.read.json").exists()
