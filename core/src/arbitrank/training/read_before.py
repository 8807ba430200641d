"""Memory of data files that were read: the same bytes, code and settings need not be read again to be known as such.

Nor need weights that the self-check refused be trained again, as they would be the same.

It is a file beside the domain's log. Nothing depends on it but time: without it the examples are read and compared.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path

import msgspec
from msgspec.structs import replace

from arbitrank.negatives.installed import installed_negatives
from arbitrank.store.artifact import digest
from arbitrank.training.code_digest import sources_of
from arbitrank.training.datasets import Dataset
from arbitrank.training.locations import files_for, is_url
from arbitrank.training.outcome import TrainingOutcome


class ReadBefore(msgspec.Struct, frozen=True):
    """Data that were read: the fingerprint of the training, the number of examples, and remarks on them.

    `files` is the digest of the files and of all that decides how they are read, None where there are none.
    `negatives` is that of the shared negatives that were installed, empty where none could be added. `refused` is the
    outcome where the self-check refused the weights.
    """

    made_of: str
    rows: int
    notes: tuple[str, ...]
    files: str | None
    negatives: str = ""
    refused: TrainingOutcome | None = None

    def with_refused(self, outcome: TrainingOutcome) -> ReadBefore:
        """The memory of a training whose weights the self-check refused, with the note that a later run gives."""
        note = (
            f"domain {outcome.domain}: its data, code and settings are those that were refused before, so that it was "
            "not trained again; to train it all the same: --force"
        )
        return replace(self, refused=replace(outcome, notes=(*outcome.notes, note)))


def files_digest(data: object, domain: str, beside: Sequence[object]) -> str | None:
    """The digest of a domain's data files in a folder, and of `beside`; None where they are elsewhere or unreadable.

    Raises `DataError` as `files_for` does.
    """
    if not isinstance(data, Dataset) or is_url(data.location):
        return None
    found = []
    for one in files_for([domain], data.location):
        try:
            with open(one.where, "rb") as file:
                found.append((one.where, hashlib.file_digest(file, "sha256").hexdigest()))
        except OSError:  # which reading the examples reports
            return None
    parts = [found, data, domain, sources_of("arbitrank"), beside]
    return digest(msgspec.json.encode(parts, order="deterministic"))


@cache
def negatives_digest() -> str:
    """The digest of the installed shared negatives."""
    installed = installed_negatives()
    return digest(msgspec.json.encode((sorted(one.digest for one in installed.sets), installed.notes)))


def remembered(log: str | None, files: str | None) -> ReadBefore | None:
    """The memory of files with this digest; None where there is none that holds now."""
    if log is None or files is None:
        return None
    with suppress(OSError, msgspec.MsgspecError):
        before = msgspec.json.decode(_path(log).read_bytes(), type=ReadBefore)
        if before.files == files and before.negatives in ("", negatives_digest()):
            return before
    return None


def remember(log: str | None, read: ReadBefore) -> None:
    """Remember what was read last for a domain, where its log can be written."""
    if log is None or read.files is None:
        return
    path = _path(log)
    arriving = path.with_suffix(f".{os.getpid()}")
    with suppress(OSError):
        arriving.write_bytes(msgspec.json.encode(read))
        arriving.replace(path)


def _path(log: str) -> Path:
    return Path(log).with_suffix(".read.json")
