"""Plan of a replay: the domains as they answer now, and the candidate that replaces one of them."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Literal, NamedTuple, Protocol, Self, TypeVar, cast

import msgspec

from arbitrank.arbitration.competition import Served
from arbitrank.arbitration.decide import DecisionSettings
from arbitrank.arbitration.fallback import fallback_role
from arbitrank.arbitration.hosted_domain import HostedDomain
from arbitrank.arbitration.policy import Policy
from arbitrank.arbitration.profiles import profiles_of
from arbitrank.arbitration.recalibration import Recalibration
from arbitrank.arbitration.scaled_model import scaled
from arbitrank.domain import Domain, Model
from arbitrank.environments.discovery import loading
from arbitrank.environments.release_domain import ReleaseDomain
from arbitrank.errors import ArtifactError, OtherCode, message
from arbitrank.guard import Fault, guarded
from arbitrank.impact.logged_actions import UNPROMOTED, ExchangedVersions
from arbitrank.learn.rerankers import baseline
from arbitrank.registry import discover, domain_named, loaded
from arbitrank.scales import domain_scales
from arbitrank.store.artifact import Manifest, read_manifest
from arbitrank.store.loading import Present, check_scales, load_model, present, settled
from arbitrank.store.local_copies import VerifiedCopy, verified_copy
from arbitrank.store.store import Store


@dataclass(frozen=True)
class DomainVersion:
    """A version of a domain: its code, or the name of installed code, the folder of its weights, its recalibration.

    `scales` are stated for its scores by field. `recogniser` has the digests of its recogniser's files, none where it
    scores whatever hypotheses it is given.
    """

    domain: Domain | str
    folder: Path
    version: str
    recalibration: Recalibration | None = None
    scales: Mapping[str, str] = field(default_factory=dict)
    recogniser: Mapping[str, str] = field(default_factory=dict)

    def load(self) -> Model:
        """The model. Raises whatever `Domain.load` raises."""
        domain = installed_domains()[self.domain] if isinstance(self.domain, str) else self.domain
        try:
            return load_model(domain, self.folder, self.scales, standby=False)  # nobody waits for a replay
        except OtherCode as error:
            raise OtherCode(f"{domain.name} {self.version}: {error}") from error


@dataclass(frozen=True)
class BaselineVersion(DomainVersion):
    """R0 in the place of a domain: the product of its confidences, for a version that none preceded."""

    def load(self) -> Model:
        """A model that reranks the hypotheses that a request brings."""
        return scaled(cast("Model", baseline(str(self.domain))), domain_scales(dict(self.scales)))


class VersionedPlan(Protocol):
    """A plan of work that needs versions of domains, each by the name of a folder that its weights can lie in."""

    @property
    def versions(self) -> Mapping[str, DomainVersion]:
        """The versions."""
        ...

    def having(self, versions: Mapping[str, DomainVersion]) -> Self:
        """The plan with other versions of these names."""
        ...


P = TypeVar("P", bound=VersionedPlan)

_CANDIDATE = ".candidate"  # no domain has this name


@dataclass(frozen=True)
class ReplayPlan:
    """A comparison: the domains as they answer now, and the candidate that replaces the domain `name`.

    `silent` holds installed domains that cannot answer, with the reasons: their hypotheses are not ranked. `decisions`
    are the arbitrator's settings. Only requests `since` then are replayed, in seconds since 1970; None replays all.
    `policy` is the operator's, by which reactions are used that it had no part in.
    """

    name: str
    parts: Mapping[str, DomainVersion]
    candidate: DomainVersion
    silent: Mapping[str, str] = field(default_factory=dict)
    decisions: DecisionSettings = field(default=DecisionSettings(rank_unserved=True))
    since: float | None = None
    policy: Policy | None = None

    def served(self, side: Literal["before", "after"]) -> dict[str, Served]:
        """The version and recalibration of each domain on one side of the exchange."""
        parts = self.parts if side == "before" else {**self.parts, self.name: self.candidate}
        return {name: (one.version, one.recalibration) for name, one in parts.items()}

    @property
    def exchanged(self) -> ExchangedVersions:
        """The two versions that are compared."""
        part = self.parts.get(self.name)
        before = None if part is None else part.version
        beside = () if before is None else (before, UNPROMOTED)
        return ExchangedVersions(self.name, before, self.candidate.version, beside, self.decisions, self.policy)

    @property
    def again(self) -> bool:
        """True where the candidate has another recogniser than the version that it is compared with."""
        part, own = self.parts.get(self.name), self.candidate.recogniser
        return bool(own) and (part is None or part.recogniser != own)

    def known(self, name: str) -> list[DomainVersion]:
        """The versions of a domain that the plan has, the present one first."""
        found = [self.parts[name]] if name in self.parts else []
        return [*found, self.candidate] if name == self.name else found

    @property
    def versions(self) -> Mapping[str, DomainVersion]:
        """The versions of all parts, and the candidate."""
        return {**self.parts, _CANDIDATE: self.candidate}

    def having(self, versions: Mapping[str, DomainVersion]) -> ReplayPlan:
        """The plan with other versions."""
        parts = {name: one for name, one in versions.items() if name != _CANDIDATE}
        return dataclasses.replace(self, parts=parts, candidate=versions[_CANDIDATE])


def plan(
    domains: Mapping[str, Domain],
    store: Store,
    name: str,
    candidate: Path,
    *,
    against: Path | Literal["r0"] | None = None,
    checked: bool = False,
    decisions: DecisionSettings = DecisionSettings(),
    since: float | None = None,
    by: Recalibration | None = None,
    policy: Policy | None = None,
) -> ReplayPlan:
    """The plan with the artifact `candidate` in place of domain `name`, compared with its stable version or `against`.

    `by` is the candidate's recalibration. `against` may be R0, and only requests `since` then are replayed. With
    `checked`, the candidate is verified already. Hypotheses of domains that are not installed are ranked by R0,
    whatever `decisions` has for them; `policy` is the operator's. Raises `InputError` where the domain is not
    loaded, `ArtifactError` where an artifact is damaged.
    """
    domain_named(name, domains)
    decisions = settled(decisions, store)
    scales = decisions.scales
    found = present_parts(domains, store, decisions)
    parts, silent = dict(found.parts), dict(found.silent)
    if against == "r0":
        parts[name] = BaselineVersion(name, candidate, "r0", scales=scales.get(name, {}))
        silent.pop(name, None)
    elif against is not None:
        (against, other), stable = _copied(against, name, store), parts.get(name)
        kept = stable.recalibration if stable and stable.version == other.version else None
        read = recogniser_of(other)
        parts[name] = DomainVersion(domains[name], against, other.version, kept, scales.get(name, {}), read)
        silent.pop(name, None)
    for each in found.idle.keys() & parts.keys() - {name}:
        silent[each] = found.idle[each]
        del parts[each]
    candidate, manifest = (candidate, read_manifest(candidate)) if checked else _copied(candidate, name, store)
    check_scales(manifest, domains[name], scales.get(name, {}))
    # R0 can read nothing: beside it, both score the hypotheses that there are.
    recogniser = {} if against == "r0" else recogniser_of(manifest)
    return ReplayPlan(
        name,
        parts,
        DomainVersion(domains[name], candidate, manifest.version, by, scales.get(name, {}), recogniser),
        silent=silent,
        decisions=msgspec.structs.replace(decisions, rank_unserved=True, fallback=found.fallback),
        since=since,
        policy=policy,
    )


class PresentParts(NamedTuple):
    """The domains as they answer now, by name, and those that cannot, with the reasons.

    `fallback` is the fallback domain, None where there is none; `idle` are domains that claim to be it and are not.
    """

    parts: Mapping[str, DomainVersion]
    silent: Mapping[str, str]
    fallback: str | None
    idle: Mapping[str, str]


def present_parts(domains: Mapping[str, Domain], store: Store, decisions: DecisionSettings) -> PresentParts:
    """The domains as they answer now; `decisions` are the settings in force."""
    parts, silent = {}, {}
    role = fallback_role(profiles_of(domains), decisions)
    for name, domain in sorted(domains.items()):
        stated = decisions.scales.get(name, {})
        seen = guarded(_present, name, domain, store, stated)
        if isinstance(seen, Fault):
            silent[name] = message(seen)
        else:
            now, code = seen
            read = recogniser_of(now.manifest)
            parts[name] = DomainVersion(code, now.folder, now.manifest.version, now.recalibration, stated, read)
    return PresentParts(parts, silent, role.name, role.idle)


def same_code(installed: Domain | None, domain: Domain | str) -> bool:
    """True where a domain is the installed one: of the same class, and in the same release of an environment."""
    if isinstance(installed, HostedDomain) and isinstance(domain, HostedDomain):
        return installed.release_name == domain.release_name
    return type(installed) is type(domain)


def _present(name: str, domain: Domain, store: Store, stated: Mapping[str, str]) -> tuple[Present, Domain]:
    """The weights that a domain answers with, and the code that can load them: perhaps that of the release before."""
    found = present(name, domain, store)
    check_scales(found.manifest, domain, stated)
    return found, loading(domain, found.folder) if isinstance(domain, ReleaseDomain) else domain


def recogniser_of(manifest: Manifest) -> dict[str, str]:
    """The digests of the recogniser's files in an artifact; none where it has no recogniser."""
    return {path: digest for path, digest in manifest.files.items() if path.startswith("recogniser/")}


def _copied(folder: Path, name: str, store: Store) -> VerifiedCopy:
    copied = verified_copy(folder, store.keys)
    if copied.manifest.domain != name:
        raise ArtifactError(f"{folder}: an artifact of {copied.manifest.domain!r}, expected one of {name!r}")
    return copied


def sendable(plan: P) -> P | None:
    """The plan as another process can load it, installed domains by their names; None where that is not possible."""
    installed = loaded(discover())
    sent = {name: _by_name(one, installed) for name, one in plan.versions.items()}
    return plan.having(sent) if all(_is_plain(one.domain) for one in sent.values()) else None


def _by_name(one: DomainVersion, installed: Mapping[str, Domain]) -> DomainVersion:
    """The version with the name of its code in place of the code, where that is the installed one."""
    domain = one.domain
    if isinstance(domain, str) or not same_code(installed.get(domain.name), domain):
        return one
    return dataclasses.replace(one, domain=domain.name)


def _is_plain(domain: Domain | str) -> bool:
    """True for a name, and for a domain of an importable class whose attributes are texts, numbers and paths."""
    if isinstance(domain, str):
        return True
    kind = type(domain)
    importable = getattr(sys.modules.get(kind.__module__), kind.__qualname__, None) is kind
    return importable and all(isinstance(value, str | int | float | Path | None) for value in vars(domain).values())


@cache
def installed_domains() -> dict[str, Domain]:
    """The installed domains, in a process that a plan was sent to."""
    return loaded(discover())
