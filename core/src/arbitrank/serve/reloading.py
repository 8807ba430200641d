"""A file that is read again when it changes; where what it says by then is wrong, what it said before holds on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

from arbitrank.errors import InputError

T = TypeVar("T")


class Watched(Generic[T]):
    """What a file says, as `read` reads it. Raises what `read` raises if the file is wrong to begin with.

    `problem` is why its last change was not taken, None where it was.
    """

    def __init__(self, path: Path, read: Callable[[Path], T]) -> None:
        self.path, self._read = path, read
        self._seen = _mark(path)
        self.value = read(path)
        self.problem: str | None = None

    def look(self) -> bool:
        """Read the file again if it has changed; whether there is something new to say of it."""
        mark = _mark(self.path)
        if mark == self._seen:
            return False
        self._seen = mark
        try:
            self.value, self.problem = self._read(self.path), None
        except InputError as error:
            self.problem = f"{error}; what it said before holds on"
        return True


def _mark(path: Path) -> tuple[int, int, int] | None:
    """What changes when the file does."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
