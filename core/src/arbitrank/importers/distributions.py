"""Distributions over options, each of which stands for a domain: of classifiers, decision models and routers.

They are not renormalised: an option that is not there is missing. With `[domains]` in the mapping file only the options
that it names are read. The similarity of a semantic router has no upper end, so that it is a feature.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec

from arbitrank.errors import InputError
from arbitrank.importers.options import ImportOptions
from arbitrank.importers.readings import decoded, request_of, score, slots_of, text_in
from arbitrank.values import Hypothesis, Request
from arbitrank.wire.json_text import short

ROUTE = "route"
"""The intent of an option, which names a domain and no more."""

_TABLES = (
    *("cats", "probabilities", "probs", "distribution", "scores", "options", "predictions", "results", "labels"),
    "Classes",  # of Comprehend
)
_NAMES = ("label", "option", "name", "id", "class", "intent", "category", "Name")
_SCORES = ("score", "probability", "prob", "p", "confidence", "Score", "confidenceScore")
_PAIRS = (("labels", "scores"), ("displayNames", "confidences"))  # the second of Vertex AI
_TEXTS = ("sequence", "utterance", "text", "query", "input", "question")


def options_of(payload: Any, options: ImportOptions) -> Request:
    """The request that a distribution over options makes, best first."""
    text = None
    if isinstance(payload, dict) and (key := next((key for key in _TEXTS if isinstance(payload.get(key), str)), None)):
        text = text_in(payload, key)
    return request_of(text, readings_of(_options(payload, ""), options), options)


def readings_of(scores: Iterable[tuple[str, Any, str]], options: ImportOptions) -> list[Hypothesis]:
    """The readings of options, each with its score and the place of that, best first; of none that no domain is."""
    found = []
    for label, value, where in scores:
        p = score(value, where, options.scale("domain_confidence"))
        if options.is_none(label) or (options.domains and options.mapped(label) is None):
            continue
        found.append(Hypothesis(*options.target(label, ROUTE), domain_confidence=p))
    return sorted(found, key=lambda one: -1.0 * (one.domain_confidence or 0.0))


def _options(payload: Any, where: str) -> Iterator[tuple[str, Any, str]]:
    """The options, their scores and the places of these."""
    if isinstance(payload, list) and len(payload) == 1 and (isinstance(payload[0], list) or _paired(payload[0])):
        payload = payload[0]
    if isinstance(payload, list):
        for i, one in enumerate(payload):
            yield _option(one, f"{where}[{i}]")
        return
    if not isinstance(payload, dict):
        raise InputError(f"{where or 'the payload'}: {short(payload)} is invalid, expected options with their scores")
    if pair := _paired(payload):
        yield from _pairs(payload, *pair)
        return
    key = next((key for key in _TABLES if isinstance(payload.get(key), dict | list)), None)
    if key is None:
        raise InputError(f"lacks the field labels, options, probabilities or scores, seen {', '.join(payload)[:80]}")
    table = payload[key]
    if isinstance(table, dict):
        for label, value in table.items():
            yield label, value, f"{key}[{label!r}]"
    else:
        yield from _options(table, key)


def _paired(payload: Any) -> tuple[str, str] | None:
    """The keys of two lists, of names and of scores; None where there are no such lists."""
    if not isinstance(payload, dict):
        return None
    return next((pair for pair in _PAIRS if all(isinstance(payload.get(key), list) for key in pair)), None)


def _pairs(payload: Mapping[str, Any], names: str, numbers: str) -> Iterator[tuple[str, Any, str]]:
    labels, scores = payload[names], payload[numbers]
    if len(labels) != len(scores):
        raise InputError(f"{numbers}: {len(scores)} of them, expected one for each of {len(labels)} {names}")
    for i, (label, value) in enumerate(zip(labels, scores, strict=True)):
        yield _label(label, f"{names}[{i}]"), value, f"{numbers}[{i}]"


def _option(one: Any, where: str) -> tuple[str, Any, str]:
    if not isinstance(one, dict):
        raise InputError(f"{where}: {short(one)} is invalid, expected an option with its score")
    name = next((key for key in _NAMES if key in one), None)
    if name is None:
        raise InputError(f"{where}: lacks the field {_NAMES[0]}")
    key = next((key for key in _SCORES if key in one), _SCORES[0])
    return _label(one[name], f"{where}.{name}"), one.get(key), f"{where}.{key}"


def _label(value: Any, where: str) -> str:
    if isinstance(value, str) and value:
        return value
    raise InputError(f"{where}: {short(value)} is invalid, expected a text")


# ---------------------------------------------------------------------------------------------------- semantic routers


class RouteChoice(msgspec.Struct, frozen=True):
    """A route; without a name where none is over its threshold."""

    name: str | None
    similarity_score: float | None = None
    function_call: list[RouteCall] | RouteCall | None = None


class RouteCall(msgspec.Struct, frozen=True):
    """A function of a route, with its arguments."""

    function_name: str | None = None
    arguments: Mapping[str, Any] | None = None


def semantic_router(payload: Any, options: ImportOptions) -> Request:
    """The request that the choices of a semantic router make."""
    readings = []
    for i, one in enumerate(payload if isinstance(payload, list) else [payload]):
        where = f"[{i}]" if isinstance(payload, list) else ""
        choice = decoded(one, RouteChoice, where)
        if choice.name is None or options.is_none(choice.name):
            continue
        called = choice.function_call[0] if isinstance(choice.function_call, list) and choice.function_call else None
        call = choice.function_call if isinstance(choice.function_call, RouteCall) else called or RouteCall()
        slots = tuple(
            slot for name, value in (call.arguments or {}).items() for slot in slots_of(name, value, None, None)
        )
        features = {} if choice.similarity_score is None else {"similarity": choice.similarity_score}
        target = options.target(choice.name, call.function_name or ROUTE)
        readings.append(Hypothesis(*target, slots=slots, features=features))
    return request_of(None, readings, options)
