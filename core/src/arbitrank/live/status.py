"""Status of a process that follows a store."""

from __future__ import annotations

import msgspec

from arbitrank.isolation.groups import GroupStatus
from arbitrank.live.domain_state import DomainStatus
from arbitrank.live.share import ShareStatus


class LiveStatus(msgspec.Struct, frozen=True):
    """Status of a process that follows a store: seconds since that last answered for all names (None before), and its
    problem. `silent` are the seconds since it last answered for any name, or since the start.

    `swaps` counts the swaps of a version. `waiting`, `dropped` and `failed` are of shadow: requests that wait for their
    comparison, those that were not compared for lack of time, and those whose comparison could not be written.
    `workers` are the processes of isolated domains, by group. `share` is that of out-of-scope requests, None where
    it is not followed.
    """

    store: str
    age: float | None
    problem: str | None
    swaps: int
    domains: dict[str, DomainStatus]
    waiting: int
    dropped: int
    failed: int
    workers: dict[str, GroupStatus] = {}
    share: ShareStatus | None = None
    silent: float = 0.0
