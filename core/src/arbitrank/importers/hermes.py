"""Hermes, the protocol of Snips and Rhasspy: `hermes/intent/…`, `hermes/nlu/intentParsed` and `intentNotRecognized`.

An intent's name is `OWNER:INTENT` or plain; the owner is the domain. An alternative without a name is "none of them".
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from arbitrank.errors import InputError
from arbitrank.importers.options import ImportOptions
from arbitrank.importers.readings import decoded, request_of, score, slot_at
from arbitrank.values import Hypothesis, Request, Slot


class HermesIntent(msgspec.Struct, frozen=True, rename="camel"):
    """An intent; its score is `probability` in old messages."""

    intent_name: str | None
    confidence_score: float | None = None
    probability: float | None = None


class HermesRange(msgspec.Struct, frozen=True):
    """The place of a slot in the text."""

    start: int | None = None
    end: int | None = None


class HermesSlot(msgspec.Struct, frozen=True, rename="camel"):
    """A slot: its words, and the value that was made of them."""

    slot_name: str
    raw_value: str | None = None
    value: Any = None
    range: HermesRange | None = None
    confidence_score: float | None = None
    confidence: float | None = None


class HermesAlternative(msgspec.Struct, frozen=True, rename="camel"):
    """A further reading, with slots of its own."""

    intent_name: str | None
    confidence_score: float | None = None
    probability: float | None = None
    slots: list[HermesSlot] | None = None


class HermesMessage(msgspec.Struct, frozen=True):
    """A message; without an intent, of a text that was not recognised."""

    input: str
    intent: HermesIntent | None = None
    slots: list[HermesSlot] | None = None
    alternatives: list[HermesAlternative] | None = None


def hermes(payload: Any, options: ImportOptions) -> Request:
    """The request that a message of Hermes makes."""
    if isinstance(payload, dict) and "input" not in payload and ("raw_text" in payload or "text" in payload):
        return _rhasspy(payload, options)
    message = decoded(payload, HermesMessage)
    text = message.input
    readings: list[Hypothesis] = []
    if message.intent is not None:
        readings += _reading(message.intent, message.slots or (), text, options, "intent", "slots")
    for i, one in enumerate(message.alternatives or ()):
        where = f"alternatives[{i}]"
        readings += _reading(one, one.slots or (), text, options, where, f"{where}.slots")
    return request_of(text, readings, options)


def _reading(
    one: HermesIntent | HermesAlternative,
    slots: Sequence[HermesSlot],
    text: str,
    options: ImportOptions,
    where: str,
    slots_at: str,
) -> Iterator[Hypothesis]:
    """The reading of an intent, none where it has no name."""
    if not one.intent_name or options.is_none(one.intent_name):
        return
    owner, colon, name = one.intent_name.rpartition(":")
    target = options.target(owner, name) if colon and owner and name else options.moved(None, one.intent_name)
    key, value = "confidenceScore", one.confidence_score
    if value is None:
        key, value = "probability", one.probability
    found = score(value, f"{where}.{key}")
    yield Hypothesis(*target, intent_confidence=found, slots=tuple(_slots(slots, text, options, slots_at)))


def _slots(slots: Sequence[HermesSlot], text: str, options: ImportOptions, where: str) -> Iterator[Slot]:
    for i, one in enumerate(slots):
        found = one.confidence if one.confidence_score is None else one.confidence_score
        value = one.value.get("value", one.value) if isinstance(one.value, dict) else one.value
        slot = slot_at(
            one.slot_name,
            text,
            (one.range.start, one.range.end) if one.range else (None, None),
            words=one.raw_value,
            value=value,
            confidence=score(found, f"{where}[{i}].confidenceScore"),
            units=("characters", "utf16"),
            options=options,
        )
        if slot is not None:
            yield slot


# ------------------------------------------------------------------------------------------------ Rhasspy's web server


class RhasspyIntent(msgspec.Struct, frozen=True):
    """An intent; its name is empty where the text was not recognised."""

    name: str | None = None
    confidence: float | None = None


class RhasspyEntity(msgspec.Struct, frozen=True):
    """An entity with its place in the text."""

    entity: str
    value: Any = None
    raw_value: str | None = None
    start: int | None = None
    end: int | None = None


class RhasspyResult(msgspec.Struct, frozen=True):
    """An answer of Rhasspy's web server, or an event of its web socket."""

    intent: RhasspyIntent
    text: str | None = None
    raw_text: str | None = None
    entities: list[RhasspyEntity] | None = None


def _rhasspy(payload: Any, options: ImportOptions) -> Request:
    result = decoded(payload, RhasspyResult)
    text = result.raw_text if result.text is None else result.text
    if text is None:
        raise InputError("lacks the field input, expected a message of Hermes")
    name = result.intent.name
    if not name or options.is_none(name):
        return request_of(text, (), options)
    entities = [
        HermesSlot(one.entity, one.raw_value, one.value, HermesRange(one.start, one.end))
        for one in result.entities or ()
    ]
    confidence = score(result.intent.confidence, "intent.confidence")
    slots = tuple(_slots(entities, text, options, "entities"))
    reading = Hypothesis(*options.moved(None, name), intent_confidence=confidence, slots=slots)
    return request_of(text, [reading], options)
