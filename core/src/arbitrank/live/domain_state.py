"""State of one name that is followed: its aliases in the store, the versions in memory, and what answers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from time import monotonic
from typing import Any, Literal, NamedTuple, TypeAlias

import msgspec

from arbitrank.arbitration.arbitrator import Broken, Serving
from arbitrank.arbitration.dispatch import measures_of
from arbitrank.arbitration.hosted_domain import REMOTE
from arbitrank.errors import (
    ArbitrankError,
    ArtifactError,
    NoWeights,
    OtherCode,
    PluginError,
    UnreadableArtifact,
    message,
)
from arbitrank.guard import Fault
from arbitrank.live.routing import LoadedCandidate
from arbitrank.store.artifact import Manifest
from arbitrank.store.kinds import train_command
from arbitrank.store.signing import Keys
from arbitrank.store.state import State

Alias = Literal["stable", "candidate", "previous"]
ALIASES: tuple[Alias, ...] = ("stable", "candidate", "previous")
"""The order in which versions are loaded."""

PACKAGE = "the package's"
"""Stands for the version in a domain's package."""

OPERATOR = "operator"
"""Version and origin of the decision settings where none are stable: the operator's own."""

_LOADING = "its weights are being loaded"
_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 60.0  # seconds before a version is tried again of which a file could not be read


class DomainStatus(msgspec.Struct, frozen=True):
    """Status of a name that is followed: the version that answers, its origin, and the store's state when last read.

    `change` is the number of the last change seen. `loaded` are the versions in memory, `refused` those that were
    rejected, with the reasons. `problem` is the reason why the domain does not answer, answers with another version
    than `state.stable`, or has a state that cannot be read. `breaker` is set while its circuit is not closed, `skipped`
    while it is open. `weightless`: there is nothing to load, in the store or in its package. `release` is that of its
    code, where it is in an environment of its own, `box` the measures of its box.
    """

    version: str | None
    origin: str | None
    change: int
    state: State
    loaded: tuple[str, ...]
    refused: dict[str, str]
    problem: str | None
    breaker: str | None = None
    skipped: bool = False
    weightless: bool = False
    release: str | None = None
    box: dict[str, str | None] | None = None


class Retry(NamedTuple):
    """The time at which a version that could not be read is tried again, and the pause before it, in seconds."""

    pause: float
    due: float


@dataclass(frozen=True)
class LoadedVersion:
    """A version in memory; `model` is a domain's model, or the stage of a Shortlister or a HypRank."""

    model: Any
    manifest: Manifest
    origin: str


Load: TypeAlias = Callable[[str, str | None], LoadedVersion]
"""Returns a version of a name, loaded, None being the package's; raises where it is refused or cannot be had now."""


@dataclass
class FollowedState:
    """A name that is followed: the state last read from the store, and the versions loaded. Not thread-safe.

    While no version is stable, the package's weights answer, where it is `packaged`; an `optional` stage is left out
    then, which is no problem. `attempted` are the versions of which loading was attempted since the last reading,
    `retries` those refused ones that may load later, `waits` those that wait for other code, `distrusted` those that
    answered until a key was removed. `weightless`: its package brings no weights. `unread` is the reason why the
    state, or a version, could not be read, `lost` says that the end of the history is missing, `behind` why the
    catalogue is. `release` is that of code in an environment of its own, `elsewhere`: a service has the weights.
    """

    name: str
    shadowed: bool = False
    packaged: bool = True
    optional: bool = False
    number: int = 0
    state: State | None = None
    versions: dict[str, LoadedVersion] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    attempted: set[str] = field(default_factory=set)
    retries: dict[str, Retry] = field(default_factory=dict)
    waits: set[str] = field(default_factory=set)
    distrusted: set[str] = field(default_factory=set)
    weightless: bool = False
    serving: Serving | Broken = field(default_factory=lambda: Broken("the store was not looked at yet"))
    candidate: LoadedCandidate | None = None
    unread: str | None = None
    lost: str | None = None
    behind: str | None = None
    release: str | None = None
    elsewhere: bool = False

    def see(self, number: int, state: State | None, problem: str | None) -> None:
        """Note the state in the store, or the reason why it cannot be read."""
        self.unread = problem
        self.attempted.clear()
        if (number, state) != (self.number, self.state):
            self.number, self.state = number, state
            self.refused.clear()
            self.retries.clear()
            self.waits.clear()
            self.weightless = False

    def missing(self, alias: Alias) -> str | None:
        """The version of an alias, if it is to be loaded."""
        version = self._named(alias)
        if version is None or version in self.versions or version in self.attempted:
            return None
        if version in self.refused and (version not in self.retries or monotonic() < self.retries[version].due):
            return None
        return version if alias != "candidate" or self._candidate_wanted() else None

    def take(self, version: str, result: LoadedVersion | Fault, number: int) -> None:
        """Note the result of loading a version that change `number` named. One that is refused stays so until the next.

        The store's errors, and those of the self-test's process, refuse nothing: loading may succeed later. Where a
        file was missing or could not be read, it is tried again after a pause that doubles.
        """
        self.attempted.add(version)
        if isinstance(result, LoadedVersion):
            self.versions[version] = result
            self.distrusted.discard(result.manifest.version)
            self.refused.pop(version, None)
            self.retries.pop(version, None)
        elif isinstance(result.error, ArbitrankError) and not isinstance(result.error, ArtifactError | PluginError):
            self.unread = str(result.error)
        elif number == self.number:
            self.refused[version] = message(result, "cannot be loaded: ")
            self.weightless = self.weightless or isinstance(result.error, NoWeights)
            if isinstance(result.error, OtherCode):
                self.waits.add(version)
            if isinstance(result.error, UnreadableArtifact | OSError):
                before = self.retries.get(version)
                pause = min(2.0 * before.pause, _LONGEST_PAUSE) if before else _FIRST_PAUSE
                self.retries[version] = Retry(pause, monotonic() + pause)

    def distrust(self, version: str, reason: str) -> None:
        """Have a version in memory answer no more."""
        self.distrusted.add(self.versions.pop(version).manifest.version)
        self.refused[version] = reason

    def named(self) -> set[str]:
        """The versions that the aliases name."""
        return {version for alias in ALIASES if (version := self._named(alias))}

    def settle(self, keys: Keys | None) -> bool:
        """Choose what answers among the loaded versions, and release those that no alias names; True if that is new."""
        before = self.serving, self.candidate
        self.serving = self._choose(keys)
        self.candidate = self._choose_candidate()
        named = self.named()
        self.versions = {version: loaded for version, loaded in self.versions.items() if version in named}
        if (_identity(before[0]), _identity(before[1])) == (_identity(self.serving), _identity(self.candidate)):
            self.serving, self.candidate = before
            return False
        return True

    def news(self, before: str | None) -> list[str]:
        """The lines that announce a change, `before` being the version that answered until then."""
        if isinstance(self.serving, Broken):
            silent = self.serving.reason == _LOADING or (before is None and self._absent)
            return [] if silent else [f"{self.name}: does not answer: {self.serving.reason}"]
        if before is None and self._absent:
            return []
        if before != self.serving.version:
            return [f"{self.name}: {self.serving.version} ({self.serving.origin}) answers"]
        return [f"{self.name}: {self.serving.note}"] if self.serving.note else []

    @property
    def version(self) -> str | None:
        """The version that answers; None where none does."""
        return self.serving.version if isinstance(self.serving, Serving) else None

    def models(self) -> list[Any]:
        """The models that requests may reach."""
        serving = [self.serving.model] if isinstance(self.serving, Serving) else []
        return [*serving, *(loaded.model for loaded in self.versions.values())]

    def status(self, breaker: str | None = None, *, skipped: bool = False) -> DomainStatus:
        """All of it for display, with the state of the domain's breaker; `skipped`: it is open."""
        problem = self.serving.reason if isinstance(self.serving, Broken) else self.serving.note
        stable = self.state.stable if self.state else None
        return DomainStatus(
            version=self.version,
            origin=self.serving.origin if isinstance(self.serving, Serving) else None,
            change=self.number,
            state=self.state or State(),
            loaded=tuple(sorted(loaded.manifest.version for loaded in self.versions.values())),
            refused={version: why for version, why in self.refused.items() if version != PACKAGE or not stable},
            problem=self.unread or self.lost or self.behind or (None if self._absent else problem),
            breaker=breaker,
            skipped=skipped,
            weightless=self.weightless and stable is None,
            release=self.release,
            box=measures_of(self.serving.model) if isinstance(self.serving, Serving) else None,
        )

    @property
    def _absent(self) -> bool:
        """True for an optional stage of which no version is stable."""
        return self.optional and (self.state is None or self.state.stable is None)

    def _named(self, alias: Alias) -> str | None:
        """The version of an alias; the package's where none is stable or was before, and there is a package."""
        if self.state is None:
            return None
        if self.elsewhere:
            return PACKAGE if alias == "stable" else None
        versions = {"stable": self.state.stable, "candidate": self.state.candidate, "previous": self.state.previous}
        return versions[alias] or (PACKAGE if self.packaged and alias != "candidate" else None)

    def _choose(self, keys: Keys | None) -> Serving | Broken:
        """The stable version, else the one that answered before."""
        version = self._named("stable")
        if self.state is None:
            return Broken(self.unread) if self.unread else self.serving
        if version is None:
            return Broken(f"no version is stable; run: {train_command(self.name)} --promote")
        loaded = self.versions.get(version)
        if loaded and loaded.manifest.version != self.version and (problem := untrusted(loaded, keys)):
            self.refused[version] = problem
            loaded = None
        if loaded:
            version, origin = loaded.manifest.version, loaded.origin
            return Serving(loaded.model, version, origin, self.state.served_by, release=self.release)
        refusal = self.refused.get(version)
        before = self.serving
        if isinstance(before, Broken) and version in self.waits and (loaded := self._before):
            before = Serving(loaded.model, loaded.manifest.version, loaded.origin, release=self.release)
        if isinstance(before, Broken) or before.version in self.distrusted:
            return Broken(refusal or self.unread or _LOADING)
        how = "waits for code: it" if version in self.waits else "refused:"
        return replace(before, note=f"serves {before.version}; {version} {how} {refusal}" if refusal else None)

    @property
    def _before(self) -> LoadedVersion | None:
        """The version before the stable one, which answers from a start on while the stable one waits for its code."""
        return self.versions.get(self._named("previous") or "")

    def _candidate_wanted(self) -> bool:
        state = self.state
        return state is not None and state.candidate is not None and (self.shadowed or state.canary > 0)

    def _choose_candidate(self) -> LoadedCandidate | None:
        """The candidate, where it is loaded and has a share of the requests or a shadow."""
        if self.state is None or isinstance(self.serving, Broken) or not self._candidate_wanted():
            return None
        loaded = self.versions.get(self.state.candidate or "")
        if loaded is None or loaded.manifest.version == self.serving.version:
            return None
        share = self.state.canary
        note = f"canary, {100 * share:g} % of the requests; stable is {self.serving.version}"
        serving = Serving(loaded.model, loaded.manifest.version, loaded.origin, note=note, release=self.release)
        return LoadedCandidate(serving, self.serving.version, share, self.shadowed)


def untrusted(loaded: LoadedVersion, keys: Keys | None) -> str | None:
    """The reason why a version in memory is no longer trusted; None where it is, or where that is unknown now."""
    try:
        return keys.problem(loaded.manifest) if keys and loaded.origin not in (OPERATOR, REMOTE) else None
    except ArbitrankError:
        return None


def _identity(answering: Serving | Broken | LoadedCandidate | None) -> object:
    """A value by which two are the same; models are compared by identity, as their equality may mean anything."""
    if isinstance(answering, Serving):
        return id(answering.model), answering.version, answering.origin, answering.recalibration, answering.note
    if isinstance(answering, LoadedCandidate):
        return _identity(answering.serving), answering.beside, answering.share
    return answering
