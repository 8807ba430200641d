"""Catalogue of the gathered tools, to be searched by a Shortlister and sorted by a HypRank."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from threading import Lock
from typing import Any, Literal

from msgspec import UNSET

from arbitrank.errors import InputError
from arbitrank.importers.catalogues.items import FoundSkill
from arbitrank.importers.catalogues.mcp import read_tools
from arbitrank.shortlist.calibration import CandidateCalibration
from arbitrank.shortlist.hyprank_features import MOST
from arbitrank.shortlist.shortlister import Shortlister
from arbitrank.shortlist.tool_words import ToolWords
from arbitrank.values import Candidate, Request
from arbitrank.wire.catalogue_lines import CatalogueSkill
from arbitrank_mcp.library import Skills, ToolLibrary

__all__ = ["FoundTool", "FoundTools", "ToolCatalogue", "Tools", "catalogue_of", "skills_of"]

_MASS = 0.95  # of the probability, for which a list needs no more tools
_FLOOR = 0.01  # of the probability of a tool that is shown
_VERSIONS = 4  # of a Shortlister, that search at once

_FEW_KNOWN = (
    "the Shortlister was trained with %d of these %d tools: the others are ranked poorly; train it again on the output "
    "of arbitrank-mcp tools"
)
_LOG = logging.getLogger(__name__)

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
class FoundTools:
    """The tools that fit, best first, and P(none fits), None where nothing tells it.

    `calibrated`: the probabilities were fitted to requests whose tool is known, some 200 logged calls. `candidates` are
    what they were chosen from, `version` is that of the Shortlister, and `arms` are those of a canary.
    """

    tools: tuple[FoundTool, ...] = ()
    none: float | None = 1.0
    calibrated: bool = False
    candidates: tuple[Candidate, ...] = ()
    version: str | None = None
    arms: Mapping[str, Literal["stable", "canary"]] = field(default_factory=dict)


class ToolCatalogue:
    """The tools of all servers, searched by the stages of a library. `listed` are their definitions."""

    def __init__(self, tools: Tools, library: ToolLibrary) -> None:
        self.skills = skills_of(tools)
        self.listed = {(server, str(tool["name"])): tool for server, each in tools.items() for tool in reversed(each)}
        self.library = library
        self._present: dict[int, tuple[Shortlister, Shortlister, ToolWords]] = {}
        self._making = Lock()

    def prepare(self) -> None:
        """Compute now what the first search would otherwise compute."""
        stages = self.library.stages(Request())
        if stages.shortlister is not None:
            self._of(stages.shortlister, words=bool(stages.order.text))

    def find(self, request: Request, k: int, available: set[str]) -> FoundTools:
        """The at most `k` tools of available servers that fit best.

        Where P(none fits) is known, a list ends with 95 % of the probability, that of none included: it may be empty.
        """
        stages = self.library.stages(request)
        if stages.shortlister is None or not self.skills:
            return FoundTools()
        shortlister, words = self._of(stages.shortlister, words=bool(stages.order.text))
        hidden = sum(server not in available for server, _ in self.listed)
        candidates, none = shortlister.judge(request.utterance, max(k, MOST) + hidden)
        tally = self.library.outcomes.after(stages.order.tally)
        there = [one for one in candidates if one.domain in available]
        ordered = stages.order.sort(request, there, tally=tally, words=words)
        calibration = shortlister.calibration
        tells = calibration.fits is not None
        shown = ordered[: _needed(ordered, none if tells else 0.0) if tells else k][:k]
        return FoundTools(
            tuple(_found(one, shortlister) for one in shown if _own_score(one) >= _FLOOR),
            none if tells or none == 1.0 else None,
            calibration != CandidateCalibration(),
            ordered[: max(k, MOST)],
            shortlister.version,
            stages.arms,
        )

    def unique(self, server: str, tool: str) -> str:
        """The name of a tool in the catalogue."""
        stages = self.library.stages(Request())
        if stages.shortlister is None:
            return tool
        known = self._of(stages.shortlister, words=False)[0].catalogue
        number = known.number_of(server, tool)
        return tool if number is None else known[number][0]

    def _of(self, one: Shortlister, *, words: bool) -> tuple[Shortlister, ToolWords]:
        """A Shortlister with exactly these tools, and the tools' words where they are wanted."""
        with self._making:
            _, present, own = self._present.pop(id(one), (None, None, ToolWords()))
            if present is None:
                lacking = sum(one.catalogue.number_of(skill.domain, skill.name) is None for _, skill in self.skills)
                if lacking > len(self.skills) / 2:
                    _LOG.warning(_FEW_KNOWN, len(self.skills) - lacking, len(self.skills))
                present = _with_skills(one, [skill for _, skill in self.skills])
            if words and not own.tools:
                own = _words(present, self.skills)
            self._present[id(one)] = one, present, own
            while len(self._present) > _VERSIONS:
                self._present.pop(next(iter(self._present)))
            return present, own


def catalogue_of(tools: Tools, library: ToolLibrary | None = None) -> ToolCatalogue:
    """The catalogue of the tools now, ready to be searched."""
    library = library or ToolLibrary()
    catalogue = ToolCatalogue(tools, library)
    library.describe(catalogue.skills)
    catalogue.prepare()
    return catalogue


def skills_of(tools: Tools) -> Skills:
    """The tools as skills of a catalogue, each with its place; one that is no tool is left out."""
    items = (item for server, each in sorted(tools.items()) for item in read_tools(server, list(each)))
    return [(item.where, item.skill) for item in items if isinstance(item, FoundSkill)]


def _with_skills(shortlister: Shortlister, skills: Sequence[CatalogueSkill]) -> Shortlister:
    """The Shortlister with exactly these skills: those that it lacks added, others removed."""
    known = shortlister.catalogue
    lacking = [(one.domain, one.skill) for one in skills if known.number_of(one.domain, one.name) is None]
    try:
        shortlister = shortlister.with_owned(lacking)
    except InputError as error:  # of the encoder
        _LOG.warning("tools are found by their descriptions alone: %s", error)
        cold = None if shortlister.cold is None else replace(shortlister.cold, embedding=None)
        shortlister = replace(shortlister, cold=cold).with_owned(lacking)
    present, known = {(one.domain, one.name) for one in skills}, shortlister.catalogue
    others = [name for number, name, owner in known.present() if (owner, known.own.get(number, name)) not in present]
    return shortlister.without(others) if others else shortlister


def _words(shortlister: Shortlister, skills: Skills) -> ToolWords:
    known = shortlister.catalogue
    numbers = ((known.number_of(one.domain, one.name), one) for _, one in skills)
    return ToolWords.of((known[number][0], one) for number, one in numbers if number is not None)


def _found(one: Candidate, shortlister: Shortlister) -> FoundTool:
    known = shortlister.catalogue
    number = known.number(one.skill)
    name = one.skill if number is None else known.own.get(number, one.skill)
    return FoundTool(one.domain, name, one.skill, one.score)


def _own_score(one: Candidate) -> float:
    """The Shortlister's own score of a candidate: a tool that fails is shown where it fits."""
    return one.score if one.shortlisted is UNSET else one.shortlisted


def _needed(candidates: Sequence[Candidate], none: float) -> int:
    """The number of candidates that make up the share of the probability, that of none included."""
    total, reached = none + sum(one.score for one in candidates), none
    for n, one in enumerate(candidates):
        if reached >= _MASS * total:
            return n
        reached += one.score
    return len(candidates)
