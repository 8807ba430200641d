"""The audit set of a store: the labelled requests on which candidates are judged, and the history of which file it is.

.audit/history/00000001.json    a change: the SHA-256 and the name of the file
.audit/SHA256.jsonl             the file
"""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path
from typing import Annotated

import msgspec

from arbitrank.errors import DataError, StoreError, os_errors
from arbitrank.regular_files import open_regular, pieces, read_regular
from arbitrank.store.artifact import MAX_TOTAL, digest, write_durably
from arbitrank.store.backend import StoreBackend
from arbitrank.store.history import Entry, History
from arbitrank.store.local_copies import writing_copy
from arbitrank.store.private_copies import new_folder, writing_private


class AuditChange(Entry, frozen=True, kw_only=True):
    """One change of the audit set: the SHA-256 and the name of the file that is the audit set after it."""

    digest: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]
    name: str


def audit_history(backend: StoreBackend) -> History[AuditChange]:
    """The history of the audit set."""
    return History(backend, ".audit/history", AuditChange)


def audit_key(backend: StoreBackend) -> str | None:
    """The key of the file that is the audit set, None where none was set."""
    latest = audit_history(backend).latest()
    return None if latest is None else _key(latest.digest, latest.name)


def read_audit_set(backend: StoreBackend, copies: Path, key: str) -> Path:
    """A private copy of the audit set at a key, verified as a copy; of a remote store by way of the cache in `copies`.

    Raises `StoreError` where it is missing or damaged.
    """
    name = key.rpartition("/")[2]
    folder, sha256 = new_folder(), name.partition(".")[0]
    local = backend.local(key)
    source = copies / key if local is None else local
    if _copied(source, folder / name, sha256):
        return folder / name
    if local is None and (content := backend.read(key, MAX_TOTAL)) is not None:
        with writing_copy(source):
            source.parent.mkdir(parents=True, exist_ok=True)
            write_durably(source, content)
        if _copied(source, folder / name, sha256):
            return folder / name
    shutil.rmtree(folder, ignore_errors=True)
    raise StoreError(f"store {backend}: the audit set is damaged; set it again: arbitrank audit-set FILE")


def write_audit_set(backend: StoreBackend, path: Path) -> str:
    """Keep a file as the audit set; its SHA-256."""
    with os_errors(DataError, f"{path}: cannot be read"):
        content = read_regular(path, MAX_TOTAL)
    sha256 = digest(content)
    key = _key(sha256, path.name)
    backend.write(key, content)
    history = audit_history(backend)
    while True:
        latest = history.latest()
        if latest and _key(latest.digest, latest.name) == key:
            return sha256
        number = latest.number + 1 if latest else 1
        if history.append(AuditChange(number=number, digest=sha256, name=path.name)):
            return sha256


def _copied(source: Path, target: Path, expected: str) -> bool:
    """Copy a file in one reading; True where the copy has the expected SHA-256."""
    sha256 = hashlib.sha256()
    try:
        with open_regular(source, MAX_TOTAL, links=False) as file, target.open("wb") as copy:
            for piece in pieces(file, MAX_TOTAL):
                sha256.update(piece)
                with writing_private(target.parent):
                    copy.write(piece)
    except OSError:  # missing, or something else in its place
        return False
    return sha256.hexdigest() == expected


def _key(sha256: str, name: str) -> str:
    """The file's key, with the suffix that tells how to read it."""
    return f".audit/{sha256}{'.jsonl.gz' if name.endswith('.gz') else '.jsonl'}"
