"""Rasa: answers of `/model/parse` of the versions 0.x to 3.x, and the latest message of a tracker.

The scores are a softmax over the bot's own intents, which says nothing of the domain. `nlu_fallback` is no reading, and
its score is none: 1, 1 minus the best or the threshold, by version. `out_of_scope` is P(not mine) among the intents.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from arbitrank.errors import InputError
from arbitrank.importers.options import ImportOptions
from arbitrank.importers.readings import decoded, not_none, request_of, score, slot_at
from arbitrank.values import Hypothesis, Request, Slot

FALLBACKS = ("nlu_fallback",)
NONE = ("out_of_scope",)


class RasaIntent(msgspec.Struct, frozen=True):
    """An intent with its score."""

    name: str | None = None
    confidence: float | None = None


class RasaRanked(msgspec.Struct, frozen=True):
    """An intent of the ranking; null is of none."""

    name: str | None
    confidence: float | None = None


class RasaEntity(msgspec.Struct, frozen=True):
    """An entity; its score stands under a name of its extractor's."""

    entity: str
    start: int | None = None
    end: int | None = None
    value: Any = None
    text: str | None = None
    role: str | None = None
    confidence: float | None = None
    confidence_entity: float | None = None
    extractor: str | None = None

    @property
    def score(self) -> float | None:
        """The extractor's score, None where it has none."""
        return self.confidence if self.confidence_entity is None else self.confidence_entity


class RasaMessage(msgspec.Struct, frozen=True):
    """A parsed message."""

    text: str | None = None
    intent: RasaIntent | None = None
    entities: list[RasaEntity] | None = None
    intent_ranking: list[RasaRanked] | None = None


def rasa(payload: Any, options: ImportOptions) -> Request:
    """The request that a message parsed by Rasa makes."""
    if isinstance(payload, dict):  # as an action server gets it
        payload = payload.get("tracker", payload)
        payload = payload.get("latest_message", payload) if isinstance(payload, dict) else payload
        payload = payload.get("parse_data", payload) if isinstance(payload, dict) else payload  # of a user's event
    message = decoded(payload, RasaMessage)
    if "intent" not in payload and "intent_ranking" not in payload:
        raise InputError("lacks the fields intent and intent_ranking, expected those of Rasa's /model/parse")
    text = options.utterance if message.text is None else message.text
    top = message.intent or RasaIntent()
    ranked = [("intent", top.name, top.confidence)]
    ranked += [(f"intent_ranking[{i}]", one.name, one.confidence) for i, one in enumerate(message.intent_ranking or ())]
    scores: dict[str, float | None] = {}
    for where, name, confidence in ranked:
        found = score(confidence, f"{where}.confidence")
        if name:
            scores[name] = max((p for p in (scores.get(name), found) if p is not None), default=None)
    outside = [scores.pop(name) for name in list(scores) if name in NONE or options.is_none(name)]
    domain_confidence = not_none(max((p for p in outside if p is not None), default=None))
    readings = [
        Hypothesis(*options.moved(None, name), domain_confidence, found)
        for name, found in scores.items()
        if name not in FALLBACKS
    ]
    if readings:
        slots = tuple(_slots(message.entities or (), text, options))
        readings[0] = msgspec.structs.replace(readings[0], slots=slots)
    return request_of(text, readings, options)


def _slots(entities: Iterable[RasaEntity], text: str | None, options: ImportOptions) -> Iterable[Slot]:
    """The slots of entities: of several extractors' entities on one span, those that have a score."""
    spans: dict[Any, list[tuple[int, RasaEntity]]] = {}
    for i, one in enumerate(entities):
        spans.setdefault((one.start, one.end) if one.start is not None else i, []).append((i, one))
    for same in spans.values():
        scored = [each for each in same if each[1].score is not None]
        for i, one in _distinct(scored or same):
            slot = slot_at(
                f"{one.entity}.{one.role}" if one.role else one.entity,
                text,
                (one.start, one.end),
                words=one.text,
                value=one.value,
                confidence=score(one.score, f"entities[{i}].confidence"),
                units=("characters", "utf16"),
                options=options,
            )
            if slot is not None:
                yield slot


def _distinct(entities: list[tuple[int, RasaEntity]]) -> Iterable[tuple[int, RasaEntity]]:
    """The entities of one span, each name and role once: the one with the highest score."""
    best: dict[tuple[str, str | None], tuple[int, RasaEntity]] = {}
    for i, one in entities:
        key = (one.entity, one.role)
        if key not in best or (one.score or 0.0) > (best[key][1].score or 0.0):
            best[key] = (i, one)
    return best.values()
