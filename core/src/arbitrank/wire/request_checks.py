"""Checks of a decoded request: its keys, context, wordings and offsets, and that there is something to read."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, TypeVar

from msgspec.structs import replace

from arbitrank.errors import InputError
from arbitrank.normal_text import blank
from arbitrank.values import Context, Request, Wording
from arbitrank.wire.lenient import MAX_HYPOTHESES
from arbitrank.wire.misnamed import MOST_UNKNOWN, foreign, meant_in_request
from arbitrank.wire.notices import Notice, named, quoted
from arbitrank.wire.offsets import fitting

__all__ = ["FORMATS", "KNOWN", "check_keys", "checked", "checked_context"]

KNOWN = frozenset(
    {
        *Request.__struct_fields__,
        "truth",
        "answer",
        "recognised",
        "time",
        "outcome",
        "called",
        "utterance_hash",
        "weight",
        "request_id",
        "traceparent",
        "arms",
    }
)
"""Keys of a line of a request, a log or a hypotheses file."""

_TYPES = {"device": str, "has_screen": bool, "locale": str, "previous_domain": str, "previous_intent": str}
_SHAPE = "expected utterance, hypotheses or both; see docs/reference/formats/requests.md"

FORMATS = {
    **{"Rasa": "rasa", "Dialogflow": "dialogflow", "Lex V2": "lex-v2", "CLU": "clu", "LUIS": "luis-v3", "Wit": "wit"},
    **{"Hermes (Snips, Rhasspy)": "hermes", "Rhasspy": "hermes", "Home Assistant": "home-assistant"},
    **dict.fromkeys(("OVOS", "Padatious", "Adapt"), "ovos"),
    **dict.fromkeys(("OpenAI", "Anthropic", "Gemini", "Ollama"), "llm"),
    **dict.fromkeys(("a zero-shot classifier", "spaCy"), "options"),
}
"""The formats that `arbitrank import` reads, by the systems whose payloads they are."""

_IMPORTED = (
    "expected utterance, hypotheses or both; import it: arbitrank rank --format {name}{more} FILE, over HTTP "
    "?format={name}; see docs/reference/formats/payloads.md"
)
_OTHERS = " --map MAPPING"

R = TypeVar("R", bound=Request)


def check_keys(line: Mapping[str, Any], notice: Notice) -> None:
    """Remark on unknown keys. Raises `InputError` for one without which the request would be misread."""
    if line.get("utterance") is None and line.get("hypotheses") is None and (system := foreign(line)):
        keys = ", ".join(map(named, list(line)[:5]))
        name = FORMATS.get(system, "map")
        shape = _IMPORTED.format(name=name, more="" if system in FORMATS else _OTHERS)
        raise InputError(f"it seems to be a payload of {system} (its keys: {keys}); {shape}")
    unknown = [key for key in line if key not in KNOWN]
    if len(unknown) > MOST_UNKNOWN:
        raise InputError(f"{len(unknown)} unknown keys, expected at most {MOST_UNKNOWN}; {_SHAPE}")
    for key in unknown:
        field, vital = meant_in_request(key, line) or ("", False)
        if vital:
            corpus = field == "utterance" and "domain" in line
            remedy = "; a line of a corpus is for: arbitrank train --data FILE, or arbitrank evaluate" if corpus else ""
            raise InputError(f"{named(key)}: unknown key, expected {field}{remedy}")
        hint = f"; {field} may be meant" if field else ""
        notice(key, f"{named(key)}: unknown key, ignored{hint}")


def checked(request: R, notice: Notice) -> R:
    """The request with a valid context, and with offsets within the text. Raises `InputError` where it is empty."""
    changed: dict[str, Any] = {}
    hypotheses = request.hypotheses
    if request.utterances:
        changed["utterances"] = wordings = _best_first(request)
        if wordings and (request.utterance is None or blank(request.utterance)):
            changed["utterance"] = wordings[0].text
    if request.context and (context := checked_context(request.context, notice)) is not request.context:
        changed["context"] = context
    if hypotheses:
        if len(hypotheses) > MAX_HYPOTHESES:
            raise InputError(f"hypotheses: {len(hypotheses)} of them, expected at most {MAX_HYPOTHESES}")
        utterance = changed.get("utterance", request.utterance)
        length = request.utterance_length if utterance is None else len(utterance)
        if (fitted := fitting(hypotheses, utterance, length, notice)) is not hypotheses:
            changed["hypotheses"] = fitted
    elif hypotheses is None:
        utterance = changed.get("utterance", request.utterance)
        if utterance is None or blank(utterance):
            seen = (
                "a blank utterance and no hypotheses" if utterance is not None else "neither utterance nor hypotheses"
            )
            raise InputError(f"{seen}; {_SHAPE}")
    return replace(request, **changed) if changed else request


def _best_first(request: Request) -> tuple[Wording, ...]:
    """The wordings that are not blank, the most probable first; the utterance, where the request has one, before all.

    Without a confidence of each, the order is the caller's.
    """
    wordings = [one for one in request.utterances if not blank(one.text)]
    if all(one.confidence is not None for one in wordings):
        wordings.sort(key=lambda one: -(one.confidence or 0.0))
    if request.utterance is not None and not blank(request.utterance):
        own = [one for one in wordings if one.text == request.utterance] or [Wording(request.utterance)]
        wordings = [own[0], *(one for one in wordings if one.text != request.utterance)]
    return tuple(wordings)


def checked_context(context: Context, notice: Notice) -> Context:
    """The context without nulls and without preferences that are no number in [0, 1]."""
    left_out = set[str]()
    for key, value in context.items():
        if value is None:
            left_out.add(key)
        elif (kind := _TYPES.get(key)) is not None:
            if type(value) is not kind:
                expected = "true or false" if kind is bool else "a text"
                notice(
                    f"context.{key}",
                    f"context[{quoted(key)}]: {_kind(value)} is of the wrong type, expected {expected}",
                )
        elif key.startswith("preference."):
            if isinstance(value, bool) or not isinstance(value, int | float):
                left_out.add(key)
                problem = f"{_kind(value)} is of the wrong type"
            elif 0.0 <= value <= 1.0:
                continue
            else:
                left_out.add(key)
                problem = "out of range"
            notice(
                f"context.{key}",
                f"context[{quoted(key)}]: {problem}, so it counts as absent; expected a number in [0, 1]",
            )
        elif isinstance(value, float) and not math.isfinite(value):
            left_out.add(key)
    return {key: value for key, value in context.items() if key not in left_out} if left_out else context


def _kind(value: Any) -> str:
    """The type of a JSON value, in words."""
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, int | float):
        return "a number"
    return "a text" if isinstance(value, str) else "a list" if isinstance(value, list) else "an object"
