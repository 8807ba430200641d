"""Conversational language understanding (CLU) of Azure: conversation and orchestration projects.

The scores of intents are independent of one another. `None` is P(not mine), so that 1 - None is the domain's
confidence. Offsets count UTF-16 code units unless the call asked otherwise. Each target of an orchestration is a
domain, of which only the best was asked for a reading.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from arbitrank.errors import InputError
from arbitrank.importers.luis import UNKNOWN, LuisPrediction, is_none, luis_readings
from arbitrank.importers.options import ImportOptions
from arbitrank.importers.readings import decoded, not_none, request_of, score, slot_at
from arbitrank.values import Hypothesis, Request, Slot


class CluIntent(msgspec.Struct, frozen=True, rename="camel"):
    """An intent with its score."""

    category: str
    confidence_score: float | None = None


class CluEntity(msgspec.Struct, frozen=True, rename="camel"):
    """An entity with its place in the text."""

    category: str
    text: str | None = None
    offset: int | None = None
    length: int | None = None
    confidence_score: float | None = None
    resolutions: Any = None


class CluPrediction(msgspec.Struct, frozen=True, rename="camel"):
    """The prediction of a conversation project."""

    intents: list[CluIntent]
    entities: list[CluEntity] | None = None


class CluTarget(msgspec.Struct, frozen=True, rename="camel"):
    """A target of an orchestration project; the best one has a result."""

    confidence_score: float | None = None
    target_project_kind: str | None = None
    result: dict[str, Any] | None = None


class QnaAnswer(msgspec.Struct, frozen=True, rename="camel"):
    """An answer of a knowledge base; -1 is the id of the answer that there is none."""

    id: int | str | None = None
    confidence_score: float | None = None


class QnaResult(msgspec.Struct, frozen=True):
    """The answers of a knowledge base."""

    answers: list[QnaAnswer]


class CluInner(msgspec.Struct, frozen=True):
    """The result of a conversation project inside an orchestration's."""

    prediction: CluPrediction


class LuisInner(msgspec.Struct, frozen=True):
    """The result of a LUIS app inside an orchestration's."""

    prediction: LuisPrediction


class CluAnyPrediction(msgspec.Struct, frozen=True):
    """A prediction of either kind of project."""

    intents: list[Any] | dict[str, Any]
    entities: Any = None


class CluResult(msgspec.Struct, frozen=True, rename="camel"):
    """The result of a call."""

    prediction: CluAnyPrediction
    query: str | None = None
    detected_language: str | None = None


class CluResponse(msgspec.Struct, frozen=True):
    """An answer of CLU."""

    result: CluResult


def clu(payload: Any, options: ImportOptions) -> Request:
    """The request that an answer of a conversation or an orchestration project makes."""
    response = decoded(payload, CluResponse)
    result = response.result
    text = options.utterance if result.query is None else result.query
    where = "result.prediction"
    if isinstance(result.prediction.intents, dict):
        readings = list(_targets(result.prediction.intents, text, options))
    else:
        inner = decoded(payload["result"]["prediction"], CluPrediction, where)
        readings = _conversation(inner, text, options, where, None, None)
    context = {"locale": result.detected_language} if result.detected_language else {}
    return request_of(text, readings, options, context)


def _conversation(
    prediction: CluPrediction,
    text: str | None,
    options: ImportOptions,
    where: str,
    domain: str | None,
    confidence: float | None,
) -> list[Hypothesis]:
    """The readings of a conversation project; without the `domain` of a target, 1 - None is the domain's confidence."""
    scores = [
        (one.category, score(one.confidence_score, f"{where}.intents[{i}].confidenceScore"))
        for i, one in enumerate(prediction.intents)
    ]
    if domain is None:
        outside = [p for name, p in scores if p is not None and is_none(name, options)]
        confidence = not_none(max(outside, default=None))
    readings = []
    for name, found in scores:
        if not is_none(name, options):
            target = options.moved(None, name) if domain is None else options.target(domain, name)
            readings.append(Hypothesis(*target, confidence, found))
    if readings:
        slots = tuple(_slots(prediction.entities or (), text, options, where))
        readings[0] = msgspec.structs.replace(readings[0], slots=slots)
    return readings


def _slots(entities: Sequence[CluEntity], text: str | None, options: ImportOptions, where: str) -> Iterator[Slot]:
    for i, one in enumerate(entities):
        end = None if one.offset is None or one.length is None else one.offset + one.length
        slot = slot_at(
            one.category,
            text,
            (one.offset, end),
            words=one.text,
            value=one.resolutions,
            confidence=score(one.confidence_score, f"{where}.entities[{i}].confidenceScore"),
            units=("utf16", "characters", "elements"),
            options=options,
        )
        if slot is not None:
            yield slot


def _targets(targets: dict[str, Any], text: str | None, options: ImportOptions) -> Iterator[Hypothesis]:
    """The readings of an orchestration's targets, best first."""
    found = []
    for name, each in targets.items():
        where = f"result.prediction.intents[{name!r}]"
        target = decoded(each, CluTarget, where)
        p = score(target.confidence_score, f"{where}.confidenceScore")
        if target.target_project_kind != "NonLinked" and not is_none(name, options):
            found.append((name, target, p, where))
    for name, target, p, where in sorted(found, key=lambda one: -(one[2] or 0.0)):
        inner = list(_result(name, target, p, text, options, f"{where}.result")) if target.result else []
        yield from inner or [Hypothesis(*options.target(name, UNKNOWN), p)]


def _result(
    name: str, target: CluTarget, p: float | None, text: str | None, options: ImportOptions, where: str
) -> Iterator[Hypothesis]:
    """The readings of one target's own result."""
    kind, result = target.target_project_kind, target.result
    if kind == "QuestionAnswering":
        for i, answer in enumerate(decoded(result, QnaResult, where).answers):
            if answer.id not in (None, -1):
                found = score(answer.confidence_score, f"{where}.answers[{i}].confidenceScore")
                yield Hypothesis(*options.target(name, f"qna-{answer.id}"), p, found)
    elif kind == "Luis":
        inner = decoded(result, LuisInner, where).prediction
        yield from luis_readings(inner, text, options, f"{where}.prediction", name, p)
    elif kind == "Conversation":
        prediction = decoded(result, CluInner, where).prediction
        yield from _conversation(prediction, text, options, f"{where}.prediction", name, p)
    else:
        known = "Conversation, QuestionAnswering or Luis"
        raise InputError(f"{where.removesuffix('.result')}.targetProjectKind: {kind!r} is unknown, expected {known}")
