"""Status of a process that follows a store."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from time import monotonic
from typing import TYPE_CHECKING

import msgspec

from arbitrank.isolation.groups import GroupStatus
from arbitrank.live.code import CodeStatus
from arbitrank.live.domain_state import DomainStatus
from arbitrank.live.remotes import RemoteStatus
from arbitrank.live.share import ShareStatus

if TYPE_CHECKING:
    from arbitrank.live.follower import Follower
    from arbitrank.live.shadow import Shadow
    from arbitrank.store.store import Store


class LiveStatus(msgspec.Struct, frozen=True):
    """Status of a process that follows a store: seconds since that last answered for all names (None before), and its
    problem. `silent` are the seconds since it last answered for any name, or since the start.

    `swaps` counts the swaps of a version. `waiting`, `dropped` and `failed` are of shadow: requests that wait for their
    comparison, those that were not compared for lack of time, and those whose comparison could not be written.
    `workers` are the processes of isolated domains, by group. `share` is that of out-of-scope requests, None where
    it is not followed. `code` is that of packages in environments of their own, `remotes` that of remote domains.
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
    code: dict[str, CodeStatus] = {}
    remotes: dict[str, RemoteStatus] = {}


def problem_of_previous(name: str, domain: DomainStatus) -> str | None:
    """The reason why the code that answers cannot serve the previous version after a rollback; None where it can."""
    previous = domain.state.previous
    if domain.release is None or previous is None or previous not in domain.refused:
        return None
    return (
        f"{name}: {previous} cannot be used with the code that answers, {domain.release}: {domain.refused[previous]}; "
        f"take the code back with it: arbitrank rollback {name} --environments DIR"
    )


def live_status(
    store: Store,
    follower: Follower,
    shadow: Shadow,
    breakers: Mapping[str, str],
    skipped: Collection[str],
    workers: dict[str, GroupStatus],
    share: ShareStatus | None,
    code: dict[str, CodeStatus],
    remotes: dict[str, RemoteStatus],
) -> LiveStatus:
    """The status of a process at one moment; `breakers` not closed, by domain, and `skipped`, those open."""
    with follower.lock:
        domains = {
            name: state.status(breakers.get(name), skipped=name in skipped)
            for name, state in follower.states.items()
            if state.number or not state.optional
        }
        return LiveStatus(
            str(store),
            None if follower.answered_at is None else round(monotonic() - follower.answered_at, 3),
            follower.problem,
            follower.swaps,
            domains,
            shadow.waiting,
            shadow.dropped,
            shadow.failed,
            workers,
            share,
            round(monotonic() - follower.reached_at, 3),
            code,
            remotes,
        )
