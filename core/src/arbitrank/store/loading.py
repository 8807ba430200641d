"""Loading of the weights that domains answer with: the store's stable versions, else those that packages ship."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from msgspec import UNSET
from msgspec.structs import replace

from arbitrank.arbitration.arbitrator import Broken, Serving
from arbitrank.arbitration.decide import TUNABLE, DecisionSettings, with_bound_of
from arbitrank.arbitration.hosted_domain import HostedDomain, RemoteRecogniser, ServiceDomain
from arbitrank.arbitration.profiles import DomainProfile, profiles_of
from arbitrank.arbitration.recalibration import Recalibration
from arbitrank.arbitration.scaled_model import scaled
from arbitrank.configuration import StatedScales, completed, layered
from arbitrank.domain import Domain, Model
from arbitrank.errors import ArbitrankError, ArtifactError, InputError, NoWeights, PluginError, UnreadableArtifact
from arbitrank.guard import Fault, guarded
from arbitrank.learn.rerankers import R0, baseline
from arbitrank.plugin_hooks import stated
from arbitrank.registry import ENVIRONMENT, Disabled, Found, Loaded, Refused, discover, loaded
from arbitrank.scales import DEFAULT, FIELDS, Scales, domain_scales, scale
from arbitrank.store.artifact import Manifest, read_manifest
from arbitrank.store.decision_settings import load_decisions
from arbitrank.store.kinds import DECISIONS, train_command
from arbitrank.store.signing import open_keys
from arbitrank.store.store import Store, open_store
from arbitrank.store.versions import wrong_name
from arbitrank.values import DomainReport


@dataclass(frozen=True)
class Present:
    """A domain's weights: a private folder with them, verified, and their manifest.

    `origin` and `recalibration` are those of a `Serving`.
    """

    folder: Path
    manifest: Manifest
    origin: str
    recalibration: Recalibration | None


def present(name: str, domain: Domain, store: Store) -> Present:
    """The weights that a domain answers with: the store's stable version, else those that its package ships.

    Raises `ArtifactError` where there are none or they are not valid, `PluginError` for a `shipped` that is no path.
    """
    _, state = store.state(name)
    return weights(name, domain, store, state.stable, state.served_by)


def weights(
    name: str, domain: Domain | None, store: Store, version: str | None, by: Recalibration | None = None
) -> Present:
    """One version of a domain, verified; None is the weights that its package ships. Raises as `present` does."""
    if isinstance(domain, ServiceDomain):
        raise NoWeights(f"its weights are at {domain.address}, and none of them are here")
    if version is not None:
        folder, origin = store.fetch(name, version), "store"
        manifest = read_manifest(folder)  # `fetch` has verified it
    elif domain is not None and (shipped := stated(domain, "shipped")) is not None:
        if not shipped.is_dir():
            raise UnreadableArtifact(
                f"no weights: `shipped` is {shipped}, which is no folder; run: arbitrank train {name} --out {shipped}, "
                f"or return None from it and run: {train_command(name)} --promote"
            )
        copied = store.shipped(name, shipped)
        folder, origin, manifest = copied.folder, "package", copied.manifest
    else:
        train = train_command(name)
        raise NoWeights(f"no weights: none stable in {store}, none shipped; run: {train} --promote")
    if problem := wrong_name(manifest, name):
        raise ArtifactError(f"{folder}: {problem}")
    return Present(folder, manifest, origin, by)


def load_model(
    domain: Domain, folder: Path, scales: Mapping[str, str] = MappingProxyType({}), *, standby: bool = True
) -> Model:
    """The model in an artifact folder, which reads scores by `scales`, by field, else by those of the domain.

    `standby` is as `HostedDomain.hosted` has it.
    Raises `PluginError` where it is none, `InputError` for an unknown scale, and whatever `domain.load` raises.
    """
    if isinstance(domain, HostedDomain):  # the scales are read there
        return domain.hosted(folder, scales, standby=standby)
    model = domain.load(folder)
    if not isinstance(model, Model):
        raise PluginError(f"{folder}: load returned {type(model).__name__}, expected a Model")
    own = stated(domain, "scales")
    return scaled(model, domain_scales({**own, **scales}), domain_scales(own))


def in_processes(domains: Mapping[str, Domain]) -> dict[str, Domain]:
    """The domains whose code runs in processes of this machine: all but the remote ones."""
    return {name: one for name, one in domains.items() if not isinstance(one, ServiceDomain | RemoteRecogniser)}


def release_of(domain: Domain) -> str | None:
    """The release of a domain's code, where it is in an environment of its own."""
    return domain.release_name if isinstance(domain, HostedDomain) else None


class LineupParts(NamedTuple):
    """The domains of an arbitrator as its parameters take them: models or the reasons why there are none, profiles,
    and reports of the packages that were refused or disabled."""

    domains: dict[str, Serving | Broken]
    profiles: dict[str, DomainProfile]
    unavailable: dict[str, DomainReport]


def load_installed(
    store: str | Path | None = None,
    *,
    only: Collection[str] | None = None,
    keys: str | Path | None = None,
    decisions: DecisionSettings | None = None,
) -> tuple[LineupParts, Callable[[str], R0], DecisionSettings]:
    """The installed domains as an arbitrator takes them, and the scorer of all others.

    The decision settings are completed by the operator's configuration. Raises `InputError` where a domain of `only` is
    not installed, or the configuration cannot be read.
    """
    opened = open_store(store, open_keys(keys))
    decisions = settled(completed(decisions), opened)
    return load_found(installed(only), opened, decisions.scales), baseline, decisions


def load_found(found: Sequence[Found], store: Store, scales: StatedScales = MappingProxyType({})) -> LineupParts:
    """The domains that were discovered, as an arbitrator takes them; `scales` are those of the operator."""
    domains = loaded(found)
    return LineupParts(load_domains(domains, store, scales), profiles_of(domains), unavailable(found))


def unavailable(found: Iterable[Found]) -> dict[str, DomainReport]:
    """The reports of packages that were refused or disabled; by their distribution where another one has the name."""
    reports: dict[str, DomainReport] = {}
    taken = set(loaded(found := list(found)))
    for one in found:
        if not isinstance(one, Loaded):
            name = one.source.distribution if one.name in taken else one.name
            taken.add(name)
            reports[name] = DomainReport("failed" if isinstance(one, Refused) else "skipped", reason=one.reason)
    return reports


def installed(only: Collection[str] | None = None) -> list[Found]:
    """The installed domains; with `only`, those alone, other packages not being imported. Raises as `load_installed`.

    Where a name is not that of an entry point, all packages are imported to find the domain.
    """
    if only is None:
        return discover()
    environment = {name: value for name, value in os.environ.items() if name != ENVIRONMENT}
    found = discover({**environment, ENVIRONMENT: ",".join(only)})
    if not set(only) <= loaded(found).keys():
        found = [
            Disabled(one.name, one.source, "not named") if isinstance(one, Loaded) and one.name not in only else one
            for one in discover(environment)
        ]
    by_name = {one.name: one for one in found}
    for name in only:
        if not isinstance(one := by_name.get(name), Loaded):
            raise InputError(
                f"domain {name!r} cannot be loaded: {one.reason if one else 'not installed'}; run: arbitrank domains"
            )
    return [one for one in found if isinstance(one, Loaded)]


def load_domains(
    domains: Mapping[str, Domain], store: Store, scales: StatedScales = MappingProxyType({})
) -> dict[str, Serving | Broken]:
    """A model for each domain, or the reason why it has none; sorted by name. `scales` are those of the operator."""
    look_at(domains)
    layers = with_stored(scales, store)
    return {name: _loaded(name, domain, store, layers.get(name, {})) for name, domain in sorted(domains.items())}


def look_at(domains: Mapping[str, Domain]) -> None:
    """Read what domains that are services of their own state, of all at once. Never raises."""
    for wait in [one.look() for one in domains.values() if isinstance(one, ServiceDomain)]:
        wait()


def serving_model(domain: Domain, model: Model) -> Model:
    """The model that answers requests where this one is loaded: that of a remote recogniser calls it first."""
    return domain.fetching(model) if isinstance(domain, RemoteRecogniser) else model


def with_stored(scales: StatedScales, store: Store) -> StatedScales:
    """The operator's scales, and where it states none, those of the store's stable decision settings."""
    stored = _stored(store)
    return layered(scales, stored.scales) if isinstance(stored, DecisionSettings) else scales


def settled(
    decisions: DecisionSettings, store: Store, report: Callable[[str], None] = lambda text: None
) -> DecisionSettings:
    """The operator's decision settings, completed by the store's stable ones.

    Settings that cannot be read or are not trusted state nothing, which is reported: a domain that was trained on other
    scales is then refused.
    """
    found = _stored(store)
    if isinstance(found, Fault):
        if isinstance(found.error, ArtifactError):  # where the store cannot be read, the answer's domains tell
            report(f"{DECISIONS}: not used: {found.error}")
        return decisions
    return combined(decisions, found)


def combined(decisions: DecisionSettings, stored: DecisionSettings | None) -> DecisionSettings:
    """The operator's decision settings, and what they leave open as an artifact has it.

    A setting is open that is neither stated nor another than the default. The thresholds by domain or context go with
    `accept`, and the bound on risk with the artifact as a whole: it is of no other settings, and else set aside.
    """
    if stored is None:
        return decisions
    default = DecisionSettings()
    taken = {
        name: getattr(stored, name)
        for name in TUNABLE
        if name not in decisions.stated and getattr(decisions, name) == getattr(default, name)
    }
    if "accept" not in taken:
        taken.pop("accept_by", None)
    found = replace(decisions, **taken, scales=layered(decisions.scales, stored.scales), version=stored.version)
    return with_bound_of(found, stored)


def _stored(store: Store) -> DecisionSettings | Fault | None:
    """The store's stable decision settings; None where there are none."""
    folder = guarded(store.stable, DECISIONS)
    return folder if folder is None or isinstance(folder, Fault) else guarded(load_decisions, folder)


def check_scales(manifest: Manifest, domain: Domain, scales: Mapping[str, str]) -> None:
    """Raise `ArtifactError` where a domain's weights were trained on scores of other scales than are stated now."""
    trained = manifest.scales
    if trained is UNSET:  # trained on no scores but those of its own recogniser
        return
    then, now = domain_scales(trained), domain_scales({**stated(domain, "scales"), **scales})
    compared = [name for name in FIELDS if name in trained or not trained]  # the others had no scores in training
    names = [name for name in compared if then.get(name, scale(DEFAULT)) != now.get(name, scale(DEFAULT))]
    if names:
        was, is_ = _short_scales(names, then), _short_scales(names, now)
        state = " ".join(f"--scale {domain.name}{text}" for text in was)
        raise ArtifactError(
            f"{domain.name} {manifest.version}: trained on scores of the scale {_joined(was)}, stated is "
            f"{_joined(is_)}; state {state}, or run: {train_command(domain.name)}"
        )


def _short_scales(names: Sequence[str], scales: Scales) -> list[str]:
    """The scales of some fields as `.FIELD=SCALE`, or as `=SCALE` where all fields are on one."""
    texts = [scales[name].text if name in scales else DEFAULT for name in names]
    if len(names) == len(FIELDS) and len(set(texts)) == 1:
        return [f"={texts[0]}"]
    return [f".{name}={text}" for name, text in zip(names, texts, strict=True)]


def _joined(texts: Sequence[str]) -> str:
    return ", ".join(text.lstrip(".=") for text in texts)


def _loaded(name: str, domain: Domain, store: Store, scales: Mapping[str, str]) -> Serving | Broken:
    loaded = guarded(_load, name, domain, store, scales)
    if not isinstance(loaded, Fault):
        return loaded
    if isinstance(loaded.error, ArbitrankError):
        return Broken(str(loaded.error))
    return Broken(f"cannot be loaded: {loaded.placed}; run: arbitrank check {name}")


def _load(name: str, domain: Domain, store: Store, scales: Mapping[str, str]) -> Serving:
    if isinstance(domain, ServiceDomain):
        stated, (_, state) = domain.serving(scales), store.state(name)
        return Serving(stated.model, stated.version, stated.origin, state.served_by)
    found = present(name, domain, store)
    check_scales(found.manifest, domain, scales)
    model = serving_model(domain, load_model(domain, found.folder, scales))
    version, origin = found.manifest.version, found.origin
    return Serving(model, version, origin, found.recalibration, release=release_of(domain))
