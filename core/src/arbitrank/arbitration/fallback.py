"""The fallback: a domain that can answer anything, and acts only where no other domain should.

Its claim enters neither the merge nor P(out of scope). Where the decision is `none`, its best reading is appended to
the ranked list and accepted, with the reason `fallback`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from arbitrank.arbitration.decide import DecisionSettings
from arbitrank.arbitration.merge import Contribution
from arbitrank.arbitration.profiles import DomainProfile
from arbitrank.explanation import split
from arbitrank.values import Answer, Decision, DomainReport, Hypothesis, Ranked

FALLBACK = "fallback"
"""The reason of the decision that accepts a fallback's reading."""

NO_FALLBACK = ("none", "")
"""Values of the setting `fallback` by which no domain is the fallback, whatever the domains claim."""


class FallbackRole(NamedTuple):
    """The fallback, None where there is none, and the domains that claim to be it and are not, with the reasons."""

    name: str | None
    idle: Mapping[str, str]


def fallback_role(profiles: Mapping[str, DomainProfile], settings: DecisionSettings) -> FallbackRole:
    """The fallback that the settings name, else the domain that claims to be it, of several the first by name.

    A domain that claims it and is not the fallback does not act at all: it would win every request.
    """
    claimants = sorted(name for name, profile in profiles.items() if profile.fallback)
    chosen = settings.fallback
    if chosen is None:
        name = claimants[0] if claimants else None
        reason = f"it claims to be the fallback, as {name} does, which acts; to choose, set fallback to a domain"
    else:
        name = None if chosen in NO_FALLBACK else chosen
        reason = f"it claims to be the fallback, and the setting fallback is {chosen or 'none'}"
    return FallbackRole(name, {other: reason for other in claimants if other != name})


def scored_reading(contribution: Contribution) -> Ranked | None:
    """The fallback's most probable reading; without probabilities where its readings have no confidence.

    None where it has no reading. Its `score` is None, as it is not compared with the list's.
    """
    domain, hypotheses, scores, version, why = contribution
    if not len(hypotheses):
        return None
    best = int(np.argmax(scores.right))
    h = hypotheses[best]
    scored = any(map(_has_confidence, hypotheses))
    mine, right = (scores.mine, float(scores.right[best])) if scored else (None, None)
    groups, details = split(why[best]) if why and scored else (None, None)
    return Ranked(domain, h.intent, h.slots, None, mine, right, version, h.skill, groups, details)


def unscored_reading(name: str, hypotheses: Sequence[Hypothesis]) -> Ranked | None:
    """The first reading that a request brings of a fallback that is not installed; None where it brings none."""
    if not hypotheses:
        return None
    h = hypotheses[0]
    return Ranked(name, h.intent, h.slots, None, None, None, None, h.skill)


def fall_back(ranked: tuple[Ranked, ...], reading: Ranked) -> tuple[tuple[Ranked, ...], Decision]:
    """The list with the fallback's reading, and the decision to accept it."""
    return (*ranked, reading), Decision("accept", (len(ranked),), FALLBACK)


def merged(answer: Answer) -> tuple[Ranked, ...]:
    """The ranked list of an answer without the reading that a fallback appended to it."""
    return answer.ranked[:-1] if answer.ranked and answer.ranked[-1].score is None else answer.ranked


def no_fallback(name: str, report: DomainReport | None) -> Decision:
    """The decision `none`, with the reason why the fallback, whose report is given, does not act."""
    if report is None:
        reason = "not installed, and the request brings no hypothesis of it"
    elif report.status == "answered":
        reason = "it has no reading"
    else:
        reason = f"{report.status}: {report.reason}"
    return Decision("none", (), f"the fallback {name} does not act: {reason}")


def _has_confidence(h: Hypothesis) -> bool:
    given = (h.domain_confidence, h.intent_confidence, h.slots_confidence, *(slot.confidence for slot in h.slots))
    return any(confidence is not None for confidence in given)
