"""Which domains run in worker processes, and those processes."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import msgspec

from arbitrank.domain import Model
from arbitrank.errors import InputError
from arbitrank.isolation.worker_pair import Group

ALL = "all"
"""Says that all domains share one worker."""

EACH = "each"
"""Says that each domain has a worker of its own."""


class Isolation(msgspec.Struct, frozen=True):
    """Which domains run in worker processes, by the name of their group; those of one group share a worker.

    `deadline_ms` are the milliseconds after which a request goes on without them, `memory_mb` the address space that a
    worker may use, `loading_s` the seconds that one may take to load a version.
    """

    groups: Mapping[str, tuple[str, ...]]
    deadline_ms: float = 200.0
    memory_mb: int = 2_048
    loading_s: float = 30.0


def chosen(words: Sequence[str], domains: Collection[str]) -> Mapping[str, tuple[str, ...]]:
    """The groups that `all`, `each`, or names of domains mean: each named domain has a worker of its own."""
    if not words:
        return {}
    if ALL in words or EACH in words:
        if len(set(words)) > 1:
            raise InputError(f"--isolate: saw {', '.join(words)}, promised {ALL}, {EACH} or names of domains")
        return {ALL: tuple(sorted(domains))} if ALL in words else {name: (name,) for name in sorted(domains)}
    for name in words:
        if name not in domains:
            known = ", ".join(sorted(domains)) or "none"
            raise InputError(f"--isolate: domain {name!r} is not loaded (loaded: {known}); run: arbitrank domains")
    return {name: (name,) for name in dict.fromkeys(words)}


class GroupStatus(msgspec.Struct, frozen=True):
    """A group's domains and processes, how many of those were replaced, and why none stands by, if so."""

    domains: tuple[str, ...]
    pids: tuple[int, ...]
    restarts: int
    ready: bool
    problem: str | None


class Workers:
    """The workers of all groups. They are started when something is loaded into them, and end with this process."""

    def __init__(self, settings: Isolation) -> None:
        self.settings = settings
        self._groups: dict[str, Group] = {}
        self._of: dict[str, Group] = {}
        for name, domains in settings.groups.items():
            group = Group(name, settings.deadline_ms / 1e3, settings.memory_mb << 20, settings.loading_s)
            self._groups[name] = group
            for domain in domains:
                if domain in self._of:
                    raise InputError(f"isolation: domain {domain!r} is in two groups, promised one")
                self._of[domain] = group

    def has(self, domain: str) -> bool:
        """Whether a domain runs in a worker."""
        return domain in self._of

    def load(self, domain: str, folder: Path) -> Model:
        """A domain's model in its worker. Raises `PluginError` where it can't be loaded there."""
        return self._of[domain].load(domain, folder)

    def status(self) -> dict[str, GroupStatus]:
        """How each group is."""
        return {
            name: GroupStatus(
                tuple(self.settings.groups[name]), tuple(group.pids()), group.restarts, group.ready, group.problem
            )
            for name, group in self._groups.items()
        }

    def close(self) -> None:
        """End the workers, for good."""
        for group in self._groups.values():
            group.close()

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()
