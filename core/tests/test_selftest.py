"""The self-test: whatever an artifact or a plugin does, the calling process goes on and gets the reason."""

from __future__ import annotations

import shutil
from pathlib import Path

import fakes
import pytest
from distributions import install, serving

from arbitrank.arbitration.probes import probes
from arbitrank.learn.reference import ReferenceDomain
from arbitrank.selftest import selftest
from arbitrank.store.artifact import MANIFEST, read_manifest, seal


@pytest.fixture
def odd(site: Path) -> None:
    install(site, "arbitrank-odd", serving("odd"))


def artifact(folder: Path, does: str = "", domain: str = "odd", **more: str) -> Path:
    fakes.artifact(folder, domain, does=does, **more)
    return folder


@pytest.mark.usefixtures("odd")
@pytest.mark.parametrize(
    ("weights", "wrong"),
    [
        ({}, None),
        ({"does": "print"}, None),
        ({"does": "crash"}, "the self-test's process crashed with SIGSEGV"),
        ({"does": "exit"}, "the self-test's process ended with status 3"),
        ({"does": "exhaust memory"}, "MemoryError"),
        ({"does": "raise"}, "RuntimeError: out of order"),
        ({"does": "raise for many"}, "a request with 100 hypotheses: IndexError: too many"),
        ({"does": "raise without confidence"}, "a request with 1 hypothesis: TypeError: no confidence"),
        ({"does": "nan"}, "PluginError: right is [nan]"),
        ({"does": "remember"}, "expected the same answer in any order"),
        ({"load": "raise"}, "RuntimeError: broken"),
        ({"load": "number"}, "load returned int, expected a Model"),
    ],
)
def test_whatever_it_does_the_reason_is_returned(tmp_path: Path, weights: dict[str, str], wrong: str | None) -> None:
    found = selftest(artifact(tmp_path / "a", **weights), "odd")
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
    found = selftest(artifact(tmp_path / "a"), "absent")
    assert found == "domain 'absent' cannot be loaded: it is not installed; run: arbitrank domains"


def test_the_probes_hold_what_hurts() -> None:
    requests = list(probes(ReferenceDomain("lights")))
    sizes = {len(request.hypotheses) for request in requests if request.hypotheses is not None}
    assert {1, 100} <= sizes
    given = [h for request in requests for h in request.hypotheses or ()]
    assert any(h.domain_confidence is None for h in given)
    assert {0.0, 1.0} <= {h.domain_confidence for h in given}
    assert any(request.hypotheses is None and request.utterance == "" for request in requests)


def test_a_damaged_text_of_trees_ends_no_more_than_the_child(site: Path, tmp_path: Path) -> None:
    """Cut off in the middle of its trees, or with a tree that points outside itself."""
    from benchmarks.exchanged import world

    from arbitrank.domain import Settings
    from arbitrank.training.build import build

    install(site, "arbitrank-domain0", serving("domain0", kind="ReferenceDomain"))
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
