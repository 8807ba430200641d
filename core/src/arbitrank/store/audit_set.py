"""The audit set of a store: the labelled requests on which candidates are judged, and the history of which file it is.

.audit/history/00000001.json    a change: the SHA-256 and the name of the file
.audit/SHA256.jsonl             the file
"""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec

from arbitrank.errors import DataError, StoreError, os_errors
from arbitrank.regular_files import open_regular, pieces, read_regular
from arbitrank.store.artifact import MAX_TOTAL, digest, write_durably
from arbitrank.store.backend import StoreBackend
from arbitrank.store.history import Entry, History
from arbitrank.store.local_copies import writing_copy
from arbitrank.store.private_copies import new_folder, writing_private
from arbitrank.store.seen_changes import SeenChanges
from arbitrank.store.signed_history import Trust
from arbitrank.store.signing import Keys

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

AUDIT = ".audit"
"""The name of the audit set among keys and folders."""


class AuditChange(Entry, frozen=True, kw_only=True):
    """One change of the audit set: the SHA-256 and the name of the file that is the audit set after it."""

    digest: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]
    name: str


def audit_history(
    backend: StoreBackend, keys: Keys | None = None, seen: SeenChanges | None = None
) -> History[AuditChange]:
    """The history of the audit set; with `keys`, its changes have to be signed by keys of `.audit` or `.changes`."""
    prefix = f"{AUDIT}/history"
    return History(backend, prefix, AuditChange, Trust(keys, AUDIT, prefix) if keys else None, seen)


def audit_key(history: History[AuditChange]) -> str | None:
    """The key of the file that is the audit set, None where none was set."""
    latest = history.latest()
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


def write_audit_set(history: History[AuditChange], path: Path, key: Ed25519PrivateKey | None = None) -> str:
    """Keep a file as the audit set; its SHA-256. With `key` the change is signed."""
    backend = history.backend
    history.check_key(key)
    with os_errors(DataError, f"{path}: cannot be read"):
        content = read_regular(path, MAX_TOTAL)
    sha256 = digest(content)
    name = _key(sha256, path.name)
    latest = history.latest()
    backend.write(name, content)
    while latest is None or _key(latest.digest, latest.name) != name:
        number = latest.number + 1 if latest else 1
        if history.append(AuditChange(number=number, digest=sha256, name=path.name), key):
            break
        latest = history.latest()
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
