"""The audit set of a store: the labelled requests on which candidates are judged, and the history of which file it is.

.audit/history/00000001.json    a change: the SHA-256 and the name of the file
.audit/SHA256.jsonl             the file
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec

from arbitrank.errors import DataError, StoreError, os_errors
from arbitrank.store.artifact import digest, file_digest, write_durably
from arbitrank.store.backend import StoreBackend
from arbitrank.store.history import Entry, History
from arbitrank.store.local_copies import writing_copy


class AuditChange(Entry, frozen=True, kw_only=True):
    """One change of the audit set: the SHA-256 and the name of the file that is the audit set after it."""

    digest: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]
    name: str


def audit_history(backend: StoreBackend) -> History[AuditChange]:
    """The history of the audit set."""
    return History(backend, ".audit/history", AuditChange)


def read_audit_set(backend: StoreBackend, copies: Path) -> Path | None:
    """The verified audit set as a file, copied into `copies` where the store is remote; None where none was set."""
    latest = audit_history(backend).latest()
    if latest is None:
        return None
    key = _key(latest.digest, latest.name)
    path = backend.local(key)
    if path is None:
        path = copies / key
        if not _intact(path, latest) and (content := backend.read(key)) is not None:
            with writing_copy(path):
                path.parent.mkdir(parents=True, exist_ok=True)
                write_durably(path, content)
    if not _intact(path, latest):
        raise StoreError(f"store {backend}: the audit set is damaged; set it again: arbitrank audit-set FILE")
    return path


def write_audit_set(backend: StoreBackend, path: Path) -> str:
    """Keep a file as the audit set; its SHA-256."""
    with os_errors(DataError, f"{path}: cannot be read"):
        content = path.read_bytes()
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


def _intact(path: Path, change: AuditChange) -> bool:
    return path.is_file() and file_digest(path) == change.digest


def _key(sha256: str, name: str) -> str:
    """The file's key, with the suffix that tells how to read it."""
    return f".audit/{sha256}{'.jsonl.gz' if name.endswith('.gz') else '.jsonl'}"
