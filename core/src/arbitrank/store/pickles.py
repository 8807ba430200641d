"""Pickles in an artifact, found by their content whatever their names: reading one runs code of whoever wrote it.

Every file is inspected, and what archives and compressed files hold, down to the third level. What is too much or too
deep to be inspected is refused, as an archive that hides more than it shows.
"""

from __future__ import annotations

import bz2
import lzma
import pickletools
import re
import zipfile
import zlib
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import IO, Any

from arbitrank.guard import Fault, guarded

_NAMES = frozenset({".pkl", ".pickle", ".joblib", ".dill", ".cloudpickle"})
_HEAD = 1 << 18  # bytes of a file, or of what one holds, that are looked at for a pickle
_OPCODES = 20_000
_LONGEST = 1 << 12  # bytes of an opcode that ends beyond what is looked at
_MEMBERS = 1_000
_LEVELS = 3
_MAX_INNER = 256 << 20  # bytes of an archive inside of another one, which is read whole
_PIECE = 1 << 16
_NPY = b"\x93NUMPY"
_IMPORTED = re.compile(r"[A-Za-z_][\w.]* [A-Za-z_][\w.]*")
_IMPORTS = frozenset({"GLOBAL", "STACK_GLOBAL", "INST", "EXT1", "EXT2", "EXT4"})
_CALLS = frozenset({"REDUCE", "OBJ", "NEWOBJ", "NEWOBJ_EX", "INST", "BUILD"})
_COMPRESSED: tuple[tuple[bytes, Callable[[], Any]], ...] = (
    (b"\x1f\x8b", lambda: zlib.decompressobj(31)),
    (b"BZh", bz2.BZ2Decompressor),
    (b"\xfd7zXZ", lzma.LZMADecompressor),
    (b"\x5d\x00\x00", lambda: lzma.LZMADecompressor(lzma.FORMAT_ALONE)),
    *((bytes((0x78, level)), zlib.decompressobj) for level in (0x01, 0x5E, 0x9C, 0xDA)),  # as joblib compresses
)
_UNKNOWN = {b"\x28\xb5\x2f\xfd": "zstd", b"\x04\x22\x4d\x18": "lz4"}


class _Uninspected(Exception):
    """Raised for content that is too much or too deep to be inspected; its text is the reason."""


def pickled(path: Path) -> str | None:
    """The reason why a file is taken for a pickle, or to hold one; None where it is not. Never raises."""
    if path.suffix.lower() in _NAMES:
        return "a pickle by its name"
    found = guarded(_inspected, path)
    return "content that cannot be inspected for pickles" if isinstance(found, Fault) else found


def _inspected(path: Path) -> str | None:
    with path.open("rb") as file:
        head = file.read(_HEAD)
        if _is_pickle(head):
            return "a pickle by its content"
        if _of_objects(head):
            return "an array of objects, a pickle"
        try:
            for name, inner in _inside(file, head, path.name, _LEVELS):
                if _is_pickle(inner) or Path(name).suffix.lower() in _NAMES:
                    return f"which holds a pickle ({name})"
                if _of_objects(inner):
                    return f"which holds an array of objects ({name}), a pickle"
        except _Uninspected as error:
            return f"which cannot be inspected for pickles: {error}"
    return None


def _inside(file: IO[bytes], head: bytes, name: str, levels: int) -> Iterator[tuple[str, bytes]]:
    """The names and first bytes of everything inside an archive or a compressed file, at every level."""
    file.seek(0)
    if unknown := next((kind for magic, kind in _UNKNOWN.items() if head.startswith(magic)), None):
        raise _Uninspected(f"{name} is compressed by {unknown}")
    for inner_name, read in _members(file, head, name):
        if not levels:
            raise _Uninspected(f"{name} is an archive inside of {_LEVELS} others")
        inner_head = read(_HEAD)
        yield inner_name, inner_head
        if _is_container(inner_head):
            whole = inner_head + read(_MAX_INNER)
            if len(whole) > _MAX_INNER:
                raise _Uninspected(f"{inner_name} in {name} is an archive of more than {_MAX_INNER} bytes")
            yield from _inside(BytesIO(whole), inner_head, inner_name, levels - 1)


_Read = Callable[[int], bytes]


def _is_container(head: bytes) -> bool:
    magics = (b"PK", *(magic for magic, _ in _COMPRESSED), *_UNKNOWN)
    return head.startswith(magics) or head[257:262] == b"ustar"


def _members(file: IO[bytes], head: bytes, name: str) -> Iterator[tuple[str, _Read]]:
    """The members of a container, each with a function that reads on in it; none of a file that is no container."""
    if head.startswith(b"PK") or zipfile.is_zipfile(file):  # an archive may begin behind something else
        file.seek(0)
        yield from _zip_members(file, name)
    elif head[257:262] == b"ustar":
        file.seek(0)
        yield from _tar_members(file, name)
    else:
        file.seek(0)
        for magic, decompressor in _COMPRESSED:
            if head.startswith(magic):
                yield name, _inflating(file, decompressor())


def _zip_members(file: IO[bytes], name: str) -> Iterator[tuple[str, _Read]]:
    try:
        archive = zipfile.ZipFile(file)
    except (zipfile.BadZipFile, OSError, ValueError):  # what begins like one and is none is read by nobody as one
        return
    with archive:
        members = archive.infolist()
        if len(members) > _MEMBERS:
            raise _Uninspected(f"{name} has {len(members)} members, expected at most {_MEMBERS}")
        for member in members:
            try:
                content = archive.open(member)
            except (RuntimeError, NotImplementedError) as error:  # encrypted, or compressed in another way
                raise _Uninspected(f"{member.filename} in {name}: {error}") from error
            with content:
                yield member.filename, content.read


def _tar_members(file: IO[bytes], name: str) -> Iterator[tuple[str, _Read]]:
    import tarfile  # here, as hardly any artifact has one

    with tarfile.open(fileobj=file) as tar:
        for number, entry in enumerate(tar):
            if number >= _MEMBERS:
                raise _Uninspected(f"{name} has more than {_MEMBERS} members")
            content = tar.extractfile(entry)
            if content is not None:
                yield entry.name, content.read


def _inflating(file: IO[bytes], decompressor: Any) -> _Read:
    """A function that inflates on, up to a number of bytes; it ends where the content is damaged.

    A reader may have run a pickle before it comes to a checksum, so that what is before the damage counts.
    """
    kept = b""

    def read(size: int) -> bytes:
        nonlocal kept
        found = bytearray()
        while len(found) < size and not decompressor.eof:
            piece = kept or file.read(_PIECE)
            before = decompressor.copy() if hasattr(decompressor, "copy") else None
            inflated = guarded(decompressor.decompress, piece, size - len(found))
            if isinstance(inflated, Fault):
                if before is None:
                    raise _Uninspected("damaged") from inflated.error
                return bytes(found) + _until_damage(before, piece)
            kept = getattr(decompressor, "unconsumed_tail", b"")
            found += inflated
            if not piece and not inflated:
                break
        return bytes(found)

    return read


def _until_damage(decompressor: Any, piece: bytes) -> bytes:
    """The content of a compressed piece up to its damage, or its wrong checksum."""
    found = bytearray()
    for i in range(len(piece)):
        inflated = guarded(decompressor.decompress, piece[i : i + 1])
        if isinstance(inflated, Fault):
            break
        found += inflated
    return bytes(found)


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
    """True where the bytes begin with opcodes of a pickle: of a protocol of 2 or above, or of an earlier one.

    Reading stops at the first byte that is no opcode, and what was called until then has run: so a beginning that calls
    something counts, whatever follows.
    """
    if not head:
        return False
    ended, calls, opcodes = _read(head)
    if head[0] == 0x80 and len(head) > 1 and head[1] <= 5:
        return ended or calls or opcodes >= 3 or head[2:3] in (b"\x95", b"}", b"]", b"c", b"(")
    return calls or (ended and opcodes >= 2 and head[:1] in b"(c]}IFSVNLKX")


def _read(head: bytes) -> tuple[bool, bool, int]:
    """Read opcodes until one is none: whether they are a whole pickle, whether they call something, their number."""
    depth, imports, count, calls = 0, 0, 0, False
    marks: list[int] = []
    try:
        for opcode, argument, place in pickletools.genops(head):
            count += 1
            if count >= _OPCODES or (place or 0) > _HEAD - _LONGEST:  # so far a pickle
                return True, calls, count
            if opcode.name in ("GLOBAL", "INST") and not _IMPORTED.fullmatch(str(argument)):
                return False, calls, count
            taken = opcode.stack_before
            if opcode.name == "POP" and marks and marks[-1] == depth:  # what it takes is the mark
                marks.pop()
                continue
            if pickletools.markobject in taken:
                if not marks:
                    return False, calls, count
                depth = marks.pop()
                taken = taken[: taken.index(pickletools.markobject)]
            depth -= len(taken)
            if depth < 0:
                return False, calls, count
            if opcode.name in _IMPORTS:
                imports += 1
            calls = calls or (imports > 0 and opcode.name in _CALLS)
            if opcode.name == "MARK":
                marks.append(depth)
            else:
                depth += len(opcode.stack_after)
            if opcode.name == "STOP":
                return head.rstrip().endswith(b"."), calls, count
    except ValueError:  # no opcode, or the end
        pass
    return False, calls, count
