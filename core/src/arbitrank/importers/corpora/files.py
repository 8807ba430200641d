"""Files of a corpus to import: one file, a folder or a zip archive, each read within limits and decoded as UTF-8."""

from __future__ import annotations

import re
import sys
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path, PurePath, PurePosixPath
from typing import NamedTuple

from arbitrank.errors import DataError, InputError, os_errors

__all__ = ["MAX_BYTES", "SourceFile", "lines_of", "locale_in", "same_locale", "source_files", "split_in"]

MAX_BYTES = 256 << 20
"""Bytes of one file, and of all files of a zip archive, at most."""

MAX_FILES = 50_000
"""Files of a folder or an archive at most."""

_SPLIT = re.compile(r"(?:^|[^a-z])(train|dev|valid|val|test)(?:ing|idation|idate)?(?:[^a-z]|$)")
_LOCALE = re.compile(r"(?:^|[/_.])([a-z]{2})(?:[-_]([A-Za-z]{2}))?(?=[/.]|$)")
_LANGUAGE = re.compile(  # ISO 639-1
    r"a[abefkmnrsvyz]|b[aeghimnors]|c[aehorsuvy]|d[aevz]|e[elnostu]|f[afijory]|g[adlnuv]|h[aeiortuyz]"
    r"|i[adegikostu]|j[av]|k[agijklmnorsuvwy]|l[abginotuv]|m[ghiklnrsty]|n[abdeglnorvy]|o[cjmrs]"
    r"|p[ailst]|q[u]|r[mnouw]|s[acdegiklmnoqrstuvw]|t[aeghiklnorstwy]|u[gkrz]|v[eio]|w[ao]|x[h]|y[io]"
    r"|z[ahu]"
)


class SourceFile(NamedTuple):
    """A file to import: the name for messages, the path within the folder or archive, and a function that reads it."""

    label: str
    path: PurePosixPath
    read: Callable[[], bytes]

    @property
    def text(self) -> str:
        """The file's text, unpacked where it is gzip. Raises `DataError` where it is no UTF-8."""
        raw = self.read()
        if raw.startswith(b"\x1f\x8b"):
            raw = _unpacked(raw, self.label)
        if raw[257:262] == b"ustar":
            raise DataError(f"{self.label}: a tar archive, expected a folder or a zip archive; unpack it: tar xf")
        if raw.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\0" in raw[:4]:
            raise DataError(f"{self.label}: it seems to be UTF-16; expected UTF-8: iconv -f UTF-16 -t UTF-8")
        try:
            return raw.decode("utf-8-sig")
        except UnicodeDecodeError as problem:
            line = raw.count(b"\n", 0, problem.start) + 1
            raise DataError(
                f"{self.label}:{line}: byte 0x{raw[problem.start]:02x} is no UTF-8; it seems to be Latin-1 or "
                "Windows-1252, expected UTF-8: iconv -f WINDOWS-1252 -t UTF-8"
            ) from None


def source_files(path: Path) -> list[SourceFile]:
    """The files at a path, in the order of their names: of a folder, of a zip archive, or the file itself.

    `-` is standard input. Hidden files and folders, and `node_modules`, are not read. Raises `InputError` where there
    is nothing.
    """
    if str(path) == "-":
        raw = sys.stdin.buffer.read(MAX_BYTES + 1)
        return [SourceFile("standard input", PurePosixPath("-"), lambda: _bounded(raw, "standard input"))]
    with os_errors(InputError, str(path)):
        if path.is_dir():
            found = sorted(_in_folder(path))
        elif path.is_file():
            found = _in_archive(path) if zipfile.is_zipfile(path) else [_of_file(path, PurePosixPath(path.name))]
        else:
            raise InputError(f"{path}: no such file or folder; expected the corpus to import")
    if not found:
        raise InputError(f"{path}: no file in it; expected the corpus to import")
    return found


def lines_of(file: SourceFile) -> Iterator[tuple[str, str]]:
    """The lines of a text file, each with its place `FILE:LINE`, without line ends."""
    for number, line in enumerate(file.text.split("\n"), 1):
        yield f"{file.label}:{number}", line.removesuffix("\r")


def split_in(path: PurePosixPath) -> str | None:
    """The split that a path names, `train`, `dev` or `test`: the last part that names one counts."""
    for part in reversed(path.parts):
        if match := _SPLIT.search(part.lower()):
            return "dev" if match[1] in ("valid", "val") else match[1]
    return None


def locale_in(path: PurePosixPath) -> str | None:
    """The locale that a path names, as `en` or `en-US`: the last one counts."""
    found = [match for match in _LOCALE.finditer(str(path)) if _LANGUAGE.fullmatch(match[1])]
    return None if not found else f"{found[-1][1]}-{found[-1][2].upper()}" if found[-1][2] else found[-1][1]


def same_locale(one: str, other: str | None) -> bool:
    """True where a locale is another, or the language of it, as `en` and `en-US`; None is any."""
    if other is None:
        return True
    a, b = (locale.lower().replace("_", "-") for locale in (one, other))
    return a == b or a.startswith(f"{b}-") or b.startswith(f"{a}-")


def _in_folder(folder: Path) -> Iterator[SourceFile]:
    count = 0
    for path in folder.rglob("*"):
        inner = path.relative_to(folder)
        if _hidden(inner) or not path.is_file():
            continue
        count += 1
        if count > MAX_FILES:
            raise InputError(f"{folder}: more than {MAX_FILES:,} files; expected the folder of one corpus")
        yield _of_file(path, PurePosixPath(*inner.parts))


def _hidden(inner: PurePath) -> bool:
    return any(part.startswith((".", "__MACOSX")) or part == "node_modules" for part in inner.parts)


def _unpacked(raw: bytes, label: str) -> bytes:
    try:
        return _bounded(zlib.decompressobj(31).decompress(raw, MAX_BYTES + 1), label)
    except zlib.error as error:
        raise DataError(f"{label}: cannot be read: {error}") from error


def _of_file(path: Path, inner: PurePosixPath) -> SourceFile:
    def read() -> bytes:
        with os_errors(DataError, str(path)), path.open("rb") as file:
            return _bounded(file.read(MAX_BYTES + 1), str(path))

    return SourceFile(str(path), inner.with_suffix("") if inner.suffix == ".gz" else inner, read)


def _bounded(raw: bytes, label: str) -> bytes:
    if len(raw) > MAX_BYTES:
        raise DataError(f"{label}: more than {MAX_BYTES >> 20} MiB; expected a smaller file, or several")
    return raw


def _in_archive(path: Path) -> list[SourceFile]:
    """The files in a zip archive. Their bytes are bounded in sum, whatever the archive states."""
    archive, left = zipfile.ZipFile(path), [MAX_BYTES]
    infos = [info for info in archive.infolist() if not info.is_dir()]
    if len(infos) > MAX_FILES:
        raise InputError(f"{path}: more than {MAX_FILES:,} files; expected the archive of one corpus")

    def reader(info: zipfile.ZipInfo) -> Callable[[], bytes]:
        def read() -> bytes:
            try:
                with archive.open(info) as file:
                    raw = file.read(left[0] + 1)
            # The archive's own faults: damaged, encrypted, or compressed in an unknown way.
            except (OSError, EOFError, RuntimeError, NotImplementedError, zipfile.BadZipFile, zlib.error) as error:
                raise DataError(f"{path}/{info.filename}: cannot be read: {error}") from error
            left[0] -= len(raw)
            if left[0] < 0:
                raise DataError(f"{path}: more than {MAX_BYTES >> 20} MiB unpacked; expected a smaller archive")
            return raw

        return read

    found = [(PurePosixPath(info.filename.replace("\\", "/")), info) for info in infos]
    return [
        SourceFile(f"{path}/{inner}", inner, reader(info))
        for inner, info in sorted(found, key=lambda pair: str(pair[0]))
        if not _hidden(inner)
    ]
