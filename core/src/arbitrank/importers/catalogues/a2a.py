"""A2A agent cards: the skills of agents, owned by the agent, with their examples as phrases.

A card, a list of cards, one a line, or a folder of them; a skill's name is its `id`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from arbitrank.importers.catalogues.items import CatalogueItem, CatalogueOptions, documents_and_owner, skill_items
from arbitrank.importers.corpora.items import LeftOut
from arbitrank.wire.json_lines import BadLine
from arbitrank.wire.json_text import short

_WRAPPERS = ("result", "agentCard", "agent_card", "card")
_KNOWN = {"id", "name", "description", "tags", "examples"}
_IGNORED = {"inputModes", "outputModes", "input_modes", "output_modes", "security", "securityRequirements"}
_EXPECTED = "expected an agent card with name and skills"


def read(path: Path, options: CatalogueOptions) -> Iterator[CatalogueItem]:
    """The skills of every card."""
    for found in documents_and_owner(path, options, "a2a"):
        if isinstance(found, LeftOut | BadLine):
            yield found
        else:
            document, owner = found
            yield from _cards(document.where, document.value, owner, options)


def _cards(where: str, value: Any, owner: str, options: CatalogueOptions) -> Iterator[CatalogueItem]:
    if isinstance(value, list):
        for i, one in enumerate(value):
            yield from _card(f"{where}[{i}]", one, owner, options)
    elif isinstance(value, dict) and isinstance(value.get("agents"), list):
        yield from _cards(f"{where}: agents", value["agents"], owner, options)
    else:
        yield from _card(where, value, owner, options)


def _card(where: str, card: Any, owner: str, options: CatalogueOptions) -> Iterator[CatalogueItem]:
    inner = (
        next((card[key] for key in _WRAPPERS if isinstance(card.get(key), dict)), card) if _is_object(card) else None
    )
    if inner is None or "skills" not in inner:
        yield BadLine(where, f"{short(card)}: {_EXPECTED}")
        return
    name, skills, version = inner.get("name"), inner["skills"], inner.get("version")
    if options.owner is None and isinstance(name, str) and name.strip():
        owner = name.strip()[:200]
    if not isinstance(skills, list):
        yield BadLine(where, f"skills: {short(skills)} is invalid, expected a list of skills")
        return
    if not skills:
        yield LeftOut("agent without skills", f"{where}: {short(owner)}")
    for i, skill in enumerate(skills):
        yield from _skill(f"{where}: skills[{i}]", skill, owner, version if isinstance(version, str) else None)


def _skill(where: str, skill: Any, owner: str, version: str | None) -> Iterator[CatalogueItem]:
    if not _is_object(skill):
        yield BadLine(where, f"{short(skill)} is invalid, expected a skill with id, name and description")
        return
    yield from (
        LeftOut("key of a skill", f"{where}: {key}") for key in sorted(map(str, skill.keys() - _KNOWN - _IGNORED))
    )
    name, title, tags = skill.get("id") or skill.get("name"), skill.get("name"), skill.get("tags") or []
    if not isinstance(tags, list):
        yield BadLine(where, f"tags: {short(tags)} is invalid, expected a list of texts")
        return
    line: Mapping[str, Any] = {
        "name": name,
        "owner": owner,
        "description": skill.get("description"),
        "phrases": skill.get("examples"),
        "tags": [*([title] if isinstance(title, str) and title != name else ()), *tags],
        "version": version,
    }
    yield from skill_items(where, line)


def _is_object(value: Any) -> bool:
    return isinstance(value, dict)
