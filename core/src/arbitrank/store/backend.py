"""Where a store keeps its bytes: a handful of operations, each of which happens whole or not at all.

Everything else, the verbs, the history and what may be removed, is written once over these (`arbitrank.store.store`).
"""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple, Protocol

from arbitrank.errors import StoreError

_PLACINGS = 20  # tries to give a file its name; each that fails met the removal of one folder


class Kept(NamedTuple):
    """A key that is there, for how many seconds by this machine's clock, and how many bytes it has."""

    key: str
    age: float
    size: int


class Backend(Protocol):
    """Bytes under keys (`lights/history/00000001.json`). Every method raises `StoreError` where it is not answered."""

    def read(self, key: str) -> bytes | None:
        """The content of a key, None where there is no such key."""

    def create(self, key: str, content: bytes) -> bool:
        """Put the content where nothing is, durably; False where something is. Of many that try, one succeeds."""

    def write(self, key: str, content: bytes) -> None:
        """Put the content, in place of what is there; who reads meanwhile gets the one or the other, whole."""

    def under(self, prefix: str) -> list[Kept]:
        """Every key under the folder `prefix`, sorted."""

    def folders(self) -> list[str]:
        """The names of the folders at the top, sorted."""

    def delete(self, key: str) -> None:
        """Take a key away; one that isn't there is no error."""

    def sweep(self, age: float) -> None:
        """Take away what writes that were killed left behind more than `age` seconds ago."""

    def local(self, prefix: str) -> Path | None:
        """The folder `prefix` on this machine's disk, None where the bytes are elsewhere."""


class FolderBackend:
    """A folder on a disk, which need not exist yet; any number of processes may use it at once.

    A file is written under `.parts`, synced, and then linked to its name: it is never seen half written, and of two
    that create it one fails.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def __str__(self) -> str:
        return str(self.root)

    def read(self, key: str) -> bytes | None:
        """See `Backend`."""
        with self._reading(key):
            try:
                return (self.root / key).read_bytes()
            except FileNotFoundError:
                return None

    def create(self, key: str, content: bytes) -> bool:
        """See `Backend`."""
        with self._writing(key), self._part(content) as part:
            try:
                _placed(os.link, part, self.root / key)
            except FileExistsError:
                return False
            return True

    def write(self, key: str, content: bytes) -> None:
        """See `Backend`."""
        with self._writing(key), self._part(content) as part:
            _placed(os.replace, part, self.root / key)

    def under(self, prefix: str) -> list[Kept]:
        """See `Backend`."""
        found = []
        with self._reading(prefix):
            now = time.time()
            for folder, _, names in os.walk(self.root / prefix, onerror=_raise_unless_gone):
                for name in names:
                    path = Path(folder) / name
                    try:
                        stat = path.lstat()
                    except FileNotFoundError:  # somebody removed it since
                        continue
                    found.append(Kept(path.relative_to(self.root).as_posix(), now - stat.st_mtime, stat.st_size))
        return sorted(found)

    def folders(self) -> list[str]:
        """See `Backend`."""
        with self._reading(""):
            try:
                return sorted(entry.name for entry in os.scandir(self.root) if entry.is_dir())
            except FileNotFoundError:
                return []

    def delete(self, key: str) -> None:
        """See `Backend`. Folders that it leaves empty go too."""
        with self._writing(key):
            path = self.root / key
            path.unlink(missing_ok=True)
            for folder in path.relative_to(self.root).parents[:-1]:
                try:
                    (self.root / folder).rmdir()
                except OSError:  # something else is in it, or somebody removed it first
                    break

    def sweep(self, age: float) -> None:
        """See `Backend`."""
        for part in self.under(".parts"):
            if part.age > age:
                (self.root / part.key).unlink(missing_ok=True)

    def local(self, prefix: str) -> Path | None:
        """See `Backend`."""
        return self.root / prefix

    @contextmanager
    def _part(self, content: bytes) -> Iterator[Path]:
        """A file with the content that is on the disk, under a name that nobody reads; gone afterwards."""
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

    @contextmanager
    def _reading(self, key: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise StoreError(f"store {self}: {key or 'its folder'} cannot be read: {_why(error)}") from error

    @contextmanager
    def _writing(self, key: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise StoreError(
                f"store {self}: {key} cannot be written: {_why(error)}; make room or give another with --store"
            ) from error


def _placed(place: Callable[[Path, Path], None], part: Path, target: Path) -> None:
    """Give a file its name by `place`, durably. Its folder may go meanwhile, where an old version is being removed."""
    for left in reversed(range(_PLACINGS)):
        try:
            _make(target.parent)
            place(part, target)
            break
        except FileNotFoundError:
            if not left:
                raise
    with suppress(FileNotFoundError):  # whoever removed it has the last word
        _sync(target.parent)


def _make(folder: Path) -> None:
    """Make a folder and those above it, so that they stay after a power cut."""
    if folder.is_dir():
        return
    _make(folder.parent)
    folder.mkdir(exist_ok=True)
    _sync(folder.parent)


def _sync(folder: Path) -> None:
    if os.name == "nt":  # a folder can't be opened there; the file system keeps its own journal
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _raise_unless_gone(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):
        raise error


def _why(error: OSError) -> str:
    return error.strerror or str(error)
