"""Installation of a package into an environment of its own: built aside, checked there, then made current.

Each step leaves what serves untouched until the last one, the replacement of the file `current`. An installation that
is killed or runs out of space leaves a folder that ends in `.part`, which the next one removes.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from collections.abc import Callable, Sequence
from importlib.metadata import Distribution, distributions
from pathlib import Path

import msgspec
from msgspec.structs import replace
from packaging.utils import canonicalize_name

from arbitrank.environments import folders
from arbitrank.environments.acceptance import MEMORY, checked, selftested, sound
from arbitrank.environments.building import Sources, Tool, build, placed
from arbitrank.environments.folders import Recorded, Release
from arbitrank.environments.release_domain import greeted
from arbitrank.environments.requirement import package_of
from arbitrank.errors import InputError, PluginError, message, os_errors
from arbitrank.guard import Fault, guarded
from arbitrank.isolation.messages import DomainStated, Hello
from arbitrank.registry import ENVIRONMENTS, Loaded, survey
from arbitrank.store.store import Store

__all__ = ["Installed", "install", "uninstall"]


class Installed(msgspec.Struct, frozen=True):
    """The outcome of an installation: the release, the one before it, its domains, and remarks.

    `changed` is False where the release was current already, and in a dry run. `removed` are older releases.
    """

    package: str
    release: str
    previous: str | None
    changed: bool
    core: str | None
    python: str | None
    domains: tuple[str, ...]
    libraries: dict[str, str]
    notes: tuple[str, ...]
    removed: tuple[str, ...]


def install(
    requirement: str,
    folder: Path,
    python: Path,
    by: Tool,
    sources: Sources,
    store: Store,
    *,
    check: bool = True,
    await_weights: bool = False,
    dry_run: bool = False,
    report: Callable[[str], None] = lambda text: None,
) -> Installed:
    """Install a requirement, wheel or project folder, and make it its package's current release.

    Raises `InputError` where it cannot be built, `PluginError` where its domains cannot answer, break the contract, or
    are claimed by another package; what serves stays as it was. With `await_weights` its domains may fail their
    self-test with the weights that are stable now.
    """
    package = package_of(requirement)
    home = folder / package
    with folders.locked(home):
        folders.prune(home, keep=[release.name for release in folders.releases(home)])
        part = home.resolve() / f".{os.getpid()}{folders.PART}"
        report(f"building by {by.name}")
        try:
            with os_errors(InputError, str(part)):
                build(requirement, python, part, by, sources)
            release, recorded, notes = _tried(
                requirement, sources, package, part, folder, store, report, check, await_weights
            )
            before = guarded(folders.current, folder, package)
            serving = before if isinstance(before, Release) else None
            result = _installed(release, recorded, serving, notes)
            if dry_run:
                return replace(result, changed=False)
            if part.exists():
                _place(part, release)
        finally:
            shutil.rmtree(part, ignore_errors=True)
        kept = [release, folders.previous(folder, package) if await_weights else None]  # it may be what answers
        folders.switch(folder, release)
        kept.append(folders.previous(folder, package))
        removed = folders.prune(home, [one.name for one in kept if one])
        return replace(result, removed=tuple(removed))


def _tried(
    requirement: str,
    sources: Sources,
    package: str,
    part: Path,
    folder: Path,
    store: Store,
    report: Callable[[str], None],
    check: bool,
    await_weights: bool,
) -> tuple[Release, Recorded, list[str]]:
    """The release that was built in `part`, its record, and remarks; the part is removed where it is there already."""
    main, versions, name = _contents(package, part)
    release = Release(part.parent / name)
    if release.folder.exists():  # the same packages in the same versions, checked when they came
        report(f"{release} is installed already")
        remarks = guarded(sound, release, store, report, await_weights=await_weights)
        if not isinstance(remarks, Fault):
            shutil.rmtree(part)
            return release, release.recorded(), remarks
        report(f"{release} is damaged and is replaced: {message(remarks)}")
    report(f"starting {main} {versions[main]}")
    hello = greeted(Release(part), MEMORY)
    _claims(package, hello, folder)
    facts = tuple(_relative(one, part) for one in hello.domains)
    recorded = Recorded(requirement, main, versions[main], versions, replace(hello, domains=facts), sources.repeated())
    folders.record(part, recorded)
    folders.leasable(part)
    notes = [f"{name}: {reason}" for name, reason in sorted(hello.refused.items())]
    if check:
        notes += checked(Release(part), [one.name for one in hello.domains], store, report)
    return release, recorded, notes + selftested(Release(part), store, report, await_weights=await_weights)


def _place(part: Path, release: Release) -> None:
    """Give what was built in `part` the name of its release."""
    with os_errors(InputError, str(release.folder), "; free space, then repeat the command"):
        placed(part, release.folder)
        os.sync()
        folders.set_aside(release)
        part.rename(release.folder)


def _contents(package: str, part: Path) -> tuple[str, dict[str, str], str]:
    """The name of the package's distribution as it writes it, the versions of all, and the release's name."""
    site = next(part.glob("lib/python*/site-packages"), None)
    found = {canonicalize_name(one.metadata["Name"]): one for one in distributions(path=[str(site)])} if site else {}
    main = found.get(canonicalize_name(package))
    if main is None:
        raise InputError(f"{package}: was not installed by its requirement; expected a distribution of that name")
    versions = {one.metadata["Name"]: one.version for one in found.values()}
    settings = (part / "pyvenv.cfg").read_text("utf-8", "replace")
    python = re.search(r"^version(?:_info)? *= *(\S+)", settings, re.MULTILINE)
    digest = hashlib.sha256((python[1] if python else "").encode())
    for name, one in sorted(found.items()):
        digest.update(f"{name}=={one.version}\n".encode())
    digest.update(_files(main))
    version = "".join(letter if letter.isalnum() or letter in "._" else "_" for letter in main.version)
    return str(main.metadata["Name"]), versions, f"{version}-{digest.hexdigest()[:8]}"


def _files(distribution: Distribution) -> bytes:
    """The digests of a distribution's files: a checkout may have other code under one version."""
    rows = [(str(one), one.hash.value if one.hash else "") for one in distribution.files or ()]
    named = [row for row in rows if row[0].endswith((".py", ".json", ".npz", ".txt", ".toml", ".so")) and row[1]]
    return repr(sorted(row for row in named if ".dist-info" not in row[0])).encode()


def _claims(package: str, hello: Hello, folder: Path) -> None:
    """Raise `PluginError` where there is no domain, or another package has one of that name."""
    if not hello.domains:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in sorted(hello.refused.items()))
        raise PluginError(f"{package}: has no domain that can be loaded: {reasons or 'no entry point of a domain'}")
    owners = {name: f"the service's own environment ({package})" for name, package in _own().items()}
    for other in folders.names(folder):
        release = guarded(folders.current, folder, other)
        recorded = guarded(release.recorded) if isinstance(release, Release) and other != package else None
        if isinstance(recorded, Recorded):
            owners |= {one.name: f"the environment {other}" for one in recorded.hello.domains}
    for one in hello.domains:
        if one.name in owners:
            raise PluginError(
                f"{package}: claims the domain {one.name!r}, which {owners[one.name]} has; uninstall one of the two"
            )


def _own() -> dict[str, str]:
    environ = {name: value for name, value in os.environ.items() if name != ENVIRONMENTS}
    found = survey(environ).found
    return {one.name: one.source.distribution for one in found if isinstance(one, Loaded)}


def _relative(facts: DomainStated, part: Path) -> DomainStated:
    """The facts with the folder of shipped weights relative to the environment, which is about to be renamed."""
    if facts.shipped is None:
        return facts
    path = Path(facts.shipped)
    inside = path.is_relative_to(part)
    return replace(facts, shipped=str(path.relative_to(part) if inside else path))


def _installed(release: Release, recorded: Recorded, before: Release | None, notes: Sequence[str]) -> Installed:
    return Installed(
        release.package,
        release.name,
        before.name if before else None,
        before is None or before.name != release.name,
        recorded.hello.core,
        recorded.hello.python,
        tuple(one.name for one in recorded.hello.domains),
        recorded.hello.libraries,
        tuple(notes),
        (),
    )


def uninstall(package: str, folder: Path) -> str:
    """Have no release of a package be current; the name of the one that was, empty where that is not known.

    Its folders go once no process uses them.

    Raises `InputError` where it is not installed.
    """
    home = folder / canonicalize_name(package)
    serving = _current_names(folder)
    if home.name not in serving:
        raise InputError(f"{package}: not installed in {folder} (installed: {', '.join(sorted(serving)) or 'none'})")
    with folders.locked(home):
        folders.withdraw(folder, home.name)
        folders.prune(home, [])
    return serving[home.name]


def _current_names(folder: Path) -> dict[str, str]:
    """The current release of each package that is installed, by package; empty where that is not known."""
    found = {package: guarded(folders.current, folder, package) for package in folders.names(folder)}
    return {package: one.name if isinstance(one, Release) else "" for package, one in found.items() if one is not None}
