"""An artifact: one version of one domain, an immutable folder that says what it is and can be checked.

    reranker/       the weights
    recogniser/     the language understanding that the weights were trained with, if the domain has one
    card.json       calibration on data that the training never saw
    manifest.json   written last: what it is, how it was made, and the SHA-256 of every file

The version is the digest of the content, the manifest's time apart: the same data, code and seed give the same version.
"""

from __future__ import annotations

import hashlib
import os
import re
import time
from collections.abc import Iterable
from pathlib import Path

import msgspec

from arbitrank.domain import CONTRACT
from arbitrank.errors import ArtifactError
from arbitrank.evaluate.metrics import Calibration

MANIFEST = "manifest.json"
CARD = "card.json"

MAX_FILE = 1 << 30
"""Bytes of one file of an artifact that are read; a larger one is refused."""


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What an artifact is and how it was made.

    `rows` counts the examples it was trained on, `data_digest` is theirs; `files` maps each file's path inside the
    artifact to its SHA-256; `time` is in seconds since 1970, `SOURCE_DATE_EPOCH` where that is set.
    """

    version: str = ""
    contract: int = CONTRACT
    domain: str
    package: str
    package_version: str
    features: tuple[str, ...] = ()
    features_digest: str = ""
    model: str = ""
    loss: str = ""
    seed: int = 0
    rows: int = 0
    data_digest: str = ""
    files: dict[str, str] = {}
    time: int = 0


class Check(msgspec.Struct, frozen=True):
    """One thing that was checked of an artifact, and what was wrong with it, if anything."""

    what: str
    problem: str | None = None


def seal(folder: Path, manifest: Manifest) -> Manifest:
    """Hash the folder's files, give the artifact its version and write its manifest, which makes it complete."""
    files = {path: file_digest(folder / path) for path in _paths(folder)}
    features = digest("\n".join(manifest.features).encode())
    content = msgspec.structs.replace(manifest, files=files, features_digest=features, version="", time=0)
    sealed = msgspec.structs.replace(
        content,
        version=digest(msgspec.json.encode(content, order="deterministic"))[:12],
        time=int(os.environ.get("SOURCE_DATE_EPOCH", time.time())),
    )
    write_durably(folder / MANIFEST, msgspec.json.format(msgspec.json.encode(sealed), indent=1))
    return sealed


def read_manifest(folder: Path) -> Manifest:
    """The manifest of an artifact, its files unchecked. Raises `ArtifactError` where it is absent or not one."""
    try:
        return msgspec.json.decode((folder / MANIFEST).read_bytes(), type=Manifest)
    except (OSError, ValueError, RecursionError) as error:
        raise ArtifactError(f"{folder}: no manifest that can be read: {error}") from error


def read_card(folder: Path) -> Calibration:
    """The calibration card of an artifact. Raises `ArtifactError` where it is absent or not one."""
    try:
        return msgspec.json.decode((folder / CARD).read_bytes(), type=Calibration)
    except (OSError, ValueError, RecursionError) as error:
        raise ArtifactError(f"{folder}: no calibration card that can be read: {error}") from error


def checks(folder: Path) -> Iterable[Check]:
    """Everything that can be checked of an artifact without running anything of it, one thing after another."""
    try:
        manifest = read_manifest(folder)
    except ArtifactError as error:
        yield Check("manifest", str(error))
        return
    yield Check("manifest")
    other = manifest.contract != CONTRACT
    yield Check("contract", f"made for contract {manifest.contract}, this is {CONTRACT}" if other else None)
    bad_name = f"is {manifest.domain!r}, promised lower-case letters, digits, '_' and '-'"
    yield Check("domain", None if re.fullmatch("[a-z0-9_-]+", manifest.domain) else bad_name)
    content = msgspec.structs.replace(manifest, version="", time=0)
    version = digest(msgspec.json.encode(content, order="deterministic"))[:12]
    named = f"says {manifest.version}, its content is {version}"
    yield Check("version", None if version == manifest.version else named)
    for link in sorted(path for path in folder.rglob("*") if path.is_symlink()):
        yield Check(link.relative_to(folder).as_posix(), "a link, promised a file")
    present = set(_paths(folder))
    for path in sorted(present | set(manifest.files)):
        yield Check(path, _file_problem(folder, path, manifest.files.get(path), path in present))


def verified(folder: Path) -> Manifest:
    """The manifest of an artifact whose every check passes. Raises `ArtifactError` naming the first that doesn't."""
    for check in checks(folder):
        if check.problem:
            raise ArtifactError(f"{folder}: {check.what}: {check.problem}; publish it again")
    return read_manifest(folder)


def _file_problem(folder: Path, path: str, promised: str | None, present: bool) -> str | None:
    if promised is None:
        return "not named in the manifest"
    if not present:
        return "named in the manifest, but not there"
    if (folder / path).stat().st_size > MAX_FILE:
        return f"larger than {MAX_FILE} bytes"
    seen = file_digest(folder / path)
    return None if seen == promised else f"its SHA-256 is {seen[:12]}…, promised {promised[:12]}…"


def _paths(folder: Path) -> list[str]:
    """The files of an artifact, its manifest apart; links are not files, so nothing outside the folder is read."""
    found = (p for p in folder.rglob("*") if p.is_file() and not p.is_symlink())
    return sorted(p.relative_to(folder).as_posix() for p in found if p != folder / MANIFEST)


def digest(content: bytes) -> str:
    """SHA-256 in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def file_digest(path: Path) -> str:
    """SHA-256 of a file, read in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_durably(path: Path, content: bytes) -> None:
    """Write a file so that it is there whole or not at all, and stays after a power cut."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with part.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
