"""LUIS (v3), and dispatch apps, whose intents are apps of their own.

The scores of intents are independent of one another. `None` is P(not mine), so that 1 - None is the domain's
confidence. Entities nest; the leaves are slots, under their path. Words and offsets, in UTF-16 code units, are in
`$instance`, which is there with verbose=true alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from arbitrank.errors import InputError
from arbitrank.importers.options import ImportOptions
from arbitrank.importers.readings import decoded, not_none, request_of, score, slot_at, words_of
from arbitrank.scales import scale
from arbitrank.values import Hypothesis, Request, Slot
from arbitrank.wire.notices import named, quoted

UNKNOWN = "unknown"
"""The intent of a domain that was not asked for one."""

_NONE = "None"
_INSTANCE = "$instance"
_CHILDREN = ("l_", "q_")
_DEEPEST = 20  # levels of nested entities
_PERCENT = scale("percent")


class LuisIntent(msgspec.Struct, frozen=True, rename="camel"):
    """An intent with its score; of a dispatch app, with the prediction of the app that it stands for."""

    score: float | None = None
    child_app: dict[str, Any] | None = None


class LuisPrediction(msgspec.Struct, frozen=True, rename="camel"):
    """The prediction of an app."""

    intents: dict[str, Any]
    top_intent: str | None = None
    entities: dict[str, Any] | None = None


class LuisResponse(msgspec.Struct, frozen=True):
    """An answer of LUIS."""

    prediction: LuisPrediction
    query: str | None = None


class LuisInstance(msgspec.Struct, frozen=True, rename="camel"):
    """The place of an entity's value in the text."""

    text: str | None = None
    start_index: int | None = None
    length: int | None = None
    score: float | None = None


class QnaMakerAnswer(msgspec.Struct, frozen=True):
    """An answer of QnA Maker; its score is 0 to 100."""

    id: int | str | None = None
    score: Any = None


class QnaMakerResult(msgspec.Struct, frozen=True):
    """The answers of QnA Maker."""

    answers: list[QnaMakerAnswer]


def luis(payload: Any, options: ImportOptions) -> Request:
    """The request that an answer of LUIS v3 makes."""
    if isinstance(payload, dict) and "topScoringIntent" in payload and "prediction" not in payload:
        raise InputError("topScoringIntent: of LUIS v2, expected an answer of v3, which has prediction")
    response = decoded(payload, LuisResponse)
    text = options.utterance if response.query is None else response.query
    return request_of(text, luis_readings(response.prediction, text, options, "prediction", None, None), options)


def luis_readings(
    prediction: LuisPrediction,
    text: str | None,
    options: ImportOptions,
    where: str,
    domain: str | None,
    confidence: float | None,
) -> list[Hypothesis]:
    """The readings of an app, best first; those of the app `domain` of a dispatch have this domain's confidence."""
    intents = {
        name: decoded(each, LuisIntent, f"{where}.intents[{name!r}]") for name, each in prediction.intents.items()
    }
    scores = {name: score(one.score, f"{where}.intents[{name!r}].score") for name, one in intents.items()}
    if prediction.top_intent and prediction.top_intent not in scores:
        scores[prediction.top_intent] = None
    order = sorted(scores, key=lambda name: (name != prediction.top_intent, -(scores[name] or 0.0)))
    if domain is None and any(one.child_app is not None for one in intents.values()):
        children = [name for name in order if not is_none(name, options) and name in intents]
        return [
            reading for name in children for reading in _child(name, intents[name], scores[name], text, options, where)
        ]
    if domain is None:
        outside = [p for name, p in scores.items() if p is not None and is_none(name, options)]
        confidence = not_none(max(outside, default=None))
    readings = []
    for name in order:
        if not is_none(name, options):
            target = options.moved(None, name) if domain is None else options.target(domain, name)
            readings.append(Hypothesis(*target, confidence, scores[name]))
    if readings:
        found = _slots(prediction.entities or {}, text, options, f"{where}.entities", "", 0)
        slots = sorted(found, key=lambda slot: (slot.start is None, slot.start or 0))
        readings[0] = msgspec.structs.replace(readings[0], slots=tuple(slots))
    return readings


def _child(
    name: str, intent: LuisIntent, p: float | None, text: str | None, options: ImportOptions, where: str
) -> list[Hypothesis]:
    """The readings of an app of a dispatch; of one that was not asked, its claim alone."""
    where = f"{where}.intents[{name!r}].childApp"
    found: list[Hypothesis] = []
    if intent.child_app and "answers" in intent.child_app:
        for i, answer in enumerate(decoded(intent.child_app, QnaMakerResult, where).answers):
            if answer.id not in (None, -1):
                own = score(answer.score, f"{where}.answers[{i}].score", _PERCENT)
                found.append(Hypothesis(*options.target(name, f"qna-{answer.id}"), p, own))
    elif intent.child_app:
        found = luis_readings(decoded(intent.child_app, LuisPrediction, where), text, options, where, name, p)
    if not found and intent.child_app is None and not name.startswith(_CHILDREN):
        return [Hypothesis(*options.moved(None, name), None, p)]
    return found or [Hypothesis(*options.target(name, UNKNOWN), p)]


def _slots(
    entities: dict[str, Any], text: str | None, options: ImportOptions, where: str, path: str, depth: int
) -> Iterator[Slot]:
    """The leaves of nested entities."""
    if depth > _DEEPEST:
        raise InputError(f"{where}: nested too deeply, expected at most {_DEEPEST} levels")
    places = entities.get(_INSTANCE)
    for name, values in entities.items():
        if name == _INSTANCE:
            continue
        here = f"{where}.{named(name)}"
        if not isinstance(values, list):
            raise InputError(f"{here}: {quoted(words_of(values))} is invalid, expected a list of values")
        own = places.get(name) if isinstance(places, dict) else None
        for i, value in enumerate(values):
            if _nests(value):
                yield from _slots(value, text, options, f"{here}[{i}]", f"{path}{name}.", depth + 1)
                continue
            place = own[i] if isinstance(own, list) and i < len(own) else {}
            at = f"{where}.{_INSTANCE}.{name}[{i}]"
            slot = _leaf(f"{path}{name}", value, decoded(place, LuisInstance, at), text, options, at)
            if slot is not None:
                yield slot


def _leaf(
    name: str, value: Any, place: LuisInstance, text: str | None, options: ImportOptions, where: str
) -> Slot | None:
    start, length = place.start_index, place.length
    while isinstance(value, list) and len(value) == 1:
        value = value[0]
    return slot_at(
        name,
        text,
        (start, None if start is None or length is None else start + length),
        words=place.text,
        value=value,
        confidence=score(place.score, f"{where}.score"),
        units=("utf16", "characters"),
        options=options,
    )


def _nests(value: Any) -> bool:
    """True of an entity with others inside, False of a value, although that may be an object: a date, a number."""
    return isinstance(value, dict) and (
        _INSTANCE in value or (bool(value) and all(isinstance(each, list) for each in value.values()))
    )


def is_none(name: str, options: ImportOptions) -> bool:
    """True of the intent that means none of the app's."""
    return name == _NONE or options.is_none(name)
