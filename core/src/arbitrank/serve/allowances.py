"""Allowances of tokens: how many calls each may make a second and a day, counted by all workers together.

The counts are in a file of the service's folder that each worker maps, under a lock of a few microseconds. A worker
that is stopped while it holds the lock keeps no other waiting: these then count without it, and may miss calls of each
other.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import ceil
from pathlib import Path
from time import monotonic, time
from typing import NamedTuple

from arbitrank.serve.auth import Grant

_SLOT = struct.Struct("=32sdqq")  # a token's SHA-256, when its rate is free again, the day of its count, the count
_SLOTS = 16_384
_TRIES = 1_000  # to get the lock, each giving way to another process
_DAY = 86_400


class Exhausted(NamedTuple):
    """A token's allowance that is used up: `rate` or `quota`, and the seconds until a call is allowed again."""

    limit: str
    seconds: int


class Allowances:
    """Rates and quotas of the tokens of one service. Raises `OSError` where its file cannot be had."""

    def __init__(self, folder: Path, clock: Callable[[], float] = time, ticks: Callable[[], float] = monotonic) -> None:
        self._clock, self._ticks = clock, ticks
        self._file = os.open(folder / "allowances", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        os.posix_fallocate(self._file, 0, _SLOT.size * _SLOTS)
        self._cells = mmap.mmap(self._file, _SLOT.size * _SLOTS)
        self._places: dict[str, int] = {}

    def take(self, grant: Grant) -> Exhausted | None:
        """Count one call of a token; what is used up where it is refused, which counts as none."""
        with self._slot(grant) as (place, free, used):
            if grant.quota is not None and used >= grant.quota:
                return self._quota()
            free_again = free
            if grant.rate is not None:
                now = self._ticks()
                free_again = max(free, now) + 1.0 / grant.rate
                over = free_again - now - grant.at_once / grant.rate
                if over > 1e-9:
                    return Exhausted("rate", ceil(over))
            self._write(grant, place, free_again, used + 1)
        return None

    def take_more(self, grant: Grant, n: int) -> Exhausted | None:
        """Count further requests of a call that was let in, a list's; its rate is owed, and following calls wait."""
        with self._slot(grant) as (place, free, used):
            if grant.quota is not None and used + n > grant.quota:
                return self._quota()
            free_again = free
            if grant.rate is not None:
                free_again = max(free, self._ticks()) + n / grant.rate
            self._write(grant, place, free_again, used + n)
        return None

    def close(self) -> None:
        """Close the file."""
        self._cells.close()
        os.close(self._file)

    def _quota(self) -> Exhausted:
        return Exhausted("quota", ceil(_DAY - self._clock() % _DAY))

    @contextmanager
    def _slot(self, grant: Grant) -> Iterator[tuple[int, float, int]]:
        """The place of a token's counts, when its rate is free again, and its calls of today, under the lock."""
        for _ in range(_TRIES):
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                os.sched_yield()
        try:
            place = self._place(grant.digest)
            _, free, day, used = _SLOT.unpack_from(self._cells, place)
            yield place, free, used if day == int(self._clock()) // _DAY else 0
        finally:
            fcntl.flock(self._file, fcntl.LOCK_UN)

    def _write(self, grant: Grant, place: int, free: float, used: int) -> None:
        _SLOT.pack_into(self._cells, place, bytes.fromhex(grant.digest), free, int(self._clock()) // _DAY, used)

    def _place(self, digest: str) -> int:
        """The place of a token: where its digest is, else the first free one behind the place that it hashes to."""
        found = self._places.get(digest)
        if found is not None:
            return found
        own = bytes.fromhex(digest)
        first = int.from_bytes(own[:4], "big")
        for number in range(_SLOTS):
            place = (first + number) % _SLOTS * _SLOT.size
            holder = bytes(self._cells[place : place + len(own)])
            if holder == own or not any(holder):
                break
        self._cells[place : place + len(own)] = own
        self._places[digest] = place
        return place
