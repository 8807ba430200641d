"""Files that are read again when they change; an invalid change leaves the previous contents in force."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

from arbitrank.errors import InputError

T = TypeVar("T")


class Reloaded(Generic[T]):
    """Contents of a file, as `read` parses them. Raises what `read` raises where the file is invalid at the start.

    `problem`: why its last change was rejected, None where it was accepted.
    """

    def __init__(self, path: Path, read: Callable[[Path], T]) -> None:
        self.path, self._read = path, read
        self._seen = _fingerprint(path)
        self.value = read(path)
        self.problem: str | None = None

    def poll(self) -> bool:
        """Read the file again if it has changed; true where it has."""
        fingerprint = _fingerprint(self.path)
        if fingerprint == self._seen:
            return False
        self._seen = fingerprint
        try:
            self.value, self.problem = self._read(self.path), None
        except InputError as error:
            self.problem = f"{error}; the previous contents stay in force"
        return True


def _fingerprint(path: Path) -> tuple[int, int, int] | None:
    """Modification time, size and inode of a file; None where it does not exist."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino
