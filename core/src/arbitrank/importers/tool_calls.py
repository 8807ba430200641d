"""Tool calls of language models: OpenAI's chat completions and responses, Anthropic, Gemini, Bedrock and Ollama.

A call has no score: it is missing. The server of a tool is the domain, by the tool's name (`mcp__SERVER__TOOL`,
`SERVER__TOOL`, `SERVER.TOOL`); arguments are slots. Arguments that are no JSON object make the feature `bad_arguments`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from arbitrank.errors import InputError
from arbitrank.importers.options import ImportOptions
from arbitrank.importers.readings import decoded, request_of, slots_of
from arbitrank.values import Hypothesis, Request

_SERVER = re.compile(r"(?:mcp__)?(.+?)(?:__|[./:])(.+)", re.S)
_ALL = "functions."  # what some models write before every name


class ToolCall(msgspec.Struct, frozen=True):
    """A call: the tool's name, and its arguments, as JSON in a text or decoded."""

    name: str
    arguments: Any = None


def tool_calls(payload: Any, options: ImportOptions) -> Request:
    """The request that a model's answer makes; without a call there is no reading."""
    found = list(calls(payload))
    if not found and not answers(payload):
        raise InputError("lacks choices, output, content, candidates and message, expected a language model's answer")
    readings = [_reading(call, options) for call in found if not options.is_none(call.name)]
    return request_of(None, readings, options)


def _reading(call: ToolCall, options: ImportOptions) -> Hypothesis:
    arguments = _arguments(call.arguments)
    slots = tuple(slot for name, value in (arguments or {}).items() for slot in slots_of(name, value, None, None))
    features = {"bad_arguments": 1.0} if arguments is None else {}
    return Hypothesis(*_target(call.name, options), slots=slots, features=features)


def _target(name: str, options: ImportOptions) -> tuple[str, str]:
    if (found := options.mapped(name)) is not None:
        return found[0], found[1] or name
    plain = name.removeprefix(_ALL)
    parts = _SERVER.fullmatch(plain)
    return options.target(parts[1], parts[2]) if parts else options.moved(None, plain)


def _arguments(found: Any) -> dict[str, Any] | None:
    """The arguments by name; None where they are no object."""
    if isinstance(found, str):
        try:
            found = json.loads(found) if found.strip() else {}
        except (ValueError, RecursionError):
            return None
    return {} if found is None else found if isinstance(found, dict) else None


def answers(payload: Any) -> list[tuple[str, Mapping[str, Any]]]:
    """The messages of a model's answer, each with its place in the payload."""
    if not isinstance(payload, dict):
        return []
    found: list[tuple[str, Any]] = []
    for i, choice in enumerate(_list(payload, "choices")):
        if isinstance(choice, dict):
            found.append((f"choices[{i}].message", choice.get("message", choice)))
    for i, candidate in enumerate(_list(payload, "candidates")):
        if isinstance(candidate, dict):
            found.append((f"candidates[{i}].content", candidate.get("content")))
    if isinstance(payload.get("message"), dict):
        found.append(("message", payload["message"]))
    if isinstance(payload.get("output"), dict):  # Bedrock's Converse
        found.append(("output.message", payload["output"].get("message")))
    elif "output" in payload or "content" in payload or "tool_calls" in payload:
        found.append(("", payload))
    return [(where, one) for where, one in found if isinstance(one, dict)]


def calls(payload: Any) -> Iterator[ToolCall]:
    """The tool calls in a model's answer. Raises `InputError` for one without a name."""
    for where, message in answers(payload):
        prefix = f"{where}." if where else ""
        for i, one in enumerate(_list(message, "tool_calls")):
            if isinstance(one, dict) and isinstance(custom := one.get("custom"), dict):  # its input is free text
                called = {"name": custom.get("name"), "arguments": {"input": custom.get("input")}}
                yield decoded(called, ToolCall, f"{prefix}tool_calls[{i}].custom")
            else:
                yield _call(one, "function", f"{prefix}tool_calls[{i}]")
        if message.get("function_call") is not None:
            yield _call(message, "function_call", where or "message")
        for key in ("content", "output", "parts"):
            for i, one in enumerate(_list(message, key)):
                yield from _part(one, f"{prefix}{key}[{i}]")


def _part(one: Any, where: str) -> Iterator[ToolCall]:
    """The call that a part of a message is, if it is one."""
    if not isinstance(one, dict):
        return
    if one.get("type") == "tool_use":
        yield decoded({"name": one.get("name"), "arguments": one.get("input")}, ToolCall, where)
    elif one.get("type") == "function_call":
        yield decoded(one, ToolCall, where)
    elif one.get("type") == "custom_tool_call":
        yield decoded({"name": one.get("name"), "arguments": {"input": one.get("input")}}, ToolCall, where)
    elif isinstance(use := one.get("toolUse"), dict):
        yield decoded({"name": use.get("name"), "arguments": use.get("input")}, ToolCall, f"{where}.toolUse")
    elif isinstance(call := one.get("functionCall", one.get("function_call")), dict):
        yield decoded({"name": call.get("name"), "arguments": call.get("args")}, ToolCall, where)


def _call(one: Any, key: str, where: str) -> ToolCall:
    inner = one.get(key, one) if isinstance(one, dict) else one
    return decoded(inner, ToolCall, f"{where}.{key}" if isinstance(one, dict) and key in one else where)


def _list(value: Mapping[str, Any], key: str) -> list[Any]:
    found = value.get(key)
    return found if isinstance(found, list) else []
