"""Answers of language models and of decision models, whichever they are, by their shape."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from arbitrank.errors import InputError
from arbitrank.importers.distributions import options_of, semantic_router
from arbitrank.importers.options import ImportOptions
from arbitrank.importers.readings import request_of
from arbitrank.importers.self_reported import self_reported, written
from arbitrank.importers.token_logprobs import steps_of, token_logprobs
from arbitrank.importers.tool_calls import answers, calls, tool_calls
from arbitrank.values import Request

_DISTRIBUTION = {"labels", "scores", "cats", "probabilities", "distribution", "options", "predictions", "Classes"}


def llm(payload: Any, options: ImportOptions) -> Request:
    """The request that an answer makes: of tool calls, log-probabilities, reported readings, options or routes."""
    if (importer := _importer(payload)) is not None:
        return importer(payload, options)
    if answers(payload):
        return request_of(None, (), options)  # the model answered in words, without a reading
    raise InputError("no tool call, log-probability, option or route, expected an answer of a model with some")


def _importer(payload: Any) -> Callable[[Any, ImportOptions], Request] | None:
    first = payload[0] if isinstance(payload, list) and payload else payload
    keys = first.keys() if isinstance(first, dict) else set()
    if "similarity_score" in keys:
        return semantic_router
    if any(True for _ in calls(payload)):
        return tool_calls
    if written(payload)[0] is not None:
        return self_reported
    if steps_of(payload):
        return token_logprobs
    if isinstance(first, list) or keys & _DISTRIBUTION or (first is not payload and "label" in keys):
        return options_of
    return self_reported if keys & {"intent", "domain", "intents"} else None
