"""An artifact: sealed, versioned, checked."""

from __future__ import annotations

import os
import random
import zipfile
from pathlib import Path
from typing import NoReturn

import msgspec
import pytest

from arbitrank.domain import CONTRACT
from arbitrank.errors import ArtifactError
from arbitrank.store.artifact import (
    MANIFEST,
    Manifest,
    digest,
    file_digest,
    read_card,
    read_manifest,
    seal,
    write_durably,
)
from arbitrank.store.artifact_checks import checks, verified

FILES = {"reranker/weights.json": b'{"kind": "r0"}', "recogniser/tagger.npz": bytes(range(256)), "card.json": b"{}"}
ABOUT = Manifest(
    domain="lights", package="arbitrank-lights", package_version="1.0", features=("a", "b"), seed=3, rows=7
)


def fill(folder: Path) -> Path:
    for path, content in FILES.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
    return folder


@pytest.fixture
def artifact(tmp_path: Path) -> Path:
    folder = fill(tmp_path / "artifact")
    seal(folder, ABOUT)
    return folder


def reseal(folder: Path, **changes: object) -> None:
    """Write a manifest with altered fields and the version that belongs to them, as an attacker would."""
    content = msgspec.structs.replace(read_manifest(folder), **changes, version="", time=0)
    version = digest(msgspec.json.encode(content, order="deterministic"))[:12]
    (folder / MANIFEST).write_bytes(msgspec.json.encode(msgspec.structs.replace(content, version=version)))


def test_a_sealed_artifact_passes_every_check(artifact: Path) -> None:
    found = list(checks(artifact))
    assert [check.problem for check in found if check.problem] == []
    assert {check.what for check in found} >= {"manifest", "contract", "domain", "version", *FILES}
    manifest = verified(artifact)
    assert manifest == read_manifest(artifact)
    assert manifest.files == {path: digest(content) for path, content in FILES.items()}
    assert manifest.contract == CONTRACT
    assert manifest.features_digest == digest(b"a\nb")


def test_the_version_is_of_the_content_not_of_the_time_or_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1")
    first = seal(fill(tmp_path / "a"), ABOUT)
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "2000000000")
    second = seal(fill(tmp_path / "b"), ABOUT)
    assert (first.time, second.time) == (1, 2_000_000_000)
    assert first.version == second.version
    assert len(first.version) == 12
    verified(tmp_path / "a")
    verified(tmp_path / "b")


def test_sealing_again_gives_the_same_version(artifact: Path) -> None:
    before = read_manifest(artifact)
    assert seal(artifact, ABOUT).version == before.version
    assert seal(artifact, before).version == before.version


@pytest.mark.parametrize(
    "change",
    [
        {"domain": "doors"},
        {"seed": 4},
        {"rows": 8},
        {"features": ("b", "a")},
        {"package_version": "1.1"},
        {"loss": "r1"},
    ],
)
def test_another_content_is_another_version(artifact: Path, change: dict[str, object]) -> None:
    version = read_manifest(artifact).version
    assert seal(artifact, msgspec.structs.replace(ABOUT, **change)).version != version


def test_another_file_is_another_version(artifact: Path) -> None:
    version = read_manifest(artifact).version
    (artifact / "card.json").write_bytes(b"{ }")
    assert seal(artifact, ABOUT).version != version


@pytest.mark.parametrize("path", FILES)
def test_a_bit_that_flips_anywhere_is_found_and_its_file_named(artifact: Path, path: str) -> None:
    rng = random.Random(path)
    raw = (artifact / path).read_bytes()
    for _ in range(20):
        damaged = bytearray(raw)
        damaged[rng.randrange(len(raw))] ^= 1 << rng.randrange(8)
        (artifact / path).write_bytes(damaged)
        with pytest.raises(ArtifactError, match=f"{path}: its SHA-256 is .*…, expected .*…; publish it again"):
            verified(artifact)
    (artifact / path).write_bytes(raw[:-1])
    with pytest.raises(ArtifactError, match=path):
        verified(artifact)
    (artifact / path).unlink()
    with pytest.raises(ArtifactError, match=f"{path}: named in the manifest, but missing"):
        verified(artifact)


def test_a_manifest_with_a_flipped_bit_is_refused_or_equal(artifact: Path) -> None:
    """Its time alone is outside of the version; a flip in a key whose value is the default one changes nothing."""
    raw = (artifact / MANIFEST).read_bytes()
    good = msgspec.structs.replace(read_manifest(artifact), time=0)
    rng = random.Random(0)
    refused = 0
    for place in range(len(raw)):
        damaged = bytearray(raw)
        damaged[place] ^= 1 << rng.randrange(8)
        (artifact / MANIFEST).write_bytes(damaged)
        try:
            assert msgspec.structs.replace(verified(artifact), time=0) == good
        except ArtifactError:
            refused += 1
    assert refused > 0.9 * len(raw)


@pytest.mark.parametrize("raw", [b"", b"{", b"[]", b"null", b'{"domain": 3}', b"\xff" * 20])
def test_a_manifest_that_is_none_is_refused(artifact: Path, raw: bytes) -> None:
    (artifact / MANIFEST).write_bytes(raw)
    with pytest.raises(ArtifactError, match="no manifest that can be read"):
        verified(artifact)


def test_a_folder_without_a_manifest_is_not_complete(artifact: Path) -> None:
    (artifact / MANIFEST).unlink()
    with pytest.raises(ArtifactError, match="no manifest"):
        verified(artifact)


def test_a_manifest_that_is_no_file_is_refused_and_not_waited_for(artifact: Path) -> None:
    (artifact / MANIFEST).unlink()
    os.mkfifo(artifact / MANIFEST)
    assert [(check.what, check.problem) for check in checks(artifact)] == [
        ("manifest", "no manifest that can be read: a pipe, expected a regular file")
    ]


def test_files_that_cannot_be_read_fail_their_check(artifact: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path, *_: object, **__: object) -> NoReturn:
        raise PermissionError(13, "Permission denied", str(path))

    with monkeypatch.context() as patched:
        patched.setattr("arbitrank.store.artifact_checks.open_regular", refuse)
        problems = {check.what: check.problem for check in checks(artifact) if check.problem}
        assert problems == dict.fromkeys(FILES, "cannot be read: Permission denied")
    monkeypatch.setattr(Path, "lstat", refuse)
    with pytest.raises(ArtifactError, match="files: cannot be listed: Permission denied; publish it again"):
        verified(artifact)


def test_an_error_is_reported_once_and_with_the_next_command(artifact: Path) -> None:
    (artifact / MANIFEST).unlink()
    with pytest.raises(ArtifactError) as raised:
        verified(artifact, remedy="run: arbitrank verify PATH")
    assert str(raised.value) == (
        f"{artifact}: manifest: no manifest that can be read: No such file or directory; run: arbitrank verify PATH"
    )


@pytest.mark.parametrize("path", ["extra.txt", "reranker/extra.txt", "reranker/manifest.json", ".hidden"])
def test_a_file_that_the_manifest_does_not_name_is_refused(artifact: Path, path: str) -> None:
    (artifact / path).write_bytes(b"")
    with pytest.raises(ArtifactError, match=f"{path}: not named in the manifest"):
        verified(artifact)


@pytest.mark.parametrize(
    ("path", "problem"),
    [
        ("../secret", "outside the folder"),
        ("/etc/hostname", "outside the folder"),
        ("reranker/../../secret", "outside the folder"),
        ("..", "outside the folder"),
        ("", "missing"),
        ("./card.json", "missing"),
        ("reranker", "missing"),
        ("a\0b", "missing"),
    ],
)
def test_a_path_that_is_none_of_a_file_in_the_folder_is_refused(
    artifact: Path, tmp_path: Path, path: str, problem: str
) -> None:
    (tmp_path / "secret").write_bytes(b"secret")
    manifest = read_manifest(artifact)
    reseal(artifact, files={**manifest.files, path: digest(b"secret")})
    with pytest.raises(ArtifactError, match=f"named in the manifest, but {problem}"):
        verified(artifact)


def test_features_that_are_not_those_of_the_digest_are_refused(artifact: Path) -> None:
    reseal(artifact, features=("a", "c"))
    with pytest.raises(ArtifactError, match="features: the digest is not that of their names"):
        verified(artifact)


def test_an_archive_that_inflates_to_too_much_is_refused_before_it_is_inflated(
    artifact: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with zipfile.ZipFile(artifact / "recogniser" / "bomb.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        for i in range(4):
            archive.writestr(f"{i}.npy", bytes(1 << 20))
    seal(artifact, ABOUT)
    verified(artifact)
    monkeypatch.setattr("arbitrank.store.artifact_checks.MAX_TOTAL", (4 << 20) - 1)
    monkeypatch.setattr(zipfile.ZipFile, "open", None)  # nothing of it is read
    with pytest.raises(ArtifactError, match=r"bomb\.npz: inflates to 4194304 bytes, expected at most 4194303"):
        verified(artifact)


def test_too_many_files_too_large_ones_and_too_much_together_are_refused(
    artifact: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for limit, value, problem in (
        ("MAX_FILES", 2, r"files: 3 with \d+ bytes in all, expected at most 2 with"),
        ("MAX_TOTAL", 200, r"files: 3 with \d+ bytes in all, expected at most 1000 with 200"),
        ("MAX_FILE", 100, r"tagger\.npz: cannot be read: \d+ bytes, expected at most 100"),
        ("MAX_MANIFEST", 20, "no manifest that can be read: .*, expected at most 20"),
    ):
        with monkeypatch.context() as patched:
            module = "artifact" if limit == "MAX_MANIFEST" else "artifact_checks"
            patched.setattr(f"arbitrank.store.{module}.{limit}", value)
            with pytest.raises(ArtifactError, match=problem):
                verified(artifact)
    verified(artifact)


def test_a_pipe_is_refused_and_never_read(artifact: Path) -> None:
    os.mkfifo(artifact / "reranker" / "pipe")
    with pytest.raises(ArtifactError, match="reranker/pipe: a device or pipe, expected a regular file"):
        verified(artifact)


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_a_link_is_refused(artifact: Path, tmp_path: Path, kind: str) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_bytes(b"secret")
    (artifact / "link").symlink_to(outside / "secret" if kind == "file" else outside)
    with pytest.raises(ArtifactError, match="link: a link, expected a regular file"):
        verified(artifact)


@pytest.mark.parametrize("name", ["../lights", "a/b", "..", "Lights", "lights ", "li ghts", "", "lights\n"])
def test_a_domains_name_that_is_no_name_is_refused(artifact: Path, name: str) -> None:
    reseal(artifact, domain=name)
    with pytest.raises(ArtifactError, match=r"domain: is .* expected lower-case letters"):
        verified(artifact)


def test_an_artifact_for_another_contract_is_refused(artifact: Path) -> None:
    reseal(artifact, contract=CONTRACT + 1)
    with pytest.raises(ArtifactError, match=f"contract: made for contract {CONTRACT + 1}, this is {CONTRACT}"):
        verified(artifact)


def test_a_version_that_is_not_the_contents_is_refused(artifact: Path) -> None:
    manifest = msgspec.structs.replace(read_manifest(artifact), version="0" * 12)
    (artifact / MANIFEST).write_bytes(msgspec.json.encode(manifest))
    with pytest.raises(ArtifactError, match="version: is 000000000000, the content's is"):
        verified(artifact)


def test_every_problem_is_listed_not_the_first_alone(artifact: Path) -> None:
    (artifact / "card.json").write_bytes(b"other")
    (artifact / "extra.txt").write_bytes(b"")
    assert [check.what for check in checks(artifact) if check.problem] == ["card.json", "extra.txt"]


@pytest.mark.parametrize("raw", [None, b"", b"{}", b'{"n": "many"}'])
def test_a_card_that_is_none_is_refused(artifact: Path, raw: bytes | None) -> None:
    (artifact / "card.json").unlink()
    if raw is not None:
        (artifact / "card.json").write_bytes(raw)
    with pytest.raises(ArtifactError, match=r"no calibration card that can be read: .*; train again"):
        read_card(artifact)


def test_a_file_is_written_whole_and_leaves_nothing_behind(tmp_path: Path) -> None:
    for content in (b"first", b"second, longer"):
        write_durably(tmp_path / "file", content)
        assert (tmp_path / "file").read_bytes() == content
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert file_digest(tmp_path / "file") == digest(b"second, longer")
    with pytest.raises(OSError, match="missing"):
        write_durably(tmp_path / "missing" / "file", b"")
