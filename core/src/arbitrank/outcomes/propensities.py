"""Propensities: the probability with which the answer that was served was drawn, and its reproduction from a log.

A request falls into a canary's share by a hash of its session, so the share at that moment is the probability of the
candidate's answer, and one less the share that of the stable version's.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from math import isclose, prod

from msgspec import UNSET, UnsetType

from arbitrank.outcomes.draws import draw, draw_key
from arbitrank.outcomes.exploration import drawn_reading
from arbitrank.selections import CanaryDraw, ExplorationDraw, ServedSelection
from arbitrank.values import Answer, Request
from arbitrank.wire.requests import Logged


def selection_of(
    request: Request,
    answer: Answer,
    canary: Mapping[str, CanaryDraw],
    *,
    policy: str | UnsetType = UNSET,
    overridden: bool = False,
    exploration: ExplorationDraw | None = None,
) -> ServedSelection:
    """The selection of an answer; `canary` are the arms of the names that took part in it.

    `policy` is the digest of the operator's policy, `overridden` says that its rules made the decision, `exploration`
    how one of several readings was drawn. A request without session, id and words falls into no share, for certain.
    """
    settings = None if answer.settings is UNSET else answer.settings
    by_policy = True if overridden else UNSET
    if not canary and exploration is None:  # as nearly every answer
        return _certain(eligible(answer), settings, policy, by_policy)
    drawn = {name: one for name, one in canary.items() if one.share > 0.0} if canary else {}
    if drawn and draw_key(request) is None:
        drawn = {}
    probability = prod((one.probability for one in drawn.values()), start=1.0)
    if exploration is None:
        return ServedSelection(eligible(answer), probability, drawn, settings, policy, by_policy)
    places = tuple(sorted((exploration.head, *exploration.others)))
    probability *= exploration.probability
    return ServedSelection(places, probability, drawn, settings, policy, by_policy, exploration)


@lru_cache(1_024)
def _certain(
    places: tuple[int, ...], settings: str | None, policy: str | UnsetType, by_policy: bool | UnsetType
) -> ServedSelection:
    """The selection of an answer that nothing was drawn for."""
    return ServedSelection(places, 1.0, {}, settings, policy, by_policy)


def eligible(answer: Answer) -> tuple[int, ...]:
    """The place of the reading that an answer without exploration acts on; none where it asks, or acts on none."""
    return answer.decision.contenders[:1] if answer.decision.action == "accept" else ()


def unreproduced(line: Logged) -> str | None:
    """The reason why a logged selection is not the one that its request leads to; None where it is.

    Reads the line alone: the arms are drawn again from the session, else the id, else the words, and the probability is
    computed again. A redacted line keeps no session; its arms are compared with the versions that answered alone.
    """
    if line.answer is None:
        return "no answer"
    if line.answer.selection is UNSET:
        return "no selection: an earlier release logged it"
    return next(_differences(line, line.answer, line.answer.selection), None)


def _differences(line: Logged, answer: Answer, selection: ServedSelection) -> Iterator[str]:
    key = None if redacted(line) else draw_key(line)
    for name, one in selection.canary.items():
        report, canary = answer.domains.get(name), one.arm == "canary"
        if canary and report is not None and report.version not in (one.candidate, None):
            yield f"{name}: version {report.version} answered, the candidate is {one.candidate}"
        if key is not None and (draw(name, one.candidate, key) < one.share) != canary:
            yield f"{name}: the arm {one.arm}, and the other one is drawn"
    probability = prod((one.probability for one in selection.canary.values()), start=1.0)
    if selection.exploration is not UNSET:
        probability *= selection.exploration.probability
        yield from _unexplored(answer, selection.exploration, key)
    if not isclose(selection.probability, probability, rel_tol=1e-9):
        yield f"probability {selection.probability:g}, expected {probability:g}"
    chosen = eligible(answer)
    if not set(chosen) <= set(selection.eligible):
        yield f"reading {chosen[0]} was acted on, and is not among the eligible ones"


def _unexplored(answer: Answer, how: ExplorationDraw, key: str | None) -> Iterator[str]:
    if key is None:
        return
    place, probability = drawn_reading(answer.ranked, how.head, how.others, key, how.rate)
    if (place,) != eligible(answer):
        yield f"the reading {place} is drawn, and another one was acted on"
    if not isclose(how.probability, probability, rel_tol=1e-9):
        yield f"probability {how.probability:g} of the reading, expected {probability:g}"


def redacted(line: Logged) -> bool:
    """True for a line of a log that keeps no words, and no session as it was."""
    return line.utterance is None and (line.utterance_hash is not None or line.utterance_length is not None)
