"""Formats of other systems' payloads that can be imported, by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from difflib import get_close_matches
from typing import Any, NamedTuple

import msgspec

from arbitrank.errors import InputError
from arbitrank.importers.clu import clu
from arbitrank.importers.dialogflow import dialogflow, dialogflow_cx, dialogflow_es
from arbitrank.importers.distributions import options_of, semantic_router
from arbitrank.importers.hermes import hermes
from arbitrank.importers.home_assistant import home_assistant
from arbitrank.importers.lex import lex
from arbitrank.importers.llm import llm
from arbitrank.importers.luis import luis
from arbitrank.importers.mapped import mapped
from arbitrank.importers.options import ImportOptions
from arbitrank.importers.ovos import ovos
from arbitrank.importers.rasa import rasa
from arbitrank.importers.self_reported import self_reported
from arbitrank.importers.token_logprobs import token_logprobs
from arbitrank.importers.tool_calls import tool_calls
from arbitrank.importers.wit import wit
from arbitrank.values import Request
from arbitrank.wire.json_text import short
from arbitrank.wire.lenient import read_request
from arbitrank.wire.misnamed import foreign
from arbitrank.wire.request_checks import FORMATS as SYSTEMS
from arbitrank.wire.request_checks import KNOWN

__all__ = ["ALIASES", "FORMATS", "PAYLOAD", "Format", "format_named", "imported", "labels"]

Importer = Callable[[Any, ImportOptions], Request]

PAYLOAD = "payload"
"""The key of a payload in an envelope: an object that has what the payload lacks under the keys of a request."""

_OUTER = ("id", "session", "account", "dialogue", "utterance_length", "utterances")


class Format(NamedTuple):
    """A format: its importer, `listed` where one payload may be a list, and the format that it is a part of."""

    importer: Importer
    listed: bool = False
    part_of: str | None = None


FORMATS: dict[str, Format] = {
    "rasa": Format(rasa),
    "lex-v2": Format(lex),
    "dialogflow-es": Format(dialogflow_es, part_of="dialogflow"),
    "dialogflow-cx": Format(dialogflow_cx, part_of="dialogflow"),
    "dialogflow": Format(dialogflow),
    "clu": Format(clu),
    "luis-v3": Format(luis),
    "hermes": Format(hermes),
    "ovos": Format(ovos, listed=True),
    "wit": Format(wit),
    "home-assistant": Format(home_assistant),
    "llm": Format(llm, listed=True),
    "tool-calls": Format(tool_calls, part_of="llm"),
    "logprobs": Format(token_logprobs, part_of="llm"),
    "self-reported": Format(self_reported, listed=True, part_of="llm"),
    "options": Format(options_of, listed=True, part_of="llm"),
    "semantic-router": Format(semantic_router, listed=True, part_of="llm"),
    "map": Format(mapped),
}
"""The formats by name."""

ALIASES: dict[str, str] = {
    **{"lex": "lex-v2", "luis": "luis-v3", "snips": "hermes", "rhasspy": "hermes", "homeassistant": "home-assistant"},
    **{"padatious": "ovos", "adapt": "ovos", "mycroft": "ovos", "openai": "llm", "anthropic": "llm", "gemini": "llm"},
    **{"ollama": "llm", "hass": "home-assistant"},
}
"""Further names of formats."""


def format_named(name: str) -> tuple[str, Format]:
    """The format of a name, and its own name. Raises `InputError` that lists those that there are."""
    plain = name.casefold().replace("_", "-")
    own = ALIASES.get(plain, plain)
    if own in FORMATS:
        return own, FORMATS[own]
    near = get_close_matches(plain, [*FORMATS, *ALIASES], n=1)
    hint = f"; did you mean {near[0]}?" if near else ""
    raise InputError(f"format {short(name)}: unknown, expected one of {', '.join(FORMATS)}{hint}")


def imported(payload: Any, name: str, options: ImportOptions = ImportOptions()) -> Request:
    """The request that a payload of a format makes, decoded JSON; without a domain's name, the format's stands for it.

    The payload may be in an envelope: `{"utterance": …, "id": …, "context": …, "payload": …}`. Raises `InputError`
    that names the field, what was seen and what was expected.
    """
    own, found = format_named(name)
    outer, payload = _opened(payload, options)
    options = replace(options, default=own, utterance=outer.utterance or options.utterance)
    try:
        request = found.importer(payload, options)
    except InputError as error:
        raise InputError(f"{error}{_likely(payload, own)}") from None
    except UnicodeEncodeError:
        raise InputError("half of a surrogate pair, expected whole characters") from None
    except RecursionError:
        raise InputError("nested too deeply to be read") from None
    kept = {name: getattr(outer, name) for name in _OUTER if getattr(outer, name)}
    if outer.context:
        kept["context"] = {**request.context, **outer.context}
    return msgspec.structs.replace(request, **kept) if kept else request


def labels(payload: Any) -> dict[str, Any]:
    """The truth, weight and the like in the envelope of a payload, which no request has; none without an envelope."""
    if not _is_envelope(payload):
        return {}
    return {key: value for key, value in payload.items() if key not in (PAYLOAD, *Request.__struct_fields__)}


def _is_envelope(payload: Any) -> bool:
    return isinstance(payload, dict) and PAYLOAD in payload and KNOWN.issuperset(payload.keys() - {PAYLOAD})


def _opened(payload: Any, options: ImportOptions) -> tuple[Request, Any]:
    """The request that an envelope is, without hypotheses, and the payload inside."""
    if not _is_envelope(payload):
        return Request(), payload
    outer = {key: value for key, value in payload.items() if key != "hypotheses"}
    return read_request(outer, options.notice), payload[PAYLOAD]


def _likely(payload: Any, own: str) -> str:
    """The hint that a payload is an error, or seems to be of another system's; empty where it is neither."""
    if isinstance(payload, dict) and payload.get("error"):
        return f"; it is an error that the system reports: {short(payload['error'])}"
    if isinstance(payload, dict) and payload.get("status") == "failure" and payload.get("message"):  # of Rasa
        return f"; it is an error that the system reports: {short(payload['message'])}"
    system = foreign(payload) if isinstance(payload, dict) else None
    name = None if system is None else SYSTEMS.get(system)
    if name is None or name in (own, FORMATS[own].part_of):
        return ""
    return f"; it seems to be a payload of {system}, run: arbitrank import {name}"
