"""The storage of a store: a few atomic operations on bytes under keys, for a folder.

Everything else is written once over these (`arbitrank.store.store`).
"""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import NamedTuple, Protocol

from arbitrank.errors import StoreError, os_errors
from arbitrank.regular_files import read_regular

MAX_READ = 1 << 30
"""Bytes of a key that are read at most, unless less is asked for."""

MAX_KEYS = 1_000_000
"""Keys under one folder at most."""

_PLACINGS = 20  # tries to give a file its name; each fails where its folder is removed meanwhile


class Kept(NamedTuple):
    """A key with its age in seconds by this machine's clock and its size in bytes."""

    key: str
    age: float
    size: int


class StoreBackend(Protocol):
    """Bytes under keys (`lights/history/00000001.json`). Every method raises `StoreError` where it fails."""

    def read(self, key: str, limit: int = MAX_READ) -> bytes | None:
        """The content of a key, None where it does not exist. One of more than `limit` bytes is an error."""

    def create(self, key: str, content: bytes) -> bool:
        """Create a key durably; False where it exists. Of several concurrent calls one succeeds."""

    def write(self, key: str, content: bytes) -> None:
        """Create or replace a key; a concurrent reader gets the old or the new content."""

    def under(self, prefix: str) -> list[Kept]:
        """Every key under the folder `prefix`, sorted."""

    def folders(self) -> list[str]:
        """The names of the folders at the top, sorted."""

    def delete(self, key: str) -> None:
        """Remove a key, if it exists."""

    def sweep(self, age: float) -> None:
        """Remove the remains of writes that were interrupted more than `age` seconds ago."""

    def local(self, prefix: str) -> Path | None:
        """The folder `prefix` on this machine, None where the storage is remote."""


class FolderBackend:
    """A folder, which need not exist yet, shared by any number of processes.

    A file is written under `.parts`, synced, and then linked to its name: no reader sees it half written, and of two
    concurrent creations one fails.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def __str__(self) -> str:
        return str(self.root)

    def read(self, key: str, limit: int = MAX_READ) -> bytes | None:
        """Only a regular file is read: not a link, pipe or device."""
        with self._reading(key), suppress(FileNotFoundError):
            return read_regular(self.root / key, limit, links=False)
        return None

    def create(self, key: str, content: bytes) -> bool:
        with self._writing(key), self._part(content) as part, suppress(FileExistsError):
            _placed(os.link, part, self.root / key)
            return True
        return False

    def write(self, key: str, content: bytes) -> None:
        with self._writing(key), self._part(content) as part:
            _placed(os.replace, part, self.root / key)

    def under(self, prefix: str) -> list[Kept]:
        kept = []
        with self._reading(prefix):
            now = time.time()
            for folder, _, names in os.walk(self.root / prefix, onerror=_raise_unless_gone):
                for name in names:
                    path = Path(folder) / name
                    with suppress(FileNotFoundError):  # removed since it was listed
                        stat = path.lstat()
                        kept.append(Kept(path.relative_to(self.root).as_posix(), now - stat.st_mtime, stat.st_size))
                check_number(self, prefix, len(kept))
        return sorted(kept)

    def folders(self) -> list[str]:
        with self._reading("its folder"), suppress(FileNotFoundError):
            return sorted(entry.name for entry in os.scandir(self.root) if entry.is_dir())
        return []

    def delete(self, key: str) -> None:
        """Folders that become empty are removed too."""
        with self._writing(key):
            path = self.root / key
            path.unlink(missing_ok=True)
            for folder in path.relative_to(self.root).parents[:-1]:
                try:
                    (self.root / folder).rmdir()
                except OSError:  # not empty, or removed already
                    break

    def sweep(self, age: float) -> None:
        for part in self.under(".parts"):
            if part.age > age:
                with suppress(PermissionError):  # another user's, where users share the folder
                    (self.root / part.key).unlink(missing_ok=True)

    def local(self, prefix: str) -> Path | None:
        return self.root / prefix

    @contextmanager
    def _part(self, content: bytes) -> Iterator[Path]:
        """A synced file with the content, under a temporary name; removed afterwards."""
        part = self.root / ".parts" / uuid.uuid4().hex
        _make(part.parent)
        try:
            with part.open("xb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            yield part
        finally:
            part.unlink(missing_ok=True)

    def _reading(self, key: str) -> AbstractContextManager[None]:
        return os_errors(StoreError, f"store {self}: {key} cannot be read")

    def _writing(self, key: str) -> AbstractContextManager[None]:
        remedy = "; free space or name another with --store"
        return os_errors(StoreError, f"store {self}: {key} cannot be written", remedy)


def check_number(backend: StoreBackend, prefix: str, number: int) -> None:
    """Raise `StoreError` where there are more keys under a folder than are listed."""
    if number > MAX_KEYS:
        raise StoreError(f"store {backend}: {prefix}: more than {MAX_KEYS} files; move away what does not belong there")


def _placed(place: Callable[[Path, Path], None], part: Path, target: Path) -> None:
    """Give a file its name by `place`, durably, although `prune` may remove its folder meanwhile."""
    for left in reversed(range(_PLACINGS)):
        try:
            _make(target.parent)
            place(part, target)
            break
        except FileNotFoundError:
            if not left:
                raise
    with suppress(FileNotFoundError):  # removed again already
        _sync(target.parent)


def _make(folder: Path) -> None:
    """Make a folder and its parents, so that they survive a power failure."""
    if folder.is_dir():
        return
    _make(folder.parent)
    folder.mkdir(exist_ok=True)
    _sync(folder.parent)


def _sync(folder: Path) -> None:
    if os.name == "nt":  # a folder can't be opened there; the file system has a journal
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _raise_unless_gone(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):
        raise error
