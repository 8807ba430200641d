"""Budgets of exploration, counted by all workers of a service together, in a file that outlives them.

A file of the log's folder holds for each domain its answers, its explored ones and the share of them that could be
explored, and for each of the latest sessions whether its last request could be. Workers map it under a lock of a few
microseconds. Never more is explored than the budget of the answers so far.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import blake2b
from math import sqrt
from pathlib import Path
from time import time

from arbitrank.errors import DataError, os_errors

_DOMAIN = struct.Struct("<QdQQd")  # hash of the name, budget, answers, explored, share that could be
_SESSION = struct.Struct("<Qd")  # hash of the session, when its last request could be explored, 0 where it could not
_DOMAINS, _SESSIONS = 1_024, 1 << 16
_BYTES = _DOMAIN.size * _DOMAINS + _SESSION.size * _SESSIONS

RATE = 0.5
"""The greatest share of sessions that explores."""

_HORIZON = 500.0  # answers within which budget that is left is spent
_MEMORY = 1_000.0  # answers over which the share that could be explored is estimated
_SHARE = 0.1  # that share before the first answer
_TRIES = 1_000  # to get the lock, each giving way to another process
_PAUSE = 1_800.0  # seconds after which a session's last request is forgotten, where another session needs the place


class ExplorationBudget:
    """The counts of one host's workers in a folder. Raises `DataError` where the file cannot be had."""

    def __init__(self, folder: Path, clock: Callable[[], float] = time) -> None:
        self._clock = clock
        path = folder / f"exploration-{socket.gethostname()}.counts"
        with os_errors(DataError, f"{path}: cannot be written", "; expected a folder for the log"):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            os.posix_fallocate(self._file, 0, _BYTES)
            self._cells = mmap.mmap(self._file, _BYTES)
        self._places: dict[str, int] = {}

    def take(self, domain: str, budget: float, session: str | None, drawn: float, *, possible: bool) -> float:
        """Count an answer that a domain heads, and return the rate of exploration; explored where `drawn` is less.

        `possible`: there is another reading to act on. The rate is 0 where there is none, after a request of the
        session that might have been explored (`session` is None for a request of none), and where the budget is used
        up.
        """
        with self._locked() as locked:
            if not locked:  # a worker is stopped while it holds the lock
                return 0.0
            place = self._place(domain)
            _, before, answers, explored, share = _DOMAIN.unpack_from(self._cells, place)
            if before != budget:
                answers, explored, share = 0, 0, _SHARE
            answers, slot = answers + 1, self._slot(session, possible)
            share += (slot - share) / min(answers + 10.0, _MEMORY)
            rate = _rate(budget, answers, explored, share) if slot else 0.0
            explored += drawn < rate
            _DOMAIN.pack_into(self._cells, place, _hash(domain), budget, answers, explored, share)
        return rate

    def skip(self, session: str) -> None:
        """Note a request of a session that could not be explored whatever the budgets."""
        number = _hash(session)
        place = _DOMAIN.size * _DOMAINS + number % _SESSIONS * _SESSION.size
        if _SESSION.unpack_from(self._cells, place)[0] == number:
            _SESSION.pack_into(self._cells, place, number, 0.0)

    def counts(self, domain: str) -> tuple[int, int]:
        """The answers that a domain headed, and the explored ones of them."""
        _, _, answers, explored, _ = _DOMAIN.unpack_from(self._cells, self._place(domain))
        return answers, explored

    def close(self) -> None:
        """Close the file."""
        self._cells.close()
        os.close(self._file)

    def _slot(self, session: str | None, possible: bool) -> bool:
        """True for a request that might be explored, which is noted for the next one of its session."""
        if session is None:
            return possible
        number, now = _hash(session), self._clock()
        place = _DOMAIN.size * _DOMAINS + number % _SESSIONS * _SESSION.size
        holder, when = _SESSION.unpack_from(self._cells, place)
        if holder != number and now - when < _PAUSE:
            return False  # the place is another session's, which must not be forgotten
        slot = possible and not (holder == number and when > 0.0)
        _SESSION.pack_into(self._cells, place, number, now if slot else 0.0)
        return slot

    @contextmanager
    def _locked(self) -> Iterator[bool]:
        """The lock of all workers; False where it cannot be had soon."""
        locked = False
        for _ in range(_TRIES):
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                locked = True
                break
            except BlockingIOError:
                os.sched_yield()
        try:
            yield locked
        finally:
            if locked:
                fcntl.flock(self._file, fcntl.LOCK_UN)

    def _place(self, domain: str) -> int:
        """The place of a domain: where its hash is, else the first free one behind that which it hashes to."""
        found = self._places.get(domain)
        if found is not None:
            return found
        number = _hash(domain)
        for step in range(_DOMAINS):
            place = (number + step) % _DOMAINS * _DOMAIN.size
            if _DOMAIN.unpack_from(self._cells, place)[0] in (number, 0):
                break
        self._places[domain] = place
        return place


def _rate(budget: float, answers: int, explored: int, share: float) -> float:
    """The share of sessions that explores: what spends the budget that is left soon, but for a reserve.

    `share` is that of the answers that could be explored. The reserve keeps chance from using the budget up, as the
    rate would then be 0 by what was drawn.
    """
    if explored + 1 > budget * answers:
        return 0.0
    left = budget * answers - explored - (1.0 + sqrt(budget * _HORIZON))
    return min(RATE, max(0.0, budget + left / _HORIZON) / max(share, 1e-3))


def _hash(text: str) -> int:
    """A hash that is the same in all processes, never 0."""
    return int.from_bytes(blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()) or 1
