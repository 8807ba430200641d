"""Configuration by the operator: the file arbitrank.toml, environment variables and options, in one order.

    store = "s3://models/arbitrank"                    # as --store; keys and signing_key likewise
    [domains.weather]
    scale = "0..100"                                   # of all its scores
    scales = { intent_confidence = "logprob" }         # of single ones
    context_keys = ["season"]                          # to learn from, beside the domain's own
    url = "https://weather.example/arbitrank"          # where it is a service of its own (`arbitrank.remote_entry`)

    [decisions]
    fallback = "llm"
    accept = 0.4
    groups = [["bert", "luis"]]                        # domains whose intents and slots mean the same
    [out_of_scope]
    follow = true                                      # the share of such requests in a service's traffic
    [serve]
    limit-body = 65536                                 # each option of the verb, by its name
    [install]
    distributions = ["arbitrank*", "numpy"]            # that an environment may have

The file is the one that is named, else that of ARBITRANK_CONFIG (empty: none), else ./arbitrank.toml where it exists.
A setting is that of the first that states it: option, environment variable, file, the store's decision settings, the
plugin, default.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, NamedTuple, TypeVar

import msgspec

from arbitrank.arbitration.claims import checked_groups, named_groups
from arbitrank.arbitration.decide import TUNABLE, DecisionSettings
from arbitrank.arbitration.following import ShareFollowing, read_following
from arbitrank.errors import InputError, os_errors
from arbitrank.regular_files import read_regular
from arbitrank.remote_entry import RemoteEntry, checked_entry
from arbitrank.scales import FIELDS, checked_field, domain_scales, short
from arbitrank.toml_values import check_keys, checked_table, checked_text, converted, with_place

FILE = "arbitrank.toml"
"""The name of the configuration file in the current folder."""

ENVIRONMENT = "ARBITRANK_CONFIG"
"""The environment variable that names the configuration file."""

SCALES = "ARBITRANK_SCALE"
"""The environment variable with scales, as in `lights=0..100,weather.intent_confidence=percent`."""
MAX_BYTES = 1 << 20
"""Bytes of the file at most."""

SHARED_TEXTS = ("store", "keys", "signing_key")
"""The keys of the file that state an option of all verbs."""

TABLES = ("domains", "decisions", "out_of_scope", "serve", "install")
"""The tables of the file."""

STATABLE = tuple(name for name in TUNABLE if name != "competition")
"""The decision settings that an operator may state."""

_PREFIX = "ARBITRANK_"

StatedScales = Mapping[str, Mapping[str, str]]
"""Scales as texts, by domain and field."""

ContextKey = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]

T = TypeVar("T")


class DomainConfiguration(msgspec.Struct, frozen=True, omit_defaults=True):
    """One domain in the file: the `scale` of all its scores, and the `scales` of single ones by field.

    `context_keys` are those that its training reads beside its own. `remote` is where it runs, if not here.
    """

    scale: str | None = None
    scales: dict[str, str] = {}
    context_keys: tuple[ContextKey, ...] = ()
    remote: RemoteEntry | None = None

    @property
    def stated(self) -> dict[str, str]:
        """The scales by field."""
        return {**({} if self.scale is None else dict.fromkeys(FIELDS, self.scale)), **self.scales}


class InstallRules(msgspec.Struct, frozen=True, omit_defaults=True):
    """Rules of installation: patterns of distributions, and URLs of indexes, that are allowed; empty allows all.

    `require_hashes`: an installation needs a lock. `where` is the file that states them.
    """

    distributions: tuple[str, ...] = ()
    indexes: tuple[str, ...] = ()
    require_hashes: bool = False
    where: str = ""


class Configuration(msgspec.Struct, frozen=True):
    """The file's content: its domains by name, and those fields of `DecisionSettings` that it states.

    `serve`: options of the verb, as they stand there. `where`: the file's name, empty without one.
    """

    domains: dict[str, DomainConfiguration] = {}
    decisions: dict[str, Any] = {}
    out_of_scope: ShareFollowing = ShareFollowing()
    serve: dict[str, Any] = {}
    store: str | None = None
    keys: str | None = None
    signing_key: str | None = None
    where: str = ""
    install: InstallRules = InstallRules()

    @property
    def scales(self) -> dict[str, dict[str, str]]:
        """The scales that it states, by domain and field."""
        return {name: one.stated for name, one in self.domains.items() if one.stated}

    def named_keys(self, every: Sequence[str] = ()) -> dict[str | None, tuple[str, ...]]:
        """The context keys to learn from: those of `every` domain, and those that it names, by domain."""
        named: dict[str | None, tuple[str, ...]] = {None: tuple(every)}
        named.update((name, one.context_keys) for name, one in self.domains.items() if one.context_keys)
        return named


# ------------------------------------------------------------------------------------------------------------ the file


def configured(path: Path | None = None, environment: Mapping[str, str] = os.environ) -> Configuration:
    """The configuration in the file that is named, by argument, environment or place; empty where there is none.

    Raises `InputError` where it cannot be read, or holds an unknown key or a wrong value.
    """
    if path is None and ENVIRONMENT in environment:
        if not environment[ENVIRONMENT]:
            return Configuration()
        path = Path(environment[ENVIRONMENT])
    if path is None:
        path = Path(FILE)
        if not path.exists():
            return Configuration()
    return read_configuration(path)


def read_configuration(path: Path) -> Configuration:
    """The configuration in a file. Raises `InputError` as `configured` does."""
    with os_errors(InputError, f"{path}: cannot be read", "; expected a file of settings in TOML"):
        raw = read_regular(path, MAX_BYTES)
    import tomllib  # here, as most commands run without a file

    try:
        content = tomllib.loads(raw.decode("utf-8-sig"))
    except UnicodeDecodeError:
        raise InputError(f"{path}: not UTF-8, expected TOML in UTF-8") from None
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise InputError(f"{path}: not TOML: {error}") from None
    check_keys(content, (*TABLES, *SHARED_TEXTS), f"{path}: table or key")
    tables = {name: checked_table(content.get(name, {}), f"{path}: {name}") for name in TABLES}
    texts = {name: checked_text(content[name], f"{path}: {name}") for name in SHARED_TEXTS if name in content}
    domains = {name: _domain(table, f"{path}: domains.{name}") for name, table in tables["domains"].items()}
    following = read_following(tables["out_of_scope"], f"{path}: out_of_scope")
    decisions = _decisions(tables["decisions"], f"{path}: decisions")
    place = f"{path}: install"
    check_keys(tables["install"], ("distributions", "indexes", "require_hashes"), f"{place}: key")
    rules = msgspec.structs.replace(converted(tables["install"], InstallRules, place), where=str(path))
    return Configuration(domains, decisions, following, tables["serve"], **texts, where=str(path), install=rules)


def stated_text(
    name: str, variable: str, path: Path | None = None, environment: Mapping[str, str] = os.environ
) -> str | None:
    """One of `SHARED_TEXTS` as the variable states it, else the file; None where neither does."""
    text: str | None = environment.get(variable) or getattr(configured(path, environment), name)
    return text


def _domain(table: Any, where: str) -> DomainConfiguration:
    own = [name for name in DomainConfiguration.__struct_fields__ if name != "remote"]
    check_keys(checked_table(table, where), (*own, *RemoteEntry.__struct_fields__), f"{where}: key")
    found = converted({name: value for name, value in table.items() if name in own}, DomainConfiguration, where)
    with_place(domain_scales, found.stated, where)
    remote = {name: value for name, value in table.items() if name not in own}
    return msgspec.structs.replace(found, remote=checked_entry(remote, where)) if remote else found


def _decisions(table: Mapping[str, Any], where: str) -> dict[str, Any]:
    if "scales" in table:
        raise InputError(f"{where}.scales: unknown, expected scales in [domains.NAME]")
    check_keys(table, STATABLE, f"{where}: key")
    if "groups" in table:
        checked_groups(table["groups"], f"{where}.groups")
    found = converted(table, DecisionSettings, where)
    return {name: getattr(found, name) for name in table}


# ---------------------------------------------------------------------------------------------------------- precedence


def first_stated(*layers: Mapping[str, T]) -> dict[str, T]:
    """Each setting as the first of the layers has it that states it."""
    found: dict[str, T] = {}
    for layer in reversed(layers):
        found.update(layer)
    return found


def layered(*layers: StatedScales) -> dict[str, dict[str, str]]:
    """The scales of each domain, each field's as the first of the layers has it that states it."""
    names = dict.fromkeys(name for layer in layers for name in layer)
    return {name: first_stated(*(layer.get(name, {}) for layer in layers)) for name in names}


def stated_scales(texts: Iterable[str], where: str = "--scale") -> dict[str, dict[str, str]]:
    """The scales in texts as `DOMAIN=SCALE` or `DOMAIN.FIELD=SCALE`, by domain and field; that of a field goes first.

    Raises `InputError`, beginning with `where`, for a text that is no statement, and an unknown field or scale.
    """
    found: dict[str, dict[str, str]] = {}
    for text in sorted(texts, key=lambda text: "." in text.partition("=")[0]):
        subject, equals, spec = (part.strip() for part in text.partition("="))
        domain, dot, name = subject.partition(".")
        if not (equals and domain and spec):
            raise InputError(f"{where} {short(text)}: no scale, expected DOMAIN=SCALE, as weather=0..100")
        names = [with_place(checked_field, name, where)] if dot else FIELDS
        found.setdefault(domain, {}).update(dict.fromkeys(names, spec))
        with_place(domain_scales, found[domain], f"{where} {text.strip()}")
    return found


def environment_scales(environment: Mapping[str, str] = os.environ) -> dict[str, dict[str, str]]:
    """The scales in the environment, separated by commas, which words of a scale may contain as well."""
    texts: list[str] = []
    for part in filter(str.strip, environment.get(SCALES, "").split(",")):
        if "=" in part or not texts:
            texts.append(part)
        else:
            texts[-1] += f",{part}"
    return stated_scales(texts, SCALES)


def environment_decisions(environment: Mapping[str, str] = os.environ) -> dict[str, Any]:
    """The decision settings in the environment, by field: `ARBITRANK_ACCEPT=0.4`, `ARBITRANK_GROUPS=a,b;c,d` …"""
    named = {name: f"{_PREFIX}{name.upper()}" for name in STATABLE}
    table: dict[str, Any] = {name: environment[key] for name, key in named.items() if environment.get(key)}
    if "groups" in table:
        table["groups"] = named_groups(table["groups"].split(";"), named["groups"])
    found = converted(table, DecisionSettings, "the environment", strict=False)
    return {name: getattr(found, name) for name in table}


class OperatorStatements(NamedTuple):
    """The statements of options, environment and file: fields of `DecisionSettings`, scales; and the whole file."""

    decisions: dict[str, Any]
    scales: dict[str, dict[str, str]]
    file: Configuration


def stated_by_operator(
    options: Mapping[str, Any] = MappingProxyType({}),
    scales: StatedScales = MappingProxyType({}),
    path: Path | None = None,
    environment: Mapping[str, str] = os.environ,
) -> OperatorStatements:
    """The operator's statements, each by the first of options, environment and file that has it.

    Of `options`, None is not stated. `path` is the file's. Raises `InputError` as `configured` does.
    """
    file = configured(path, environment)
    stated = {name: value for name, value in options.items() if value is not None}
    decisions = first_stated(stated, environment_decisions(environment), file.decisions)
    return OperatorStatements(decisions, layered(scales, environment_scales(environment), file.scales), file)


def operator_decisions(
    options: Mapping[str, Any] = MappingProxyType({}),
    scales: StatedScales = MappingProxyType({}),
    path: Path | None = None,
    environment: Mapping[str, str] = os.environ,
) -> DecisionSettings:
    """The decision settings that the operator states, the others at their defaults; as of `stated_by_operator`."""
    stated = stated_by_operator(options, scales, path, environment)
    return DecisionSettings(**stated.decisions, scales=stated.scales, stated=tuple(sorted(stated.decisions)))


def completed(decisions: DecisionSettings | None, environment: Mapping[str, str] = os.environ) -> DecisionSettings:
    """Decision settings as a caller in Python gives them, with the scales and the fallback of the configuration."""
    if decisions is None:
        return operator_decisions(environment=environment)
    for name, one in decisions.scales.items():
        with_place(domain_scales, one, f"scales of {name}")
    operator = operator_decisions({"fallback": decisions.fallback}, decisions.scales, environment=environment)
    return msgspec.structs.replace(decisions, scales=operator.scales, fallback=operator.fallback)
