"""Verification of an artifact without running any of its code."""

from __future__ import annotations

import hashlib
import stat
import zipfile
from collections.abc import Iterator
from contextlib import nullcontext
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import msgspec
from msgspec import UNSET

from arbitrank.domain import CONTRACT
from arbitrank.errors import ArtifactError, UnreadableArtifact, message
from arbitrank.guard import Fault, guarded
from arbitrank.regular_files import open_regular, pieces
from arbitrank.store.artifact import (
    MANIFEST,
    MAX_FILE,
    MAX_FILES,
    MAX_TOTAL,
    Manifest,
    digest,
    encode_manifest,
    read_manifest,
    version_of,
)
from arbitrank.store.kinds import NAMES, is_name, missing_file
from arbitrank.store.pickles import pickled
from arbitrank.store.private_copies import temporary_folder, writing_private
from arbitrank.training_environment import FILE, read_environment

if TYPE_CHECKING:
    from arbitrank.store.signing import Keys

_MAX_ENTRIES = 4 * MAX_FILES  # files and folders that are looked at


class Check(msgspec.Struct, frozen=True):
    """One check of an artifact or a store: its object, and the problem that was found, if any.

    `unreadable` is set where something is missing, cannot be read or is not what was sealed, which may pass: it is
    still being copied, or was exchanged.
    """

    what: str
    problem: str | None = None
    unreadable: bool | msgspec.UnsetType = msgspec.UNSET


def checks(folder: Path, keys: Keys | None = None, copy: Path | None = None) -> Iterator[Check]:
    """All checks of an artifact that run none of its code, one after another; with `keys`, its signature's too.

    The manifest and every file are read once, into the empty folder `copy`, by default a private one that is removed at
    the end, and the copies are checked: nothing that is exchanged in `folder` meanwhile is in them.
    """
    if copy is None:
        with temporary_folder() as work:
            yield from checks(folder, keys, work)
        return
    try:
        manifest = read_manifest(folder)
    except ArtifactError as error:
        yield Check("manifest", str(error).removeprefix(f"{folder}: "), unreadable=True)
        return
    yield Check("manifest")
    other = manifest.contract != CONTRACT
    yield Check("contract", f"made for contract {manifest.contract}, this is {CONTRACT}" if other else None)
    yield Check("domain", None if is_name(manifest.domain) else f"is {manifest.domain!r}, expected {NAMES}")
    same = (version := version_of(manifest)) == manifest.version
    problem = None if same else f"is {manifest.version}, the content's is {version}"
    yield Check("version", problem, unreadable=not same or UNSET)
    same = digest("\n".join(manifest.features).encode()) == manifest.features_digest
    yield Check("features", None if same else "the digest is not that of their names")
    if keys is not None:
        yield Check("signature", keys.problem(manifest))
    try:
        yield from _file_checks(folder, manifest, copy)
    except OSError as error:
        yield Check("files", f"cannot be listed: {error.strerror}", unreadable=True)
    with writing_private(copy):
        (copy / MANIFEST).write_bytes(encode_manifest(manifest))


def verified(
    folder: Path, keys: Keys | None = None, *, remedy: str = "publish it again", copy: Path | None = None
) -> Manifest:
    """The manifest of an artifact whose every check passes; `copy` as for `checks`.

    Raises `ArtifactError` naming the first that fails and the `remedy`.
    """
    with nullcontext(copy) if copy else temporary_folder() as work:
        for check in checks(folder, keys, work):
            if check.problem:
                kind = UnreadableArtifact if check.unreadable else ArtifactError
                raise kind(f"{folder}: {check.what}: {check.problem}; {remedy}")
        return read_manifest(work)


def _file_checks(folder: Path, manifest: Manifest, copy: Path) -> Iterator[Check]:
    present, size = set(), 0
    for entry in islice(folder.rglob("*"), _MAX_ENTRIES):
        status, path = entry.lstat(), entry.relative_to(folder).as_posix()
        if stat.S_ISREG(status.st_mode):
            if path != MANIFEST:
                present.add(path)
                size += status.st_size
        elif not stat.S_ISDIR(status.st_mode):
            seen = "a link" if stat.S_ISLNK(status.st_mode) else "a device or pipe"
            yield Check(path, f"{seen}, expected a regular file", unreadable=True)
    number = max(len(present), len(manifest.files))
    if number > MAX_FILES or size > MAX_TOTAL:
        yield Check("files", f"{number} with {size} bytes in all, expected at most {MAX_FILES} with {MAX_TOTAL}")
        return
    missing = missing_file(manifest.domain, manifest.files)
    yield Check("files", f"{missing} is missing, expected in {manifest.domain}" if missing else None)
    left = MAX_TOTAL
    for path in sorted(present | set(manifest.files)):
        try:
            copied, problem = _copied(folder, path, manifest.files.get(path), path in present, copy, left)
            left -= copied
        except OSError as error:
            problem = f"cannot be read: {error.strerror}"
        yield Check(path, problem, unreadable=True) if problem else Check(path, _content_problem(copy, path))


def _copied(
    folder: Path, path: str, expected: str | None, present: bool, copy: Path, left: int
) -> tuple[int, str | None]:
    """Copy a file of at most `left` bytes; its size, and its problem."""
    if expected is None:
        return 0, "not named in the manifest"
    relative = PurePosixPath(path)
    if relative.is_absolute() or ".." in relative.parts:
        return 0, "named in the manifest, but outside the folder"
    if not present:
        return 0, "named in the manifest, but missing"
    target, size, sha256 = copy / path, 0, hashlib.sha256()
    with writing_private(copy):
        target.parent.mkdir(parents=True, exist_ok=True)
    with open_regular(folder / path, MAX_FILE, links=False) as source, target.open("xb") as file:
        for piece in pieces(source, min(MAX_FILE, left)):
            size += len(piece)
            sha256.update(piece)
            with writing_private(copy):
                file.write(piece)
    seen = sha256.hexdigest()
    if seen != expected:
        return size, f"its SHA-256 is {seen[:12]}…, expected {expected[:12]}…"
    return size, None


def _content_problem(copy: Path, path: str) -> str | None:
    file = copy / path
    if path == FILE and isinstance(found := guarded(read_environment, copy), Fault):
        return message(found).removeprefix(f"{file}: ")
    inflated = _inflated(file)
    if inflated > MAX_TOTAL:
        return f"inflates to {inflated} bytes, expected at most {MAX_TOTAL}"
    if reason := pickled(file):
        return f"{reason}, expected JSON, npz of numbers or text: reading a pickle runs code; train again without it"
    return None


def _inflated(path: Path) -> int:
    """The bytes that an archive inflates to by its directory, which readers enforce; 0 for any other file."""
    try:
        with path.open("rb") as file:
            if file.read(2) != b"PK" and not zipfile.is_zipfile(file):
                return 0
        with zipfile.ZipFile(path) as archive:
            return sum(member.file_size for member in archive.infolist())
    # A file that is no readable archive inflates to nothing; loading it shows whether the domain can use it.
    except (zipfile.BadZipFile, OSError, ValueError, LookupError, NotImplementedError, UnicodeDecodeError):
        return 0
