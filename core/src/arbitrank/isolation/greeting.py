"""First message of a worker: the domains of its environment as plain values, and the versions that they run with."""

from __future__ import annotations

import platform
from collections.abc import Iterable
from itertools import islice

from arbitrank.domain import Skill
from arbitrank.errors import message
from arbitrank.guard import Fault, guarded
from arbitrank.isolation.bell import CAPABILITY as BELL
from arbitrank.isolation.messages import (
    MAX_OUTCOMES,
    PROTOCOL,
    DomainStated,
    Hello,
    ParameterStated,
    SkillStated,
    encode,
)
from arbitrank.packages import core_version
from arbitrank.plugin_hooks import stated
from arbitrank.registry import Found, Loaded
from arbitrank.titles import display_names, feature_phrases
from arbitrank.training_environment import libraries_of

__all__ = ["CAPABILITIES", "facts_of", "hello"]

CAPABILITIES = ("batch", "examples", "explain", "given", "selftest", "train")
"""Capabilities of this core's workers: its messages of these names, explanations, and hypotheses in requests."""

_SKILLS = 10_000  # of a domain, at most
_REASON = 2_000  # characters of a reason


def hello(found: Iterable[Found], rings: bool = False) -> Hello:
    """The first message: each domain that is loaded, or the reason why it is not. Never raises for a plugin's sake."""
    domains: list[DomainStated] = []
    refused: dict[str, str] = {}
    for one in found:
        if not isinstance(one, Loaded):
            refused[one.name] = _short(one.reason)
            continue
        facts = guarded(facts_of, one)
        if isinstance(facts, Fault):
            refused[one.name] = _short(message(facts, "cannot be described: "))
        elif len(encode(facts)) > MAX_OUTCOMES // 4:
            refused[one.name] = f"states {len(encode(facts))} bytes of skills and names, expected {MAX_OUTCOMES // 4}"
        else:
            domains.append(facts)
    packages = {one.package for one in domains}
    return Hello(
        PROTOCOL,
        core_version(),
        platform.python_version(),
        {name: found for package in sorted(packages) for name, found in libraries_of(package)},
        (*CAPABILITIES, BELL) if rings else CAPABILITIES,
        tuple(domains),
        refused,
    )


def facts_of(one: Loaded) -> DomainStated:
    """The facts that a domain states. Raises `PluginError` where one is of another type."""
    domain, names = one.domain, display_names(one.name, one.domain)
    shipped, keys = stated(domain, "shipped"), stated(domain, "context_keys")
    return DomainStated(
        one.name,
        one.source.distribution,
        one.source.version,
        one.source.name,
        skills=tuple(map(_skill, islice(stated(domain, "skills"), _SKILLS))),
        shipped=None if shipped is None else str(shipped),
        title=None if names.title == one.name else names.title,
        intent_titles=dict(names.intents),
        feature_titles=feature_phrases(domain),
        scales=dict(stated(domain, "scales")),
        context_keys=None if keys is None or isinstance(keys, str) else tuple(keys),
        fallback=stated(domain, "fallback"),
        topics=tuple(stated(domain, "topics")),
        shared_negatives=stated(domain, "shared_negatives"),
        loadable_by=stated(domain, "loadable_by"),
        notes=one.notes,
    )


def _skill(skill: Skill) -> SkillStated:
    return SkillStated(
        str(skill.name),
        str(skill.description),
        tuple(map(str, skill.phrases)),
        tuple(ParameterStated(str(one.name), str(one.description)) for one in skill.parameters),
        skill.language and str(skill.language),
        skill.version and str(skill.version),
        tuple(map(str, skill.tags)),
    )


def _short(reason: str) -> str:
    return reason.encode(errors="replace").decode()[:_REASON]
