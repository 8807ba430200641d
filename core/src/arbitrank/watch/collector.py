"""Collector: the rows of a log in slots of six hours, in bounded memory, each with its truth as soon as that comes.

Of a slot at most `ROWS` requests are kept, drawn at random from all of it, and counters that count every one. Requests
of more than `DAYS` before the latest are dropped. A truth may come before its request (another process wrote it).
"""

from __future__ import annotations

import random
from collections import Counter, OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field
from time import time

import msgspec

from arbitrank.answerlog.feedback import Feedback, KnownTruth
from arbitrank.answerlog.joining import head_of
from arbitrank.errors import InputError
from arbitrank.watch.columns import Columns
from arbitrank.watch.rows import WatchedRow, row_of
from arbitrank.wire.json_lines import BadLine
from arbitrank.wire.requests import decode_logged

DAYS = 9.0
"""Days that are kept: a week to compare with, and what is watched."""

SLOT = 6 * 3600.0
ROWS = 2_000
"""Requests that are kept of a slot; its counters count all."""

_EARLY = 100_000  # truths that are kept for requests that have not come yet
_VALUES = 500  # values of the context that are counted in a slot, and features of a domain
_decode_feedback = msgspec.json.Decoder(Feedback).decode


@dataclass
class LogSlot:
    """Six hours of the log: `n` requests, of which `rows` are kept.

    `wins` counts the winners, `wanted` the domains that claim a request, and `taken` (winner, other) those of the
    latter that another domain won; `contexts` the values of the context by key and value, `features` the requests in
    which a domain's hypotheses had a feature, `readings` those in which it had a reading.
    """

    start: float
    n: int = 0
    rows: list[WatchedRow] = field(default_factory=list)
    wins: Counter[str] = field(default_factory=Counter)
    wanted: Counter[str] = field(default_factory=Counter)
    taken: Counter[tuple[str, str]] = field(default_factory=Counter)
    contexts: Counter[tuple[str, object]] = field(default_factory=Counter)
    features: Counter[tuple[str, str]] = field(default_factory=Counter)
    readings: Counter[str] = field(default_factory=Counter)
    _columns: Columns | None = None

    @property
    def columns(self) -> Columns:
        """The rows that are kept, as columns; they are made once for the same rows."""
        if self._columns is None:
            self._columns = Columns.of(self.rows)
        return self._columns

    def keep(self, row: WatchedRow, place: int) -> None:
        """Keep a row, in place of another one or after the last one."""
        self.rows[place : place + 1] = [row]
        self._columns = None

    def add(self, row: WatchedRow) -> None:
        """Count a request's row."""
        self.n += 1
        if row.head is not None:
            self.wins[row.head] += 1
        for name in row.wanted:
            self.wanted[name] += 1
            if row.head is not None and row.head != name:
                self.taken[row.head, name] += 1
        for key, value in row.context.items():
            _count(self.contexts, (key, value))
        for name, one in row.domains.items():
            if one.best is not None:
                self.readings[name] += 1
                for feature in one.features:
                    _count(self.features, (name, feature))


def _count(counter: Counter[tuple[str, object]] | Counter[tuple[str, str]], key: tuple[str, object]) -> None:
    if key in counter or len(counter) < _VALUES:
        counter[key] += 1  # type: ignore[index]


def _learn(row: WatchedRow, known: KnownTruth) -> None:
    if known.is_of(row.session) and known.comes_after(row.told):
        row.learn(known.truth)
        row.told = known.time


class Collector:
    """Rows of a log, line by line in any order. Not thread-safe. `skipped` counts lines without an answer or a time."""

    def __init__(self, seed: int = 0) -> None:
        self._slots: dict[float, LogSlot] = {}
        self._by_id: dict[str, WatchedRow] = {}
        self._early: OrderedDict[str, KnownTruth] = OrderedDict()
        self._random = random.Random(seed)
        self.latest = 0.0
        self.skipped = self.bad = 0

    def line(self, where: str, line: bytes | BadLine) -> None:
        """Take a line of a log: a request, or feedback on one."""
        head = line if isinstance(line, BadLine) else head_of(where, line)
        if isinstance(head, BadLine) or isinstance(line, BadLine):
            self.bad += 1
        elif head.is_feedback:
            try:
                feedback = _decode_feedback(line)
            except (msgspec.MsgspecError, ValueError, RecursionError):
                self.bad += 1
            else:
                if (known := KnownTruth.of(feedback, time())) is not None:
                    self._truth(feedback.id, known)
        else:
            try:
                row = row_of(decode_logged(line))
            except InputError:
                self.bad += 1
            else:
                if row is None:
                    self.skipped += 1
                else:
                    self.row(row)

    def _truth(self, id: str, known: KnownTruth) -> None:
        """Note a request's truth; the latest counts."""
        if (row := self._by_id.get(id)) is not None:
            _learn(row, known)
        elif (before := self._early.get(id)) is None or known.comes_after(before.time):
            self._early[id] = known
            if len(self._early) > _EARLY:
                self._early.popitem(last=False)

    def row(self, row: WatchedRow) -> None:
        """Take a request's row."""
        if row.time < self.latest - DAYS * 86_400:
            return
        self.latest = max(self.latest, row.time)
        start = row.time // SLOT * SLOT
        slot = self._slots.get(start)
        if slot is None:
            slot = self._slots[start] = LogSlot(start)
            self._forget()
        slot.add(row)
        if row.id is not None and (known := self._early.pop(row.id, None)) is not None:
            _learn(row, known)
        place = len(slot.rows)
        if place >= ROWS:
            place = self._random.randrange(slot.n)
            if place >= ROWS:
                return
            self._release(slot.rows[place])
        slot.keep(row, place)
        if row.id is not None:
            self._by_id[row.id] = row

    @property
    def slots(self) -> list[LogSlot]:
        """The slots in the order of time."""
        return [self._slots[start] for start in sorted(self._slots)]

    def rows(self) -> Iterator[WatchedRow]:
        """The rows that are kept."""
        return (row for slot in self.slots for row in slot.rows)

    def _forget(self) -> None:
        for start in [start for start in self._slots if start + SLOT < self.latest - DAYS * 86_400]:
            for row in self._slots.pop(start).rows:
                self._release(row)

    def _release(self, row: WatchedRow) -> None:
        if row.id is not None and self._by_id.get(row.id) is row:
            del self._by_id[row.id]
