"""Shortlister and HypRank by which tools are searched: trained here on logged calls, or followed in a store."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Literal, NamedTuple

from arbitrank.answerlog.reader import read_truths
from arbitrank.errors import ArbitrankError, InputError
from arbitrank.live.live import Live
from arbitrank.live.routing import RequestStages
from arbitrank.shortlist.build import LinearTrainer, SkillUtterance, build, skill_utterance
from arbitrank.shortlist.embedding import Encoder
from arbitrank.shortlist.gathering import ListedSkills, gather_skills
from arbitrank.shortlist.hyprank import HypRank
from arbitrank.shortlist.log_labels import tool_lists
from arbitrank.shortlist.shortlister import Shortlister, Shortlisting, ShortlistSettings
from arbitrank.shortlist.tool_order import ToolOrder
from arbitrank.shortlist.tool_order_training import counted_outcomes, train_tools
from arbitrank.shortlist.tool_words import ToolWords
from arbitrank.store.kinds import SHORTLIST
from arbitrank.store.store import Store
from arbitrank.values import Request
from arbitrank.wire.catalogue_lines import CatalogueSkill
from arbitrank.wire.json_lines import BadLine
from arbitrank.wire.requests import Logged
from arbitrank_mcp.outcomes import CallOutcomes, is_log, logged

__all__ = ["ToolLibrary", "ToolStages", "followed"]

_LISTS = 5_000  # of the log, the latest, that a HypRank is trained on here
_ROUNDS = 60
_LOG = logging.getLogger(__name__)

Skills = Sequence[tuple[str, CatalogueSkill]]
"""The tools as skills of a catalogue, each with its place."""


class ToolStages(NamedTuple):
    """The Shortlister of a search, None where there is none, the order of tools, and the arms of a canary."""

    shortlister: Shortlister | None
    order: ToolOrder
    arms: Mapping[str, Literal["stable", "canary"]] = {}


def followed(store: Store, poll: float) -> Live:
    """A follower of a store's Shortlister and HypRank. Raises `InputError` where no Shortlister is stable."""
    if store.state(SHORTLIST)[1].stable is None:
        raise InputError(f"no shortlister is stable in {store}; run: arbitrank shortlist train … --promote")
    return Live({}, store, poll=poll, notify=_LOG.info, shortlist=ShortlistSettings())


class ToolLibrary:
    """Searches by what `live` follows; without it, by the tools' texts, and once `train` has returned by logged calls.

    `outcomes` are those of the log and of the calls since. `encoder` makes vectors of the tools in training.
    """

    def __init__(self, log: Path | None = None, live: Live | None = None, encoder: Encoder | None = None) -> None:
        self.outcomes = CallOutcomes(logged(log))
        self._log, self._live, self._encoder = log, live, encoder
        self._own = ToolStages(None, ToolOrder())
        self._trained = False

    def outdated(self, skills: Skills) -> bool:
        """True where `train` is worthwhile: it was not called yet, or knows less than half of the tools."""
        if self._live is not None or not self._trained or self._own.shortlister is None:
            return self._live is None
        known = self._own.shortlister.catalogue
        lacking = sum(known.number_of(one.domain, one.name) is None for _, one in skills)
        return lacking > len(skills) / 2

    def stages(self, request: Request) -> ToolStages:
        """The stages that serve a search now."""
        found = RequestStages(None, None, {}) if self._live is None else self._live.stages(request)
        shortlister, hyprank = found.shortlisting, found.hyprank
        tools = hyprank.tools if isinstance(hyprank, HypRank) else None
        if isinstance(shortlister, Shortlisting):
            return ToolStages(shortlister.shortlister, tools or _PLAIN, found.arms)
        return ToolStages(self._own.shortlister, tools or self._own.order, found.arms)

    def describe(self, skills: Skills) -> None:
        """Have something to search by before the training is done, or while a store has nothing: the tools' texts.

        Without vectors: those of many tools take longer than a search waits.
        """
        if self._trained or not skills:
            return
        described = ToolStages(build((), listed=ListedSkills(skills)).shortlister, _PLAIN)
        if not self._trained:
            self._own = described

    def train(self, skills: Skills) -> None:
        """Train on the calls of the log, those of tools that no server lists now included; takes seconds."""
        lines = _labelled(self._log)
        if not lines and not skills:
            return
        trained = build(lines, listed=ListedSkills(skills), linear=_linear(lines), encoder=self._encoder)
        self._own = ToolStages(trained.shortlister, _order(logged(self._log), skills))
        self._trained = True


_PLAIN = ToolOrder()


def _order(lines: Sequence[Logged], skills: Skills) -> ToolOrder:
    """The order of tools by the lists of a log; by the outcomes alone where LightGBM is not installed."""
    lists = tool_lists(lines)[-_LISTS:]
    gathered = gather_skills(skills)
    words = ToolWords.of(zip(gathered.names, gathered.skills, strict=True))
    try:
        return train_tools(lists, words, rounds=_ROUNDS)
    except ArbitrankError as error:
        _LOG.info("the order of tools is by their outcomes alone: %s", error)
        return ToolOrder(counted_outcomes(lists), words)


def _labelled(log: Path | None) -> list[SkillUtterance]:
    """The requests of a log whose tool is known."""
    if log is None or not is_log(log):
        return []
    examples = (line for line in read_truths(log) if not isinstance(line, BadLine))
    return [one for one in (skill_utterance(line, "intent") for line in examples) if one is not None]


def _linear(lines: Sequence[SkillUtterance]) -> LinearTrainer | None:
    """The trainer of the linear kernel; None without scikit-learn, or where the lines are too many or too few."""
    try:
        from arbitrank.shortlist.linear_training import can_train, train_linear
    except ImportError:
        return None
    return partial(train_linear, seed=0) if can_train(len(lines), len({line.skill for line in lines})) else None
