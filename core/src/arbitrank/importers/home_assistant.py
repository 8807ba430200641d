"""Home Assistant: `conversation/agent/homeassistant/debug`, and answers of `conversation/process`.

There is no score. The number of slots that no sentence template explains, `unmatched`, and the number of targets found
are features to learn from. An answer of `conversation/process` does not name its intent.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from arbitrank.errors import InputError
from arbitrank.importers.options import ImportOptions
from arbitrank.importers.readings import decoded, request_of, slot_in, words_of
from arbitrank.values import Hypothesis, Request, Slot

TRIGGER, UNKNOWN = "trigger", "unknown"
"""The intents of a sentence trigger, and of an answer that names none."""


class HassIntent(msgspec.Struct, frozen=True):
    """An intent."""

    name: str | None = None


class HassDetail(msgspec.Struct, frozen=True):
    """A slot: the words in the sentence, and their value."""

    text: str | None = None
    value: Any = None


class HassTarget(msgspec.Struct, frozen=True):
    """An entity that would be acted on, or asked for its state."""

    matched: bool | None = None


class HassResult(msgspec.Struct, frozen=True):
    """The best match of a sentence."""

    intent: HassIntent | None = None
    slots: dict[str, Any] | None = None
    details: dict[str, HassDetail] | None = None
    targets: dict[str, HassTarget] | None = None
    match: bool | None = None
    unmatched_slots: dict[str, Any] | None = None
    source: str | None = None


class HassDebug(msgspec.Struct, frozen=True):
    """Matches of the debug command; null where no template matched."""

    results: list[HassResult | None]


class HassData(msgspec.Struct, frozen=True):
    """Details of an answer."""

    code: str | None = None
    success: list[Any] | None = None


class HassAnswer(msgspec.Struct, frozen=True):
    """An answer of `conversation/process`."""

    response_type: str
    data: HassData | None = None


def home_assistant(payload: Any, options: ImportOptions) -> Request:
    """The request that a debugged or a processed sentence makes."""
    if isinstance(payload, dict) and isinstance(payload.get("result"), dict):
        payload = payload["result"]  # as the web socket wraps it
    if isinstance(payload, dict) and "response" in payload and "results" not in payload:
        return _processed(decoded(payload["response"], HassAnswer, "response"), options)
    text = options.utterance
    readings = []
    for i, one in enumerate(decoded(payload, HassDebug).results):
        if one is None:
            continue
        name = one.intent.name if one.intent else TRIGGER if one.source == TRIGGER else None
        if name is None:
            raise InputError(f"results[{i}]: lacks the field intent")
        if not options.is_none(name):
            readings.append(
                Hypothesis(*options.moved(None, name), slots=tuple(_slots(one, text)), features=_features(one))
            )
    return request_of(text, readings, options)


def _slots(result: HassResult, text: str | None) -> Iterator[Slot]:
    """The slots with their words, matched ones first."""
    details = result.details or {}
    for name, value in {**(result.slots or {}), **(result.unmatched_slots or {})}.items():
        detail = details.get(name, HassDetail())
        if value is None and not detail.text:
            continue
        words = (detail.text or "").strip() or words_of(value).strip()
        yield slot_in(name, words, text, resolved=detail.value if detail.value is not None else value)


def _features(result: HassResult) -> dict[str, float]:
    unmatched = max(len(result.unmatched_slots or {}), 1 if result.match is False else 0)
    found = sum(one.matched is not False for one in (result.targets or {}).values())
    return {"unmatched": float(unmatched), "targets": float(found)}


def _processed(answer: HassAnswer, options: ImportOptions) -> Request:
    """The request of a processed sentence: one claim without an intent, none where no template matched."""
    data = answer.data or HassData()
    if answer.response_type == "error" and data.code == "no_intent_match":
        return request_of(None, (), options)
    features = {"unmatched": 0.0, "targets": float(len(data.success or ()))}
    return request_of(None, [Hypothesis(*options.moved(None, UNKNOWN), features=features)], options)
