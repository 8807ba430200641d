"""Bound on the share of wrong answers among those that are accepted, and thresholds by the head's domain or a context.

A `RiskBound` is the record of how thresholds were certified (`arbitrank.decisions.risk`): it belongs to the versions
that answered then. `accept_threshold` is the one that applies to a list, `accept_thresholds` those of many lists.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from arbitrank.arbitration.competition import Served
from arbitrank.arbitration.recalibration import Recalibration
from arbitrank.probability import Floats
from arbitrank.values import AnswerRisk

Level = Annotated[float, msgspec.Meta(gt=0.0, lt=1.0)]

DOMAIN: Final = "domain"
"""The key of thresholds by the head's domain; any other one is a key of the context."""

NEVER = 2.0
"""A threshold that no probability reaches; settings have 1 for it."""


class GroupBound(msgspec.Struct, frozen=True):
    """The evidence for one threshold: of `accepted` answers in the test `wrong` were wrong.

    At the confidence that its group has, at most the share `most` of its accepted answers are wrong.
    """

    accepted: int
    wrong: int
    most: float


class RiskBound(msgspec.Struct, frozen=True):
    """The guarantee: at most the share `risk` of the accepted answers are wrong, with probability `confidence`.

    `groups` holds the evidence by value of the key that thresholds go by, and under "" that of all others. `served`
    are the versions and recalibrations of the domains that answered the requests that it was tested on; those `beside`
    do not compete, as a fallback.
    """

    risk: Level
    confidence: Level
    groups: dict[str, GroupBound] = {}
    served: dict[str, tuple[str | None, Recalibration | None]] = {}
    beside: tuple[str, ...] = ()

    def outdated(self, served: Mapping[str, Served]) -> list[str]:
        """The domains that answer otherwise than when it was tested, sorted: changed, new or gone."""
        names = {*served, *self.served} - {*self.beside}
        return sorted(name for name in names if served.get(name) != self.served.get(name))

    @property
    def in_answers(self) -> AnswerRisk:
        """The bound as answers state it."""
        return AnswerRisk(self.risk, self.confidence)

    def not_in_force(self, served: Mapping[str, Served], beyond: Iterable[str] = ()) -> list[str]:
        """The reasons why it is not of what answers, none where it is.

        They are domains that answer otherwise than when it was tested, and what decides `beyond` domains and settings.
        """
        changed = self.outdated(served)
        return [*([f"{', '.join(changed)}: another version was tested"] if changed else []), *beyond]


class BoundSetAside(msgspec.Struct, frozen=True):
    """A bound that is not of the settings in force, as they differ from those that were tested, by the reasons."""

    bound: RiskBound
    reasons: tuple[str, ...]


def beyond(
    *,
    shortlists: bool = False,
    sorts: bool = False,
    follows_share: bool = False,
    policy: bool = False,
    explores: bool = False,
) -> tuple[str, ...]:
    """The parts that decide beyond the domains and the settings, with which no bound was tested, as texts."""
    texts = {
        "a Shortlister chooses the domains": shortlists,
        "a HypRank sorts the list": sorts,
        "the share of out-of-scope requests is followed": follows_share,
        "the operator's policy decides": policy,
        "readings are explored": explores,
    }
    return tuple(text for text, here in texts.items() if here)


class AcceptBy(msgspec.Struct, frozen=True):
    """Thresholds in place of `accept`, by the head's domain or the value of a key of the context.

    A threshold of 1 accepts nothing. Values that are not listed have that of `accept`.
    """

    key: Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
    thresholds: dict[str, Annotated[float, msgspec.Meta(ge=0.0, le=1.0)]]

    def threshold(self, value: str | None, accept: float) -> float:
        """The threshold of a value; `accept` is that of values that are not listed."""
        return _effective(accept if value is None else self.thresholds.get(value, accept))


def group_of(key: str, domain: str, context: Mapping[str, Any]) -> str | None:
    """The value by which a list's threshold goes; None where its context has no plain value of the key."""
    if key == DOMAIN:
        return domain
    value = context.get(key)
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else None


def accept_thresholds(
    by: AcceptBy | None,
    accept: float,
    names: Sequence[str],
    heads: NDArray[np.int32],
    contexts: Sequence[Mapping[str, Any]],
) -> Floats | None:
    """The threshold of each list, `heads` being the numbers of their domains in `names`; None where all have `accept`.

    `contexts` are those of the requests, which thresholds by domain do not need.
    """
    if by is None:
        return None
    if by.key == DOMAIN:
        each = np.array([*(by.threshold(name, accept) for name in names), _effective(accept)])
        return np.asarray(each[heads])
    return np.array([by.threshold(group_of(by.key, "", context), accept) for context in contexts])


def _effective(threshold: float) -> float:
    return NEVER if threshold >= 1.0 else threshold
