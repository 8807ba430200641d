"""Rollback of a domain's code or weights in an environment of its own; of the other too, where one needs the other.

What was asked for is changed last. A command that is killed in between is completed by repeating it, and a service
goes on with the code and weights that it has until both have changed.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import NamedTuple

from packaging.utils import canonicalize_name

from arbitrank.arbitration.probes import violation
from arbitrank.environments import folders
from arbitrank.environments.discovery import domains_of
from arbitrank.environments.folders import Recorded, Release
from arbitrank.environments.release_domain import ReleaseDomain
from arbitrank.errors import ArbitrankError, InputError, NoWeights, message
from arbitrank.guard import Fault, guarded
from arbitrank.registry import loaded
from arbitrank.store.loading import weights, with_stored
from arbitrank.store.state import Change
from arbitrank.store.store import Store

__all__ = ["RolledBack", "problem_of", "rollback_code", "rollback_weights"]

_PROBING = 120.0  # seconds that the self-test of a version may take


class RolledBack(NamedTuple):
    """The changes of the store by domain, and where the code was changed, the release now and the one before."""

    changes: Mapping[str, Change]
    release: Release | None = None
    before: Release | None = None


def rollback_weights(name: str, store: Store, folder: Path, *, reason: str | None = None) -> RolledBack:
    """Make the previous version of a domain stable again; where only the previous release can load it, both.

    Raises `InputError` where neither can, or there is no previous version.
    """
    release = _release_with(name, folder)
    number, state = store.state(name)
    if release is None or state.previous is None:
        return RolledBack({name: store.rollback(name, reason=reason)})
    problem = problem_of(release, name, store, state.previous)
    if problem is None:
        return RolledBack({name: store.rollback(name, expected=number, reason=reason, code=release.name)})
    with folders.locked(folder / release.package):
        before = folders.previous(folder, release.package)
        if before is None or (other := _problem_with(before, store, {name: state.previous})) is not None:
            also = "there is no release before" if before is None else f"nor with {before.name}: {other}"
            raise InputError(
                f"{name}: {state.previous} cannot be used with {release.name}: {problem}; {also}; install a release "
                "that can load it, or name another version: arbitrank promote " + name
            )
        folders.switch(folder, before)
        try:
            change = store.rollback(name, expected=number, reason=reason, code=before.name)
        except ArbitrankError:
            folders.switch(folder, release)
            raise
    return RolledBack({name: change}, before, release)


def rollback_code(name: str, store: Store, folder: Path, *, reason: str | None = None) -> RolledBack:
    """Make the previous release of a package, or of a domain's package, current.

    Of a domain whose stable weights that cannot load, the version before becomes stable, or the weights in the package.
    Raises `InputError` where there is no previous release, or it can load neither.
    """
    package = _package_with(name, folder)
    with folders.locked(folder / package):
        named, previous = guarded(folders.current, folder, package), folders.previous(folder, package)
        serving = None if isinstance(named, Fault) else named  # a damaged `current` is what this repairs
        if named is None or previous is None:
            raise InputError(f"{name}: has no previous release in {folder}; run: arbitrank install {package}==VERSION")
        along = {}
        for one in sorted(loaded(domains_of(previous))):
            number, state = store.state(one)
            if (problem := problem_of(previous, one, store, state.stable)) is not None:
                along[one] = number, _to_package(one, store, previous, problem)
        changes = {
            one: store.rollback(one, to_package=to_package, expected=number, reason=reason, code=previous.name)
            for one, (number, to_package) in along.items()
        }
        folders.switch(folder, previous)
    return RolledBack(changes, previous, serving)


def _to_package(name: str, store: Store, release: Release, problem: str) -> bool:
    """True where a release is to serve a domain with its own weights, as it can load no other.

    Raises `InputError` where it can load neither these nor the previous version.
    """
    _, state = store.state(name)
    problems = [f"{state.stable or 'its own weights'}: {problem}"]
    for version in dict.fromkeys((state.previous, None)) if state.stable else ():
        found = problem_of(release, name, store, version, required=True)
        if found is None:
            return version is None
        problems.append(f"{version or 'its own weights'}: {found}")
    raise InputError(
        f"{name}: {release.name} can load no weights that it has: {'; '.join(problems)}; install another release: "
        f"arbitrank install {release.package}==VERSION"
    )


def problem_of(release: Release, name: str, store: Store, version: str | None, required: bool = False) -> str | None:
    """The problem of a version of a domain in a release, None where it passes its self-test there.

    Without a version it is that of the release's own weights, of which there need be none unless they are `required`.
    """
    found = guarded(_test, release, name, store, version)
    if not isinstance(found, Fault) or (isinstance(found.error, NoWeights) and not required):
        return None
    return message(found)


def _test(release: Release, name: str, store: Store, version: str | None) -> None:
    """Load a version of a domain in a release and self-test it there. Raises where that fails."""
    domain = loaded(domains_of(release)).get(name)
    if not isinstance(domain, ReleaseDomain):
        raise InputError(f"{release} has no domain of that name")
    found = weights(name, domain, store, version)
    scales = with_stored({}, store).get(name, {})
    domain.hosted(found.folder, scales, partial(violation, domain, seconds=_PROBING), standby=False)


def _problem_with(release: Release, store: Store, chosen: Mapping[str, str]) -> str | None:
    """The first problem of a release's domains with their stable versions, or with the `chosen` ones."""
    for name in sorted({*loaded(domains_of(release)), *chosen}):
        version = chosen.get(name) or store.state(name)[1].stable
        if (problem := problem_of(release, name, store, version)) is not None:
            return f"{name} {version or 'as shipped'}: {problem}"
    return None


def _release_with(name: str, folder: Path) -> Release | None:
    """The current release that has a domain; None where no environment has it."""
    for package in folders.names(folder):
        release = guarded(folders.current, folder, package)
        if isinstance(release, Release) and name in _domains(release):
            return release
    return None


def _package_with(name: str, folder: Path) -> str:
    listed = folders.names(folder)
    if canonicalize_name(name) in listed:
        return canonicalize_name(name)
    release = _release_with(name, folder)
    if release is None:
        raise InputError(
            f"{name}: no package or domain of that name in {folder} (installed: {', '.join(listed) or 'none'})"
        )
    return release.package


def _domains(release: Release) -> set[str]:
    recorded = guarded(release.recorded)
    return {one.name for one in recorded.hello.domains} if isinstance(recorded, Recorded) else set()
