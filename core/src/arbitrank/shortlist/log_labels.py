"""What a log teaches: which skills refused which utterances, and merged lists with the skill that was right."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import UNSET

from arbitrank.shortlist.corrections import Feedback
from arbitrank.shortlist.hyprank import skill_of
from arbitrank.shortlist.hyprank_training import Listed
from arbitrank.wire import Logged

__all__ = ["feedback", "lists"]


def feedback(lines: Iterable[Logged]) -> tuple[list[Feedback], dict[str, str]]:
    """What users made of the skills that answered, and the utterance of each request.

    It is said of the skill that stood first in an answer that was accepted or clarified; a line without an id, a
    reading or an outcome says nothing.
    """
    heard, asked = [], {}
    for line in lines:
        if line.id is None:
            continue
        if line.utterance is not None:
            asked[line.id] = line.utterance
        if line.outcome is not None and line.answer is not None and line.answer.ranked:
            heard.append(Feedback(line.id, skill_of(line.answer.ranked[0]), line.outcome == "accepted"))
    return heard, asked


def lists(lines: Iterable[Logged]) -> list[Listed]:
    """The merged lists of requests of which the truth is known and somebody owns them, one group a session or dialogue.

    Right are the skills of the true domain's readings with the true intent, of any intent where none has it. What
    HypRank had sorted already is left out: its scores are no longer the domains'.
    """
    found = []
    groups: dict[str, int] = {}
    for line in lines:
        if line.answer is None or line.truth is None or line.truth.domain is None or "hyprank" in line.answer.ms:
            continue
        own = [one for one in line.answer.ranked if one.domain == line.truth.domain]
        exact = [one for one in own if line.truth.intent in (None, one.intent)]
        right = frozenset(skill_of(one) for one in exact or own) or frozenset([line.truth.domain])
        shortlist = line.answer.shortlist
        scores = {} if shortlist is UNSET else {one.skill: one.score for one in shortlist.candidates}
        name = next((one for one in (line.dialogue, line.session) if isinstance(one, str)), f"request {len(groups)}")
        found.append(Listed(line, line.answer.ranked, right, scores, groups.setdefault(name, len(groups))))
    return found
