"""Dialogflow: answers of an ES agent (v2, v2beta1) and of a CX agent (v3), and calls of their webhooks.

ES: a missing `intentDetectionConfidence` is 0, which proto3 leaves out. Values of parameters are numbers, objects and
lists; the words are under `NAME.original` in an output context. A knowledge base is a skill of its own.

CX: the parameters of the session are not this request's, those of `match` are. NO_MATCH has a score, which is of no
intent; the other intents that could have matched are in `diagnosticInfo`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from arbitrank.errors import InputError
from arbitrank.importers.options import ImportOptions
from arbitrank.importers.readings import decoded, request_of, score, slots_of
from arbitrank.values import Hypothesis, Request, Slot

KNOWLEDGE = "Knowledge."
"""The beginning of the names of a knowledge base's intents in ES."""

_FALLBACK_ACTION = "input.unknown"
_ALTERNATIVES = "Alternative Matched Intents"
_OWN_KEYS = ("parameters", "payload", "webhook_payload", "diagnostic_info")  # whose content is the agent's own


class DialogflowIntent(msgspec.Struct, frozen=True, rename="camel"):
    """An intent of an agent."""

    display_name: str | None = None
    is_fallback: bool | None = None


class OutputContext(msgspec.Struct, frozen=True):
    """A context of an ES agent, which keeps the words of parameters."""

    parameters: dict[str, Any] | None = None


class EsResult(msgspec.Struct, frozen=True, rename="camel"):
    """A result of an ES agent."""

    query_text: str | None = None
    action: str | None = None
    intent: DialogflowIntent | None = None
    intent_detection_confidence: float | None = None
    parameters: dict[str, Any] | None = None
    output_contexts: list[OutputContext] | None = None


class EsResponse(msgspec.Struct, frozen=True, rename="camel"):
    """An answer of an ES agent."""

    query_result: EsResult
    alternative_query_results: list[EsResult] | None = None


def dialogflow_es(payload: Any, options: ImportOptions) -> Request:
    """The request that an answer of an ES agent, or a call of its webhook, makes."""
    payload = _camel(payload)
    if isinstance(payload, dict) and isinstance(found := payload.get("queryResult"), dict) and "match" in found:
        raise InputError("queryResult.match: of Dialogflow CX, expected ES; run: arbitrank import dialogflow-cx")
    old = payload.get("result") if isinstance(payload, dict) and "queryResult" not in payload else None
    if isinstance(old, dict) and "resolvedQuery" in old:
        raise InputError("result: of Dialogflow's API v1, expected an answer of v2, which has queryResult")
    response = decoded(payload, EsResponse)
    text = response.query_result.query_text
    text = options.utterance if text is None else text
    readings = []
    others = [(f"alternativeQueryResults[{i}]", one) for i, one in enumerate(response.alternative_query_results or ())]
    for where, result in (("queryResult", response.query_result), *others):
        intent = result.intent
        if intent is None or not intent.display_name or intent.is_fallback or result.action == _FALLBACK_ACTION:
            continue
        if options.is_none(intent.display_name):
            continue
        found = score(result.intent_detection_confidence or 0.0, f"{where}.intentDetectionConfidence")
        readings.append(
            Hypothesis(
                *options.moved(None, intent.display_name),
                intent_confidence=found,
                slots=tuple(_es_slots(result, text)),
                skill="knowledge" if intent.display_name.startswith(KNOWLEDGE) else None,
            )
        )
    return request_of(text, readings, options)


def _es_slots(result: EsResult, text: str | None) -> Iterator[Slot]:
    """The filled parameters, with their words from the contexts that have the same value."""
    contexts = [one.parameters for one in result.output_contexts or () if one.parameters]
    for name, value in (result.parameters or {}).items():
        original = f"{name}.original"
        words = [one[original] for one in contexts if one.get(original) and one.get(name, value) == value]
        yield from slots_of(name, value, words[0] if words else None, text)


# ----------------------------------------------------------------------------------------------------------------- CX


class CxMatch(msgspec.Struct, frozen=True, rename="camel"):
    """The match of a request."""

    intent: DialogflowIntent | None = None
    parameters: dict[str, Any] | None = None
    resolved_input: str | None = None
    match_type: str | None = None
    confidence: float | None = None


class CxAlternative(msgspec.Struct, frozen=True, rename="pascal"):
    """An intent that could have matched; not `active`: out of scope of the current page."""

    display_name: str | None = None
    score: float | None = None
    active: bool | None = None


class CxResult(msgspec.Struct, frozen=True, rename="camel"):
    """A result of a CX agent."""

    match: CxMatch
    text: str | None = None
    transcript: str | None = None
    diagnostic_info: dict[str, Any] | None = None


class CxValue(msgspec.Struct, frozen=True, rename="camel"):
    """A parameter in a call of a webhook."""

    original_value: Any = None
    resolved_value: Any = None


class CxIntentInfo(msgspec.Struct, frozen=True, rename="camel"):
    """The matched intent in a call of a webhook."""

    display_name: str | None = None
    parameters: dict[str, CxValue] | None = None
    confidence: float | None = None


class CxCall(msgspec.Struct, frozen=True, rename="camel"):
    """A call of a CX agent's webhook."""

    intent_info: CxIntentInfo | None = None
    text: str | None = None
    transcript: str | None = None


_WITHOUT_INTENT = {
    "PARAMETER_FILLING": ("unknown", None),
    "KNOWLEDGE_CONNECTOR": ("knowledge", "knowledge"),
    "PLAYBOOK": ("playbook", "playbook"),
}
"""Types of a match that claim a request without an intent: the intent and the skill that stand for it."""


def dialogflow_cx(payload: Any, options: ImportOptions) -> Request:
    """The request that an answer of a CX agent, or a call of its webhook, makes."""
    payload = _camel(payload)
    if isinstance(payload, dict) and ("intentInfo" in payload or "fulfillmentInfo" in payload):
        return _cx_call(payload, options)
    inner = payload if isinstance(payload, dict) and "match" in payload else None
    whole = {"queryResult": inner} if inner is not None else payload
    if isinstance(whole, dict) and isinstance(result := whole.get("queryResult"), dict) and "queryText" in result:
        raise InputError("queryResult.queryText: of Dialogflow ES, expected CX; run: arbitrank import dialogflow-es")
    response = decoded(whole, CxResponse)
    result = response.query_result
    match = result.match
    text = next((one for one in (result.text, result.transcript, match.resolved_input) if one is not None), None)
    text = options.utterance if text is None else text
    readings: dict[str, Hypothesis] = {}
    intent, skill = _matched(match)
    if intent is not None and not options.is_none(intent):
        slots = tuple(
            slot for name, value in (match.parameters or {}).items() for slot in slots_of(name, value, None, text)
        )
        readings[intent] = Hypothesis(
            *options.moved(None, intent),
            intent_confidence=score(match.confidence, "queryResult.match.confidence"),
            slots=slots,
            skill=skill,
        )
    for where, one in _alternatives(result.diagnostic_info or {}):
        name = one.display_name
        if not name or name in readings or options.is_none(name) or name == "Default Negative Intent":
            continue
        readings[name] = Hypothesis(
            *options.moved(None, name),
            intent_confidence=score(one.score, f"{where}.Score"),
            features={"active": 0.0} if one.active is False else {},
        )
    return request_of(text, readings.values(), options)


class CxResponse(msgspec.Struct, frozen=True, rename="camel"):
    """An answer of a CX agent."""

    query_result: CxResult


def _matched(match: CxMatch) -> tuple[str | None, str | None]:
    """The intent of a match and its skill; None where it is of no intent."""
    kind = match.match_type or ""
    if kind in ("NO_MATCH", "NO_INPUT", "EVENT") or (match.intent is not None and match.intent.is_fallback):
        return None, None
    if match.intent is not None and match.intent.display_name:
        return match.intent.display_name, None
    return _WITHOUT_INTENT.get(kind, (None, None))


def _alternatives(info: Mapping[str, Any]) -> Iterator[tuple[str, CxAlternative]]:
    """The intents that could have matched, best first as they come; none where the information has another form."""
    found = info.get(_ALTERNATIVES)
    for i, one in enumerate(found if isinstance(found, list) else ()):
        where = f"queryResult.diagnosticInfo[{_ALTERNATIVES!r}][{i}]"
        yield where, decoded(one, CxAlternative, where)


def _cx_call(payload: Mapping[str, Any], options: ImportOptions) -> Request:
    call = decoded(payload, CxCall)
    text = call.transcript if call.text is None else call.text
    text = options.utterance if text is None else text
    info = call.intent_info
    if info is None or not info.display_name or options.is_none(info.display_name):
        return request_of(text, (), options)
    slots = tuple(
        slot
        for name, one in (info.parameters or {}).items()
        for slot in slots_of(name, one.resolved_value, one.original_value, text)
    )
    confidence = score(info.confidence, "intentInfo.confidence")
    reading = Hypothesis(*options.moved(None, info.display_name), intent_confidence=confidence, slots=slots)
    return request_of(text, [reading], options)


def dialogflow(payload: Any, options: ImportOptions) -> Request:
    """The request that an answer of an ES or a CX agent makes, by its keys."""
    plain = _camel(payload)
    result = plain.get("queryResult") if isinstance(plain, dict) else None
    cx = isinstance(plain, dict) and any(key in plain for key in ("match", "intentInfo", "fulfillmentInfo"))
    is_cx = cx or (isinstance(result, dict) and "match" in result)
    return dialogflow_cx(payload, options) if is_cx else dialogflow_es(payload, options)


def _camel(value: Any, depth: int = 0) -> Any:
    """The value with keys in camelCase where a client wrote snake_case; the agent's own keys as they are."""
    if isinstance(value, list):
        return [_camel(one, depth + 1) for one in value]
    if not isinstance(value, dict) or depth > 8:
        return value
    return {
        re.sub(r"_([a-z])", lambda found: found[1].upper(), key) if isinstance(key, str) else key: (
            inner if key in _OWN_KEYS or key == "diagnosticInfo" else _camel(inner, depth + 1)
        )
        for key, inner in value.items()
    }
