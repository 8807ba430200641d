"""Selections of an answer: the skills whose domains were queried, how it was drawn, and the risk that it bears."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

Chance = Annotated[float, Meta(gt=0.0, le=1.0)]
"""The probability of what was drawn: what has happened was possible."""


class Candidate(Struct, frozen=True, gc=False):
    """One skill of a shortlist with P(it is acceptable), in [0, 1]; `shortlisted` is that before a HypRank sorted."""

    skill: str
    domain: str
    score: float
    shortlisted: float | UnsetType = UNSET


class Shortlist(Struct, frozen=True):
    """The skills whose domains were queried, best first, and the version of the Shortlister that chose them.

    `miss`: none qualified, only the domains that are always queried were. `skipped` counts the others, not named.
    `none` is P(no skill fits), in [0, 1], set only where the Shortlister was fitted to such requests.
    """

    candidates: tuple[Candidate, ...]
    miss: bool
    skipped: int
    version: str | None = None
    none: float | UnsetType = UNSET


class CanaryDraw(Struct, frozen=True, gc=False):
    """The arm of a name that answered while its `candidate` had a `share`, in (0, 1), beside the `stable` version."""

    stable: str
    candidate: str
    share: Chance
    arm: Literal["stable", "canary"]

    @property
    def probability(self) -> float:
        """The probability of this arm."""
        return self.share if self.arm == "canary" else 1.0 - self.share


class ExplorationDraw(Struct, frozen=True, gc=False):
    """The draw of one of several readings: the accepted one, at the place `head`, or one of the `others`.

    `rate` is the share of the sessions in which one of the others is acted on, with probabilities in proportion to
    P(right); `probability` is that of the reading that was drawn.
    """

    domain: str
    rate: float
    head: int
    others: tuple[int, ...]
    probability: Chance


class ServedSelection(Struct, frozen=True):
    """The draw of the answer that was served: its `probability` given the request, and what else could be drawn.

    `eligible` are the places, in the ranked list, of the readings that might have been acted on by the versions that
    answered, the one that was among them; empty where the decision is none or clarify. `canary` has the arms of the
    names of which a candidate had a share then. `decisions` is the version of the decision settings, None where these
    are the operator's; `policy` a digest of the operator's policy, set only where there was one, which made the
    decision where `overridden`. `exploration` is set where one of several readings was drawn.
    """

    eligible: tuple[int, ...]
    probability: Chance
    canary: dict[str, CanaryDraw] = {}
    decisions: str | None = None
    policy: str | UnsetType = UNSET
    overridden: bool | UnsetType = UNSET
    exploration: ExplorationDraw | UnsetType = UNSET


class AnswerRisk(Struct, frozen=True):
    """Bound on the accepted answers: at most the share `most` of them are wrong, with probability `confidence`."""

    most: float
    confidence: float
