"""Lines of a catalogue: one skill each, with its owner and the texts that describe it.

    {"name": "get_dividends", "owner": "yahoo-finance", "description": "Get historical dividends of a stock",
     "parameters": {"symbol": "Ticker of the stock"}, "language": "en", "tags": ["finance"]}

Texts are bounded: longer ones are cut, and the cut is reported. They are data, whatever they say.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from typing import Any

import msgspec

from arbitrank.domain import Skill, SkillParameter
from arbitrank.errors import InputError
from arbitrank.values import Name
from arbitrank.wire.json_text import short
from arbitrank.wire.notices import Notice, quoted

__all__ = [
    "LIMITS",
    "CatalogueLimits",
    "CatalogueSkill",
    "catalogue_skill",
    "owner_problem",
    "parameters_of",
]


class CatalogueLimits(msgspec.Struct, frozen=True):
    """Bounds of one skill: characters of its description, of a phrase or parameter's description, and entries.

    What is beyond them is cut off and reported.
    """

    description: int = 10_000
    phrase: int = 1_000
    phrases: int = 1_000
    parameters: int = 200
    tags: int = 100


LIMITS = CatalogueLimits()
"""The bounds of every skill of a catalogue."""


class CatalogueSkill(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """One skill of a catalogue: its name, the domain that owns it, and its texts.

    The domain owns the skill: a plugin's domain, a server of tools, an author; a skill without an
    owner is a domain of its own name.
    """

    name: Name
    domain: Name
    description: str = ""
    phrases: tuple[str, ...] = ()
    parameters: tuple[SkillParameter, ...] = ()
    language: str | None = None
    version: str | None = None
    tags: tuple[str, ...] = ()

    @property
    def skill(self) -> Skill:
        """The skill without its owner."""
        return Skill(self.name, self.description, self.phrases, self.parameters, self.language, self.version, self.tags)

    @classmethod
    def of(cls, domain: str, skill: Skill) -> CatalogueSkill:
        """A domain's skill."""
        return cls(
            skill.name, domain, skill.description, skill.phrases, skill.parameters, skill.language, skill.version,
            skill.tags,
        )  # fmt: skip


_OWNERS = ("domain", "owner", "server")  # the first that a line has is the owner, others are tags
_STAGES = frozenset({".decisions", ".hyprank", ".shortlist"})  # they have versions as domains do, and own no skill
_FIELDS = ("name", *_OWNERS, "description", "phrases", "parameters", "language", "version", "tags", "category")
_MEANT = {
    **dict.fromkeys(("id", "title", "skill", "tool", "tool_name", "skill_name", "function"), "name"),
    **dict.fromkeys(("author", "publisher", "vendor", "provider", "namespace", "plugin", "app"), "owner"),
    **dict.fromkeys(("desc", "summary", "text", "descriptions", "documentation"), "description"),
    **dict.fromkeys(("examples", "samples", "utterances", "sample_utterances", "sample_phrases", "queries"), "phrases"),
    **dict.fromkeys(("input_schema", "args", "arguments", "inputs", "properties", "params"), "parameters"),
    **dict.fromkeys(("lang", "locale"), "language"),
    **dict.fromkeys(("labels", "keywords", "categories"), "tags"),
}
_FOREIGN = {"jsonrpc": "mcp", "tools": "mcp", "inputSchema": "mcp", "openapi": "openapi", "swagger": "openapi",
            "interactionModel": "alexa", "skills": "a2a", "function": "openai"}  # fmt: skip
_NAME = "expected a name of 1 to 200 characters"


def catalogue_skill(line: Any, notice: Notice, owner: str | None = None) -> CatalogueSkill:
    """The skill that a line of JSON means; `owner` is that of lines without one. Cuts are reported to `notice`.

    Raises `InputError` that names the field, what was seen and what is expected.
    """
    if not isinstance(line, dict):
        raise InputError(f"{short(line)} is invalid, expected an object with name, owner and description")
    if unknown := line.keys() - set(_FIELDS):
        raise InputError(_hint(sorted(unknown), line))
    names = [_name(line, field) for field in _OWNERS if line.get(field) not in (None, "")]
    name = _name(line, "name")
    domain = names[0] if names else owner or name
    if problem := owner_problem(domain):
        raise InputError(problem)
    description = _text(line.get("description"), "description")
    tags = [*names[1:], *_texts(line.get("tags"), "tags"), *_texts(line.get("category"), "category")]
    return CatalogueSkill(
        name,
        domain,
        _cut(description, LIMITS.description, "description", name, notice),
        _bounded(_texts(line.get("phrases"), "phrases"), LIMITS.phrases, "phrases", name, notice),
        parameters_of(line.get("parameters"), name, notice),
        _short_text(line.get("language"), "language"),
        _short_text(line.get("version"), "version"),
        _bounded(dict.fromkeys(tag.strip() for tag in tags), LIMITS.tags, "tags", name, notice),
    )


def owner_problem(domain: str) -> str | None:
    """The reason why no skill may have this owner; None where one may."""
    if domain not in _STAGES:
        return None
    return f"owner: {short(domain)} is a stage of the arbitrator, expected the name of a domain"


def parameters_of(value: Any, skill: str, notice: Notice) -> tuple[SkillParameter, ...]:
    """The parameters of a skill: of a JSON schema of an object, an object of names and descriptions, or a list.

    An entry of a list is a name, or an object with `name` and `description`. Raises `InputError`.
    """
    found = []
    for where, name, about in _parameters(value):
        if not isinstance(name, str) or not name.strip():
            raise InputError(f"{where}: {short(name)} is invalid, {_NAME}")
        text = _text(about.get("description") if isinstance(about, dict) else about, f"{where}.description")
        found.append((name, text))
    if len(found) > LIMITS.parameters:
        _report_cut(f"{len(found)} parameters", LIMITS.parameters, skill, notice)
    return tuple(
        SkillParameter(name[:200], _cut(text, LIMITS.phrase, "description of a parameter", skill, notice))
        for name, text in found[: LIMITS.parameters]
    )


def _parameters(value: Any) -> Iterator[tuple[str, Any, Any]]:
    """Place, name and description of each parameter."""
    if isinstance(value, dict):
        schema = isinstance(value.get("properties"), dict) or value.get("type") == "object"
        inner = value.get("properties") or {} if schema else value
        if not isinstance(inner, dict):
            raise InputError(f"parameters.properties: {short(inner)} is invalid, expected an object")
        for name, about in inner.items():
            # A schema may be `true`, and have a description of any type elsewhere than here.
            text = about.get("description") if isinstance(about, dict) else about
            yield f"parameters.{quoted(name)}", name, text if isinstance(text, str) else None
    elif isinstance(value, list | tuple):
        for i, one in enumerate(value):
            named = isinstance(one, dict)
            yield f"parameters[{i}]", one.get("name") if named else one, one if named else None
    elif value is not None:
        raise InputError(f"parameters: {short(value)} is invalid, expected a list of names, or an object of them")


def _name(line: Mapping[str, Any], field: str) -> str:
    value = line.get(field)
    if not isinstance(value, str) or not 0 < len(value) <= 200 or not value.strip():
        lacks = "lacks the field name" if value is None else f"{field}: {short(value)} is invalid"
        raise InputError(f"{lacks}, {_NAME}")
    return value


def _text(value: Any, field: str) -> str:
    if value is None:
        return ""
    if not isinstance(value, str):
        raise InputError(f"{field}: {short(value)} is invalid, expected a text")
    return value


def _texts(value: Any, field: str) -> list[str]:
    """The texts of a list, or of one text, without empty ones."""
    if value is None or isinstance(value, str):
        value = [value or ""]
    if not isinstance(value, list | tuple):
        raise InputError(f"{field}: {short(value)} is invalid, expected a list of texts")
    return [text for i, one in enumerate(value) if (text := _text(one, f"{field}[{i}]")).strip()]


def _short_text(value: Any, field: str) -> str | None:
    """A tag or a version, which may be a number."""
    if isinstance(value, int | float) and not isinstance(value, bool) and field == "version":
        value = str(value)
    text = _text(value, field).strip()
    if len(text) > 100:
        raise InputError(f"{field}: {short(text)} is invalid, expected at most 100 characters")
    return text or None


def _bounded(texts: Iterable[str], most: int, field: str, skill: str, notice: Notice) -> tuple[str, ...]:
    every = list(texts)
    if len(every) > most:
        _report_cut(f"{len(every)} {field}", most, skill, notice)
    return tuple(_cut(text, LIMITS.phrase, f"text of its {field}", skill, notice) for text in every[:most])


def _cut(text: str, most: int, field: str, skill: str, notice: Notice) -> str:
    if len(text) > most:
        _report_cut(f"{field} of {len(text)} characters", most, skill, notice)
    return text[:most]


def _report_cut(seen: str, most: int, skill: str, notice: Notice) -> None:
    notice("cut", f"skill {quoted(skill)}: {seen}, cut to {most}")


def _hint(unknown: list[str], line: Mapping[str, Any]) -> str:
    """The error for unknown keys of a line, with what is meant."""
    key = unknown[0]
    other = next((format for name, format in _FOREIGN.items() if name in unknown), None)
    if other:
        return (
            f"{quoted(key)}: unknown key, it seems to be another format; run: arbitrank import --catalogue {other} "
            "FILE > skills.jsonl"
        )
    meant = _MEANT.get(key.lower()) or next(iter(get_close_matches(key.lower(), _FIELDS, 1)), None)
    hint = f"; did you mean {meant}?" if meant and meant not in line else f"; expected {', '.join(_FIELDS)}"
    return f"{quoted(key)}: unknown key{hint}"
