"""The self-test: whatever an artifact or a plugin does, the calling process goes on and gets the reason."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import ModuleType

import pytest

from arbitrank.learn.reference import ReferenceDomain
from arbitrank.selftest import probes, selftest
from arbitrank.store.artifact import MANIFEST, Manifest, read_manifest, seal

PLUGIN = """
import os, sys, time
import numpy as np
from arbitrank.domain import Domain, Model, Scores
from arbitrank.hookspecs import hookimpl


class Odd(Model):
    def __init__(self, does):
        self.does, self.calls = does, 0

    def rerank(self, request):
        n = len(request.hypotheses)
        self.calls += 1
        if self.does == "crash":
            os.kill(os.getpid(), 11)
        if self.does == "exit":
            os._exit(3)
        if self.does == "hang":
            time.sleep(60)
        if self.does == "eat":
            self.eaten = np.ones(1 << 40, np.uint8)
        if self.does == "raise":
            raise RuntimeError("no")
        if self.does == "many" and n > 50:
            raise IndexError("too many")
        if self.does == "missing" and any(h.domain_confidence is None for h in request.hypotheses):
            raise TypeError("no confidence")
        if self.does == "nan":
            return Scores(0.5, np.full(n, np.nan))
        if self.does == "remember":
            return Scores(0.5, np.full(n, 0.5 / n / self.calls))
        if self.does == "print":
            print("null" * 3, flush=True)
            os.write(1, b"noise")
        return Scores(0.5, np.full(n, 0.5 / n))


class Plain(Domain):
    name = "odd"

    def train(self, examples, out, settings):
        return {}

    def load(self, folder):
        does = (folder / "does").read_text()
        if does == "load":
            raise ValueError("cannot read that")
        return 5 if does == "number" else Odd(does)


@hookimpl
def arbitrank_domains():
    return [Plain()]
"""


@pytest.fixture
def odd(site: Path, distributions: ModuleType) -> None:
    distributions.install(site, "arbitrank-odd", PLUGIN)


def artifact(folder: Path, does: str, domain: str = "odd") -> Path:
    folder.mkdir()
    (folder / "does").write_text(does)
    seal(folder, Manifest(domain=domain, package="arbitrank-odd", package_version="1.2.3"))
    return folder


@pytest.mark.usefixtures("odd")
@pytest.mark.parametrize(
    ("does", "wrong"),
    [
        ("well", None),
        ("print", None),
        ("crash", "the self-test's process crashed with SIGSEGV"),
        ("exit", "the self-test's process ended with status 3"),
        ("eat", "MemoryError"),
        ("raise", "a request with 1 hypotheses: RuntimeError: no"),
        ("many", "a request with 100 hypotheses: IndexError: too many"),
        ("missing", "a request with 1 hypotheses: TypeError: no confidence"),
        ("nan", "PluginError: right is [nan]"),
        ("remember", "another answer to the same request"),
        ("load", "ValueError: cannot read that"),
        ("number", "load returned int, expected a Model"),
    ],
)
def test_whatever_it_does_the_reason_is_returned(tmp_path: Path, does: str, wrong: str | None) -> None:
    found = selftest(artifact(tmp_path / "a", does), "odd")
    if wrong is None:
        assert found is None
    else:
        assert found
        assert wrong in found


@pytest.mark.usefixtures("odd")
def test_one_that_hangs_is_ended(tmp_path: Path) -> None:
    assert selftest(artifact(tmp_path / "a", "hang"), "odd", timeout=5) == "not done after 5 s"


@pytest.mark.usefixtures("odd")
def test_an_artifact_of_another_domain_or_without_a_manifest_is_not_run(tmp_path: Path) -> None:
    assert (
        selftest(artifact(tmp_path / "a", "crash", "other"), "odd") == "an artifact of 'other', expected one of 'odd'"
    )
    assert "no manifest" in (selftest(tmp_path / "none", "odd") or "")


def test_a_domain_that_is_not_installed_is_named(tmp_path: Path) -> None:
    found = selftest(artifact(tmp_path / "a", "well"), "absent")
    assert found == "domain 'absent' cannot be loaded: it is not installed; run: arbitrank domains"


def test_the_probes_hold_what_hurts() -> None:
    requests = list(probes(ReferenceDomain("lights")))
    sizes = {len(request.hypotheses) for request in requests if request.hypotheses is not None}
    assert {1, 100} <= sizes
    given = [h for request in requests for h in request.hypotheses or ()]
    assert any(h.domain_confidence is None for h in given)
    assert {0.0, 1.0} <= {h.domain_confidence for h in given}
    assert any(request.hypotheses is None and request.utterance == "" for request in requests)


def test_a_damaged_text_of_trees_ends_no_more_than_the_child(
    site: Path, distributions: ModuleType, tmp_path: Path
) -> None:
    """Cut off in the middle of its trees, or with a tree that points outside itself."""
    from benchmarks.exchanged import world

    from arbitrank.domain import Settings
    from arbitrank.training.build import build

    code = """
from arbitrank.hookspecs import hookimpl
from arbitrank.learn.reference import ReferenceDomain


@hookimpl
def arbitrank_domains():
    return [ReferenceDomain("domain0")]
"""
    distributions.install(site, "arbitrank-domain0", code)
    made = world(tmp_path / "world", domains=2, train=400, held=20)
    sound = tmp_path / "sound"
    build(made.domains["domain0"], ("p", "1"), made.training, sound, Settings(model="boosted"))
    assert selftest(sound, "domain0") is None
    text = (sound / "reranker" / "trees.txt").read_text()
    for i, damaged in enumerate((text[: len(text) // 2], text.replace("left_child=", "left_child=99999 "))):
        folder = tmp_path / f"damaged{i}"
        shutil.copytree(sound, folder)
        (folder / "reranker" / "trees.txt").write_text(damaged)
        manifest = read_manifest(folder)
        (folder / MANIFEST).unlink()
        seal(folder, manifest)
        assert selftest(folder, "domain0")
