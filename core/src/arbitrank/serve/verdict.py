"""What a worker asks of the process that judges a version, and what that makes of it."""

from __future__ import annotations

import msgspec

from arbitrank.arbitration.decide import DecisionSettings
from arbitrank.errors import ArbitrankError, ArtifactError, Conflict, InputError, StoreError
from arbitrank.store.state import State


class Reason(msgspec.Struct, frozen=True):
    """Why the gate refuses: what was broken, in words, and the neighbours that it is about."""

    what: str
    text: str
    neighbours: tuple[str, ...] = ()


class Task(msgspec.Struct, frozen=True):
    """Which version of a domain is to serve, and how the service decides."""

    store: str | None
    keys: str | None
    domain: str
    version: str | None
    force: bool
    reason: str | None
    decisions: DecisionSettings


class Verdict(msgspec.Struct, frozen=True):
    """What became of it: the change, or why there is none, with the status that says so over HTTP."""

    status: int
    error: str = ""
    reasons: tuple[Reason, ...] = ()
    change: int | None = None
    state: State | None = None


def status_of(error: ArbitrankError) -> int:
    """The HTTP status of what ends in an error: try again, look again, retrain, or not possible as things are."""
    kinds = ((Conflict, 409), (StoreError, 503), (ArtifactError, 422), (InputError, 409))
    return next((status for kind, status in kinds if isinstance(error, kind)), 500)
