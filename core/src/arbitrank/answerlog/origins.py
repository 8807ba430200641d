"""Origin of a logged answer: the call that brought it, its arms, the domains' claims, and how it was drawn."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Literal, NamedTuple, TypeAlias

from arbitrank.selections import ServedSelection

Claims: TypeAlias = Callable[[], dict[str, tuple[float, float]]]
"""Function that returns each domain's P(mine) and greatest P(right); it is called when the line is written."""

Drawn: TypeAlias = Callable[[], ServedSelection]
"""Function that returns how an answer was drawn; it is called when the line is written."""

Arms: TypeAlias = Mapping[str, Literal["stable", "canary"]]
"""The arms of an arbitration, by name."""

NO_ARMS: Arms = MappingProxyType({})


class Origin(NamedTuple):
    """Request id and `traceparent` of the call, None without one, and the rest of an answer's origin."""

    call: tuple[str, str | None] | None = None
    arms: Arms = NO_ARMS
    claims: Claims | None = None
    selection: Drawn | None = None
