"""Amazon Lex V2: answers of the runtime (RecognizeText) and events of a Lambda function.

The fallback intent is no reading; below the threshold it stands first, and the scores of the others remain. There are
no offsets: words are looked for in the text.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from arbitrank.errors import InputError
from arbitrank.importers.options import ImportOptions
from arbitrank.importers.readings import decoded, request_of, score, slot_in, words_of
from arbitrank.values import Hypothesis, Request, Slot

FALLBACKS = ("FallbackIntent", "AMAZON.FallbackIntent")


class LexValue(msgspec.Struct, frozen=True, rename="camel"):
    """The value of a slot: the words, and the meaning that Lex gives them."""

    original_value: str | None = None
    interpreted_value: str | None = None


class LexSlot(msgspec.Struct, frozen=True, rename="camel"):
    """A slot: one value, a list of slots, or slots within it."""

    value: LexValue | None = None
    values: list[LexSlot | None] | None = None
    sub_slots: dict[str, LexSlot | None] | None = None


class LexIntent(msgspec.Struct, frozen=True):
    """An intent with its slots, null where they are not filled."""

    name: str
    slots: dict[str, LexSlot | None] | None = None


class LexScore(msgspec.Struct, frozen=True):
    """A score as the runtime has it; a Lambda function's event has the number itself."""

    score: float | None = None


class LexInterpretation(msgspec.Struct, frozen=True, rename="camel"):
    """One reading."""

    intent: LexIntent | None
    nlu_confidence: LexScore | float | None = None


class LexBot(msgspec.Struct, frozen=True, rename="camel"):
    """The bot of a network that recognised the text, or the one that called a function."""

    bot_name: str | None = None
    name: str | None = None


class LexResponse(msgspec.Struct, frozen=True, rename="camel"):
    """An answer of the runtime or an event of a function."""

    interpretations: list[LexInterpretation]
    input_transcript: str | None = None
    recognized_bot_member: LexBot | None = None
    bot: LexBot | None = None

    def owner(self, options: ImportOptions) -> str | None:
        """The bot's name: in a network that of the member, of a function's caller where the options name no domain."""
        if self.recognized_bot_member is not None and self.recognized_bot_member.bot_name:
            return self.recognized_bot_member.bot_name
        return self.bot.name if self.bot is not None and options.domain is None else None


def lex(payload: Any, options: ImportOptions) -> Request:
    """The request that an answer or an event of Lex V2 makes."""
    if isinstance(payload, dict) and "interpretations" not in payload and "intentName" in payload:
        raise InputError("intentName: of Lex V1, expected an answer of V2, which has interpretations")
    if isinstance(payload, dict) and isinstance(payload.get("interpretations"), str):
        seen = "interpretations: a text, as in a header of RecognizeUtterance, expected a list"
        raise InputError(f"{seen}; decode it first, as base64 and then gzip")
    response = decoded(payload, LexResponse)
    text = options.utterance if response.input_transcript is None else response.input_transcript
    owner = response.owner(options)
    readings = []
    for i, one in enumerate(response.interpretations):
        if one.intent is None or one.intent.name in FALLBACKS or options.is_none(one.intent.name):
            continue
        found = one.nlu_confidence.score if isinstance(one.nlu_confidence, LexScore) else one.nlu_confidence
        name = one.intent.name
        target = options.target(owner, name) if owner else options.moved(None, name)
        slots = tuple(slot for key, each in (one.intent.slots or {}).items() for slot in _slots(key, each, text))
        where = f"interpretations[{i}].nluConfidence"
        readings.append(Hypothesis(*target, intent_confidence=score(found, where), slots=slots))
    return request_of(text, readings, options)


def _slots(name: str, slot: LexSlot | None, text: str | None) -> Iterator[Slot]:
    """The filled values of a slot: each of a list under its name, those within it under their path."""
    if slot is None:
        return
    if slot.sub_slots:
        for key, each in slot.sub_slots.items():
            yield from _slots(f"{name}.{key}", each, text)
    elif slot.values:
        for each in slot.values:
            yield from _slots(name, each, text)
    elif slot.value is not None:
        meaning = slot.value.interpreted_value
        if words := slot.value.original_value or meaning:
            yield slot_in(name, words_of(words), text, resolved=meaning)
