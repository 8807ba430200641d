"""Budgets of exploration: what each process has spent of the answers that it gave, in files that outlive it.

In the log's folder each process has a file to itself, with the counts of each domain: its answers, its explored ones,
and the share of them that could be explored. A process takes the first file that no other holds, so that counts go on
after a restart. Each explores at most its own answers' share, so all together do. One file more, which all processes of
a host map, holds for each of the latest sessions whether its last request could be explored.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import socket
import struct
from collections.abc import Callable
from hashlib import blake2b
from itertools import count
from math import sqrt
from pathlib import Path
from time import time

from arbitrank.errors import DataError, os_errors

_DOMAIN = struct.Struct("<QdQQd")  # hash of the name, budget, answers, explored, share that could be
_DOMAINS, _SESSIONS = 1_024, 1 << 16

RATE = 0.5
"""The greatest share of sessions that explores."""

_HORIZON = 200.0  # answers within which budget that is left is spent
_MEMORY = 1_000.0  # answers over which the share that could be explored is estimated
_SHARE = 0.1  # that share before the first answer
_TIMES = (1 << 24) - 1  # seconds of half a year, in the lower bits of a session's number
_PAUSE = 1_800  # seconds after which a session's last request is forgotten, where another session needs the place


class ExplorationBudget:
    """The counts of this process. Raises `DataError` where its files cannot be had."""

    def __init__(self, folder: Path, clock: Callable[[], float] = time) -> None:
        self._clock, self._places = clock, dict[str, int]()
        host = socket.gethostname()
        with os_errors(DataError, f"{folder}: exploration cannot be counted", "; expected a folder for the log"):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._file = _own_file(folder, f"exploration-{host}")
            self._cells = _mapped(self._file, _DOMAIN.size * _DOMAINS)
            shared = _opened(folder / f"exploration-{host}.sessions")
            self._sessions = memoryview(_mapped(shared, 8 * _SESSIONS)).cast("Q")
            os.close(shared)

    def take(self, domain: str, budget: float, session: str | None, drawn: float, *, possible: bool) -> float:
        """Count an answer that a domain heads, and return the rate of exploration; explored where `drawn` is less.

        `possible`: there is another reading to act on. The rate is 0 where there is none, after a request of the
        session that might have been explored (`session` is None for a request of none), and where the budget is used
        up.
        """
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
        if self._sessions[number % _SESSIONS] | _TIMES == number | _TIMES:
            self._sessions[number % _SESSIONS] = number & ~_TIMES

    def counts(self, domain: str) -> tuple[int, int]:
        """The answers that a domain headed in this process and those before it, and the explored ones of them."""
        _, _, answers, explored, _ = _DOMAIN.unpack_from(self._cells, self._place(domain))
        return answers, explored

    def close(self) -> None:
        """Leave the file to the next process."""
        self._cells.close()
        os.close(self._file)

    def _slot(self, session: str | None, possible: bool) -> bool:
        """True for a request that might be explored, which is noted for the next one of its session."""
        if session is None:
            return possible
        number, now = _hash(session), int(self._clock()) % _TIMES + 1
        held = self._sessions[number % _SESSIONS]
        own, when = held | _TIMES == number | _TIMES, held & _TIMES
        if not own and when and (now - when) % _TIMES < _PAUSE:
            return False  # the place is another session's, which must not be forgotten
        slot = possible and not (own and when)
        self._sessions[number % _SESSIONS] = number & ~_TIMES | (now if slot else 0)
        return slot

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


def _own_file(folder: Path, name: str) -> int:
    """The first file that no other process holds, held by this one until it is closed."""
    for number in count():
        file = _opened(folder / f"{name}-{number}.counts")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(file)
        else:
            return file
    raise AssertionError


def _opened(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


def _mapped(file: int, size: int) -> mmap.mmap:
    os.posix_fallocate(file, 0, size)  # a disk that fills up later kills no worker
    return mmap.mmap(file, size)


def _hash(text: str) -> int:
    """A hash that is the same in all processes, never 0."""
    return int.from_bytes(blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()) or 1
