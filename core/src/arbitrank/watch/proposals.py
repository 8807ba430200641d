"""Proposals of recalibrations by users' reactions in the time that is watched; a command with a gate sets them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from msgspec.structs import replace

from arbitrank.arbitration.recalibration import Recalibration, alike, as_reported
from arbitrank.impact.outcome_recalibration import logged, outcome_recalibrations
from arbitrank.outcomes.recalibrating import LEAST
from arbitrank.watch.alarms import Commands
from arbitrank.watch.report import Proposal, WatchReport
from arbitrank.wire.requests import Logged

_SCALE, _SHIFT = 0.15, 0.2  # differences from what serves below which nothing is proposed


def with_proposals(report: WatchReport, path: Path, commands: Commands = Commands()) -> WatchReport:
    """The report with the proposals of the time that it watches."""
    serving = {name: one.serving.partition(" ")[0] for name, one in report.domains.items()}
    lines = list(_without_texts(logged(path, report.begin)))
    return replace(report, proposals=tuple(proposals(lines, serving, commands)))


def proposals(
    lines: Iterable[Logged], serving: Mapping[str, str], commands: Commands = Commands()
) -> Iterable[Proposal]:
    """Proposals for the versions that serve, by reactions to these alone."""
    lines = list(lines)
    present = _serving(lines, serving)
    for name, by in outcome_recalibrations(lines, None, serving).items():
        now = present.get(name)
        if by.weight >= LEAST and not alike(by.recalibration, now, _SCALE, _SHIFT):
            yield Proposal(name, now, by, commands.shrink_by_outcomes(name))


def _without_texts(lines: Iterable[Logged]) -> Iterable[Logged]:
    """The lines that say anything of outcomes, without hypotheses: they are kept in memory."""
    for line in lines:
        if line.outcome is not None or line.truth is not None:
            yield replace(line, hypotheses=None, utterance=None)


def _serving(lines: Iterable[Logged], serving: Mapping[str, str]) -> dict[str, Recalibration | None]:
    """The recalibration of each domain's version in the latest line that has it."""
    found: dict[str, tuple[float, Recalibration | None]] = {}
    for line in lines:
        for name, report in line.answer.domains.items() if line.answer else ():
            time = line.time or 0.0
            if report.version == serving.get(name) and time >= found.get(name, (-1.0, None))[0]:
                found[name] = time, as_reported(report)
    return {name: by for name, (_, by) in found.items()}
