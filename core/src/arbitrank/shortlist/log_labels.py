"""Labels from an answer log: refusals of utterances by skills, merged lists and shortlists with their right skills."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sized

from msgspec import UNSET

from arbitrank.arbitration.fallback import merged
from arbitrank.shortlist.classifier_training import Corrections
from arbitrank.shortlist.hyprank_features import skill_of
from arbitrank.shortlist.hyprank_training import LabelledList
from arbitrank.shortlist.labels import right_tools
from arbitrank.shortlist.tool_order_training import ToolList
from arbitrank.wire.requests import Logged

__all__ = ["called_skill", "corrections", "labelled_lists", "tool_lists"]


def corrections(lines: Iterable[Logged], skills: Iterable[str]) -> Corrections:
    """Net refusals by pair of utterance and skill, in the order of their first outcome.

    An outcome counts for the skill that it names, the one that acted, or else the first of the answer. Lines without
    id, skill or outcome are skipped; pairs with confirmations alone are left out.
    """
    utterances: dict[str, str] = {}
    outcomes = []
    for line in lines:
        if line.id is None:
            continue
        if line.utterance is not None:
            utterances[line.id] = line.utterance
        if line.outcome is None or line.answer is None:
            continue
        reading = line.answer.chosen or line.answer.best
        skill = line.called or (None if reading is None else skill_of(reading))
        if skill is not None:
            outcomes.append((line.id, skill, line.outcome == "rejected"))
    known, net, refused = set(skills), Counter[tuple[str, str]](), set[tuple[str, str]]()
    usable = [((utterances[id], skill), no) for id, skill, no in outcomes if id in utterances and skill in known]
    for pair, no in usable:
        net[pair] += 1 if no else -1
        if no:
            refused.add(pair)
    refusals = {pair: n for pair, n in net.items() if n > 0}
    return Corrections(refusals, len(outcomes) - len(usable), len(refused) - len(refusals))


def labelled_lists(lines: Iterable[Logged]) -> list[LabelledList]:
    """The merged lists of in-scope requests with a known truth; the group is the dialogue or the session.

    Right are the skills of the true domain's readings with the true intent, of any intent where none has it. Lists
    that HypRank sorted are skipped, as their scores are not the domains'.
    """
    labelled = []
    groups: dict[str, int] = {}
    for line in lines:
        if line.answer is None or line.truth is None or not line.truth.owners or "hyprank" in line.answer.ms:
            continue
        truth, read = line.truth, merged(line.answer)
        own = [reading for reading in read if truth.owned_by(reading.domain)]
        exact = [
            reading
            for reading in own
            if any(one.owned_by(reading.domain) and one.intent in (None, reading.intent) for one in truth.each)
        ]
        right = frozenset(map(skill_of, exact or own)) or frozenset(truth.owners)
        shortlist = line.answer.shortlist
        scores = {} if shortlist is UNSET else {candidate.skill: candidate.score for candidate in shortlist.candidates}
        labelled.append(LabelledList(line, read, right, scores, groups.setdefault(_group(line, groups), len(groups))))
    return labelled


def tool_lists(lines: Iterable[Logged]) -> list[ToolList]:
    """The shortlists of requests of which something is known, in the order of the log.

    Right are the tools of the truth, or else the tool that was called and accepted; a rejected one is wrong. Lists
    whose truth names no tool of them by its name, although its domain has some, say nothing.
    """
    found = []
    groups: dict[str, int] = {}
    for line in lines:
        if line.answer is None or line.answer.shortlist is UNSET or not (listed := line.answer.shortlist.candidates):
            continue
        called = called_skill(line)
        failed = line.outcome == "rejected"
        right = None if line.truth is None else right_tools(listed, line.truth)
        if right is None and called is None:
            continue
        if right is None and not failed:
            right = frozenset([called or ""])
        group = groups.setdefault(_group(line, groups), len(groups))
        found.append(ToolList(line, listed, right, called, failed, line.time, group))
    return found


def called_skill(line: Logged) -> str | None:
    """The skill that the outcome of a line is of: the one that it names, else the one that acted; None without any."""
    if line.outcome is None or line.called is not None:
        return None if line.outcome is None else line.called
    reading = None if line.answer is None else line.answer.chosen
    return None if reading is None else skill_of(reading)


def _group(line: Logged, groups: Sized) -> str:
    """The dialogue or the session of a line; a name of its own where it has neither."""
    return next((name for name in (line.dialogue, line.session) if isinstance(name, str)), f"request {len(groups)}")
