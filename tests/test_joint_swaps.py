"""Real wheels in environments of their own: new code and weights that need each other, and back, under load."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from hatchling.builders.wheel import WheelBuilder

import arbitrank
from arbitrank.environments.building import Sources, find_python, tool
from arbitrank.environments.discovery import found_in
from arbitrank.environments.install import install
from arbitrank.environments.rollback import rollback_code, rollback_weights
from arbitrank.errors import InputError
from arbitrank.live.live import Live
from arbitrank.registry import ENVIRONMENTS, loaded
from arbitrank.store.store import open_store
from arbitrank.training_environment import read_environment

PROJECT = """
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "arbitrank-kite"
version = "{version}"
dependencies = ["arbitrank", "numpy"]

[project.entry-points."arbitrank.domains.v1"]
kite = "arbitrank_kite"
"""
PLUGIN = """
import numpy as np
from arbitrank.domain import Domain, Model, Scores, Skill
from arbitrank.errors import ArtifactError
from arbitrank.hookspecs import hookimpl
from arbitrank.values import Example, Hypothesis, Request, Truth


class KiteModel(Model):
    def recognise(self, request):
        return [Hypothesis("kite", {intent!r}, 0.9, 0.9)] if "fly" in (request.utterance or "") else []

    def rerank(self, request):
        n = len(request.hypotheses)
        return Scores(0.9, np.full(n, 0.8 / n))


class Kite(Domain):
    name = "kite"

    @property
    def skills(self):
        return (Skill("kite", "", ("fly over the hill",)),)

    def examples(self):
        for k in range(80):
            yield Example(Request(utterance=f"fly over hill {{k}}"), Truth("kite", {intent!r}))
            yield Example(Request(utterance=f"swim over hill {{k}}"), Truth("fish", "Swim"))

    def train(self, examples, out, settings):
        (out / "reranker").mkdir()
        (out / "reranker" / "weights.json").write_text({intent!r})
        return {{"examples": len(examples)}}

    def load(self, folder):
        if (found := (folder / "reranker" / "weights.json").read_text()) != {intent!r}:
            raise ArtifactError(f"weights of {{found}}, expected {intent}")
        return KiteModel()


@hookimpl
def arbitrank_domains():
    return [Kite()]
"""


def wheel(folder: Path, version: str, intent: str) -> Path:
    """A wheel of a plugin whose code reads no other weights than those that it trained."""
    source = folder / version
    (source / "src" / "arbitrank_kite").mkdir(parents=True)
    (source / "pyproject.toml").write_text(PROJECT.format(version=version))
    (source / "src" / "arbitrank_kite" / "__init__.py").write_text(PLUGIN.format(intent=intent))
    (built,) = WheelBuilder(str(source)).build(directory=str(folder / "wheels"), versions=["standard"])
    return Path(built)


class Load:
    """Requests to a service, one after another: which code and weights answered, how often, and what failed.

    An answer that is late on a machine that is busy is no failure.
    """

    def __init__(self, live: Live) -> None:
        self.live, self.seen, self.failed = live, Counter[tuple[str, str, str]](), list[str]()
        self._ending, self._changed = threading.Event(), threading.Condition()
        self._thread = threading.Thread(target=self._call, daemon=True)
        self._thread.start()

    def _call(self) -> None:
        while not self._ending.is_set():
            answer = self.live.answer("fly over the hill")
            report = answer.domains["kite"]
            with self._changed:
                if report.status not in ("answered", "late"):
                    self.failed.append(str(report))
                elif answer.best is not None:
                    self.seen[answer.best.intent, str(report.release).partition("-")[0], str(report.version)] += 1
                self._changed.notify_all()

    def until(self, intent: str, before: int = 0) -> None:
        """Wait until a release's code answers, more than `before` times."""
        with self._changed:
            assert self._changed.wait_for(lambda: self.count(intent) > before or self.failed, 120), self.seen

    def count(self, intent: str) -> int:
        return sum(number for key, number in self.seen.items() if key[0] == intent)

    def end(self) -> None:
        self._ending.set()
        self._thread.join(60)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("ARBITRANK_DOMAINS", "kite")
    monkeypatch.setenv(ENVIRONMENTS, str(tmp_path / "environments"))
    return tmp_path / "environments"


def test_code_and_weights_that_need_each_other_are_exchanged_and_rolled_back_under_load(
    folder: Path, tmp_path: Path, wheels: dict[str, Path]
) -> None:
    store, by = open_store(str(tmp_path / "store")), tool()
    python = find_python(None, by)
    sources = Sources(find_links=(str(wheels["arbitrank"].parent),))
    first = wheel(tmp_path, "1.0", "Fly")
    try:
        install(str(first), folder, python, by, sources, store, check=False)
    except InputError as error:
        pytest.skip(f"no environment can be built here, as without an index: {error}")
    old = arbitrank.train("kite", store=str(tmp_path / "store"), promote=True).version
    assert old is not None
    trained = read_environment(store.fetch("kite", old))
    assert trained is not None
    assert (trained.package, trained.loadable_by, trained.python is not None) == ("arbitrank-kite", ">=1.0", True)

    with Live(loaded(found_in(folder, None)[0]), store, environments=folder, poll=0.2) as live:
        load = Load(live)
        try:
            load.until("Fly")
            second = wheel(tmp_path, "2.0", "Soar")
            install(str(second), folder, python, by, sources, store, check=False, await_weights=True)
            new = arbitrank.train("kite", store=str(tmp_path / "store"), promote=True).version
            load.until("Soar")
            before = load.count("Fly")
            rollback_weights("kite", store, folder)
            load.until("Fly", before)
            before = load.count("Soar")
            rollback_code("kite", store, folder)
            load.until("Soar", before)
        finally:
            load.end()
    assert not load.failed
    assert load.seen.keys() == {("Fly", "1.0", old), ("Soar", "2.0", new)}
    assert [change.code for change in store.history("kite")][-2:] == [
        one.name for one in sorted((folder / "arbitrank-kite").glob("[0-9]*-*"))
    ]
