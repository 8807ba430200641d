"""An artifact: one version of one domain, an immutable folder that says what it is and can be checked.

    reranker/       the weights
    recogniser/     the language understanding that the weights were trained with, if the domain has one
    card.json       calibration on data that the training never saw
    manifest.json   written last: what it is, how it was made, the SHA-256 of every file, and perhaps a signature

The version is the digest of the content, the manifest's time and signature apart: the same data, code and seed give the
same version.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import stat
import tempfile
import time
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import msgspec

from arbitrank.domain import CONTRACT
from arbitrank.errors import ArtifactError, InputError
from arbitrank.evaluate.metrics import Calibration

if TYPE_CHECKING:
    from arbitrank.store.signing import Keys

MANIFEST = "manifest.json"
CARD = "card.json"

MAX_FILE = 1 << 30
"""Bytes of one file of an artifact that are read; a larger one is refused."""

MAX_TOTAL = 2 << 30
"""Bytes of all files of an artifact together, and of what a compressed one inflates to; more are refused."""

MAX_FILES = 1000
"""Files of an artifact; more are refused."""

MAX_MANIFEST = 4 << 20
"""Bytes of a manifest that are read."""


class Signature(msgspec.Struct, frozen=True):
    """A domain team's Ed25519 signature of a manifest: which key made it, and the signature in base64."""

    key: str
    value: str


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What an artifact is and how it was made.

    `rows` counts the examples it was trained on, `data_digest` is theirs; `made_of` is the digest of all that decides
    what `train` gives, so that it need not train again where nothing of that changed; `files` maps each file's path
    inside the artifact to its SHA-256; `time` is in seconds since 1970, `SOURCE_DATE_EPOCH` where that is set. An
    unsigned one has no `signature` at all.
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
    made_of: str | msgspec.UnsetType = msgspec.UNSET
    files: dict[str, str] = {}
    time: int = 0
    signature: Signature | msgspec.UnsetType = msgspec.UNSET


class Check(msgspec.Struct, frozen=True):
    """One thing that was checked of an artifact, and what was wrong with it, if anything."""

    what: str
    problem: str | None = None


@contextmanager
def replacing(folder: Path) -> Iterator[Path]:
    """A folder to write an artifact into, which takes the place of `folder` at the end, and leaves nothing on an error.

    Raises `InputError` where `folder` is not new, empty or an artifact, or no folder can be made there.
    """
    if not replaceable(folder):
        raise InputError(f"{folder}: holds something else, promised a new or empty folder or an artifact to replace")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    except OSError as error:
        raise InputError(f"{folder}: no folder can be made there: {error.strerror}; name another one") from error
    try:
        yield work
        if folder.exists():
            shutil.rmtree(folder)
        work.chmod(0o755)
        work.rename(folder)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def replaceable(folder: Path) -> bool:
    """Whether an artifact may be written there: nothing is, or an empty folder, or an artifact."""
    try:
        return not folder.exists() or (folder / MANIFEST).is_file() or (folder.is_dir() and not any(folder.iterdir()))
    except OSError:  # a file stands in the way; whoever makes the folder says so
        return True


def seal(folder: Path, manifest: Manifest) -> Manifest:
    """Hash the folder's files, give the artifact its version and write its manifest, which makes it complete."""
    files = {path: file_digest(folder / path) for path in _paths(folder)}
    features = digest("\n".join(manifest.features).encode())
    content = msgspec.structs.replace(manifest, files=files, features_digest=features)
    sealed = msgspec.structs.replace(
        content,
        version=version_of(content),
        time=int(os.environ.get("SOURCE_DATE_EPOCH", time.time())),
        signature=msgspec.UNSET,
    )
    write_durably(folder / MANIFEST, encode_manifest(sealed))
    return sealed


def version_of(manifest: Manifest) -> str:
    """The version that belongs to a manifest: the digest of all it says but its version, time and signature."""
    content = msgspec.structs.replace(manifest, version="", time=0, signature=msgspec.UNSET)
    return digest(msgspec.json.encode(content, order="deterministic"))[:12]


def encode_manifest(manifest: Manifest) -> bytes:
    """A manifest as it stands in `manifest.json`."""
    return msgspec.json.format(msgspec.json.encode(manifest), indent=1)


def read_manifest(folder: Path) -> Manifest:
    """The manifest of an artifact, its files unchecked. Raises `ArtifactError` where it is absent or not one."""
    path = folder / MANIFEST
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # to open a pipe is to wait for whoever writes into it
            raise ArtifactError(f"{folder}: its manifest is no file")
        with path.open("rb") as file:
            raw = file.read(MAX_MANIFEST + 1)
        if len(raw) > MAX_MANIFEST:
            raise ArtifactError(f"{folder}: its manifest is larger than the {MAX_MANIFEST} bytes promised")
        return msgspec.json.decode(raw, type=Manifest)
    except OSError as error:
        raise ArtifactError(f"{folder}: no manifest that can be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise ArtifactError(f"{folder}: no manifest that can be read: {error}") from error


def read_card(folder: Path) -> Calibration:
    """The calibration card of an artifact. Raises `ArtifactError` where it is absent or not one."""
    try:
        return msgspec.json.decode((folder / CARD).read_bytes(), type=Calibration)
    except OSError as error:
        raise ArtifactError(f"{folder}: no calibration card that can be read: {error.strerror}; train again") from error
    except (ValueError, RecursionError) as error:
        raise ArtifactError(f"{folder}: no calibration card that can be read: {error}; train again") from error


def checks(folder: Path, keys: Keys | None = None) -> Iterable[Check]:
    """Everything that can be checked of an artifact without running anything of it, one thing after another.

    With `keys` its signature too, by the keys of its domain.
    """
    try:
        manifest = read_manifest(folder)
    except ArtifactError as error:
        yield Check("manifest", str(error).removeprefix(f"{folder}: "))
        return
    yield Check("manifest")
    other = manifest.contract != CONTRACT
    yield Check("contract", f"made for contract {manifest.contract}, this is {CONTRACT}" if other else None)
    bad_name = f"is {manifest.domain!r}, promised lower-case letters, digits, '_' and '-'"
    yield Check("domain", None if is_domain(manifest.domain) else bad_name)
    version = version_of(manifest)
    named = f"says {manifest.version}, its content is {version}"
    yield Check("version", None if version == manifest.version else named)
    features = digest("\n".join(manifest.features).encode()) == manifest.features_digest
    yield Check("features", None if features else "their names are not those that the digest was made of")
    if keys is not None:
        yield Check("signature", keys.problem(manifest))
    try:
        yield from _file_checks(folder, manifest)
    except OSError as error:
        yield Check("files", f"cannot be listed: {error.strerror}")


def verified(folder: Path, keys: Keys | None = None, *, remedy: str = "publish it again") -> Manifest:
    """The manifest of an artifact whose every check passes. Raises `ArtifactError` naming the first that doesn't.

    `remedy` is what the error tells to do then.
    """
    for check in checks(folder, keys):
        if check.problem:
            raise ArtifactError(f"{folder}: {check.what}: {check.problem}; {remedy}")
    return read_manifest(folder)


def printable(text: str) -> str:
    """The text on one line, with what a terminal would obey shown and not obeyed."""
    return "".join(letter if letter.isprintable() else "\ufffd" for letter in " ".join(text.split()))


def is_domain(name: str) -> bool:
    """Whether a domain may have this name."""
    return re.fullmatch("[a-z0-9_-]+", name) is not None


def _file_checks(folder: Path, manifest: Manifest) -> Iterator[Check]:
    for found in sorted(folder.rglob("*")):
        kind = found.lstat().st_mode
        if not stat.S_ISREG(kind) and not stat.S_ISDIR(kind):
            seen = "a link" if stat.S_ISLNK(kind) else "a device or pipe"
            yield Check(found.relative_to(folder).as_posix(), f"{seen}, promised a file")
    present = set(_paths(folder))
    if max(len(present), len(manifest.files)) > MAX_FILES:
        yield Check("files", f"{max(len(present), len(manifest.files))} of them, at most {MAX_FILES} are promised")
        return
    size = sum((folder / path).stat().st_size for path in present)
    if size > MAX_TOTAL:
        yield Check("files", f"{size} bytes together, at most {MAX_TOTAL} are promised")
        return
    yield Check("files")
    for path in sorted(present | set(manifest.files)):
        try:
            problem = _file_problem(folder, path, manifest.files.get(path), path in present)
        except OSError as error:
            problem = f"cannot be read: {error.strerror}"
        yield Check(path, problem)


def _file_problem(folder: Path, path: str, promised: str | None, present: bool) -> str | None:
    if promised is None:
        return "not named in the manifest"
    if PurePosixPath(path).is_absolute() or ".." in PurePosixPath(path).parts:
        return "named in the manifest, but climbs out of the folder"
    if not present:
        return "named in the manifest, but not there"
    if (folder / path).stat().st_size > MAX_FILE:
        return f"larger than {MAX_FILE} bytes"
    seen = file_digest(folder / path)
    if seen != promised:
        return f"its SHA-256 is {seen[:12]}…, promised {promised[:12]}…"
    inflated = _inflated(folder / path)
    return f"inflates to {inflated} bytes, at most {MAX_TOTAL} are promised" if inflated > MAX_TOTAL else None


def _inflated(path: Path) -> int:
    """What an archive's directory says that it inflates to; who reads one never gets more. 0 for any other file."""
    try:
        with path.open("rb") as file:
            if file.read(2) != b"PK":
                return 0
        with zipfile.ZipFile(path) as archive:
            return sum(member.file_size for member in archive.infolist())
    # What cannot be read as an archive inflates to nothing; whether it is what its domain needs is told by loading it.
    except (zipfile.BadZipFile, OSError, ValueError, LookupError, NotImplementedError, UnicodeDecodeError):
        return 0


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
