"""Reliability by the log: of the answers, of R0 beside them and of every domain, by segment, and over time."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import NamedTuple, TypeAlias

import msgspec
import numpy as np
from numpy.typing import NDArray

from arbitrank.evaluate.intervals import Estimate, wilson
from arbitrank.evaluate.metrics import calibration
from arbitrank.evaluate.reliability import ReliabilityCurve, reliability_curve
from arbitrank.evaluate.segments import SegmentTable, situation
from arbitrank.probability import Floats
from arbitrank.watch.collector import SLOT, Collector, LogSlot
from arbitrank.watch.outcomes import FEW, slots_known
from arbitrank.watch.rows import ANSWER, R0, WatchedRow

ALL = "all"
"""Name of the slice of all requests."""

_MOST = 40  # segments
_NEWEST = 20_000  # labelled requests of a curve
_OF_SEGMENT = 2_000  # of a segment's
_LEAST_DRAWS, _SEGMENT_DRAWS, _DRAWS, _DRAWN = 20, 40, 100, 400_000  # of the band, and numbers drawn for it
_LONG = 2 * 86_400.0  # seconds of a log from which on it is shown by days

Places: TypeAlias = NDArray[np.int64]


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
    """Reliability by the log from `begin` to `end`, in seconds since 1970, on `labelled` requests with a known truth.

    `slices` have the curves, of all of these and of segments. `answers` and `domains` are P(right) over time, in parts
    of `seconds`, `versions` those that answered for each domain then. `notes` say what is missing.
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
    seconds = SLOT if collected.latest - begin <= _LONG else 86_400.0
    right = slots_known(labelled)
    answers = {name: _of_answers(name, labelled) for name in (ANSWER, R0)} if right else {}
    domains = {name: _of_domain(name, times[-1].version, labelled, right) for name, times in versions.items()}
    times = np.array([row.time // seconds * seconds for row in labelled], np.float64)
    return ReliabilityReport(
        begin=begin,
        end=collected.latest,
        requests=sum(slot.n for slot in slots),
        labelled=len(labelled),
        seconds=seconds,
        slices=tuple(_slice(name, places, answers, domains) for name, places in _slices(labelled)),
        answers={name: _over_time(one, times) for name, one in answers.items()},
        domains={name: _over_time(one.right, times) for name, one in domains.items() if one.right is not None},
        versions=versions,
        notes=tuple(_notes(labelled, right)),
    )


class _Claims(NamedTuple):
    """A claim in each of n labelled requests, NaN where it was not made, and whether it came true."""

    p: Floats
    y: Floats

    def at(self, places: Places) -> _Claims:
        """Those of these requests in which it was made."""
        p = self.p[places]
        made = ~np.isnan(p)
        return _Claims(p[made], self.y[places][made])


class _DomainClaims(NamedTuple):
    """A domain's claims, and the requests that the version answered which serves."""

    mine: _Claims
    right: _Claims | None
    served: NDArray[np.bool_]


def _of_answers(name: str, rows: Sequence[WatchedRow]) -> _Claims:
    """P(right) of the first reading of the answers, or of R0."""
    known = [row.readings[name][0] if name in row.rights else math.nan for row in rows]
    return _Claims(np.array(known, np.float64), np.array([row.rights.get(name, False) for row in rows], np.float64))


def _of_domain(name: str, version: str, rows: Sequence[WatchedRow], right: bool) -> _DomainClaims:
    p, y = np.full((2, len(rows)), math.nan), np.zeros((2, len(rows)))
    served = np.zeros(len(rows), np.bool_)
    for i, row in enumerate(rows):
        one = row.domains.get(name)
        if one is None or one.best is None:
            continue
        own, entirely = row.outcomes[name]
        served[i], p[0, i], y[0, i] = one.version == version, one.mine, own
        if entirely is not None:
            p[1, i], y[1, i] = one.right, entirely
    return _DomainClaims(_Claims(p[0], y[0]), _Claims(p[1], y[1]) if right else None, served)


def _slices(rows: Sequence[WatchedRow]) -> Iterator[tuple[str, Places]]:
    """All rows, then their segments: by the context, the length, and the intent of the answer's first reading."""
    yield ALL, np.arange(len(rows))
    situations = [situation(row.context, row.length, row.first.intent if row.first else None) for row in rows]
    for segment in islice(SegmentTable.of(situations).segments(), _MOST):
        yield segment.text, segment.places


def _slice(
    name: str, places: Places, answers: Mapping[str, _Claims], domains: Mapping[str, _DomainClaims]
) -> ReliabilitySlice:
    limits = (_NEWEST, _DRAWS) if name == ALL else (_OF_SEGMENT, _SEGMENT_DRAWS)
    found = {each: _curve(one.at(places), *limits) for each, one in answers.items()}
    by_domain = {}
    for each, (mine, right, served) in domains.items():
        own = places[served[places]]
        curve = _curve(mine.at(own), *limits)
        if curve is not None:
            by_domain[each] = DomainReliability(curve, None if right is None else _curve(right.at(own), *limits))
    return ReliabilitySlice(name, len(places), {each: one for each, one in found.items() if one is not None}, by_domain)


def _curve(claims: _Claims, newest: int, draws: int) -> ReliabilityCurve | None:
    p, y = claims.p[-newest:], claims.y[-newest:]
    return reliability_curve(p, y, draws=_fewer(draws, len(p))) if len(p) else None


def _fewer(draws: int, n: int) -> int:
    """The draws of a band of n requests: sorting them takes the time, and on many it is narrow."""
    return int(np.clip(_DRAWN // max(n, 1), _LEAST_DRAWS, draws))


def _over_time(claims: _Claims, times: Floats) -> tuple[ReliabilityTime, ...]:
    found = []
    for begin in np.unique(times).tolist():
        p, y = claims.at(np.flatnonzero(times == begin))
        if len(p):
            one = calibration(p, y, draws=_fewer(_DRAWS, len(p)))
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
