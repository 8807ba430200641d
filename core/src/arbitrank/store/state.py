"""The state of one name in a store: which version serves, and the changes from one state to the next."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Annotated, Literal

import msgspec
from msgspec.structs import replace

from arbitrank.arbitration.recalibration import Recalibration, recalibration
from arbitrank.errors import Conflict, InputError
from arbitrank.normal_text import printable
from arbitrank.store.backend import StoreBackend
from arbitrank.store.history import Entry

MAX_REASON = 2_000
"""Characters of a change's reason."""

# Line ends and other controls, and those that turn the direction of text: a reason must not look like more than one.
_CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069]")

Version = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{12}$")]


def is_version(text: str) -> bool:
    """True for 12 hexadecimal digits, as every version has."""
    return re.fullmatch("[0-9a-f]{12}", text) is not None


class State(msgspec.Struct, frozen=True, kw_only=True):
    """Which versions serve, and how.

    `stable` serves, `previous` served before it, `candidate` was published last and is not stable yet.
    `recalibration` is that of `stable`, set only where it has a shift or a scale above 1, and `temperature`, at least
    1, is 1 / its scale, where that is not above 1. `canary` in [0, 1] is the share of requests that the candidate
    answers. `removing` are versions that are being removed and must not be named any more.
    """

    stable: Version | None = None
    previous: Version | None = None
    candidate: Version | None = None
    temperature: Annotated[float, msgspec.Meta(ge=1)] = 1.0
    canary: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.0
    removing: tuple[Version, ...] = ()
    recalibration: Recalibration | msgspec.UnsetType = msgspec.UNSET

    @property
    def served_by(self) -> Recalibration | None:
        """The recalibration that `stable` serves with, None without one."""
        return self.recalibration or recalibration(1.0 / self.temperature)

    def names(self) -> dict[str, str]:
        """The aliases that are set, with their versions."""
        named = {"stable": self.stable, "previous": self.previous, "candidate": self.candidate}
        return {alias: version for alias, version in named.items() if version}

    def __str__(self) -> str:
        parts = [f"{alias} {version}" for alias, version in self.names().items()]
        if (by := self.served_by) is not None:
            parts.append(str(by))
        if self.canary:
            parts.append(f"canary {100 * self.canary:g} %")
        if self.removing:
            parts.append(f"removing {' '.join(self.removing)}")
        return ", ".join(parts) or "no alias"


class Change(Entry, frozen=True, kw_only=True):
    """One change: the verb, its reason, whether it overrode a gate's refusal, and the state after it.

    `reason` is the text of whoever made the change; `overrode` are the gate's own reasons that were overridden. `code`
    is the release of the domain's environment that the stable version was tested with.
    """

    verb: str
    state: State
    reason: str | None = None
    forced: bool = False
    overrode: tuple[str, ...] | msgspec.UnsetType = msgspec.UNSET
    code: str | msgspec.UnsetType = msgspec.UNSET


def checked_reason(text: str | None) -> str | None:
    """The reason of a change, one line without control characters. Raises `InputError` for another text."""
    if text is None:
        return None
    if len(text) > MAX_REASON:
        raise InputError(f"reason: {len(text)} characters, expected at most {MAX_REASON}")
    if found := _CONTROLS.search(text):
        raise InputError(f"reason: holds the control character U+{ord(found[0]):04X}, expected one line of plain text")
    return text


def served_with(state: State, by: Recalibration | None) -> State:
    """The state with another recalibration of `stable`; without a shift it is a temperature, as in older states."""
    temperature = 1.0 if by is None else max(1.0, by.temperature)
    kept = by if by is not None and (by.shift or by.scale > 1.0) else msgspec.UNSET
    return replace(state, temperature=temperature, recalibration=kept)


def published(state: State, version: str) -> State:
    """The state with another candidate, which begins without a share of the requests."""
    canary = state.canary if state.candidate == version else 0.0
    return replace(state, candidate=version, canary=canary)


def promoted(state: State, version: str) -> State:
    """The state with another stable version; a candidate that becomes stable is no candidate any more."""
    if state.candidate == version:
        state = replace(state, candidate=None, canary=0.0)
    if state.stable == version:
        return state
    return replace(state, stable=version, previous=state.stable)


def conflict(store: StoreBackend, name: str, latest: Change | None) -> Conflict:
    """The error for a change that another one preceded, `latest` being the last change."""
    if latest is None:
        return Conflict(f"store {store}: {name} has no history any more; try again")
    return Conflict(
        f"store {store}: {name} was changed first by {printable(latest.by)}: {latest.verb}, change {latest.number}, "
        f"{latest.state}; look at it and try again: arbitrank history {name}"
    )


Undo = Literal["previous version", "package", "recalibration"]
"""A way to undo a change: back to the previous version, to the package's weights, or without the recalibration."""


def undo_of(changes: Sequence[Change]) -> Undo | None:
    """The way to undo the last change of what serves, of a name's changes from the first on; None without one."""
    states = [State(), *(one.state for one in changes)]
    now = states[-1]
    for was in reversed(states[:-1]):
        if was.stable != now.stable:
            return "previous version" if now.previous else "package"
        if was.served_by != now.served_by:
            return "recalibration" if now.served_by else None
    return None


def first_share(changes: Iterable[Change], version: str) -> float | None:
    """The time at which a version first had a share of the requests as a candidate, None where it never had."""
    had = (one.time for one in changes if one.state.candidate == version and one.state.canary)
    return min(had, default=None)
