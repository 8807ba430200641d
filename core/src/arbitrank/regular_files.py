"""Bounded reads of regular files: no pipe or device is waited for, and no file is read beyond its limit.

A file is opened once without blocking, and what was opened is what is checked and read. Everything here raises
`OSError`, whose `strerror` states what was seen and what was expected.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO

__all__ = ["open_regular", "pieces", "read_regular", "writable_by_all"]

_PIECE = 1 << 20
_FLAGS = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
_NO_LINKS = getattr(os, "O_NOFOLLOW", 0)


def open_regular(path: Path, limit: int, *, links: bool = True) -> BinaryIO:
    """A regular file of at most `limit` bytes, opened for reading; without `links` a symbolic link is refused."""
    _check_kind(path, (path.stat if links else path.lstat)().st_mode)  # opening some devices has an effect
    file = os.fdopen(os.open(path, _FLAGS if links else _FLAGS | _NO_LINKS), "rb")
    with ExitStack() as on_error:
        on_error.callback(file.close)
        status = os.fstat(file.fileno())
        _check_kind(path, status.st_mode)
        _check_size(path, status.st_size, limit)
        on_error.pop_all()
    return file


def read_regular(path: Path, limit: int, *, links: bool = True) -> bytes:
    """The content of a regular file of at most `limit` bytes; what is appended meanwhile is left out."""
    with open_regular(path, limit, links=links) as file:
        return file.read(os.fstat(file.fileno()).st_size)


def pieces(file: BinaryIO, limit: int) -> Iterator[bytes]:
    """The content of an opened file in pieces; one that grows beyond `limit` bytes while it is read is an error."""
    size = 0
    while piece := file.read(min(_PIECE, limit + 1 - size)):
        size += len(piece)
        _check_size(None, size, limit)
        yield piece


def writable_by_all(path: Path) -> bool:
    """True where every user of this machine may change a file, or add files to a folder.

    A file system that is mounted for reading alone does not count, whatever the modes in it: containers get secrets so.
    """
    if os.name == "nt":  # modes say nothing there
        return False
    mounted = os.statvfs(path)
    return bool(path.stat().st_mode & stat.S_IWOTH) and not mounted.f_flag & os.ST_RDONLY


def _check_kind(path: Path, mode: int) -> None:
    if not stat.S_ISREG(mode):
        kinds = ((stat.S_ISLNK, "a link"), (stat.S_ISDIR, "a folder"), (stat.S_ISFIFO, "a pipe"))
        seen = next((name for test, name in kinds if test(mode)), "a device or socket")
        raise OSError(errno.EINVAL, f"{seen}, expected a regular file", str(path))


def _check_size(path: Path | None, size: int, limit: int) -> None:
    if size > limit:
        raise OSError(errno.EFBIG, f"{size} bytes, expected at most {limit}", path and str(path))
