"""JSON schemas of a tool's or an operation's input: the names and descriptions of its properties."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

__all__ = ["resolved", "schema_parameters"]

_DEEP = 8  # of references and combined schemas
_MOST = 1_000  # combined schemas of one schema


def resolved(value: Any, document: Any) -> Any:
    """The target of a local reference (`#/components/…`), any other value itself; None where it leads nowhere."""
    for _ in range(_DEEP):
        if not isinstance(value, dict) or not isinstance(value.get("$ref"), str):
            return value
        value = _pointed(value["$ref"], document)
    return None


def schema_parameters(schema: Any, document: Any = None) -> dict[str, str]:
    """Names and descriptions of the properties of an object's schema, those of its combined schemas included.

    References are followed in `document`, by default in the schema itself; cycles end.
    """
    found: dict[str, str] = {}
    document = schema if document is None else document
    for count, one in enumerate(_combined(schema, document, 0)):
        if count >= _MOST:
            break
        properties = one.get("properties")
        for name, about in properties.items() if isinstance(properties, dict) else ():
            inner = resolved(about, document)
            text = next((each["description"] for each in (about, inner) if _described(each)), "")
            if isinstance(name, str) and name.strip() and not found.get(name):
                found[name] = text
    return found


def _combined(schema: Any, document: Any, depth: int) -> Iterator[Mapping[str, Any]]:
    schema = resolved(schema, document)
    if not isinstance(schema, dict) or depth > _DEEP:
        return
    yield schema
    for key in ("allOf", "anyOf", "oneOf"):
        several = schema.get(key)
        for one in several if isinstance(several, list) else ():
            yield from _combined(one, document, depth + 1)
    if schema.get("type") == "array" and "items" in schema:
        yield from _combined(schema["items"], document, depth + 1)


def _described(value: Any) -> bool:
    return isinstance(value, dict) and isinstance(value.get("description"), str)


def _pointed(pointer: str, document: Any) -> Any:
    """The value at a JSON pointer within the document; None where there is none, or it leads to another file."""
    if not pointer.startswith("#/"):
        return document if pointer == "#" else None
    for part in pointer[2:].split("/"):
        key = part.replace("~1", "/").replace("~0", "~")
        if isinstance(document, dict):
            document = document.get(key)
        elif isinstance(document, list) and key.isdecimal() and int(key) < len(document):
            document = document[int(key)]
        else:
            return None
    return document
