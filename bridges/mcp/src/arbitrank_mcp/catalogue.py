"""Catalogue of the gathered tools: a Shortlister trained on their texts and on logged calls, or that of a store."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from arbitrank.answerlog.reader import read_truths
from arbitrank.answerlog.segments import segments
from arbitrank.errors import InputError
from arbitrank.importers.catalogues.items import FoundSkill
from arbitrank.importers.catalogues.mcp import read_tools
from arbitrank.shortlist.artifact import load_shortlister
from arbitrank.shortlist.build import LinearTrainer, SkillUtterance, build, skill_utterance
from arbitrank.shortlist.calibration import CandidateCalibration
from arbitrank.shortlist.changes import with_log
from arbitrank.shortlist.gathering import ListedSkills
from arbitrank.shortlist.shortlister import Shortlister
from arbitrank.store.kinds import SHORTLIST
from arbitrank.store.local_copies import verified_copy
from arbitrank.store.store import Store
from arbitrank.values import Example
from arbitrank.wire.catalogue_lines import CatalogueSkill
from arbitrank.wire.json_lines import BadLine

__all__ = ["FoundTool", "ToolCatalogue", "Tools", "catalogue_of", "skills_of", "stable_shortlister"]

_MASS = 0.95  # of the probability, for which a list needs no more tools
_FLOOR = 0.01  # of the probability of a tool that is shown

Tools = Mapping[str, Sequence[Mapping[str, Any]]]
"""The tools that each server listed, as JSON."""


@dataclass(frozen=True)
class FoundTool:
    """A tool with P(it fits the request). `unique` is its name in the catalogue, qualified where servers share it."""

    server: str
    name: str
    unique: str
    probability: float


@dataclass(frozen=True)
class ToolCatalogue:
    """The tools of all servers, to be searched. `listed` are their definitions by server and name."""

    shortlister: Shortlister | None
    listed: Mapping[tuple[str, str], Mapping[str, Any]]

    @property
    def calibrated(self) -> bool:
        """True where the probabilities were fitted to requests whose tool is known: some 200 logged calls."""
        return self.shortlister is not None and self.shortlister.calibration != CandidateCalibration()

    @property
    def tells_none(self) -> bool:
        """True where P(no tool fits) was fitted as well: some 400 logged calls, of four tools or more."""
        return self.shortlister is not None and self.shortlister.calibration.fits is not None

    def find(self, query: str, k: int, available: set[str]) -> tuple[list[FoundTool], float | None]:
        """The at most `k` tools of available servers that fit best, and P(none fits), None where nothing tells it.

        Where something does, a list ends with 95 % of the probability, that of none included: it may be empty.
        """
        if self.shortlister is None:
            return [], 1.0
        hidden = sum(server not in available for server, _ in self.listed)
        mass = _MASS if self.tells_none else 1.0
        candidates, none = self.shortlister.judge(query, k + hidden, mass=mass, floor=_FLOOR)
        known = self.shortlister.catalogue
        found = []
        for one in candidates:
            number = known.number(one.skill)
            name = one.skill if number is None else known.own.get(number, one.skill)
            if one.domain in available:
                found.append(FoundTool(one.domain, name, one.skill, one.score))
        return found[:k], none if self.tells_none or none == 1.0 else None


def skills_of(tools: Tools) -> list[tuple[str, CatalogueSkill]]:
    """The tools as skills of a catalogue, each with its place; one that is no tool is left out."""
    items = (item for server, each in sorted(tools.items()) for item in read_tools(server, list(each)))
    return [(item.where, item.skill) for item in items if isinstance(item, FoundSkill)]


def catalogue_of(tools: Tools, stable: Shortlister | None = None, log: Path | None = None) -> ToolCatalogue:
    """The catalogue of the tools now: by a store's Shortlister, else trained here, on the calls of a log too."""
    found = skills_of(tools)
    listed = {(server, str(tool["name"])): tool for server, each in tools.items() for tool in reversed(each)}
    if not found:
        return ToolCatalogue(None, listed)
    if stable is not None:
        return ToolCatalogue(_with_skills(stable, [skill for _, skill in found]), listed)
    known = {(skill.domain, skill.name) for _, skill in found}
    lines = [one for one in _logged(log) if (one.domain, one.skill) in known]
    trained = build(lines, listed=ListedSkills(found), linear=_linear(lines))
    return ToolCatalogue(trained.shortlister, listed)


def stable_shortlister(store: Store) -> Shortlister:
    """The stable Shortlister of a store, with later changes of its catalogue. Raises `InputError` without one."""
    version = store.state(SHORTLIST)[1].stable
    if version is None:
        raise InputError(f"no shortlister is stable in {store}; run: arbitrank shortlist train … --promote")
    copied = verified_copy(store.fetch(SHORTLIST, version), store.keys)
    return with_log(load_shortlister(copied.folder, copied.manifest.version), store.catalogue_log())


def _with_skills(shortlister: Shortlister, skills: Sequence[CatalogueSkill]) -> Shortlister:
    """The Shortlister with exactly these skills: those that it lacks added, others removed."""
    known = shortlister.catalogue
    shortlister = shortlister.with_owned(
        (one.domain, one.skill) for one in skills if known.number_of(one.domain, one.name) is None
    )
    present, known = {(one.domain, one.name) for one in skills}, shortlister.catalogue
    others = [name for number, name, owner in known.present() if (owner, known.own.get(number, name)) not in present]
    return shortlister.without(others) if others else shortlister


def _logged(log: Path | None) -> Iterable[SkillUtterance]:
    """The requests of a log whose tool is known; none where the log has no line yet."""
    if log is None or not log.is_dir() or not segments(log):
        return ()
    examples: Iterable[Example | BadLine] = read_truths(log)
    found = (skill_utterance(line, "intent") for line in examples if not isinstance(line, BadLine))
    return (one for one in found if one is not None)


def _linear(lines: Sequence[SkillUtterance]) -> LinearTrainer | None:
    """The trainer of the linear kernel; None without scikit-learn, or where the lines are too many or too few."""
    try:
        from arbitrank.shortlist.linear_training import can_train, train_linear
    except ImportError:
        return None
    return partial(train_linear, seed=0) if can_train(len(lines), len({line.skill for line in lines})) else None
