"""Readings that a language model writes as JSON, with the confidence that it reports of itself.

Such a number is on the scale that the prompt asked for, which is not guessed: beyond 0 to 1 it is refused unless the
mapping file states its scale. It is learnt from as any other score.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from arbitrank.errors import InputError
from arbitrank.importers.distributions import ROUTE
from arbitrank.importers.options import ImportOptions
from arbitrank.importers.readings import request_of, score, slots_of
from arbitrank.importers.tool_calls import answers
from arbitrank.values import Hypothesis, Request, Slot
from arbitrank.wire.json_text import short

_FENCE = re.compile(r"\s*```\w*\s*\n(.*?)\n?\s*```\s*", re.S)
_LISTS = (
    "intents",
    "readings",
    "hypotheses",
    "candidates",
    "alternatives",
    "predictions",
    "classifications",
    "results",
)
_DOMAINS = ("domain", "skill", "agent", "route", "server")
_INTENTS = ("intent", "tool", "action", "label", "category", "name")
_SCORES = ("confidence", "score", "probability", "confidence_score")
_SLOTS = ("slots", "entities", "parameters", "arguments")
_TEXTS = ("utterance", "text", "query", "input")


def self_reported(payload: Any, options: ImportOptions) -> Request:
    """The request that the readings in a model's answer, or such readings themselves, make."""
    value, where = written(payload)
    if value is None:
        value, where = payload, ""
    text = None
    if isinstance(value, dict):
        text = next((value[key] for key in _TEXTS if isinstance(value.get(key), str)), None)
        key = next((key for key in _LISTS if isinstance(value.get(key), list)), None)
        if key is not None:
            value, where = value[key], f"{where}.{key}".lstrip(".")
    found = value if isinstance(value, list) else [value]
    readings = [
        reading
        for i, one in enumerate(found)
        for reading in _reading(one, f"{where}[{i}]" if isinstance(value, list) else where, options)
    ]
    return request_of(text, readings, options)


def _reading(one: Any, where: str, options: ImportOptions) -> list[Hypothesis]:
    if not isinstance(one, dict):
        raise InputError(f"{where or 'the payload'}: {short(one)} is invalid, expected a reading with its confidence")
    at = f"{where}." if where else ""
    domain_key, domain = _name(one, _DOMAINS, at)
    intent_key, intent = _name(one, _INTENTS, at)
    if domain_key is None and intent_key is None:
        raise InputError(f"{where or 'the payload'}: lacks the field intent or domain, expected a reading")
    chosen = intent or domain
    if chosen is None or any(each is not None and _is_none(each, options) for each in (domain, intent)):
        return []
    key = next((key for key in _SCORES if key in one), _SCORES[0])
    field = "domain_confidence" if intent is None else "intent_confidence"
    try:
        p = score(one.get(key), f"{at}{key}", options.scale(field))
    except InputError as error:
        hint = "" if options.scales else '; state its scale, as in scale = "0..100", in the file of --map'
        raise InputError(f"{error}{hint}") from None
    target = options.moved(None, intent or ROUTE) if domain is None else options.target(domain, intent or ROUTE)
    own, of_intent = (p, None) if intent is None else (None, p)
    return [Hypothesis(*target, own, of_intent, _slots(one, at))]


def _is_none(name: str, options: ImportOptions) -> bool:
    return name.casefold() == "none" or options.is_none(name)


def _name(one: Mapping[str, Any], keys: tuple[str, ...], at: str) -> tuple[str | None, str | None]:
    key = next((key for key in keys if key in one), None)
    value = None if key is None else one[key]
    if value is not None and not isinstance(value, str):
        raise InputError(f"{at}{key}: {short(value)} is invalid, expected a text")
    return key, value or None


def _slots(one: Mapping[str, Any], at: str) -> tuple[Slot, ...]:
    key = next((key for key in _SLOTS if one.get(key) is not None), None)
    found = {} if key is None else one[key]
    if isinstance(found, list):
        pairs = []
        for i, each in enumerate(found):
            name = (
                next((each[k] for k in ("name", "entity", "slot", "type") if each.get(k)), None)
                if isinstance(each, dict)
                else None
            )
            if not isinstance(name, str):
                raise InputError(f"{at}{key}[{i}]: {short(each)} is invalid, expected an object with name and value")
            pairs.append((name, each.get("value", each.get("text"))))
    elif isinstance(found, dict):
        pairs = list(found.items())
    else:
        raise InputError(f"{at}{key}: {short(found)} is invalid, expected an object of values")
    return tuple(slot for name, value in pairs for slot in slots_of(name, value, None, None))


def written(payload: Any) -> tuple[Any, str]:
    """The JSON that a model's answer consists of, decoded, and its place; None where it is none."""
    for where, message in answers(payload):
        content = message.get("content")
        if isinstance(content, list):
            content = "".join(part.get("text") or "" for part in content if isinstance(part, dict) and _is_text(part))
        if not isinstance(content, str):
            continue
        fenced = _FENCE.fullmatch(content)
        try:
            value = json.loads(fenced[1] if fenced else content)
        except (ValueError, RecursionError):
            continue
        if isinstance(value, dict | list):
            return value, f"{where}.content".lstrip(".")
    return None, ""


def _is_text(part: Mapping[str, Any]) -> bool:
    return isinstance(part.get("text"), str)
