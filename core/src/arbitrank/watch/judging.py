"""Judgement of the rows of a log: of each domain, and of what several have in common.

The level of all alarms is divided over domains, statistics and hourly looks: with `LEVEL` a week, at most one false
alarm comes in 1 / `LEVEL` quiet weeks, by Markov's inequality and the union bound.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence

from msgspec.structs import replace

from arbitrank.watch.alarms import Commands, alarms_of
from arbitrank.watch.collector import SLOT, Collector, LogSlot
from arbitrank.watch.columns import STREAMS
from arbitrank.watch.domain_judgement import judged
from arbitrank.watch.drift import LEAST, share_shifts, shifted
from arbitrank.watch.period import Known, Period
from arbitrank.watch.report import WatchReport
from arbitrank.watch.unknown import ContextValue, new_contexts

LEVEL = 0.02
"""Expected false alarms in a quiet week of hourly looks, of all domains together."""

WEEK = 7 * 86_400.0
"""Seconds before what is watched with which it is compared."""

_LOOKS = 168  # hourly ones of a week
_ENDS = (86_400.0, SLOT)  # parts of what is watched, up to its end, that are tested beside the whole
_SHORTER = {"1d": 86_400.0, "12h": 43_200.0, "6h": SLOT}  # times to watch, by `--since`
_TESTS = len(STREAMS) + 3  # of a domain: its distributions, two claims, features


def judge(
    collected: Collector, begin: float, known: Mapping[str, Known], commands: Commands = Commands()
) -> WatchReport:
    """The report of what a log holds from `begin` on, which is put at the beginning of a slot of six hours."""
    begin = begin // SLOT * SLOT
    slots = collected.slots
    past = _week_before(slots, begin)
    present = [slot for slot in slots if slot.start >= begin]
    ends = [present]
    for length in _ENDS:
        part = [slot for slot in present if slot.start > collected.latest - length - SLOT]
        if part and len(part) < len(ends[-1]):
            ends.append(part)
    period = Period(past, ends, {name: one.version for name, one in known.items()})
    names = sorted(period.serving)
    level = math.log(_LOOKS * max(1, len(names)) * _TESTS * (1 + len(_ENDS)) / LEVEL)
    domains = {name: judged(name, period, level, known.get(name)) for name in names}
    alarms, consequences = alarms_of(domains, commands)
    alarming = {one.domain for one in alarms}
    domains = {name: replace(one, status="alarm") if name in alarming else one for name, one in domains.items()}
    requests = sum(slot.n for slot in present)
    shares = share_shifts(period.before, period.now[0]) if past and present else {}
    fewest = min(len(period.before.time), len(period.now[0].time)) if past and present else 0
    return WatchReport(
        before=past[0].start if past else begin,
        begin=begin,
        end=collected.latest,
        requests=requests,
        requests_before=sum(slot.n for slot in past),
        labelled=sum(row.truth is not None for slot in present for row in slot.rows),
        alarms=tuple(alarms),
        domains=domains,
        shares=shares,
        shifts=tuple(name for name in shifted(shares, fewest) if name not in alarming),
        new_contexts=tuple(_unlearned(one, known) for one in new_contexts(past, present)),
        notes=(*_notes(past, present, collected.latest), *consequences),
        skipped=collected.skipped,
        bad=collected.bad,
    )


def _unlearned(value: ContextValue, known: Mapping[str, Known]) -> ContextValue:
    """The value with the domains whose weights know other values of its key alone."""
    key, own = f"context.{value.key}=", f"context.{value.key}={value.value}"
    names = [
        name
        for name, one in sorted(known.items())
        if own not in one.features and any(each.startswith(key) for each in one.features)
    ]
    return replace(value, unlearned=tuple(names))


def _week_before(slots: Iterable[LogSlot], begin: float) -> list[LogSlot]:
    """The slots of the week before a time."""
    return [slot for slot in slots if begin - WEEK <= slot.start < begin]


def _notes(past: Sequence[LogSlot], present: Sequence[LogSlot], latest: float) -> Iterator[str]:
    """Remarks on what there is too little of."""
    n, n_before = sum(slot.n for slot in present), sum(slot.n for slot in past)
    if not n:
        yield "no request in the time that is watched; watch a longer time: --since 7d"
        return
    if n_before < LEAST:
        yield (
            f"{n_before} requests before the time that is watched, at least {LEAST} are needed to see drift: only "
            f"claims against outcomes are judged{_advice(past, present, latest)}"
        )
    labelled = sum(row.truth is not None for slot in present for row in slot.rows)
    if not labelled:
        yield "no request has a truth: claims are not judged against outcomes; report some: POST /v1/feedback"


def _advice(past: Sequence[LogSlot], present: Sequence[LogSlot], latest: float) -> str:
    """A sentence's end with the longest shorter time that has enough requests before it; none where none has."""
    for text, seconds in _SHORTER.items():
        later = (latest - seconds) // SLOT * SLOT
        shorter = later > present[0].start
        if shorter and sum(slot.n for slot in _week_before((*past, *present), later)) >= LEAST:
            return f"; watch a shorter time: --since {text}"
    return ""
