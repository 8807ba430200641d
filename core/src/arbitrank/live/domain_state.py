"""One domain that is followed: what the store says of it, what is loaded of it, and what answers for it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field, replace
from typing import Literal

import msgspec

from arbitrank.arbitration.arbitrator import Broken, Serving
from arbitrank.domain import Domain, Model
from arbitrank.errors import ArbitrankError
from arbitrank.live.routing import Candidate
from arbitrank.store.artifact import Manifest
from arbitrank.store.signing import Keys
from arbitrank.store.state import State

Alias = Literal["stable", "candidate", "previous"]
ALIASES: tuple[Alias, ...] = ("stable", "candidate", "previous")
"""In the order in which versions are loaded: what should answer, what is compared with it, what may come back."""

PACKAGE = "the package's"
"""Stands for a version where the weights in the package are meant."""

_LOADING = "its weights are being loaded"


class DomainStatus(msgspec.Struct, frozen=True):
    """A domain as it is followed: the version that answers and where it came from, and the state it was last seen in.

    `change` is the number of the last change that was seen. `loaded` are the versions in memory, `refused` those that
    were not taken, with the reasons. `problem` says why the domain does not answer, answers with another version than
    `state.stable`, or why its state cannot be read. `breaker` says why it is not asked for a while.
    """

    version: str | None
    origin: str | None
    change: int
    state: State
    loaded: tuple[str, ...]
    refused: dict[str, str]
    problem: str | None
    breaker: str | None = None


@dataclass(frozen=True)
class Held:
    """A version in memory."""

    model: Model
    manifest: Manifest
    origin: str


@dataclass(frozen=True)
class Refusal:
    """Why a version is not taken until the domain's state changes."""

    reason: str


@dataclass
class Followed:
    """A domain, what was last seen of it in the store, and what is loaded of it. Its owner keeps threads apart.

    `state` is None until it was read once. `tried` are the versions of which loading was tried since the last look.
    `unread` says why the state, or a version, could not be had at the last look, `lost` that the history's end is gone.
    """

    name: str
    domain: Domain
    shadowed: bool
    number: int = 0
    state: State | None = None
    held: dict[str, Held] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    tried: set[str] = field(default_factory=set)
    serving: Serving | Broken = field(default_factory=lambda: Broken("the store was not looked at yet"))
    candidate: Candidate | None = None
    unread: str | None = None
    lost: str | None = None

    def see(self, number: int, state: State | None, problem: str | None) -> None:
        """Take note of the state that the store has, or of why that can't be read."""
        self.unread = problem
        self.tried.clear()
        if (number, state) != (self.number, self.state):
            self.number, self.state = number, state
            self.refused.clear()

    def lacking(self, alias: Alias) -> str | None:
        """The version of an alias, if it is to be loaded."""
        version = self._named(alias)
        if version is None or version in self.held or version in self.refused or version in self.tried:
            return None
        return version if alias != "candidate" or self._tries_candidate() else None

    def take(self, version: str, found: Held | Refusal | str, number: int) -> None:
        """Take note of what loading a version gave that was named by change `number`: a text where it may go later."""
        self.tried.add(version)
        if isinstance(found, Held):
            self.held[version] = found
        elif isinstance(found, str):
            self.unread = found
        elif number == self.number:
            self.refused[version] = found.reason

    def settle(self, keys: Keys | None) -> bool:
        """Let what should answer do so, as far as it is loaded, and let go what nothing names; whether that is new."""
        before = self.serving, self.candidate
        self.serving = self._choose(keys)
        self.candidate = self._try()
        named = {self._named(alias) for alias in ALIASES}
        self.held = {version: held for version, held in self.held.items() if version in named}
        if _alike(before[0], self.serving) and _alike(before[1], self.candidate):
            self.serving, self.candidate = before
            return False
        return True

    def news(self, before: str | None) -> list[str]:
        """What to tell of a change, `before` having been the version that answered."""
        if isinstance(self.serving, Broken):
            reason = self.serving.reason
            return [] if reason == _LOADING else [f"{self.name}: does not answer: {reason}"]
        if before != self.serving.version:
            return [f"{self.name}: {self.serving.version} ({self.serving.origin}) answers"]
        return [f"{self.name}: {self.serving.note}"] if self.serving.note else []

    @property
    def version(self) -> str | None:
        """The version that answers; None where none does."""
        return self.serving.version if isinstance(self.serving, Serving) else None

    def models(self) -> list[Model]:
        """The models that may be asked."""
        serving = [self.serving.model] if isinstance(self.serving, Serving) else []
        return [*serving, *(held.model for held in self.held.values())]

    def status(self, breaker: str | None = None) -> DomainStatus:
        """All of it, to be shown, with what the domain's breaker says."""
        wrong = self.serving.reason if isinstance(self.serving, Broken) else self.serving.note
        return DomainStatus(
            version=self.version,
            origin=self.serving.origin if isinstance(self.serving, Serving) else None,
            change=self.number,
            state=self.state or State(),
            loaded=tuple(sorted(held.manifest.version for held in self.held.values())),
            refused={version: why for version, why in self.refused.items() if version != PACKAGE or not self._stable},
            problem=self.unread or self.lost or wrong,
            breaker=breaker,
        )

    @property
    def _stable(self) -> str | None:
        return self.state.stable if self.state else None

    def _named(self, alias: Alias) -> str | None:
        """The version of an alias; where nothing is stable, the package's weights are, and else they were before."""
        if self.state is None:
            return None
        versions = {"stable": self.state.stable, "candidate": self.state.candidate, "previous": self.state.previous}
        return versions[alias] or (PACKAGE if alias != "candidate" else None)

    def _choose(self, keys: Keys | None) -> Serving | Broken:
        """What is stable, else what answered before."""
        version = self._named("stable")
        if self.state is None or version is None:
            return Broken(self.unread) if self.unread else self.serving
        held = self.held.get(version)
        if held and held.manifest.version != self.version and (untrusted := _untrusted(held, keys)):
            self.refused[version] = untrusted
            held = None
        if held:
            return Serving(held.model, held.manifest.version, held.origin, self.state.temperature)
        refusal = self.refused.get(version)
        if isinstance(self.serving, Broken):
            return Broken(refusal or self.unread or _LOADING)
        note = f"serves {self.serving.version}; {version} refused: {refusal}" if refusal else None
        return replace(self.serving, note=note)

    def _tries_candidate(self) -> bool:
        state = self.state
        return state is not None and state.candidate is not None and (self.shadowed or state.canary > 0)

    def _try(self) -> Candidate | None:
        """The candidate, where it has something to do and is loaded."""
        if self.state is None or isinstance(self.serving, Broken) or not self._tries_candidate():
            return None
        held = self.held.get(self.state.candidate or "")
        if held is None or held.manifest.version == self.serving.version:
            return None
        share = self.state.canary
        note = f"canary, {100 * share:g} % of the requests; stable is {self.serving.version}"
        serving = Serving(held.model, held.manifest.version, held.origin, note=note)
        return Candidate(serving, self.serving.version, share, self.shadowed)


def next_lacking(domains: Collection[Followed], aliases: Collection[Alias]) -> tuple[Followed, str] | None:
    """What to load next, and for which domain; None where nothing is lacking."""
    found = ((one, one.lacking(alias)) for alias in aliases for one in domains)
    return next(((one, version) for one, version in found if version), None)


def _untrusted(held: Held, keys: Keys | None) -> str | None:
    """Why a version in memory is trusted no more; None where it is, or where that can't be told now."""
    try:
        return keys.problem(held.manifest) if keys else None
    except ArbitrankError:
        return None


def _alike(one: Serving | Broken | Candidate | None, other: Serving | Broken | Candidate | None) -> bool:
    """Whether two are the same; models are compared by identity, as their equality may mean anything."""
    if isinstance(one, Serving) and isinstance(other, Serving):
        return one.model is other.model and _said_of(one) == _said_of(other)
    if isinstance(one, Candidate) and isinstance(other, Candidate):
        return (one.beside, one.share) == (other.beside, other.share) and _alike(one.serving, other.serving)
    return isinstance(one, Broken | None) and one == other


def _said_of(one: Serving) -> tuple[str, str, float, str | None]:
    return one.version, one.origin, one.temperature, one.note
