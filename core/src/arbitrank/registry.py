"""Discovery of the installed domains: each package is loaded, or refused or disabled with a reason.

Entry points are loaded one at a time and each error is kept as a value, so that no package can keep another from
loading. A package's metadata is read before its code runs (`arbitrank.packages`). The order of packages depends on
their names alone; of two that claim one domain, the one that follows the naming rule (distribution `arbitrank-NAME`)
gets it.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from importlib.metadata import EntryPoint, distributions
from pathlib import Path
from typing import NamedTuple

from packaging.utils import canonicalize_name

from arbitrank.boxed import unboxed, unknown
from arbitrank.domain import Domain
from arbitrank.errors import InputError
from arbitrank.guard import Fault, guarded
from arbitrank.packages import UNKNOWN, Package, is_near_group, packages, unfit, wrong_group
from arbitrank.plugin_hooks import HOOK, domains_of, exposed, failure, is_name, malformed, reserved, seen
from arbitrank.titles import display_names

ENVIRONMENT = "ARBITRANK_DOMAINS"
"""The environment variable that names the domains to load, separated by commas; empty loads none, unset loads all."""

ENVIRONMENTS = "ARBITRANK_ENVIRONMENTS"
"""The environment variable that names the folder of environments."""

_CONFIGURATION, _FILE = "ARBITRANK_CONFIG", "arbitrank.toml"  # `arbitrank.configuration` reads them


@dataclass(frozen=True)
class Source:
    """The origin of a domain: an entry point of an installed distribution, or without a version the operator's file."""

    name: str
    distribution: str
    version: str

    def __str__(self) -> str:
        package = f"{self.distribution} {self.version}".strip()
        return f"{self.name} ({package})"


@dataclass(frozen=True)
class Loaded:
    """A domain that is ready to load a model; `notes` are remarks that do not keep it from answering."""

    name: str
    source: Source
    domain: Domain
    notes: tuple[str, ...] = ()


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


@dataclass(frozen=True)
class Unreadable:
    """A problem beside the domains: of a distribution's metadata, or of a name that no package has."""

    name: str
    version: str
    reason: str


class Survey(NamedTuple):
    """All domains that were found, sorted by name, and what is wrong in the environment beside them."""

    found: list[Found]
    unreadable: list[Unreadable]


def discover(environment: Mapping[str, str] = os.environ) -> list[Found]:
    """All domains of all installed packages, sorted by name. Runs the code of those that are not disabled."""
    return survey(environment).found


def survey(environment: Mapping[str, str] = os.environ) -> Survey:
    """All domains as `discover` finds them, and the problems of the environment. Never raises."""
    names = names_wanted(environment)
    installed = packages(distributions())
    found: list[Found] = []
    claimed: dict[str, Source] = {}
    for entry, package in _entry_points(installed):
        source = Source(entry.name, package.name, package.version)
        for one in _load(entry, package, source, names):
            if not isinstance(one, Loaded):
                found.append(one)
            elif one.name in claimed:
                twice = claimed[one.name].distribution == source.distribution
                remedy = "leave out one of its entry points" if twice else "uninstall one of them"
                if claimed[one.name] == source:
                    remedy = "return each domain once"
                reason = f"claims {one.name!r}, which {claimed[one.name]} has; {remedy}"
                found.append(Refused(one.name, source, reason))
            else:
                claimed[one.name] = source
                found.append(one)
    beside: list[Unreadable] = []
    for elsewhere in (_in_environments, _remote):
        others, problems = elsewhere(environment, names)
        found += (_once(one, claimed) for one in others)
        beside += problems
    found.sort(key=lambda one: (one.name, one.source.distribution))
    return Survey(found, [*_problems(installed, found), *beside, *_unknown(names, found)])


def _in_environments(environment: Mapping[str, str], names: set[str] | None) -> tuple[list[Found], list[Unreadable]]:
    """The domains in environments of their own, where there are any."""
    if not (folder := environment.get(ENVIRONMENTS)):
        return [], []
    from arbitrank.environments.discovery import found_in

    return found_in(Path(folder), names)


def _remote(environment: Mapping[str, str], names: set[str] | None) -> tuple[list[Found], list[Unreadable]]:
    """The domains that are services of their own, where there is a configuration."""
    if not (environment.get(_CONFIGURATION) or (_CONFIGURATION not in environment and Path(_FILE).exists())):
        return [], []
    from arbitrank.remote.discovery import remotes_in

    return remotes_in(environment, names)


def names_wanted(environment: Mapping[str, str] = os.environ) -> set[str] | None:
    """The domains and entry points that the operator has named; None where all are wanted."""
    wanted = environment.get(ENVIRONMENT)
    return None if wanted is None else {name.strip() for name in wanted.split(",") if name.strip()}


def _once(one: Found, claimed: dict[str, Source]) -> Found:
    """A domain from elsewhere, or its refusal where an installed package or another environment has the name."""
    if not isinstance(one, Loaded):
        return one
    if (owner := claimed.get(one.name)) is not None:
        remedy = "uninstall one of them" if one.source.version else f"uninstall it, or take the entry out of {_FILE}"
        return Refused(one.name, one.source, f"claims {one.name!r}, which {owner} has; {remedy}")
    claimed[one.name] = one.source
    return one


def loaded(found: Iterable[Found]) -> dict[str, Domain]:
    """The loaded domains, by name."""
    return {one.name: one.domain for one in found if isinstance(one, Loaded)}


def domain_named(name: str, domains: Mapping[str, Domain], found: Iterable[Found] = ()) -> Domain:
    """The domain of that name. Raises `InputError` where it is not loaded, with the reason where `found` has it."""
    if name not in domains:
        for one in found:
            if name.casefold() in (one.name.casefold(), one.source.name.casefold()):
                other = f"its entry point {one.source.name!r} has the domain {one.name!r}; name that, or rename it"
                reason = other if isinstance(one, Loaded) else one.reason
                reason += "" if "; " in reason else f"; run: arbitrank check {one.name}"
                raise InputError(f"domain {name!r} is not loaded: {reason}")
        known = ", ".join(sorted(domains)) or "none"
        raise InputError(f"domain {name!r} is not loaded (loaded: {known}); run: arbitrank domains")
    return domains[name]


def _problems(installed: Iterable[Package], found: Iterable[Found]) -> Iterator[Unreadable]:
    """The problems of packages that no domain's notes or refusal tell."""
    told = {(one.source.distribution, text) for one in found for text in _texts(one)}
    for package in sorted(installed, key=lambda one: canonicalize_name(one.name)):
        for problem in package.problems:
            if (package.name, problem) not in told:
                yield Unreadable(package.name, package.version, problem)


def _texts(found: Found) -> tuple[str, ...]:
    return found.notes if isinstance(found, Loaded) else (found.reason,)


def _unknown(names: set[str] | None, found: Sequence[Found]) -> Iterator[Unreadable]:
    """The names in the environment variables that neither a domain nor an entry point has."""
    known = {name for one in found for name in (one.name, one.source.name)}
    for name in sorted((names or set()) - known):
        reason = f"{ENVIRONMENT} names it, and no installed package has an entry point of that name"
        unnamed = sorted({str(one.source) for one in found if isinstance(one, Disabled)})
        if near := get_close_matches(name, known, n=1):
            reason += f"; did you mean {near[0]!r}?"
        elif unnamed:
            reason += f"; a domain of another name is loaded by that of its entry point (not loaded: {unnamed[0]}"
            reason += ", …)" if len(unnamed) > 1 else ")"
        yield Unreadable(name.encode("utf-8", "backslashreplace").decode(), UNKNOWN, reason)
    for name, reason in unknown(known):
        yield Unreadable(name.encode("utf-8", "backslashreplace").decode(), UNKNOWN, reason)


def _entry_points(installed: Iterable[Package]) -> list[tuple[EntryPoint, Package]]:
    """The entry points of plugins, those included that are in a group of a similar name."""

    def rank(pair: tuple[EntryPoint, Package]) -> tuple[bool, str, str]:
        entry, name = pair[0].name, canonicalize_name(pair[1].name)
        return name != canonicalize_name(f"arbitrank-{entry}"), name, entry

    return sorted(((entry, p) for p in installed for entry in p.entries if is_near_group(entry.group)), key=rank)


def _load(entry: EntryPoint, package: Package, source: Source, names: set[str] | None) -> Iterator[Found]:
    if names is not None and entry.name not in names:
        yield Disabled(entry.name, source, f"{ENVIRONMENT} does not name it")
        return
    reason = wrong_group(entry.group) or unfit(package) or malformed(entry) or unboxed(entry.name, source.distribution)
    if reason:
        yield Refused(entry.name, source, reason)
        return
    returned = guarded(domains_of, entry)  # importing a plugin runs its code
    if isinstance(returned, Fault):
        yield Refused(entry.name, source, failure(returned, entry))
        return
    domains, printed = returned
    if not domains:
        yield Refused(entry.name, source, f"{HOOK}() returned no domain, expected at least one")
    own = {name for name, _ in domains if isinstance(name, str)}
    if names is not None and entry.name not in own and not names & own:
        names = None  # the package is named as a whole, by its entry point
    for name, domain in domains:
        if not isinstance(domain, Domain) or not is_name(name):
            yield Refused(
                entry.name, source, f"{HOOK}() returned {seen(name, domain)}; correct it, then: arbitrank domains"
            )
        elif (reason := reserved(name)) or (reason := unboxed(name, source.distribution)):
            yield Refused(name, source, reason)
        elif names is not None and name not in names:
            yield Disabled(name, source, f"{ENVIRONMENT} does not name it")
        else:
            notes = () if len(domains) > 1 else _naming(name, source)
            remarks = (
                *notes,
                *package.problems,
                *_titles(name, domain),
                *_keys(domain),
                *exposed(domain),
                *_printed(printed),
            )
            yield Loaded(name, source, domain, remarks)


def _printed(line: str) -> Iterator[str]:
    if line:
        text = f"its import printed {line[:60]!r}, expected nothing on standard output"
        yield f"{text}; use the module logging, or print to sys.stderr"


def _naming(name: str, source: Source) -> Iterator[str]:
    """The remark on a package's only domain, where the package or entry point has another name than the rule gives."""
    if canonicalize_name(source.distribution) != canonicalize_name(f"arbitrank-{name}") or source.name != name:
        yield (
            f"comes from {source.distribution}, entry point {source.name}; by the naming rule these are "
            f"arbitrank-{name} and {name}"
        )


def _titles(name: str, domain: Domain) -> Iterator[str]:
    for problem in display_names(name, domain).problems:
        yield f"{problem}; its name is shown instead"


def _keys(domain: Domain) -> Iterator[str]:
    keys = guarded(getattr, domain, "context_keys", None)
    if isinstance(keys, str):
        yield f"context_keys is {keys!r}, a text, and ignored, expected a list of keys; write ({keys!r},)"
