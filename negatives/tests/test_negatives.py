"""The shared negatives: the shipped file is what the patterns draw, and arbitrank reads it whole."""

from __future__ import annotations

import ast
import importlib.util
import json
import tomllib
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from arbitrank.negatives.installed import installed_negatives, topic_of
from arbitrank.normal_text import comparable

HERE = Path(__file__).parents[1]
FILE = HERE / "src" / "arbitrank_negatives" / "negatives.jsonl"


@pytest.fixture(scope="module")
def lines() -> list[dict[str, Any]]:
    return list(map(json.loads, FILE.read_text(encoding="utf-8").splitlines()))


def test_the_shipped_file_is_what_the_patterns_draw() -> None:
    spec = importlib.util.spec_from_file_location("draw", HERE / "draw.py")
    assert spec is not None
    assert spec.loader is not None
    draw = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(draw)
    assert draw.drawn() == FILE.read_text(encoding="utf-8"), "run: python negatives/draw.py"


def test_every_line_is_out_of_scope_and_has_a_topic_and_an_id_of_its_own(lines: list[dict[str, Any]]) -> None:
    assert 1_500 <= len(lines) <= 3_000
    assert {(line["domain"], tuple(line)) for line in lines} == {(None, ("id", "text", "domain", "topic"))}
    assert len({line["id"] for line in lines}) == len(lines)
    assert len({comparable(line["text"]) for line in lines}) == len(lines)


def test_the_topics_are_many_and_none_is_much_larger_than_the_others(lines: list[dict[str, Any]]) -> None:
    counts = Counter(line["topic"] for line in lines)
    assert len(counts) > 40
    assert max(counts.values()) <= 0.05 * len(lines)
    assert min(counts.values()) >= 15
    text = (HERE / "CHANGELOG.md").read_text(encoding="utf-8")
    assert f"{len(lines):,} requests out of scope in {len(counts)} topics" in text


def test_the_package_holds_data_and_no_code() -> None:
    (docstring,) = ast.parse((FILE.parent / "__init__.py").read_text(encoding="utf-8")).body
    assert isinstance(docstring, ast.Expr)
    assert {path.suffix for path in FILE.parent.iterdir() if path.is_file()} == {".py", ".jsonl"}


def test_arbitrank_finds_the_installed_set(lines: list[dict[str, Any]]) -> None:
    found = {one.distribution: one for one in installed_negatives().sets}
    assert "arbitrank-negatives" in found, "it is not installed; run: pip install -e ./negatives"
    one = found["arbitrank-negatives"]
    project = tomllib.loads((HERE / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert (one.name, one.version, one.notes) == ("common", project["version"], ())
    assert [example.request.utterance for example in one.examples] == [line["text"] for line in lines]
    assert [topic_of(example) for example in one.examples] == [line["topic"] for line in lines]
