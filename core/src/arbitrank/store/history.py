"""A history of numbered changes, each created once and never modified; the present state is that of the last one.

    PREFIX/00000001.json
    PREFIX/00000002.json

A change is made by creating number n + 1 after having read number n. Of several concurrent writers one succeeds and the
others find the number taken, so no lock is needed; a writer that is killed leaves the whole change or nothing. Only the
numbers define the order: an entry's time is informative, as clocks may run backwards.
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
from arbitrank.store.artifact_checks import Check
from arbitrank.store.backend import StoreBackend

MAX_ENTRY = 1 << 20
"""Bytes of an entry at most."""

_NAME = re.compile(r"(\d{8})\.json")


def user() -> str:
    """The user that runs this process."""
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):  # a container may run as a user that has no name
        return "unknown"


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """The fields of every change: number, time (seconds since 1970), user, and a `token` that makes it unique."""

    number: int
    time: float = msgspec.field(default_factory=lambda: time.time())  # noqa: PLW0108 — a clock that tests can replace
    by: str = msgspec.field(default_factory=user)
    token: str = msgspec.field(default_factory=lambda: secrets.token_hex(8))


E = TypeVar("E", bound=Entry)


class History(Generic[E]):
    """All entries of one type under a prefix of a backend."""

    def __init__(self, backend: StoreBackend, prefix: str, entry_type: type[E]) -> None:
        self.backend, self.prefix, self._type = backend, prefix, entry_type
        self._latest: E | None = None  # numbers only grow, so the next read begins at the last known one

    def latest(self) -> E | None:
        """The last entry, None where there is none. Raises `StoreError` where it cannot be read."""
        latest = self._latest
        if latest is None:
            numbers = self._numbers()
            if not numbers:
                return None
            latest = self.entry(numbers[-1])
        while (raw := self.backend.read(self._key(latest.number + 1), MAX_ENTRY)) is not None:
            latest = self._decoded(latest.number + 1, raw)
        self._latest = latest
        return latest

    def holds(self) -> bool:
        """True while the entry that `latest` last returned exists."""
        return self._latest is None or self.backend.read(self._key(self._latest.number), MAX_ENTRY) is not None

    def entry(self, number: int) -> E:
        """One entry. Raises `StoreError` where it is missing or cannot be decoded."""
        raw = self.backend.read(self._key(number), MAX_ENTRY)
        if raw is None:
            raise self._missing(number)
        return self._decoded(number, raw)

    def entries(self, last: int = 0) -> list[E]:
        """All entries, or the `last` so many, oldest first."""
        return [self.entry(number) for number in self._numbers()[-last:]]

    def append(self, entry: E) -> bool:
        """Create the entry; False where its number is taken."""
        content = msgspec.json.format(msgspec.json.encode(entry), indent=1)
        try:
            msgspec.json.decode(content, type=self._type)
        except msgspec.ValidationError as error:
            raise InputError(f"store {self.backend}: invalid change: {error}") from error
        if entry.number > 1 and self.backend.read(self._key(entry.number - 1), MAX_ENTRY) is None:
            raise self._missing(entry.number - 1)
        key = self._key(entry.number)
        # A response may be lost and the call repeated: the number is then taken by this very entry.
        if not self.backend.create(key, content) and self.backend.read(key, MAX_ENTRY) != content:
            return False
        self._latest = entry
        return True

    def checks(self) -> Iterator[Check]:
        """One check of the whole: every file is an entry, and no number is missing."""
        names, present = self._names(), set(self._numbers())
        problems = [f"{name} is no entry; move it away" for name in names if not _NAME.fullmatch(name)]
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
            entry = msgspec.json.decode(raw, type=self._type)
        except (ValueError, RecursionError) as error:
            raise StoreError(
                f"store {self.backend}: {self._key(number)} is no change that can be decoded: {error}; restore it from "
                "a backup, or move it away to continue from the change before it"
            ) from error
        if entry.number != number:
            raise StoreError(f"store {self.backend}: {self._key(number)} has the number {entry.number}; move it away")
        return entry

    def _missing(self, number: int) -> StoreError:
        return StoreError(f"store {self.backend}: {self._key(number)} is missing; restore it from a backup")

    def _numbers(self) -> list[int]:
        matches = map(_NAME.fullmatch, self._names())
        return sorted(int(match[1]) for match in matches if match and int(match[1]))

    def _names(self) -> list[str]:
        return [kept.key.removeprefix(f"{self.prefix}/") for kept in self.backend.under(self.prefix)]

    def _key(self, number: int) -> str:
        return f"{self.prefix}/{number:08}.json"
