"""New distributions as their authors have them: built, installed beside the core alone, tested there, and asked."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hatchling.builders.wheel import WheelBuilder

WAYS = {"games": ("--toolkit",), "lamps": ("--own-nlu",), "timers": ("--own-model", "--remote")}


@pytest.fixture(scope="module")
def home(new_home: Callable[[], Any], wheels: dict[str, Path]) -> Any:
    """An environment with the core and one new distribution of each way, which were made there."""
    made = new_home()
    made.install(wheels["arbitrank"])
    built = []
    for name, way in WAYS.items():
        lines = made.arbitrank("new", name, *way).splitlines()
        assert lines[0].startswith(f"./arbitrank-{name}: "), lines
        after = lines[lines.index("next:") + 1 :]
        assert after[0].split("./")[0] == "  pip install -e "
        assert after[0].endswith(f" && arbitrank check {name}")
        assert (f"  [domains.{name}]" in after) == ("--remote" in way)
        (wheel,) = WheelBuilder(str(made.folder / f"arbitrank-{name}")).build(versions=["standard"])
        built.append(Path(wheel))
    made.install(*built)
    return made


def test_each_new_domain_is_loaded(home: Any) -> None:
    rows = json.loads(home.arbitrank("domains", "--json"))
    assert {row["name"]: row["status"] for row in rows} == dict.fromkeys(WAYS, "loaded")


def test_each_new_domain_answers_beside_the_others(home: Any) -> None:
    brought = (home.folder / "arbitrank-lamps/src/arbitrank_lamps/data/hypotheses.jsonl").read_text(encoding="utf-8")
    text = [{"utterance": "play tetris"}, {"utterance": "set a timer for ten minutes"}, {"utterance": "will it rain"}]
    answers = home.answers([*text, json.loads(brought.splitlines()[0])])
    assert [(one["ranked"] or [{"domain": None}])[0]["domain"] for one in answers[:2]] == ["games", "timers"]
    assert [one["decision"]["action"] for one in answers] == ["accept", "accept", "none", "accept"]
    assert answers[3]["ranked"][0]["domain"] == "lamps"


@pytest.mark.parametrize("name", WAYS)
def test_each_new_domain_passes_all_checks(home: Any, name: str) -> None:
    report = json.loads(home.arbitrank("check", name, "--json"))
    assert (report["domain"], report["passed"]) == (name, True)
    assert (report["broken"], report["warnings"]) == ([], [])


def test_the_code_of_each_is_as_its_linter_wants_it(home: Any) -> None:
    folders = [str(home.folder / f"arbitrank-{name}") for name in WAYS]
    for command in (["check", "--no-cache"], ["format", "--check", "--no-cache"]):
        done = subprocess.run(
            [sys.executable, "-m", "ruff", *command, *folders], capture_output=True, encoding="utf-8", check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr


def test_the_tests_of_each_pass_as_they_are(home: Any) -> None:
    tests = [str(home.folder / f"arbitrank-{name}" / "tests") for name in WAYS]
    options = ["-q", "-c", "/dev/null", "--import-mode=importlib", "-p", "no:cacheprovider", *tests]
    output = home.run(f"import pytest; print('status', int(pytest.main({options})))")
    assert "status 0" in output, output
