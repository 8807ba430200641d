"""Loading of one version of a followed name: verified, tested, and loaded into where it is to answer."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import partial
from time import monotonic, sleep
from typing import Any

from arbitrank.arbitration.arbitrator import Broken
from arbitrank.arbitration.decide import DecisionSettings
from arbitrank.arbitration.dispatch import HostedModel
from arbitrank.arbitration.hosted_domain import HostedDomain, ServiceDomain
from arbitrank.arbitration.probes import violation
from arbitrank.domain import Domain, Model
from arbitrank.environments.folders import Release
from arbitrank.environments.release_domain import ReleaseDomain
from arbitrank.errors import ArbitrankError, ArtifactError, OtherCode, PluginError, StoreError
from arbitrank.guard import guarded
from arbitrank.isolation.groups import Isolation, WorkerGroups
from arbitrank.live.domain_state import OPERATOR, PACKAGE, FollowedState, LoadedVersion
from arbitrank.selftest import SelfTester
from arbitrank.shortlist.hyprank import read_hyprank
from arbitrank.shortlist.served import served_shortlisting
from arbitrank.shortlist.shortlister import ShortlistSettings
from arbitrank.store.artifact import Manifest
from arbitrank.store.decision_settings import load_decisions
from arbitrank.store.kinds import DECISIONS, HYPRANK, SHORTLIST
from arbitrank.store.loading import check_scales, combined, load_model, release_of, serving_model, weights, with_stored
from arbitrank.store.store import Store

__all__ = [
    "VersionLoader",
    "changes_of",
    "check_claims",
    "code_states",
    "failing",
    "is_of",
    "outdated_states",
    "releases_of",
]

_SECONDS = 30.0
"""Seconds that the self-test of a version in an environment may take, and that its second worker may take to start."""


@dataclass(frozen=True)
class VersionLoader:
    """Loads versions; `stated` are the operator's decision settings, `workers` hold the domains that are isolated.

    `limits` are those of the workers of environments.
    """

    store: Store
    stated: DecisionSettings
    selftest: Callable[..., str | None]
    workers: WorkerGroups | None
    shortlist: ShortlistSettings | None
    limits: Isolation

    def __call__(self, name: str, version: str | None, domains: Mapping[str, Domain]) -> LoadedVersion:
        """One version, verified, tested and loaded; None is the package's. Raises where it is refused."""
        if name == DECISIONS and version is None:
            return LoadedVersion(
                self.stated, Manifest(domain=DECISIONS, package="", package_version="", version=OPERATOR), OPERATOR
            )
        domain = domains.get(name)
        stated = with_stored(self.stated.scales, self.store).get(name, {})
        if isinstance(domain, ServiceDomain):
            return of_service(domain, stated)
        found = weights(name, domain, self.store, version)
        if isinstance(domain, HostedDomain):  # tested where it is loaded, before it answers there
            check_scales(found.manifest, domain, stated)
            if isinstance(domain, ReleaseDomain):
                domain.host.settings = self.limits
            model: Any = domain.hosted(found.folder, stated, partial(violation, domain, seconds=_SECONDS))
            return LoadedVersion(model, found.manifest, found.origin)
        scales = {"scales": stated} if isinstance(self.selftest, SelfTester) else {}
        if (problem := self.selftest(found.folder, name, **scales)) is not None:
            raise ArtifactError(problem)
        if name == SHORTLIST:
            settings = self.shortlist or ShortlistSettings()
            model = served_shortlisting(found.folder, found.manifest.version, domains, self.store, settings)
        elif name == HYPRANK:
            model = read_hyprank(found.folder)
        elif name == DECISIONS:
            model = combined(self.stated, load_decisions(found.folder))
        else:
            domain = domains[name]
            check_scales(found.manifest, domain, stated)
            if self.workers and name in self.workers:
                model = self.workers.load(name, found.folder, stated)
            else:
                model = serving_model(domain, load_model(domain, found.folder, stated))
        return LoadedVersion(model, found.manifest, found.origin)


def of_service(domain: ServiceDomain, scales: Mapping[str, str]) -> LoadedVersion:
    """The version that a remote domain states. Raises as `ServiceDomain.serving` does."""
    serving = domain.serving(scales)
    manifest = Manifest(domain=domain.name, package=serving.origin, package_version="", version=serving.version)
    return LoadedVersion(serving.model, manifest, serving.origin)


def state_of(domain: Domain, shadowed: bool) -> FollowedState:
    """The state of a domain that is to be followed."""
    elsewhere = isinstance(domain, ServiceDomain)
    return FollowedState(domain.name, shadowed, release=release_of(domain), elsewhere=elsewhere)


def is_of(domain: Domain, package: str) -> bool:
    """True for a domain of that package's environment."""
    return isinstance(domain, ReleaseDomain) and domain.release.package == package


def releases_of(domains: Mapping[str, Domain]) -> dict[str, Release]:
    """The releases that domains come from, by package."""
    return {one.release.package: one.release for one in domains.values() if isinstance(one, ReleaseDomain)}


def check_claims(package: str, domains: Mapping[str, Domain], others: Mapping[str, Domain]) -> None:
    """Raise `ArbitrankError` where one of a package's domains is another's; that may be uninstalled later."""
    for name in sorted(domains.keys() & others.keys()):
        other = others[name]
        if not is_of(other, package):
            owner = f"the environment {other.release}" if isinstance(other, ReleaseDomain) else "an installed package"
            raise ArbitrankError(f"claims the domain {name!r}, which {owner} has; uninstall one of the two")


def failing(domains: Mapping[str, Domain], states: Mapping[str, FollowedState]) -> dict[str, str]:
    """The reason why a domain cannot answer although there are weights for it, by the package of its environment."""
    found = {}
    for name, domain in domains.items():
        serving = states[name].serving
        if isinstance(domain, ReleaseDomain) and states[name].refused and isinstance(serving, Broken):
            found[domain.release.package] = f"{name}: {serving.reason}"
    return found


def changes_of(states: Mapping[str, FollowedState], domains: Mapping[str, Domain], package: str) -> dict[str, int]:
    """The numbers of the last changes in the store of a package's domains."""
    return {name: states[name].number for name, domain in domains.items() if is_of(domain, package)}


def load_state(
    state: FollowedState, store: Store, load: Callable[[str, str | None], LoadedVersion], *, required: bool
) -> None:
    """Load what a state of new code names in the store.

    Raises `PluginError` where its stable version, or the package's, cannot answer although one is `required`, or is
    there; `OtherCode` where that is for other versions of the package, `StoreError` where the store does not answer. A
    candidate that cannot be loaded is refused alone.
    """
    number, found = store.state(state.name)
    state.see(number, found, None)
    for alias in ("stable", "candidate"):
        if version := state.missing(alias):
            loaded = guarded(load, state.name, None if version == PACKAGE else version)
            state.take(version, loaded, number)
    state.settle(store.keys)
    if isinstance(state.serving, Broken) and (required or found.stable):
        if state.unread:  # the store may answer later
            raise StoreError(f"{state.name}: {state.unread}")
        failure = OtherCode if found.stable in state.waits else PluginError
        raise failure(f"{state.name} {found.stable or 'as shipped'}: {state.serving.reason}")


def code_states(
    domains: Mapping[str, ReleaseDomain], *, loader: VersionLoader, shadowed: Collection[str], before: Collection[str]
) -> dict[str, FollowedState]:
    """The state of each domain of a release, its versions loaded and tested in both workers.

    Raises `PluginError` where one of those that answered `before` cannot answer.
    """
    found = {}
    for name, domain in domains.items():
        state = found[name] = FollowedState(name, name in shadowed, release=domain.release_name)
        load_state(state, loader.store, partial(loader, domains=domains), required=name in before)
    check_spares(domains, found)
    return found


def outdated_states(states: Mapping[str, FollowedState], followed: Mapping[str, FollowedState]) -> list[str]:
    """The names of states that the store has changed since they were loaded."""
    numbers = {name: one.number for name, one in followed.items() if one.state is not None}
    return [name for name, state in states.items() if numbers.get(name, 0) > state.number]


def check_spares(domains: Mapping[str, ReleaseDomain], states: Mapping[str, FollowedState]) -> None:
    """Test the stable models of a release in its second worker too. Raises `PluginError` where one fails there."""
    models: dict[str, HostedModel] = {}
    for name, state in states.items():
        if not isinstance(state.serving, Broken):
            models[name] = state.serving.model  # type: ignore[assignment]
    if not models:
        return
    pair = next(iter(domains.values())).host.pair()
    by = monotonic() + _SECONDS
    while not pair.ready and monotonic() < by:
        sleep(0.01)

    def test(name: str, model: Model) -> str | None:
        return violation(domains[name], model, _SECONDS)

    if (problem := pair.problem_of_spare(models, test)) is not None:
        raise PluginError(f"in its second worker: {problem}")
