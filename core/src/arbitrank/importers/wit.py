"""Wit.ai: answers of `/message`, of today and of before 2020.

Keys of entities are `NAME:ROLE`; the role is the slot's name. Traits are no slots.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from arbitrank.errors import InputError
from arbitrank.importers.options import ImportOptions
from arbitrank.importers.readings import decoded, request_of, score, slot_at
from arbitrank.values import Hypothesis, Request, Slot

_DEEPEST = 20  # levels of nested entities


class WitIntent(msgspec.Struct, frozen=True):
    """An intent; before 2020 it was an entity, with its name as `value`."""

    name: str | None = None
    confidence: float | None = None
    value: str | None = None


class WitEntity(msgspec.Struct, frozen=True):
    """An entity with its words; an interval has `from` and `to` in the place of a value."""

    name: str | None = None
    role: str | None = None
    body: str | None = None
    start: int | None = None
    end: int | None = None
    confidence: float | None = None
    value: Any = None
    from_: Any = msgspec.field(default=None, name="from")
    to: Any = None
    entities: dict[str, Any] | list[Any] | None = None

    @property
    def meaning(self) -> Any:
        """The value, or the ends of an interval."""
        ends = {key: each for key, each in (("from", self.from_), ("to", self.to)) if each is not None}
        return self.value if self.value is not None or not ends else ends


class WitMessage(msgspec.Struct, frozen=True):
    """The meaning of a message."""

    text: str | None = None
    old_text: str | None = msgspec.field(default=None, name="_text")
    intents: list[WitIntent] | None = None
    entities: dict[str, list[Any]] | None = None


def wit(payload: Any, options: ImportOptions) -> Request:
    """The request that an answer of Wit makes."""
    message = decoded(payload, WitMessage)
    if message.intents is None and message.entities is None and isinstance(payload, dict) and "outcomes" in payload:
        raise InputError("outcomes: of Wit's API of 2014, expected an answer of a later one, which has intents")
    if message.intents is None and message.entities is None:
        raise InputError("lacks the fields intents and entities, expected those of Wit's /message")
    text = message.old_text if message.text is None else message.text
    text = options.utterance if text is None else text
    entities = dict(message.entities or {})
    intents, where = message.intents, "intents"
    if intents is None:
        where = "entities.intent"
        intents = [
            decoded(one, WitIntent, f"{where}[{i}]") for i, one in enumerate(entities.pop("intent", ()))
        ]  # of before 2020
    readings = []
    for i, one in enumerate(intents):
        name = one.name or one.value
        if name is None:
            raise InputError(f"{where}[{i}]: lacks the field name")
        if name and not options.is_none(name):
            found = score(one.confidence, f"{where}[{i}].confidence")
            readings.append(Hypothesis(*options.moved(None, name), intent_confidence=found))
    if readings:
        slots = tuple(_slots(entities, text, options, "entities", "", 0))
        readings[0] = msgspec.structs.replace(readings[0], slots=slots)
    return request_of(text, readings, options)


def _slots(
    entities: dict[str, Any], text: str | None, options: ImportOptions, where: str, path: str, depth: int
) -> Iterator[Slot]:
    """The slots of entities; of one with others inside, these, under their path."""
    if depth > _DEEPEST:
        raise InputError(f"{where}: nested too deeply, expected at most {_DEEPEST} levels")
    for key, found in entities.items():
        for i, value in enumerate(decoded(found, list[WitEntity], f"{where}[{key!r}]")):
            at = f"{where}[{key!r}][{i}]"
            name = f"{path}{value.role or key.rpartition(':')[2].removeprefix('wit$')}"
            if isinstance(value.entities, dict) and value.entities:
                yield from _slots(value.entities, text, options, f"{at}.entities", f"{name}.", depth + 1)
                continue
            slot = slot_at(
                name,
                text,
                (value.start, value.end),
                words=value.body,
                value=value.meaning,
                confidence=score(value.confidence, f"{at}.confidence"),
                units=("characters", "utf16"),
                options=options,
            )
            if slot is not None:
                yield slot
