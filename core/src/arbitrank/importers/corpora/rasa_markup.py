"""Entities that Rasa marks in a text: `[words](name:value)`, `[words]{"entity": …}` and `[words][{…}, {…}]`."""

from __future__ import annotations

import json
import re
from typing import Any, NamedTuple

from arbitrank.errors import InputError
from arbitrank.wire.json_text import short

__all__ = ["RasaEntityMark", "entity_name", "marked"]

_MARK = re.compile(
    r"\[(?P<words>[^\]]+?)\](?:\((?P<name>[^:)]+?)(?::(?P<value>[^)]+))?\)|(?P<object>\{[^}]+?\})|(?P<list>\[.*?\]))"
)


class RasaEntityMark(NamedTuple):
    """An entity in a text without marks: offsets in characters, name with role, its `value` where stated, its group."""

    start: int
    end: int
    name: str
    value: str | None = None
    group: str | None = None


def marked(text: str) -> tuple[str, list[RasaEntityMark]]:
    """The text without marks, and the entities marked in it. Raises `InputError` where a mark is no entity's."""
    bare, rest = "", 0
    entities: list[RasaEntityMark] = []
    for match in _MARK.finditer(text):
        bare += text[rest : match.start()]
        start, words = len(bare), match["words"]
        bare += words
        rest = match.end()
        if match["name"]:
            entities.append(RasaEntityMark(start, len(bare), match["name"].strip(), match["value"]))
            continue
        stated = _objects(match["object"] or match["list"])
        for one in stated:
            name = entity_name(one.get("entity"), one.get("role"))
            value, group = one.get("value"), one.get("group")
            entities.append(RasaEntityMark(start, len(bare), name, _text(value), _text(group)))
    return bare + text[rest:], entities


def entity_name(entity: object, role: object) -> str:
    """The slot's name: the entity's, and its role after a dot. Raises `InputError` where it is no name."""
    if not isinstance(entity, str) or not entity.strip() or len(entity) > 200:
        raise InputError(f"entity: {short(entity)} is invalid, expected a name of 1 to 200 characters")
    return f"{entity.strip()}.{role}" if role not in (None, "") else entity.strip()


def _text(value: Any) -> str | None:
    return None if value is None else value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _objects(raw: str) -> list[dict[str, Any]]:
    try:
        found = json.loads(raw)
    except (ValueError, RecursionError):
        raise InputError(f'{short(raw)} is no JSON, expected entities as {{"entity": NAME}}') from None
    found = found if isinstance(found, list) else [found]
    if not found or not all(isinstance(one, dict) for one in found):
        raise InputError(f'{short(raw)} is invalid, expected entities as {{"entity": NAME}}')
    return found
