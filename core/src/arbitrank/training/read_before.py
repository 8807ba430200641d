"""Memory of data files that were read: the same bytes, code and settings need not be read again to be known as such.

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

from arbitrank.negatives.installed import installed_negatives
from arbitrank.store.artifact import digest
from arbitrank.training.code_digest import sources_of
from arbitrank.training.datasets import Dataset
from arbitrank.training.locations import files_for, is_url


class ReadBefore(msgspec.Struct, frozen=True):
    """Data that were read: the fingerprint of the training, the number of examples, and remarks on them.

    `files` is the digest of the files and of all that decides how they are read, None where there are none.
    `negatives` is that of the shared negatives that were installed, empty where none could be added.
    """

    made_of: str
    rows: int
    notes: tuple[str, ...]
    files: str | None
    negatives: str = ""


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
