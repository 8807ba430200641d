"""Groups of domains that run in worker processes, and the status of those processes."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import msgspec

from arbitrank.domain import Model
from arbitrank.errors import InputError
from arbitrank.isolation.worker_pair import WorkerPair

ALL, EACH = "all", "each"
"""Words for one worker that all domains share, and for a worker of its own for each domain."""


class Isolation(msgspec.Struct, frozen=True):
    """Domains that run in worker processes, by the name of their group; those of one group share a worker.

    A request continues without them after `deadline_ms` milliseconds. A worker may use `memory_mb` megabytes of address
    space, and `loading_s` seconds to load a version.
    """

    groups: Mapping[str, tuple[str, ...]]
    deadline_ms: float = 200.0
    memory_mb: int = 2_048
    loading_s: float = 30.0


def isolation_of(words: Sequence[str], domains: Collection[str], deadline_ms: float | None) -> Isolation | None:
    """The isolation of the domains that `all`, `each` or their names stand for; None without words and deadline.

    Each named domain has a worker of its own. Raises `InputError` for a name of no domain, or other words beside `all`.
    """
    if not words:  # the deadline is that of domains in environments of their own
        return None if deadline_ms is None else Isolation({}, deadline_ms)
    names = words
    if ALL in words or EACH in words:
        if len(set(words)) > 1:
            raise InputError(f"--isolate: saw {', '.join(words)}, expected {ALL}, {EACH} or names of domains")
        names = sorted(domains)
    for name in names:
        if name not in domains:
            known = ", ".join(sorted(domains)) or "none"
            raise InputError(f"--isolate: domain {name!r} is not loaded (loaded: {known}); run: arbitrank domains")
    groups = {ALL: tuple(names)} if ALL in words else {name: (name,) for name in names}
    return Isolation(groups) if deadline_ms is None else Isolation(groups, deadline_ms)


class GroupStatus(msgspec.Struct, frozen=True):
    """A group's domains and processes, the number of processes replaced, and why none stands by, if so."""

    domains: tuple[str, ...]
    pids: tuple[int, ...]
    restarts: int
    ready: bool
    problem: str | None


class WorkerGroups:
    """The workers of all groups. They are started when something is loaded into them, and end with this process."""

    def __init__(self, settings: Isolation) -> None:
        self.settings = settings
        limits = settings.deadline_ms / 1e3, settings.memory_mb << 20, settings.loading_s
        self._groups = {name: WorkerPair(name, *limits) for name in settings.groups}
        self._by_domain: dict[str, WorkerPair] = {}
        for name, domains in settings.groups.items():
            for domain in domains:
                if domain in self._by_domain:
                    raise InputError(f"isolation: domain {domain!r} is in two groups, expected one")
                self._by_domain[domain] = self._groups[name]

    def __contains__(self, domain: str) -> bool:
        """True for a domain that runs in a worker."""
        return domain in self._by_domain

    def load(self, domain: str, folder: Path, scales: Mapping[str, str] = {}) -> Model:
        """A domain's model in its worker, with the scales stated for it by field.

        Raises `PluginError` where it cannot be loaded there.
        """
        return self._by_domain[domain].load(domain, folder, scales)

    def status(self) -> dict[str, GroupStatus]:
        """The status of each group."""
        return {
            name: GroupStatus(self.settings.groups[name], tuple(pair.pids()), pair.restarts, pair.ready, pair.problem)
            for name, pair in self._groups.items()
        }

    def close(self) -> None:
        """End the workers for good."""
        for pair in self._groups.values():
            pair.close()
