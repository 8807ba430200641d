"""Replay of requests with one domain's version exchanged: every request's answer before and after.

Requests are scored and merged in chunks, as `arbitration.arbitrator` does one at a time; the other domains once, or not
at all where the log has the same versions' scores. Each request leaves one row of numbers, so files can be long.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np
from msgspec import UNSET
from threadpoolctl import threadpool_limits

from arbitrank.arbitration.fallback import merged
from arbitrank.arbitration.recalibration import Recalibration, as_reported
from arbitrank.arbitration.scaled_model import scaled
from arbitrank.domain import Model, Scores
from arbitrank.errors import ArbitrankError, ArtifactError, message
from arbitrank.guard import Fault, guarded
from arbitrank.impact.batch_scores import (
    Brought,
    DomainReadings,
    Grouped,
    brought_for,
    by_domain,
    score_batch,
)
from arbitrank.impact.flips import ROW, SIDES, Rows, fill_side, worst, worst_flips
from arbitrank.impact.logged_actions import fill_logged
from arbitrank.impact.plan import DomainVersion, ReplayPlan
from arbitrank.impact.read_again import brought_to
from arbitrank.impact.replayed import Replayed, decoded, fill_truths, together
from arbitrank.impact.segmenting import situations
from arbitrank.impact.shares import shares
from arbitrank.impact.work import Lines, Requests
from arbitrank.learn.rerankers import baseline
from arbitrank.scales import domain_scales
from arbitrank.semer import same_reading
from arbitrank.values import Ranked
from arbitrank.wire.requests import Logged

if TYPE_CHECKING:
    from arbitrank.impact.cluster import Cluster

_SAME = 1e-6  # largest distance of a logged score from the model's present one


def replay(plan: ReplayPlan, path: Path, *, jobs: int = 1, cluster: Cluster | None = None) -> Replayed:
    """Replay a file or a log's folder in `jobs` processes or on a cluster; every figure is that of one process.

    Raises `DataError` where it can't be read, `ArtifactError` where the candidate can't be loaded.
    """
    return together([*shares(ReplayWork, plan, path, jobs=jobs, cluster=cluster)])


class ReplayWork:
    """Share of one process in a replay: the models, and the results so far."""

    def __init__(self, plan: ReplayPlan) -> None:
        self.plan, self.found, self.broken = plan, Replayed(), dict[str, str]()
        self.wordless = set[int]()  # places, in a chunk, where another recogniser's hypotheses are scored
        self.models: dict[str, Model] = {}
        for name, part in sorted(plan.parts.items()):
            model = guarded(part.load)
            if isinstance(model, Fault):
                self.broken[name] = message(model)
            else:
                self.models[name] = model
        candidate = guarded(plan.candidate.load)
        if isinstance(candidate, Fault):
            if isinstance(candidate.error, ArbitrankError):
                raise candidate.error
            raise ArtifactError(f"{plan.candidate.folder}: cannot be loaded: {candidate.reason}") from candidate.error
        self.candidate = candidate

    def share(self, some: Iterable[Lines], path: Requests) -> Replayed:
        """The results of some chunks."""
        return self._replayed(self._chunk(lines, path) for lines in some)

    def _replayed(self, rows: Iterable[Rows]) -> Replayed:
        """The results with the rows of some chunks, which are computed here."""
        self.found = Replayed(broken=dict(self.broken))
        with threadpool_limits(1):
            self.found.rows = np.concatenate([self.found.rows, *rows])
        return self.found

    def _chunk(self, raw: Lines, path: Requests) -> Rows:
        """The rows of some lines; flips and bad lines are noted."""
        numbers, lines = decoded(raw, path, self.plan.since, self.found)
        if not lines:
            return np.zeros(0, ROW)
        grouped = [by_domain(line) for line in lines]
        name, plan, names = self.plan.name, self.plan, self.found.names
        self.wordless = set()
        before = self._present(lines, grouped)
        candidate = self._read(name, plan.candidate, lines, brought_for(name, grouped))
        self.found.unread += len(self.wordless)
        rows = np.zeros(len(lines), ROW)
        fill_truths(rows, numbers, lines, self.found)
        sides = zip(SIDES, (before, {**before, name: candidate}), strict=True)
        heads = [
            fill_side(rows[side], name, own, lines, names, plan.decisions, plan.served(side)) for side, own in sides
        ]
        rows["situation"] = situations(lines, before.get(name), candidate, self.found.situations)
        rows["moved"] = [not same_reading(*pair) for pair in zip(*heads, strict=True)]
        fill_logged(rows, lines, heads, plan.exchanged, self.found, self.wordless)
        for counts, kept in self.found.worst.items():
            new = worst_flips(rows, lines, heads, plan.decisions if counts else None)
            self.found.worst[counts] = worst([*kept, *new])
        return rows

    def _present(self, lines: Sequence[Logged], grouped: Grouped) -> dict[str, DomainReadings]:
        """The readings of all domains as they answer now, the exchanged one's too, by name."""
        plan, readings = self.plan, dict[str, DomainReadings]()
        others = [name for name in self.models if name != plan.name]

        def scored(name: str, brought: Brought) -> DomainReadings:
            return self._read(name, plan.parts[name], lines, brought)

        for name in (plan.name, *others[:1]):
            if name in self.models:
                readings[name] = scored(name, brought_for(name, grouped))
        logged = [self._logged(line, i, readings) for i, line in enumerate(lines)]
        for name in others[1:]:
            kept = [entries.get(name) for entries in logged]
            brought = [() if was else own for own, was in zip(brought_for(name, grouped), kept, strict=True)]
            readings[name] = scored(name, brought)
            for i, was in enumerate(kept):
                if was:
                    readings[name].readings[i] = was
                    right = np.array([entry.probability for entry in was], np.float64)
                    scores = Scores(was[0].domain_probability or 0.0, right)
                    readings[name].best.put((i,), (scores,))
            self.found.from_log += sum(map(bool, kept))
        known = {*plan.parts, *plan.silent, plan.name}
        unserved = {name for own in grouped for name in own or () if name not in known}
        self.found.unserved |= unserved
        for name in unserved if plan.decisions.rank_unserved else ():
            brought = [own or () for own in brought_for(name, grouped)]
            stated = domain_scales(plan.decisions.scales.get(name, {}))
            scorer = scaled(cast("Model", baseline(name)), stated)  # all that it has to do is to rerank
            readings[name] = self._score(name, scorer, lines, brought, None, name)
        return readings

    def _score(
        self, name: str, model: Model, lines: Sequence[Logged], brought: Brought, by: Recalibration | None, called: str
    ) -> DomainReadings:
        scored = score_batch(name, model, lines, brought, by)
        if scored.failures:
            self.found.failures[called].update(scored.failures)
        return scored

    def _read(
        self,
        name: str,
        version: DomainVersion,
        lines: Sequence[Logged],
        own: Brought,
        places: Sequence[int] | None = None,
    ) -> DomainReadings:
        """The readings of lines by a version of the plan: of its hypotheses, or the words where others made those.

        `places` are those of the lines in their chunk, None for all of it.
        """
        brought, wordless = brought_to(version, name, lines, own, self.plan.known(name))
        if name == self.plan.name:
            self.wordless |= wordless if places is None else {places[i] for i in wordless}
        model, called = (self.candidate, "candidate") if version is self.plan.candidate else (self.models[name], name)
        return self._score(name, model, lines, brought, version.recalibration, called)

    def _logged(self, line: Logged, i: int, fresh: Mapping[str, DomainReadings]) -> dict[str, list[Ranked]]:
        """Each domain's ranked readings in the log, where its present version gave them; nothing where it is in doubt.

        The log does not say by what settings it was answered, so it has to agree with the domains scored afresh.
        """
        if line.answer is None or line.answer.settings is not UNSET:  # its numbers are after the domains' competition
            return {}
        kept: dict[str, list[Ranked]] = {}
        for entry in merged(line.answer):
            part, report = self.plan.parts.get(entry.domain), line.answer.domains.get(entry.domain)
            if not part or not report or report.status != "answered":
                continue
            if report.version == part.version and _same_map(as_reported(report), part.recalibration):
                kept.setdefault(entry.domain, []).append(entry)
        witnesses = [name for name in fresh if name in kept]
        return kept if witnesses and all(_agree(kept[name], fresh[name], i) for name in witnesses) else {}


def _same_map(one: Recalibration | None, other: Recalibration | None) -> bool:
    if one is None or other is None:
        return one is other
    return math.isclose(one.scale, other.scale, rel_tol=1e-9) and math.isclose(one.shift, other.shift, rel_tol=1e-9)


def _agree(entries: Sequence[Ranked], fresh: DomainReadings, i: int) -> bool:
    logged = entries[0].domain_probability or 0.0, entries[0].probability or 0.0
    return bool(np.allclose(logged, (fresh.best.mine[i], fresh.best.right[i]), rtol=0.0, atol=_SAME))
