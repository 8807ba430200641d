"""The environment that trained an artifact: which versions of the package can load it, and what a file of it may do."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.specifiers import SpecifierSet
from packaging.version import Version

from arbitrank.errors import ArtifactError, OtherCode
from arbitrank.store.artifact import Manifest, seal
from arbitrank.store.artifact_checks import checks, verified
from arbitrank.store.store import open_store
from arbitrank.training_environment import (
    FILE,
    TrainingEnvironment,
    check_code,
    is_specifier,
    present_environment,
    read_environment,
)


def environment(version: str, loadable_by: str | None = None) -> TrainingEnvironment:
    return TrainingEnvironment.of("arbitrank-kite", version, loadable_by, "0.2.0", "3.12.1", {"numpy": "2.1.0"})


def artifact(folder: Path, content: bytes | None) -> Path:
    (folder / "reranker").mkdir(parents=True)
    (folder / "reranker" / "weights.json").write_text("1")
    if content is not None:
        (folder / FILE).write_bytes(content)
    seal(folder, Manifest(domain="kite", package="arbitrank-kite", package_version="1.0"))
    return folder


@pytest.mark.parametrize(
    ("version", "expected"),
    [
        ("1.4.2", ">=1.4"),
        ("0.1.0", ">=0.1"),
        ("2", ">=2.0"),
        ("1.4.2.post1", ">=1.4"),
        ("1.4.2+cpu", ">=1.4"),
        ("1.5.dev3+g1234", ">=1.5.dev0"),
        ("2.0rc1", ">=2.0.dev0"),
        ("1!2.3", ">=1!2.3"),
        ("unknown", ""),
    ],
)
def test_by_default_the_minor_version_and_later_ones_load_the_weights(version: str, expected: str) -> None:
    assert environment(version).loadable_by == expected
    assert environment(version, ">=1,<3").loadable_by == ">=1,<3"


@given(st.tuples(*[st.integers(0, 30)] * 3), st.sampled_from(["", "a1", "rc2", ".dev3", ".post4", "+local.1"]))
def test_the_version_that_trained_and_every_later_one_load_the_weights(
    parts: tuple[int, int, int], suffix: str
) -> None:
    version = ".".join(map(str, parts)) + suffix
    allowed = SpecifierSet(environment(version).loadable_by)
    later = f"{parts[0]}.{parts[1] + 1}"
    assert allowed.contains(Version(version), prereleases=True)
    assert allowed.contains(Version(later), prereleases=True)


def test_weights_are_refused_by_other_versions_of_their_package_alone(tmp_path: Path) -> None:
    folder = artifact(tmp_path / "a", environment("2.0").encoded())
    check_code(folder, "Arbitrank_Kite", "2.1")
    check_code(folder, "arbitrank-kite", "unknown")
    check_code(folder, "arbitrank-swing", "1.0")
    with pytest.raises(OtherCode, match=r"needs arbitrank-kite >=2.0, 1.9 is there; run: arbitrank install"):
        check_code(folder, "arbitrank-kite", "1.9")
    check_code(artifact(tmp_path / "b", None), "arbitrank-kite", "0.1")
    assert read_environment(tmp_path / "b") is None


GOOD: dict[str, Any] = {"package": "arbitrank-kite", "package_version": "1.0"}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"\xff\xfe",
        b"null",
        b"[]",
        b"[" * 50_000,
        b"{}",
        json.dumps({"package": "arbitrank-kite"}).encode(),
        json.dumps({**GOOD, "package": 5}).encode(),
        json.dumps({**GOOD, "package_version": "1" * 201}).encode(),
        json.dumps({**GOOD, "loadable_by": "not one"}).encode(),
        json.dumps({**GOOD, "loadable_by": "; rm -rf"}).encode(),
        json.dumps({**GOOD, "loadable_by": [">=1"]}).encode(),
        json.dumps({**GOOD, "libraries": ["numpy"]}).encode(),
        json.dumps({**GOOD, "libraries": {"numpy": 2}}).encode(),
        json.dumps({**GOOD, "libraries": {str(k): "1" for k in range(9_000)}}).encode(),
    ],
    ids=range(16),
)
def test_a_file_that_is_no_environment_is_refused_where_it_is_verified(tmp_path: Path, content: bytes) -> None:
    folder = artifact(tmp_path / "a", content)
    with pytest.raises(ArtifactError, match=FILE):
        read_environment(folder)
    (problem,) = [check.problem for check in checks(folder) if check.problem]
    assert "expected" in problem or "cannot be read" in problem
    with pytest.raises(ArtifactError, match=FILE):
        open_store(str(tmp_path / "store")).publish(folder)


def test_unknown_keys_are_ignored_and_a_changed_file_is_found(tmp_path: Path) -> None:
    folder = artifact(tmp_path / "a", json.dumps({**GOOD, "colour": "blue", "loadable_by": ">=1"}).encode())
    assert verified(folder).files.keys() == {FILE, "reranker/weights.json"}
    found = read_environment(folder)
    assert found is not None
    assert found.loadable_by == ">=1"
    (folder / FILE).write_bytes(environment("1.0").encoded())
    assert any(check.what == FILE and "SHA-256" in (check.problem or "") for check in checks(folder))


@pytest.mark.parametrize("kind", ["link", "folder", "pipe"])
def test_a_file_that_is_no_regular_one_is_not_read(tmp_path: Path, kind: str) -> None:
    import os

    folder = artifact(tmp_path / "a", None)
    path = folder / FILE
    {"link": lambda: path.symlink_to("/dev/zero"), "folder": path.mkdir, "pipe": lambda: os.mkfifo(path)}[kind]()
    with pytest.raises(ArtifactError, match="expected a regular file"):
        read_environment(folder)


def test_the_present_environment_has_the_versions_that_are_installed() -> None:
    found = present_environment("arbitrank", "0.2.0", None)
    assert (found.package, found.loadable_by, found.core is not None) == ("arbitrank", ">=0.2", True)
    assert {"numpy", "msgspec"} <= found.libraries.keys()
    assert TrainingEnvironment.of("a", "x", None, None, None, {}).encoded().count(b"null") == 0


@pytest.mark.parametrize("text", ["", " ", "1.0", ">=", None, 5, b">=1"])
def test_what_is_no_specifier_is_told_apart(text: object) -> None:
    assert not is_specifier(text)
    assert is_specifier(">=1.2,<3")
