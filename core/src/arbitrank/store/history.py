"""A history of numbered changes, each created once and never touched again; the present is the highest one's.

    PREFIX/00000001.json
    PREFIX/00000002.json

To change something is to create number n + 1 after having read n. Of many who do so at once one succeeds and the others
find the number taken, so no lock is needed; whoever is killed leaves the change or nothing. Numbers alone give the
order: what an entry says of the time is for people to read, and clocks may run backwards.
"""

from __future__ import annotations

import getpass
import re
import secrets
import time
from collections.abc import Iterator
from typing import Generic, TypeVar

import msgspec

from arbitrank.errors import InputError, StoreError
from arbitrank.store.artifact import Check
from arbitrank.store.backend import Backend

_NAME = re.compile(r"(\d{8})\.json")


def now() -> float:
    """The time, in seconds since 1970, as far as this machine knows."""
    return time.time()


def user() -> str:
    """Who runs this process."""
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):  # a container may run as a user that has no name
        return "unknown"


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """What every change says: its number, when (seconds since 1970) and by whom. `token` makes it unlike any other."""

    number: int
    time: float = msgspec.field(default_factory=now)
    by: str = msgspec.field(default_factory=user)
    token: str = msgspec.field(default_factory=lambda: secrets.token_hex(8))


E = TypeVar("E", bound=Entry)


class Log(Generic[E]):
    """One history: all entries under a prefix of a backend, of one kind."""

    def __init__(self, backend: Backend, prefix: str, kind: type[E]) -> None:
        self.backend, self.prefix, self.kind = backend, prefix, kind
        self._latest: E | None = None  # numbers only grow, so the next question begins where the last one ended

    def latest(self) -> E | None:
        """The present: the highest entry, None where there is none. Raises `StoreError` where it cannot be read."""
        latest = self._latest
        if latest is None:
            numbers = self._numbers()
            if not numbers:
                return None
            latest = self.entry(numbers[-1])
        while (raw := self.backend.read(self._key(latest.number + 1))) is not None:
            latest = self._decoded(latest.number + 1, raw)
        self._latest = latest
        return latest

    def holds(self) -> bool:
        """Whether the entry that `latest` gave last is still there."""
        return self._latest is None or self.backend.read(self._key(self._latest.number)) is not None

    def entry(self, number: int) -> E:
        """One entry. Raises `StoreError` where it is not there or not one."""
        raw = self.backend.read(self._key(number))
        if raw is None:
            raise StoreError(f"store {self.backend}: {self._key(number)} is gone; restore it from a backup")
        return self._decoded(number, raw)

    def entries(self, last: int = 0) -> list[E]:
        """All entries, or the `last` so many, oldest first."""
        return [self.entry(number) for number in self._numbers()[-last:]]

    def append(self, entry: E) -> bool:
        """Create the entry; False where somebody else took its number first."""
        content = msgspec.json.format(msgspec.json.encode(entry), indent=1)
        try:
            msgspec.json.decode(content, type=self.kind)
        except msgspec.ValidationError as error:
            raise InputError(f"store {self.backend}: a change that cannot be kept: {error}") from error
        if entry.number > 1 and self.backend.read(self._key(entry.number - 1)) is None:
            raise StoreError(f"store {self.backend}: {self._key(entry.number - 1)} is gone; restore it from a backup")
        key = self._key(entry.number)
        # An answer may be lost on its way and the call repeated: the number is then taken, by ourselves.
        if not self.backend.create(key, content) and self.backend.read(key) != content:
            return False
        self._latest = entry
        return True

    def checks(self) -> Iterator[Check]:
        """One check of the whole: every file is an entry, and no number is left out."""
        problems = []
        present = set(self._numbers())
        for name in self._names():
            if not _NAME.fullmatch(name):
                problems.append(f"{name} is no entry; move it away")
        for number in range(1, max(present, default=0) + 1):
            if number not in present:
                problems.append(f"{number:08}.json is missing")
                continue
            try:
                self.entry(number)
            except StoreError as error:
                problems.append(str(error))
        yield Check(self.prefix, "; ".join(problems) or None)

    def _decoded(self, number: int, raw: bytes) -> E:
        try:
            entry = msgspec.json.decode(raw, type=self.kind)
        except (ValueError, RecursionError) as error:
            raise StoreError(
                f"store {self.backend}: {self._key(number)} is no change that can be read: {error}; restore it from a "
                "backup, or move it away to go on with the change before it"
            ) from error
        if entry.number != number:
            raise StoreError(
                f"store {self.backend}: {self._key(number)} says that it is change {entry.number}; move it away"
            )
        return entry

    def _numbers(self) -> list[int]:
        matches = map(_NAME.fullmatch, self._names())
        return sorted(int(match[1]) for match in matches if match and int(match[1]))

    def _names(self) -> list[str]:
        return [kept.key.removeprefix(f"{self.prefix}/") for kept in self.backend.under(self.prefix)]

    def _key(self, number: int) -> str:
        return f"{self.prefix}/{number:08}.json"
