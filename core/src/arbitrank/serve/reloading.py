"""Files that are read again, when they change or when asked; an invalid one leaves the previous contents in force."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

from arbitrank.errors import InputError

T = TypeVar("T")


class Reloaded(Generic[T]):
    """Contents of a file, as `read` parses them. Raises what `read` raises where the file is invalid at the start.

    `others` are files that `read` reads besides. `problem`: why the last contents were rejected, None where they were
    accepted.
    """

    def __init__(self, path: Path, read: Callable[[Path], T], *others: Path) -> None:
        self.path, self._read, self._paths = path, read, (path, *others)
        self._seen = self._fingerprints()
        self.value = read(path)
        self.problem: str | None = None

    def poll(self, *, always: bool = False) -> bool:
        """Read the file again if it has changed, or `always`; true where it was read."""
        fingerprints = self._fingerprints()
        if fingerprints == self._seen and not always:
            return False
        self._seen = fingerprints
        try:
            self.value, self.problem = self._read(self.path), None
        except InputError as error:
            self.problem = f"{error}; the previous contents stay in force"
        return True

    def _fingerprints(self) -> tuple[tuple[int, int, int] | None, ...]:
        return tuple(map(_fingerprint, self._paths))


def _fingerprint(path: Path) -> tuple[int, int, int] | None:
    """Modification time, size and inode of a file; None where it does not exist."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino
