"""The last signed changes that this user's processes have seen, by store: no reader accepts a shorter history again.

They are kept in the user's state folder. A process that cannot write there still remembers what it saw itself.
"""

from __future__ import annotations

import threading
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import msgspec

from arbitrank.regular_files import read_regular
from arbitrank.store.artifact import digest, write_durably
from arbitrank.store.backend import StoreBackend

_MAX_BYTES = 1 << 22


class SeenChange(msgspec.Struct, frozen=True):
    """The number of the last change that was seen, and the SHA-256 of its file."""

    number: Annotated[int, msgspec.Meta(ge=1)]
    digest: str


class _SeenFile(msgspec.Struct, frozen=True):
    """The changes seen of one store, by the prefix of the history."""

    store: str
    histories: dict[str, SeenChange] = {}


class SeenChanges:
    """The last changes that were seen in one store. Thread-safe."""

    def __init__(self, backend: StoreBackend, folder: Path | None = None) -> None:
        root = backend.local("")
        self._store = str(backend) if root is None else str(root.resolve())
        self._folder = folder
        self._seen: dict[str, SeenChange] = {}
        self._lock = threading.Lock()

    @property
    def path(self) -> Path:
        """The file in which they are kept."""
        if self._folder is None:
            from platformdirs import user_state_path

            self._folder = user_state_path("arbitrank") / "seen"
        return self._folder / f"{digest(self._store.encode())[:16]}.json"

    def last(self, prefix: str) -> SeenChange | None:
        """The last change that was seen in a history, by this process or an earlier one."""
        with self._lock:
            return _later(self._seen.get(prefix), self._read().get(prefix))

    def see(self, prefix: str, change: SeenChange) -> None:
        """Remember a change, as the last one of its history."""
        with self._lock:
            if self._seen.get(prefix) == change:
                return
            self._seen[prefix] = change
            kept = self._read()
            if _later(change, kept.get(prefix)) is change:
                with suppress(OSError):  # then this process alone remembers it
                    self.path.parent.mkdir(parents=True, exist_ok=True)
                    content = msgspec.json.encode(_SeenFile(self._store, {**kept, prefix: change}))
                    write_durably(self.path, content)

    def forget(self, prefix: str) -> None:
        """Forget a history, whose end is vouched for anew."""
        with self._lock:
            self._seen.pop(prefix, None)
            kept = self._read()
            if kept.pop(prefix, None):
                with suppress(OSError):
                    write_durably(self.path, msgspec.json.encode(_SeenFile(self._store, kept)))

    def _read(self) -> dict[str, SeenChange]:
        try:
            return msgspec.json.decode(read_regular(self.path, _MAX_BYTES), type=_SeenFile).histories
        except (OSError, ValueError):  # none was seen, or the file is damaged
            return {}


def _later(one: SeenChange | None, other: SeenChange | None) -> SeenChange | None:
    if one is None or other is None:
        return one or other
    return one if one.number >= other.number else other
