"""`arbitrank rank --follow` and `arbitrank canary`: a process at work sees what is done to the store."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import threading
import time
from pathlib import Path
from shutil import which
from sysconfig import get_path
from typing import Any

import msgspec
import pytest

from arbitrank.answerlog.segments import segments
from arbitrank.cli.rank import noted
from arbitrank.registry import discover, loaded
from arbitrank.store.artifact import MANIFEST, read_manifest, seal
from arbitrank.store.store import Store, open_store


@pytest.fixture(scope="module")
def versions(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """What one domain ships, as two versions of their own."""
    shipped = loaded(discover({}))["music"].shipped
    assert shipped
    made = []
    for seed in (1_001, 1_002):
        folder = tmp_path_factory.mktemp("version") / "artifact"
        shutil.copytree(shipped, folder)
        manifest = msgspec.structs.replace(read_manifest(folder), seed=seed)
        (folder / MANIFEST).unlink()
        seal(folder, manifest)
        made.append(folder)
    return made


class Following:
    """A process that is asked line by line, as in a pipe."""

    def __init__(self, root: Path, *options: str) -> None:
        program = which("arbitrank", path=get_path("scripts"))
        assert program
        kept = {key: value for key, value in os.environ.items() if not key.startswith("ARBITRANK_")}
        self.process = subprocess.Popen(
            [program, "rank", "--follow", "--store", str(root), *options],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=root.parent,
            env={**kept, "PYTHONIOENCODING": "utf-8", "ARBITRANK_DOMAINS": "music"},
        )

    def ask(self, **request: Any) -> dict[str, Any]:
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(json.dumps({"utterance": "play some music", **request}).encode() + b"\n")
        self.process.stdin.flush()
        answer: dict[str, Any] = json.loads(self.process.stdout.readline())
        return answer

    def ask_until(self, version: str, **request: Any) -> dict[str, Any]:
        """Ask until this version answers."""
        deadline = time.monotonic() + 30
        while (answer := self.ask(**request))["domains"]["music"]["version"] != version:
            assert time.monotonic() < deadline, answer["domains"]
        return answer

    def end(self) -> tuple[int, str]:
        """Close its input; its exit status and standard error."""
        _, told = self.process.communicate(timeout=30)
        return self.process.returncode, told.decode()


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(tmp_path / "store", environment={})


def test_lines_are_answered_as_they_arrive_by_what_is_stable_then(
    tmp_path: Path, store: Store, versions: list[Path]
) -> None:
    first = store.publish(versions[0], promote=True).version
    process = Following(tmp_path / "store", "--poll", "0.2")
    assert process.ask(id="1")["domains"]["music"]["version"] == first
    second = store.publish(versions[1], promote=True).version
    process.ask_until(second)
    store.rollback("music")
    process.ask_until(first)
    damaged = store.versions("music")[0]
    assert {first, second} >= {damaged}
    status, told = process.end()
    assert status == 0
    said = [line.split() for line in told.splitlines()]
    assert [words[2] for words in said if words[1] == "music:"] == [first, second, first]


def test_a_refused_version_is_named_in_answers_and_on_standard_error(
    tmp_path: Path, store: Store, versions: list[Path]
) -> None:
    first = store.publish(versions[0], promote=True).version
    process = Following(tmp_path / "store", "--poll", "0.2")
    process.ask_until(first)
    bad = store.publish(versions[1]).version
    (tmp_path / "store" / "music" / bad / "reranker" / "weights.json").write_text("{}")
    number, state = store.state("music")
    store.change("music", "promote", msgspec.structs.replace(state, stable=bad), number)
    deadline = time.monotonic() + 30
    while not (report := process.ask()["domains"]["music"])["reason"]:
        assert time.monotonic() < deadline
    assert (report["version"], report["status"]) == (first, "answered")
    assert report["reason"].startswith(f"serves {first}; {bad} refused: ")
    status, told = process.end()
    assert status == 0
    assert f"arbitrank: music: serves {first}; {bad} refused: " in told


def test_a_canary_is_set_followed_compared_and_ended(
    tmp_path: Path, store: Store, versions: list[Path], arbitrank
) -> None:
    first = store.publish(versions[0], promote=True).version
    root = str(tmp_path / "store")
    done = arbitrank("canary", "music", "0.5", "--store", root)
    assert done.returncode == 2
    assert "no candidate in" in done.stderr

    second = store.publish(versions[1]).version
    kept = ("--shadow", str(tmp_path / "shadow"), "--log-words", "drop")
    process = Following(tmp_path / "store", "--poll", "0.2", *kept)
    assert process.ask(session="s")["domains"]["music"]["version"] == first
    done = arbitrank("canary", "music", "1", "--reason", "try it", "--store", root)
    assert (done.returncode, done.stdout) == (
        0,
        f"music: stable {first}, candidate {second}, canary 100 % (change 3)\n",
    )
    change = store.history("music")[-1]
    assert (change.verb, change.reason, change.state.canary) == ("canary", "try it", 1.0)
    answer = process.ask_until(second, session="s")
    assert answer["domains"]["music"]["reason"] == f"canary, 100 % of the requests; stable is {first}"
    assert arbitrank("canary", "music", "0", "--store", root).returncode == 0
    process.ask_until(first, session="s")
    assert process.end()[0] == 0

    lines = [json.loads(line) for path in segments(tmp_path / "shadow") for line in path.read_text().splitlines()]
    assert lines
    assert not any("utterance" in line for line in lines)
    sides = {(line["answer"]["domains"]["music"]["version"], line["shadow"]["music"]["version"]) for line in lines}
    assert sides == {(first, second), (second, first)}
    replayed = arbitrank("impact", "music", "--on", str(tmp_path / "shadow"), "--json", "--store", root)
    assert replayed.returncode == 0, replayed.stderr
    assert json.loads(replayed.stdout)["n"] == len(lines)


@pytest.mark.parametrize("share", ["-0.1", "1.5", "nan", "half"])
def test_a_share_is_between_0_and_1(arbitrank, share: str) -> None:
    done = arbitrank("canary", "music", "--", share)
    assert done.returncode == 2
    assert "SHARE" in done.stderr


@pytest.mark.parametrize("option", [("--poll", "2"), ("--shadow", "shadow")])
def test_options_of_following_need_it(arbitrank, option: tuple[str, str]) -> None:
    done = arbitrank("rank", *option, input="")
    assert (done.returncode, done.stderr) == (2, f"arbitrank: {option[0]}: no --follow; expected both\n")


def test_what_is_kept_of_comparisons_needs_a_folder_of_them(arbitrank) -> None:
    done = arbitrank("rank", "--follow", "--log-words", "drop", input="")
    assert done.returncode == 2
    assert "no --shadow; expected both" in done.stderr


def test_what_changes_exchanged_is_collected_once_after_the_last_of_them(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    collected, times = threading.Event(), []
    monkeypatch.setattr("gc.collect", lambda: (times.append(1), collected.set()))
    note = noted(0.01)
    note("one")
    note("two")
    assert collected.wait(10)
    assert capsys.readouterr().err == "arbitrank: one\narbitrank: two\n"
    assert len(times) <= 2  # one, unless the first was due before the second came
