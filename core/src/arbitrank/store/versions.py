"""Versions in a store: their location, and their upload, which survives interruption and repairs damage."""

from __future__ import annotations

from pathlib import Path

import msgspec

from arbitrank.errors import ArtifactError, StoreError, os_errors
from arbitrank.regular_files import read_regular
from arbitrank.store.artifact import MANIFEST, MAX_FILE, MAX_MANIFEST, Manifest, digest, encode_manifest, version_of
from arbitrank.store.backend import StoreBackend
from arbitrank.store.kinds import checked_name, folders, name_in_store
from arbitrank.store.signing import Keys
from arbitrank.store.state import is_version


def home(backend: StoreBackend, name: str, version: str) -> str:
    """The prefix under which a version is kept, NAME/VERSION. Raises `ArtifactError` where that can be no version."""
    if not is_version(version):
        raise ArtifactError(
            f"store {backend}: {name} has no version {version!r}, expected 12 hexadecimal digits; "
            f"run: arbitrank history {name}"
        )
    prefixes = [f"{folder}/{version}" for folder in folders(name)]
    if len(prefixes) == 1:
        return prefixes[0]
    return next((one for one in prefixes if stored_manifest(backend, one)), prefixes[0])


def upload(backend: StoreBackend, artifact: Path, name: str, manifest: Manifest, keys: Keys | None) -> None:
    """Write every file of a verified artifact, then the manifest: until it is written, the version does not exist.

    Raises `ArtifactError` where a file has changed meanwhile, or another artifact has the version.
    """
    prefix = f"{name}/{manifest.version}"
    present = stored_manifest(backend, prefix)
    if present and present.files != manifest.files:
        raise ArtifactError(
            f"store {backend}: another artifact has the version {manifest.version}; train with another seed"
        )
    for path, sha256 in manifest.files.items():
        content = _content(artifact / path, sha256)
        key = f"{prefix}/{path}"
        if not backend.create(key, content) and not _intact(backend, key, sha256):
            backend.write(key, content)
    raw = encode_manifest(manifest)
    if not backend.create(f"{prefix}/{MANIFEST}", raw):
        present = stored_manifest(backend, prefix)
        signed_otherwise = manifest.signature and present and present.signature != manifest.signature
        if present is None or signed_otherwise or (keys and keys.problem(present)):
            backend.write(f"{prefix}/{MANIFEST}", raw)


def stored_manifest(backend: StoreBackend, prefix: str) -> Manifest | None:
    """The manifest of the version under NAME/VERSION; None where it is missing or damaged."""
    try:
        manifest = msgspec.json.decode(backend.read(f"{prefix}/{MANIFEST}", MAX_MANIFEST) or b"", type=Manifest)
    except (ValueError, RecursionError):
        return None
    name, _, version = prefix.partition("/")
    valid = version_of(manifest) == version and wrong_name(manifest, name, version) is None
    return manifest if valid else None


def wrong_name(manifest: Manifest, name: str, version: str | None = None) -> str | None:
    """The problem of an artifact that is not of `name`, or not the given version of it; None where it is."""
    named = name_in_store(manifest.domain, manifest.files) == checked_name(name)
    if version is None:
        return None if named else f"an artifact of {manifest.domain!r}, expected one of {name!r}"
    if named and manifest.version == version:
        return None
    return f"an artifact of {manifest.domain} {manifest.version}, expected {name} {version}"


def _intact(backend: StoreBackend, key: str, sha256: str) -> bool:
    """True where a key has the content with this SHA-256; not where something else is in its place."""
    try:
        content = backend.read(key)
    except StoreError:
        return False
    return content is not None and digest(content) == sha256


def _content(path: Path, sha256: str) -> bytes:
    with os_errors(ArtifactError, f"{path}: cannot be read"):
        content = read_regular(path, MAX_FILE)
    if digest(content) != sha256:
        raise ArtifactError(f"{path}: changed during publication; publish it again")
    return content
