"""A history of numbered changes, each created once and never modified; the present state is that of the last one.

    PREFIX/00000001.json
    PREFIX/00000002.json

A change is made by creating number n + 1 after having read number n. Of several concurrent writers one succeeds and the
others find the number taken, so no lock is needed; a writer that is killed leaves the whole change or nothing. Only the
numbers define the order: an entry's time is informative, as clocks may run backwards. With trusted keys, every entry
has to be signed (`arbitrank.store.signed_history`).
"""

from __future__ import annotations

import getpass
import re
import secrets
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Annotated, Generic, Literal, NamedTuple, TypeVar

import msgspec

from arbitrank.errors import InputError, StoreError
from arbitrank.store.artifact import Signature
from arbitrank.store.artifact_checks import Check
from arbitrank.store.backend import StoreBackend
from arbitrank.store.seen_changes import SeenChange, SeenChanges
from arbitrank.store.signed_history import Trust, all_of, of_file, signed_entry

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

Digest = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]
"""A SHA-256 in hexadecimal digits."""

MAX_ENTRY = 1 << 20
"""Bytes of an entry at most."""

_AT_ONCE = 16
_NAME = re.compile(r"(\d{8})\.json")


def user() -> str:
    """The user that runs this process."""
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):  # a container may run as a user that has no name
        return "unknown"


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """The fields of every change: number, time (seconds since 1970), user, and a `token` that makes it unique.

    `via` is "service" where `by` is the name of a caller's token, not the user that runs the process. A signed one has
    the SHA-256 of the change before it, `previous`, or where it adopts a history that of all of them, `earlier`, too.
    """

    number: int
    time: float = msgspec.field(default_factory=lambda: time.time())  # noqa: PLW0108 — a clock that tests can replace
    by: str = msgspec.field(default_factory=user)
    token: str = msgspec.field(default_factory=lambda: secrets.token_hex(8))
    via: Literal["service"] | msgspec.UnsetType = msgspec.UNSET
    previous: Digest | msgspec.UnsetType = msgspec.UNSET
    earlier: Digest | msgspec.UnsetType = msgspec.UNSET
    signature: Signature | msgspec.UnsetType = msgspec.UNSET


E = TypeVar("E", bound=Entry)


class _Known(NamedTuple, Generic[E]):
    """The last entry that was read, and the digests of all entries that were verified, in their order."""

    latest: E
    digests: tuple[str, ...]


class History(Generic[E]):
    """All entries of one type under a prefix of a backend.

    With `trust`, every entry has to be signed and to follow the one before it, and none that `seen` has may be missing:
    all of them are verified once, later ones as they come.
    """

    def __init__(
        self,
        backend: StoreBackend,
        prefix: str,
        entry_type: type[E],
        trust: Trust | None = None,
        seen: SeenChanges | None = None,
    ) -> None:
        self.backend, self.prefix, self._type = backend, prefix, entry_type
        self._trust, self._seen = trust, seen
        # Numbers only grow, so the next read begins at the last known entry. Replaced as a whole, for several threads.
        self._known: _Known[E] | None = None

    def latest(self) -> E | None:
        """The last entry, None where there is none. Raises `StoreError` where it cannot be read or is not trusted."""
        known = self._known or self._whole()
        if known is None:
            return None
        later: list[bytes] = []
        while (raw := self.backend.read(self._key(known.latest.number + len(later) + 1), MAX_ENTRY)) is not None:
            later.append(raw)
        latest = known.latest
        for raw in later:
            latest = self._decoded(latest.number + 1, raw)
        if later:
            known = _Known(latest, self._verified(known.digests, later))
        self._known = known
        if self._seen and known.digests:
            self._seen.see(self.prefix, SeenChange(latest.number, known.digests[-1]))
        return latest

    def _whole(self) -> _Known[E] | None:
        """The last of all entries, which are verified with `trust`; None where there is none."""
        numbers = self._numbers()
        every = self._every((numbers or [0])[-1]) if self._trust else []
        digests = self._verified((), every)
        if not numbers:
            return None
        raw = every[-1] if every else self._read(numbers[-1])
        return _Known(self._decoded(numbers[-1], raw), digests)

    def holds(self) -> bool:
        """True while the entry that `latest` last returned exists, and with `trust` while it is the same."""
        known = self._known
        if known is None:
            return True
        raw = self.backend.read(self._key(known.latest.number), MAX_ENTRY)
        return raw is not None and (not known.digests or of_file(raw) == known.digests[-1])

    def entry(self, number: int) -> E:
        """One entry. Raises `StoreError` where it is missing, cannot be decoded, or was exchanged since."""
        raw = self._read(number)
        if self._trust:
            if number > len(self._verified_digests()):
                self.latest()
            if [of_file(raw)] != list(self._verified_digests()[number - 1 : number]):
                raise self._untrusted(f"change {number} is another one than before")
        return self._decoded(number, raw)

    def entries(self, last: int = 0) -> list[E]:
        """All entries, or the `last` so many, oldest first."""
        return [self.entry(number) for number in self._numbers()[-last:]]

    def append(self, entry: E, key: Ed25519PrivateKey | None = None) -> bool:
        """Create the entry, signed where there is a key; False where its number is taken.

        Raises `InputError` where it is invalid, and with `trust` where the key is missing or not trusted.
        """
        self.check_key(key)
        before = self.backend.read(self._key(entry.number - 1), MAX_ENTRY) if entry.number > 1 else None
        if entry.number > 1 and before is None:
            raise self._missing(entry.number - 1)
        digest = None if before is None else of_file(before)
        if self._trust and digest and (digest,) != self._verified_digests()[entry.number - 2 : entry.number - 1]:
            raise self._untrusted(f"change {entry.number - 1} is not the one that was verified")
        if key is not None:
            entry = signed_entry(entry, self.prefix, key, digest)
        content = msgspec.json.format(msgspec.json.encode(entry), indent=1)
        try:
            msgspec.json.decode(content, type=self._type)
        except msgspec.ValidationError as error:
            raise InputError(f"store {self.backend}: invalid change: {error}") from error
        name = self._key(entry.number)
        # A response may be lost and the call repeated: the number is then taken by this very entry.
        if not self.backend.create(name, content) and self.backend.read(name, MAX_ENTRY) != content:
            return False
        if self._trust:
            self.latest()  # which verifies it
        else:
            self._known = _Known(entry, ())
        return True

    def check_key(self, key: Ed25519PrivateKey | None) -> None:
        """Raise `InputError` where changes have to be signed, and not by this key, before anything is done for one."""
        if self._trust:
            self._trust.check_key(key)

    def adopt(self, entry: E, key: Ed25519PrivateKey) -> bool:
        """Append a signed entry over the digest of all entries, signed or unsigned so far; False as by `append`."""
        self.check_key(key)
        digests = [of_file(self._read(number)) for number in range(1, entry.number)]
        adopting = History(self.backend, self.prefix, self._type)
        if not adopting.append(msgspec.structs.replace(entry, earlier=all_of(digests)), key):
            return False
        self._known = None
        if self._seen:
            self._seen.forget(self.prefix)
        return True

    def unverified(self) -> History[E]:
        """This history read without verifying signatures, to be inspected before it is adopted."""
        return History(self.backend, self.prefix, self._type)

    def checks(self) -> Iterator[Check]:
        """One check of the whole: every file is an entry, no number is missing, and all are trusted."""
        names, present = self._names(), set(self._numbers())
        problems = [f"{name} is no entry; move it away" for name in names if not _NAME.fullmatch(name)]
        plain_history = self.unverified()
        for number in range(1, max(present, default=0) + 1):
            if number not in present:
                problems.append(f"{number:08}.json is missing")
                continue
            try:
                plain_history.entry(number)
            except StoreError as error:
                problems.append(str(error))
        if self._trust and not problems:
            try:
                History(self.backend, self.prefix, self._type, self._trust, self._seen).latest()
            except StoreError as error:
                problems.append(str(error))
        yield Check(self.prefix, "; ".join(problems) or None)

    def _every(self, last: int) -> list[bytes]:
        """All entries up to a number; several at a time of a remote store, where each takes a while."""
        if self.backend.local(self.prefix) is not None:
            return [self._read(number) for number in range(1, last + 1)]
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            return list(pool.map(self._read, range(1, last + 1)))

    def _verified_digests(self) -> tuple[str, ...]:
        return () if self._known is None else self._known.digests

    def _verified(self, before: tuple[str, ...], later: list[bytes]) -> tuple[str, ...]:
        """The digests of all entries, the `later` ones verified; none without `trust`.

        Raises `StoreError` where one is not trusted.
        """
        if self._trust is None:
            return ()
        digests = (*before, *map(of_file, later))
        last = self._seen.last(self.prefix) if self._seen else None
        if last and (last.number > len(digests) or digests[last.number - 1] != last.digest):
            assert self._seen
            what = "missing" if last.number > len(digests) else "another one"
            raise self._untrusted(
                f"change {last.number}, which was seen before, is {what}",
                f", or where that is intended remove {self._seen.path}",
            )
        if problem := self._trust.chain_problem(later, digests):
            raise self._untrusted(problem)
        return digests

    def _read(self, number: int) -> bytes:
        raw = self.backend.read(self._key(number), MAX_ENTRY)
        if raw is None:
            raise self._missing(number)
        return raw

    def _untrusted(self, problem: str, otherwise: str = "") -> StoreError:
        assert self._trust
        return StoreError(
            f"store {self.backend}: the history of {self._trust.name} is not trusted: {problem}; look at it: arbitrank "
            f"history {self._trust.name}, then restore it from a backup, or vouch for it as it is: arbitrank sign "
            f"--history {self._trust.name} --key FILE{otherwise}"
        )

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
