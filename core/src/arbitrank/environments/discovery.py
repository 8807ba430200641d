"""Discovery of the domains of environments, as the registry returns them beside those of installed packages."""

from __future__ import annotations

import threading
from collections.abc import Collection, Mapping
from pathlib import Path
from weakref import WeakValueDictionary

from arbitrank.environments.folders import Release, current, names, previous
from arbitrank.environments.release_domain import ReleaseDomain, ReleaseHost
from arbitrank.errors import ArbitrankError, message
from arbitrank.guard import Fault, guarded
from arbitrank.packages import UNKNOWN
from arbitrank.registry import ENVIRONMENT, Disabled, Found, Loaded, Refused, Source, Unreadable, loaded

__all__ = ["domains_of", "found_in", "loading", "releases_in"]

_hosts: WeakValueDictionary[Path, ReleaseHost] = WeakValueDictionary()
_lock = threading.Lock()


def found_in(folder: Path, wanted: set[str] | None) -> tuple[list[Found], list[Unreadable]]:
    """The domains of the current releases in a folder, and what is wrong with it; `wanted` are those to load.

    No code of theirs runs. Never raises.
    """
    found: list[Found] = []
    problems: list[Unreadable] = []
    listed = guarded(names, folder)
    if isinstance(listed, Fault):
        return [], [Unreadable(str(folder), UNKNOWN, message(listed))]
    for package in listed:
        release = guarded(current, folder, package)
        if release is None:
            continue
        domains = release if isinstance(release, Fault) else guarded(domains_of, release, wanted)
        if isinstance(domains, Fault):
            problems.append(Unreadable(package, UNKNOWN, message(domains)))
        else:
            found += domains
    return found, problems


def domains_of(release: Release, wanted: Collection[str] | None = None) -> list[Found]:
    """The domains of a release by its record; `wanted` are those to load. Raises `InputError` where it has none."""
    recorded = release.recorded()
    host = host_of(release)
    found: list[Found] = []
    for facts in recorded.hello.domains:
        source = Source(facts.entry_point or facts.name, recorded.package, recorded.version)
        if wanted is None or not {facts.name, source.name}.isdisjoint(wanted):
            found.append(Loaded(facts.name, source, ReleaseDomain(facts, host), facts.notes))
        else:
            found.append(Disabled(facts.name, source, f"{ENVIRONMENT} does not name it"))
    for name, reason in sorted(recorded.hello.refused.items()):
        found.append(Refused(name, Source(name, recorded.package, recorded.version), reason))
    return found


def loading(domain: ReleaseDomain, folder: Path) -> ReleaseDomain:
    """The domain in the release that can load an artifact: its own, else the one before, else its own again.

    A service whose code has moved and whose weights have not answers by the release before.
    """
    release = previous(domain.release.folder.parents[1], domain.release.package)
    found = guarded(domains_of, release) if release is not None else []
    before = None if isinstance(found, Fault) else loaded(found).get(domain.name)
    for one in (domain, before):
        if isinstance(one, ReleaseDomain) and not isinstance(guarded(one.hosted, folder, {}, standby=False), Fault):
            return one
    return domain


def host_of(release: Release) -> ReleaseHost:
    """The workers of a release in this process; one host per release, while anything refers to it."""
    with _lock:
        host = _hosts.get(release.folder)
        if host is None:
            host = _hosts[release.folder] = ReleaseHost(release)
        return host


def releases_in(folder: Path, serving: Collection[str] = ()) -> Mapping[str, Release | str | None]:
    """The current release of each package of a folder, None of one that was uninstalled, or the reason why it is not
    known, by package.

    It is not known of a package of `serving` whose folder is gone, or all of them: nobody has uninstalled it.
    """
    try:
        listed = names(folder)
    except ArbitrankError as error:
        return dict.fromkeys(serving or [str(folder)], str(error))
    found: dict[str, Release | str | None] = {}
    for package in listed:
        release = guarded(current, folder, package)
        found[package] = message(release) if isinstance(release, Fault) else release
    lost = {one: f"{folder / one / 'current'}: is gone, and what runs answers on; run: arbitrank install {one} again"
            for one in serving}  # fmt: skip
    return {**lost, **found}
