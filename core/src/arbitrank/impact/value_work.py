"""Work of a value report: the logged requests to which users reacted, with one domain's version exchanged.

The other domains claim what the log says that they did, so the model of the exchanged domain alone is called, once for
each request: the version that answered has its claims in the log too. Requests without a reaction are counted.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from arbitrank.answerlog.feedback import UnusedFeedback
from arbitrank.answerlog.joining import LogView, feedback_use, has_reaction, view, written_since
from arbitrank.impact.batch_scores import DomainReadings, brought_of
from arbitrank.impact.flips import ROW, SIDES, Rows, Side, fill_side
from arbitrank.impact.logged_actions import fill_logged
from arbitrank.impact.logged_readings import (
    LoggedClaim,
    answered_by,
    logged_claims,
    names_in,
    nothing_read,
    put_logged,
)
from arbitrank.impact.plan import DomainVersion, ReplayPlan
from arbitrank.impact.replay import ReplayWork
from arbitrank.impact.replayed import Replayed, decoded, together
from arbitrank.impact.shares import shares
from arbitrank.impact.valued import ValueReport, value_of
from arbitrank.impact.work import Chunks, Lines, ReactedLines, Requests
from arbitrank.semer import same_reading
from arbitrank.wire.requests import Logged

if TYPE_CHECKING:
    from arbitrank.impact.cluster import Cluster

Claims = Sequence[Mapping[str, LoggedClaim] | None]


def valued(plan: ReplayPlan, path: Path | LogView, *, jobs: int = 1, cluster: Cluster | None = None) -> Replayed:
    """The rows of the requests of a log to which users reacted; `Replayed.silent` counts the others.

    Raises as `replay` does.
    """
    return together([*shares(ValueWork, plan, path, jobs=jobs, cluster=cluster)])


def value_in(log: Path, plan: ReplayPlan, since: float | None, *, jobs: int = 1) -> ValueReport:
    """The value report of a plan by a log's requests from a time on, None for all."""
    seen = view(log)
    lines = seen if since is None else written_since(seen, since)
    found = valued(dataclasses.replace(plan, since=since), lines, jobs=jobs)
    return value_of(found, plan.exchanged, log.name, unused=unused_in(found, lines))


def unused_in(found: Replayed, log: Path | LogView) -> UnusedFeedback:
    """The reactions in a log that are to none of its requests; none of a file, which has no lines of feedback."""
    if found.use is not None:
        return found.use.unused
    if isinstance(log, Path) and not log.is_dir():
        return UnusedFeedback()
    return feedback_use(view(log) if isinstance(log, Path) else log).unused


class ValueWork(ReplayWork):
    """Share of one process in a value report."""

    def share(self, some: Iterable[Lines], path: Requests) -> Replayed:
        """The results of some chunks, with the reactions that were not joined where these are counted on the way."""
        chunks: Iterable[ReactedLines] = some.reacted() if isinstance(some, Chunks) else some
        found = self._replayed(self._chunk(lines, path) for lines in chunks)
        found.use = some.use if isinstance(some, Chunks) else None
        return found

    def _chunk(self, raw: ReactedLines, path: Requests) -> Rows:
        """The rows of the lines with a reaction."""
        reacted = [one for one in raw if one[2] and (not isinstance(one[2], bytes) or has_reaction(one[2]))]
        self.found.silent += len(raw) - len(reacted)
        numbers, lines = decoded(reacted, path, self.plan.since, self.found)
        if not lines:
            return np.zeros(0, ROW)
        rows, plan = np.zeros(len(lines), ROW), self.plan
        rows["line"] = numbers
        rows["labelled"] = [line.truth is not None for line in lines]
        rows["unowned"] = [line.truth is None or line.truth.out_of_scope for line in lines]
        rows["owners"], rows["device"] = self.found.owners[()], -1
        claims = [logged_claims(line) for line in lines]
        self.wordless = set()
        others = self._others(lines, claims)
        before, after = (self._own(lines, claims, side) for side in SIDES)
        own = dict(zip(SIDES, (before, after), strict=True))
        heads = []
        for side in SIDES:
            found = {**others, **({plan.name: own[side]} if own[side] is not None else {})}
            readings = {name: one for name, one in found.items() if one is not None}
            served = plan.served(side)
            heads.append(fill_side(rows[side], plan.name, readings, lines, self.found.names, plan.decisions, served))
        rows["moved"] = [not same_reading(*pair) for pair in zip(*heads, strict=True)]
        fill_logged(rows, lines, heads, plan.exchanged, self.found, self.wordless)
        return rows

    def _others(self, lines: Sequence[Logged], claims: Claims) -> dict[str, DomainReadings]:
        """The readings of the other domains, by name: as logged, else as they answer now."""
        plan, found = self.plan, dict[str, DomainReadings]()
        unknown = [i for i, one in enumerate(claims) if one is None]
        for name in sorted({*names_in(claims), *(self.models if unknown else ()), plan.decisions.fallback or ""}):
            if name in ("", plan.name):
                continue
            logged = name != plan.decisions.fallback
            known = {i: one[name] for i, one in enumerate(claims) if one is not None and name in one} if logged else {}
            asked = range(len(lines)) if not logged else unknown
            found[name] = nothing_read(len(lines))
            if name in self.models and asked:
                self._put_scored(found[name], name, plan.parts[name], lines, asked)
            put_logged(found[name], known)
        return found

    def _own(self, lines: Sequence[Logged], claims: Claims, side: Side) -> DomainReadings | None:
        """The readings of the exchanged domain by one version: as logged where it answered, else by its model."""
        plan, after = self.plan, side == "after"
        version: DomainVersion | None = plan.candidate if after else plan.parts.get(plan.name)
        loaded = after or plan.name in self.models
        known, asked = dict[int, LoggedClaim](), list[int]()
        for i, (line, one) in enumerate(zip(lines, claims, strict=True)):
            if one is None or not answered_by(line, plan.name, version):
                asked.append(i)
            elif plan.name in one:
                known[i] = one[plan.name]
        if not loaded and not known:
            return None
        found = nothing_read(len(lines))
        if loaded and version is not None and asked:
            self._put_scored(found, plan.name, version, lines, asked)
        put_logged(found, known)
        return found

    def _put_scored(
        self,
        found: DomainReadings,
        name: str,
        version: DomainVersion,
        lines: Sequence[Logged],
        asked: Sequence[int],
    ) -> None:
        """Fill in the readings of the requests at the places `asked` by a version of a domain."""
        places, own = [*asked], [lines[i] for i in asked]
        some = self._read(name, version, own, [brought_of(name, line) for line in own], places)
        for column, scored in zip(found.best, some.best, strict=True):
            if column is not None and scored is not None:
                column[places] = scored
        for i, readings in zip(asked, some.readings, strict=True):
            found.readings[i] = readings
