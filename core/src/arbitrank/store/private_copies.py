"""Private folder of a process, for copies that no other user can change: what is verified in one is what is loaded.

It is made at the first use, with mode 700 under a fresh name among the temporary files (`TMPDIR`), and removed at exit.
A process that is killed leaves its folder behind; the next one removes it, as its lock is free then.
"""

from __future__ import annotations

import atexit
import os
import shutil
import stat
import tempfile
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from arbitrank.errors import StoreError, os_errors
from arbitrank.file_locks import try_lock

_PREFIX = "arbitrank-copies-"
_LOCK = ".lock"


class _Own(NamedTuple):
    """The private folder of the process `pid`, and the descriptor of its lock."""

    pid: int
    folder: Path
    lock: int


_own: list[_Own] = []  # of this process, and of those that it was forked from
_making = threading.Lock()


def private_folder() -> Path:
    """The private folder of this process; a forked one makes its own. Raises `StoreError` where none can be made."""
    with _making:
        if not _own or _own[-1].pid != os.getpid() or not _own[-1].folder.is_dir():
            _own.append(_made())
            atexit.register(_remove, _own[-1])
        return _own[-1].folder


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """A new, empty folder in the private one, which is removed at the end."""
    folder = new_folder()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def new_folder() -> Path:
    """A new, empty folder in the private one, for as long as this process runs."""
    within = private_folder()
    with writing_private(within):
        return Path(tempfile.mkdtemp(prefix="", dir=within))


def writing_private(folder: Path) -> AbstractContextManager[None]:
    """A block that writes into a private folder and raises `StoreError` where that fails: it is full, say."""
    return os_errors(StoreError, f"private copy {folder}: cannot be written", "; free space or set TMPDIR")


def _made() -> _Own:
    above = Path(tempfile.gettempdir())
    with writing_private(above):
        _check_above(above)
        _sweep(above)
        folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=above))
        lock = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        try_lock(lock)
    return _Own(os.getpid(), folder, lock)


def _check_above(folder: Path) -> None:
    """Raise `StoreError` where other users could exchange a private folder for one of theirs."""
    status = folder.stat()
    if os.name != "nt" and status.st_mode & stat.S_IWOTH and not status.st_mode & stat.S_ISVTX:
        raise StoreError(
            f"temporary folder {folder}: every user may replace what is in it (mode {stat.S_IMODE(status.st_mode):o}), "
            f"expected the sticky bit; run: chmod +t {folder}, or set TMPDIR"
        )


def _sweep(above: Path) -> None:
    """Remove the folders of this user's processes that were killed."""
    for left in above.glob(f"{_PREFIX}*"):
        with suppress(OSError):
            if left.is_symlink() or (hasattr(os, "getuid") and left.stat().st_uid != os.getuid()):
                continue
            lock = os.open(left / _LOCK, os.O_RDWR)  # one without a lock is being made
            try:
                if try_lock(lock):
                    shutil.rmtree(left, ignore_errors=True)
            finally:
                os.close(lock)


def _remove(own: _Own) -> None:
    if own.pid == os.getpid():  # not in a process that was forked since
        shutil.rmtree(own.folder, ignore_errors=True)
