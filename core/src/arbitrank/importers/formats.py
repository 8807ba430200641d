"""Formats of other systems' payloads that can be imported, by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
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

__all__ = ["ALIASES", "FORMATS", "PAYLOAD", "Format", "format_named", "imported"]

Importer = Callable[[Any, ImportOptions], Request]

PAYLOAD = "payload"
"""The key of a payload in an envelope: an object that has what the payload lacks under the keys of a request."""


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
    own = ALIASES.get(name, name)
    if own in FORMATS:
        return own, FORMATS[own]
    near = get_close_matches(name.casefold(), [*FORMATS, *ALIASES], n=1)
    hint = f"; did you mean {near[0]}?" if near else ""
    raise InputError(f"format {short(name)}: unknown, expected one of {', '.join(FORMATS)}{hint}")


def imported(payload: Any, name: str, options: ImportOptions = ImportOptions()) -> Request:
    """The request that a payload of a format makes, decoded JSON; without a domain's name, the format's stands for it.

    The payload may be in an envelope: `{"utterance": …, "id": …, "context": …, "payload": …}`. Raises `InputError`
    that names the field, what was seen and what was expected.
    """
    own, found = format_named(name)
    if options.domain is None:
        options = replace(options, domain=own)
    envelope: Mapping[str, Any] = {}
    if isinstance(payload, dict) and PAYLOAD in payload and KNOWN.issuperset(payload.keys() - {PAYLOAD}):
        envelope, payload = payload, payload[PAYLOAD]
        options = replace(options, utterance=envelope.get("utterance", options.utterance))
    try:
        request = found.importer(payload, options)
    except InputError as error:
        raise InputError(f"{error}{_other_format(payload, own)}") from None
    except UnicodeEncodeError:
        raise InputError("half of a surrogate pair, expected whole characters") from None
    except RecursionError:
        raise InputError("nested too deeply to be read") from None
    return _with(request, envelope, options) if envelope else request


def _other_format(payload: Any, own: str) -> str:
    """The hint that a payload seems to be of another system's, empty where it does not."""
    system = foreign(payload) if isinstance(payload, dict) else None
    name = None if system is None else SYSTEMS.get(system)
    if name is None or name in (own, FORMATS[own].part_of):
        return ""
    return f"; it seems to be a payload of {system}, run: arbitrank import {name}"


def _with(request: Request, envelope: Mapping[str, Any], options: ImportOptions) -> Request:
    """The request with what its envelope has: id, context, session and the like."""
    given = {key: value for key, value in envelope.items() if key not in (PAYLOAD, "hypotheses", "truth")}
    outer = read_request({**given, "hypotheses": []}, options.notice)
    kept = {
        name: getattr(outer, name)
        for name in ("id", "session", "account", "dialogue", "utterance_length", "utterances")
    }
    return msgspec.structs.replace(
        request, **kept, context={**request.context, **outer.context},
        utterance=request.utterance if outer.utterance is None else outer.utterance,
    )  # fmt: skip
