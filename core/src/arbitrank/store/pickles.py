"""Pickles in an artifact, found by their content whatever their names: reading one runs code of whoever wrote it."""

from __future__ import annotations

import pickletools
import tarfile
import zipfile
from collections.abc import Iterator
from io import BytesIO
from itertools import islice
from pathlib import Path
from typing import IO

from arbitrank.guard import Fault, guarded

_NAMES = frozenset({".pkl", ".pickle", ".joblib", ".dill", ".cloudpickle"})
_FIRST = 1 << 16  # bytes that are read of a file or of an archive's member
_OPCODES = 64
_NPY = b"\x93NUMPY"
_MEMBERS = 1_000
_COMPRESSED = {b"\x1f\x8b": "gzip", b"BZh": "bz2", b"\xfd7zXZ": "lzma"}


def pickled(path: Path) -> str | None:
    """The reason why a file is taken for a pickle, or to hold one; None where it is not. Never raises."""
    if path.suffix.lower() in _NAMES:
        return "a pickle by its name"
    found = guarded(_found, path)
    return None if isinstance(found, Fault) else found


def _found(path: Path) -> str | None:
    with path.open("rb") as file:
        head = file.read(_FIRST)
    if _is_pickle(head):
        return "a pickle by its content"
    for name, content in _members(path, head):
        if _is_pickle(content) or Path(name).suffix.lower() in _NAMES:
            return f"which holds a pickle ({name})"
        if _of_objects(content):
            return f"which holds an array of objects ({name}), a pickle"
    return "an array of objects, a pickle" if _of_objects(head) else None


def _of_objects(head: bytes) -> bool:
    """True for an array of numpy's that holds Python objects."""
    if not head.startswith(_NPY):
        return False
    from numpy.lib import format

    file = BytesIO(head)
    major, _ = format.read_magic(file)
    read = format.read_array_header_1_0 if major == 1 else format.read_array_header_2_0
    return bool(read(file)[2].hasobject)


def _is_pickle(head: bytes) -> bool:
    """True where the bytes are opcodes of a pickle: those of a protocol of 2 or above, or a whole one of an earlier."""
    if not head:
        return False
    if head[0] == 0x80 and len(head) > 1 and 2 <= head[1] <= 5:
        return not isinstance(guarded(_opcodes, head[:_FIRST]), Fault) or head[2:3] in (b"\x95", b"}", b"]", b"c", b"(")
    whole = guarded(_opcodes, head)  # a protocol without a mark: text that happens to be opcodes does not end in STOP
    return not isinstance(whole, Fault) and whole >= 2 and head.rstrip().endswith(b".") and head[:1] in b"(c]}IFSVNLKX"


def _opcodes(head: bytes) -> int:
    return sum(1 for _ in islice(pickletools.genops(head), _OPCODES))


def _members(path: Path, head: bytes) -> Iterator[tuple[str, bytes]]:
    """The first bytes of what is inside an archive or a compressed file."""
    if head.startswith(b"PK"):
        with zipfile.ZipFile(path) as archive:
            for member in archive.infolist()[:_MEMBERS]:
                with archive.open(member) as file:
                    yield member.filename, file.read(_FIRST)
    elif head[257:262] == b"ustar":
        with tarfile.open(path) as tar:
            for entry in islice(tar, _MEMBERS):
                inner: IO[bytes] | None = tar.extractfile(entry)
                if inner is not None:
                    yield entry.name, inner.read(_FIRST)
    else:
        for magic, module in _COMPRESSED.items():
            if head.startswith(magic):
                with __import__(module).open(path, "rb") as file:
                    yield path.name, file.read(_FIRST)
