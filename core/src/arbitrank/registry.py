"""Discovery of the installed domains: each package is loaded, or refused or disabled with a reason.

Entry points are loaded one at a time and each error is kept as a value, so that no package can keep another from
loading. A package's metadata is read before its code runs. The order of packages depends on their names alone; of two
that claim one domain, the one that follows the naming rule (distribution `arbitrank-NAME`) gets it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from importlib.metadata import Distribution, EntryPoint, distributions, version
from typing import Any

import pluggy
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from arbitrank import hookspecs
from arbitrank.domain import Domain
from arbitrank.errors import InputError, PluginError
from arbitrank.guard import Fault, guarded
from arbitrank.hookspecs import GROUP

ENVIRONMENT = "ARBITRANK_DOMAINS"
"""The environment variable that names the domains to load, separated by commas; empty loads none, unset loads all."""

_SHORTLIST = "shortlist"  # the name of Shortlisters in stores of version 0.1; no domain may have it
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_HOOK = "arbitrank_domains"


@dataclass(frozen=True)
class Source:
    """The origin of a domain: an entry point of an installed distribution."""

    name: str
    distribution: str
    version: str

    def __str__(self) -> str:
        return f"{self.name} ({self.distribution} {self.version})"


@dataclass(frozen=True)
class Loaded:
    """A domain that is ready to load a model."""

    name: str
    source: Source
    domain: Domain


@dataclass(frozen=True)
class Refused:
    """A package, or one domain of it, that violates the contract; `reason` ends with the next command."""

    name: str
    source: Source
    reason: str


@dataclass(frozen=True)
class Disabled:
    """A package that is installed and that the operator has disabled."""

    name: str
    source: Source
    reason: str


Found = Loaded | Refused | Disabled


def discover(environment: Mapping[str, str] = os.environ) -> list[Found]:
    """All domains of all installed packages, sorted by name. Runs the code of those that are not disabled."""
    wanted = environment.get(ENVIRONMENT)
    names = None if wanted is None else {name.strip() for name in wanted.split(",") if name.strip()}
    found: list[Found] = []
    claimed: dict[str, Source] = {}
    for entry, distribution in _entry_points():
        source = Source(entry.name, distribution.name, distribution.version)
        for one in _load(entry, distribution, source, names):
            if not isinstance(one, Loaded):
                found.append(one)
            elif one.name in claimed:
                reason = f"claims {one.name!r}, which {claimed[one.name]} has; uninstall one of them"
                found.append(Refused(one.name, source, reason))
            else:
                claimed[one.name] = source
                found.append(one)
    return sorted(found, key=lambda one: (one.name, one.source.distribution))


def loaded(found: Iterable[Found]) -> dict[str, Domain]:
    """The loaded domains, by name."""
    return {one.name: one.domain for one in found if isinstance(one, Loaded)}


def domain_named(name: str, domains: Mapping[str, Domain]) -> Domain:
    """The domain of that name. Raises `InputError` where it is not loaded."""
    if name not in domains:
        known = ", ".join(sorted(domains)) or "none"
        raise InputError(f"domain {name!r} is not loaded (loaded: {known}); run: arbitrank domains")
    return domains[name]


def _entry_points() -> list[tuple[EntryPoint, Distribution]]:
    # Only the first distribution of a name on the path is the one that imports find.
    seen: dict[str, Distribution] = {}
    for distribution in distributions():
        try:
            name = distribution.metadata["Name"]
        except FileNotFoundError:  # what an uninstall left behind, as newer importlib.metadata sees it
            continue
        if name is not None:  # as older does
            seen.setdefault(canonicalize_name(name), distribution)

    def rank(pair: tuple[EntryPoint, Distribution]) -> tuple[bool, str, str]:
        entry, name = pair[0].name, canonicalize_name(pair[1].name)
        return name != canonicalize_name(f"arbitrank-{entry}"), name, entry

    return sorted(((entry, d) for d in seen.values() for entry in d.entry_points if entry.group == GROUP), key=rank)


def _load(entry: EntryPoint, distribution: Distribution, source: Source, names: set[str] | None) -> Iterator[Found]:
    if names is not None and entry.name not in names:
        yield Disabled(entry.name, source, f"{ENVIRONMENT} does not name it")
        return
    reason = _unfit(distribution)
    if reason:
        yield Refused(entry.name, source, reason)
        return
    domains = guarded(_domains, entry)  # importing a plugin runs its code
    if isinstance(domains, Fault):
        yield Refused(entry.name, source, f'{domains.reason}; to see where, run: python -c "import {entry.module}"')
        return
    for name, domain in domains:
        if not isinstance(domain, Domain) or not isinstance(name, str) or not _NAME.fullmatch(name):
            seen = f"{type(domain).__name__} " + (f"named {name!r}" if isinstance(name, str) else "without a name")
            yield Refused(
                entry.name, source, f"{_HOOK}() returned {seen}, expected a Domain named in a-z, 0-9, _ and -"
            )
        elif name == _SHORTLIST:
            yield Refused(name, source, f"is named {_SHORTLIST!r}, which is the Shortlister's name; give it another")
        elif names is not None and name not in names:
            yield Disabled(name, source, f"{ENVIRONMENT} does not name it")
        else:
            yield Loaded(name, source, domain)


def _unfit(distribution: Distribution) -> str | None:
    """The reason why a distribution does not support this core, None where its range includes it."""
    mine = version("arbitrank")
    for text in distribution.requires or ():
        try:
            requirement = Requirement(text)
        except InvalidRequirement as error:
            return f"its metadata cannot be read: {error}"
        # One of an extra, or of another system or Python, does not apply.
        applies = requirement.marker is None or requirement.marker.evaluate({"extra": ""})
        ours = canonicalize_name(requirement.name) == "arbitrank" and applies
        if ours and not requirement.specifier.contains(mine, prereleases=True):
            return f"needs arbitrank{requirement.specifier}, this is {mine}; install a version of it for this core"
    return None


def _domains(entry: EntryPoint) -> Sequence[tuple[Any, Any]]:
    """The domains that the plugin's hook returns, with their names."""
    plugin = entry.load()
    # Each plugin has a manager of its own, so that one that fails validation is left half registered nowhere.
    manager = pluggy.PluginManager("arbitrank")
    manager.add_hookspecs(hookspecs)
    manager.register(plugin)
    if not manager.hook.arbitrank_domains.get_hookimpls():
        raise PluginError(f"implements no hook {_HOOK}{_hint(plugin)}")
    manager.check_pending()
    # pluggy drops a None from the results, so that there may be none.
    domains = next(iter(manager.hook.arbitrank_domains()), None)
    if not isinstance(domains, Sequence) or isinstance(domains, str):
        raise PluginError(f"{_HOOK}() returned {type(domains).__name__}, expected a list of Domains")
    return [(getattr(domain, "name", None), domain) for domain in domains]


def _hint(plugin: Any) -> str:
    near = get_close_matches(_HOOK, [name for name in dir(plugin) if not name.startswith("__")], n=1)
    if not near:
        return ""
    hint = "which is not marked with @hookimpl" if near[0] == _HOOK else "did you mean that?"
    return f"; it has {near[0]!r}, {hint}"
