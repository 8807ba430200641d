"""Reliability by the log: of the answers, of R0 beside them and of every domain, by segment, and over time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import islice

import msgspec
import numpy as np

from arbitrank.evaluate.intervals import Estimate, wilson
from arbitrank.evaluate.metrics import calibration
from arbitrank.evaluate.reliability import ReliabilityCurve, reliability_curve
from arbitrank.evaluate.segments import SegmentTable, situation
from arbitrank.probability import Floats
from arbitrank.watch.collector import SLOT, Collector, LogSlot
from arbitrank.watch.outcomes import FEW, pairs, slots_known
from arbitrank.watch.rows import ANSWER, R0, WatchedRow

ALL = "all"
"""Name of the slice of all requests."""

_MOST = 40  # segments
_NEWEST = 20_000  # labelled requests of a curve
_LEAST_DRAWS, _DRAWS, _DRAWN = 20, 100, 400_000  # of the band, and numbers drawn for it
_LONG = 2 * 86_400.0  # seconds of a log from which on it is shown by days

Pairs = tuple[Floats, Floats]
"""Probabilities and outcomes, 1.0 where they came true."""


class DomainReliability(msgspec.Struct, frozen=True):
    """Curves of a domain's P(mine) and P(right), each None where no truth tells it, by the version that serves."""

    mine: ReliabilityCurve | None
    right: ReliabilityCurve | None


class ReliabilitySlice(msgspec.Struct, frozen=True):
    """Labelled requests of a segment, or all: curves of P(right) of the answers and R0, and by domain."""

    name: str
    n: int
    answers: dict[str, ReliabilityCurve]
    domains: dict[str, DomainReliability]


class ReliabilityTime(msgspec.Struct, frozen=True):
    """Labelled requests from `begin` on: mean P(right), the share in which it came true, the ECE and its band's end."""

    begin: float
    n: int
    claimed: float
    seen: Estimate
    ece: float
    ece_band: tuple[float, float]


class VersionTime(msgspec.Struct, frozen=True):
    """A version, with its recalibration, and the time from which on it answered most requests of a domain."""

    begin: float
    version: str


class ReliabilityReport(msgspec.Struct, frozen=True):
    """All of it on the log from `begin` to `end`, in seconds since 1970, of `labelled` requests with a known truth.

    `answers` and `domains` are P(right) over time, in parts of `seconds`. `notes` say what is missing.
    """

    begin: float
    end: float
    requests: int
    labelled: int
    seconds: float
    slices: tuple[ReliabilitySlice, ...]
    answers: dict[str, tuple[ReliabilityTime, ...]]
    domains: dict[str, tuple[ReliabilityTime, ...]]
    versions: dict[str, tuple[VersionTime, ...]]
    notes: tuple[str, ...]


def reliability_report(collected: Collector) -> ReliabilityReport:
    """The report of all that a collector keeps."""
    slots = collected.slots
    begin = slots[0].start if slots else collected.latest
    labelled = [row for slot in slots for row in slot.rows if row.truth is not None]
    versions = _versions(slots)
    serving = {name: times[-1].version for name, times in versions.items()}
    seconds = SLOT if collected.latest - begin <= _LONG else 86_400.0
    over_time = partial(_over_time, _parts(slots, seconds))
    right = slots_known(labelled)
    return ReliabilityReport(
        begin=begin,
        end=collected.latest,
        requests=sum(slot.n for slot in slots),
        labelled=len(labelled),
        seconds=seconds,
        slices=tuple(_slice(name, rows, serving, right) for name, rows in _slices(labelled)),
        answers={name: over_time(partial(_answered, name)) for name in (ANSWER, R0)} if right else {},
        domains={name: over_time(partial(pairs, "right", name)) for name in sorted(serving)} if right else {},
        versions=versions,
        notes=tuple(_notes(labelled, right)),
    )


def _slices(rows: Sequence[WatchedRow]) -> Iterator[tuple[str, Sequence[WatchedRow]]]:
    """All rows, then their segments: by the context, the length, and the intent of the answer's first reading."""
    yield ALL, rows
    situations = [situation(row.context, row.length, row.first.intent if row.first else None) for row in rows]
    for segment in islice(SegmentTable.of(situations).segments(), _MOST):
        yield segment.text, [rows[i] for i in segment.places.tolist()]


def _slice(name: str, rows: Sequence[WatchedRow], serving: Mapping[str, str], right: bool) -> ReliabilitySlice:
    answers = {each: _curve(_answered(each, rows)) for each in (ANSWER, R0)} if right else {}
    domains = {each: _domain(each, version, rows, right) for each, version in sorted(serving.items())}
    return ReliabilitySlice(
        name,
        len(rows),
        {each: one for each, one in answers.items() if one is not None},
        {each: one for each, one in domains.items() if one.mine is not None},
    )


def _domain(name: str, version: str, rows: Sequence[WatchedRow], right: bool) -> DomainReliability:
    served = [row for row in rows if name in row.domains and row.domains[name].version == version]
    return DomainReliability(
        _curve(pairs("mine", name, served)), _curve(pairs("right", name, served)) if right else None
    )


def _curve(found: tuple[Floats, np.ndarray]) -> ReliabilityCurve | None:
    p, y = (one[-_NEWEST:] for one in found)
    return reliability_curve(p, y.astype(np.float64), draws=_draws(len(p))) if len(p) else None


def _draws(n: int) -> int:
    return int(np.clip(_DRAWN // max(n, 1), _LEAST_DRAWS, _DRAWS))


def _answered(name: str, rows: Iterable[WatchedRow]) -> Pairs:
    """P(right) of the first reading of the answers, or of R0, and whether it is entirely right."""
    known = [row for row in rows if name in row.rights]
    p = np.array([row.readings[name][0] for row in known], np.float64)
    return p, np.array([row.rights[name] for row in known], np.float64)


def _parts(slots: Sequence[LogSlot], seconds: float) -> dict[float, list[WatchedRow]]:
    """The labelled rows by the beginnings of parts of so many seconds."""
    parts: dict[float, list[WatchedRow]] = {}
    for slot in slots:
        labelled = [row for row in slot.rows if row.truth is not None]
        if labelled:
            parts.setdefault(slot.start // seconds * seconds, []).extend(labelled)
    return parts


def _over_time(
    parts: Mapping[float, Sequence[WatchedRow]], read: Callable[[Sequence[WatchedRow]], tuple[Floats, np.ndarray]]
) -> tuple[ReliabilityTime, ...]:
    found = []
    for begin, rows in parts.items():
        p, hits = read(rows)
        if len(p):
            y = hits.astype(np.float64)
            one = calibration(p, y, draws=_draws(len(p)))
            found.append(ReliabilityTime(begin, len(p), float(p.mean()), wilson(y), one.ece, one.ece_band))
    return tuple(found)


def _versions(slots: Sequence[LogSlot]) -> dict[str, tuple[VersionTime, ...]]:
    """The versions that answered most of the requests of a slot, each time that is another one."""
    found: dict[str, list[VersionTime]] = {}
    for slot in slots:
        for name, column in slot.columns.domains.items():
            version = Counter(map(str, column.version)).most_common(1)[0][0]
            times = found.setdefault(name, [])
            if not times or times[-1].version != version:
                first = float(slot.columns.time[column.places[column.version == version]].min())
                times.append(VersionTime(first, version))
    return {name: tuple(times) for name, times in sorted(found.items())}


def _notes(labelled: Sequence[WatchedRow], right: bool) -> Iterator[str]:
    if not labelled:
        yield "no request has a truth: there is nothing to compare claims with; report some: POST /v1/feedback"
    elif len(labelled) < FEW:
        yield f"only {len(labelled)} requests of known truth: these figures say next to nothing"
    if not right:
        yield "no truth names its intent and slots: P(right) is not judged"
