"""An artifact: one version of one domain or stage, an immutable folder that describes itself and can be verified.

    reranker/       the weights
    recogniser/     the recogniser that the weights were trained with, if the domain has one
    card.json       calibration on held-out data
    manifest.json   written last: name, provenance, the SHA-256 of every file, and perhaps a signature

The version is the digest of the content except the manifest's time and signature: the same data, code and seed give
the same version.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import msgspec

from arbitrank.domain import CONTRACT
from arbitrank.errors import ArtifactError, InputError, UnreadableArtifact, os_errors
from arbitrank.evaluate.metrics import Calibration
from arbitrank.regular_files import read_regular

T = TypeVar("T")

MANIFEST = "manifest.json"
CARD = "card.json"

# Limits of an artifact: its number of files; bytes of one file, of all together, also inflated, and of the manifest.
MAX_FILES, MAX_FILE, MAX_TOTAL, MAX_MANIFEST = 1_000, 1 << 30, 2 << 30, 4 << 20


class Signature(msgspec.Struct, frozen=True):
    """An Ed25519 signature of a manifest: the id of the key, and the signature in base64."""

    key: str
    value: str


class NegativesUsed(msgspec.Struct, frozen=True):
    """A set of shared negatives in training data: its distribution, version and digest, and how many were used."""

    distribution: str
    version: str
    digest: str
    requests: int

    def __str__(self) -> str:
        return f"{self.requests:,} shared negatives of {self.distribution} {self.version}"


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """The identity and provenance of an artifact.

    `domain` is its name, a domain's or a reserved one. `rows` counts the training examples, `data_digest` is the
    digest of the data; `negatives` are the shared ones beside these, absent where there are none; `scales` are those
    of the fields that had scores in them, empty where all are 0..1, absent without scores; `made_of` is the digest of
    everything that determines the result of training, which is skipped where nothing of that changed; `files` maps
    each file's path inside the artifact to its SHA-256; `time` is in seconds since 1970, `SOURCE_DATE_EPOCH` where
    that is set. An unsigned one has no `signature` at all.
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
    negatives: tuple[NegativesUsed, ...] | msgspec.UnsetType = msgspec.UNSET
    scales: dict[str, str] | msgspec.UnsetType = msgspec.UNSET
    made_of: str | msgspec.UnsetType = msgspec.UNSET
    files: dict[str, str] = {}
    time: int = 0
    signature: Signature | msgspec.UnsetType = msgspec.UNSET


@contextmanager
def replacing(folder: Path) -> Iterator[Path]:
    """A folder to write an artifact into, which replaces `folder` at the end, and is removed on an error.

    Raises `InputError` where `folder` is not new, empty or an artifact, or cannot be created.
    """
    if not replaceable(folder):
        raise InputError(f"{folder}: holds something else, expected a new or empty folder or an artifact to replace")
    with os_errors(InputError, f"{folder}: cannot be created", "; name another one"):
        folder.parent.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        yield work
        if folder.exists():
            shutil.rmtree(folder)
        work.chmod(0o755)
        work.rename(folder)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def replaceable(folder: Path) -> bool:
    """True where an artifact may be written: the folder is new, empty or an artifact."""
    try:
        return not folder.exists() or (folder / MANIFEST).is_file() or (folder.is_dir() and not any(folder.iterdir()))
    except OSError:  # a file is in the way, which creating the folder reports
        return True


def seal(folder: Path, manifest: Manifest) -> Manifest:
    """Hash the folder's files and write the manifest with the version, which completes the artifact."""
    files = {path: file_digest(folder / path) for path in paths(folder)}
    features = digest("\n".join(manifest.features).encode())
    content = msgspec.structs.replace(manifest, files=files, features_digest=features, signature=msgspec.UNSET)
    made = int(os.environ.get("SOURCE_DATE_EPOCH", time.time()))
    sealed = msgspec.structs.replace(content, version=version_of(content), time=made)
    write_durably(folder / MANIFEST, encode_manifest(sealed))
    return sealed


def version_of(manifest: Manifest) -> str:
    """The version of a manifest's content: the digest of all its fields except version, time and signature."""
    content = msgspec.structs.replace(manifest, version="", time=0, signature=msgspec.UNSET)
    return digest(msgspec.json.encode(content, order="deterministic"))[:12]


def encode_manifest(manifest: Manifest) -> bytes:
    """The content of `manifest.json`."""
    return msgspec.json.format(msgspec.json.encode(manifest), indent=1)


def read_manifest(folder: Path) -> Manifest:
    """The manifest of an artifact, its files unchecked. Raises `ArtifactError` where it is missing or invalid."""
    return read_json(folder / MANIFEST, Manifest, "manifest")


def read_card(folder: Path) -> Calibration:
    """The calibration card of an artifact. Raises `ArtifactError` where it is missing or invalid."""
    return read_json(folder / CARD, Calibration, "calibration card", "; train again")


def unproven(domain: str, card: Calibration | None) -> str | None:
    """The reason why weights may not serve of which no data say what other domains' requests look like; None where
    they may. Cards of before 0.2 do not count these."""
    if card is None or card.others != 0 or card.silent != 0:
        return None
    return (
        f"its training data hold no request of another domain, so nothing shows what P(mine) is there; train it with "
        f"others' requests too, as negatives: arbitrank train {domain} --data PATH"
    )


def read_json(path: Path, kind: type[T], name: str, remedy: str = "") -> T:
    """A JSON file of an artifact, called `name` in messages. Raises `ArtifactError` where it is missing or invalid."""
    try:
        return msgspec.json.decode(read_regular(path, MAX_MANIFEST), type=kind)
    except (OSError, ValueError, RecursionError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or error
        raised = UnreadableArtifact if isinstance(error, OSError) else ArtifactError
        raise raised(f"{path.parent}: no {name} that can be read: {reason}{remedy}") from error


def paths(folder: Path) -> list[str]:
    """The files of an artifact except its manifest; links are left out, so nothing outside the folder is read."""
    files = (p for p in folder.rglob("*") if p.is_file() and not p.is_symlink())
    return sorted(p.relative_to(folder).as_posix() for p in files if p != folder / MANIFEST)


def digest(content: bytes) -> str:
    """SHA-256 in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def file_digest(path: Path) -> str:
    """SHA-256 of a file, read in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_durably(path: Path, content: bytes) -> None:
    """Write a file atomically, so that it survives a power failure."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with part.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
