"""Keys that stand where another was meant, and payloads of other systems, recognised by their keys."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from functools import lru_cache
from typing import Any

__all__ = ["MOST_UNKNOWN", "foreign", "meant_in_hypothesis", "meant_in_request", "meant_in_slot"]

MOST_UNKNOWN = 200
"""Different unknown keys of one request at most: each is compared with those that may be meant."""

_SHORTEST = 4  # letters of a key that may be a misspelling; shorter ones are like too many
_ALIKE = 0.8
_LONGEST = 60  # letters of a key that is compared

_UTTERANCE = frozenset(
    {"text", "query", "querytext", "input", "inputtext", "transcript", "transcription", "sentence", "phrase", "words"}
    | {"utt", "message", "question", "prompt", "request", "asr", "rawtext", "usertext", "content", "q"}
)
_HYPOTHESES = frozenset(
    {"hyp", "hyps", "nbest", "candidates", "readings", "interpretations", "intents", "intentranking", "results"}
    | {"predictions", "alternatives"}
)
_UTTERANCES = frozenset({"wordings", "transcripts", "asrnbest", "asrhypotheses"})
_CONTEXT = frozenset({"device", "hasscreen", "locale", "previousdomain", "previousintent"})
_SCORE = re.compile(
    r"(?:conf|conv?fid[ea]n[cs]e?|confidences|score|scores|probability|probabilities|prob|probs|certainty|likelihood)"
    r"(?:score|value|level)?$|^(?:p|logit|logprob|logprobs)$"
)
_NOT_READINGS = ("asr", "stt", "speech", "wakeword", "sentiment", "emotion", "speaker", "language", "lang")
_CONFIDENCES = "domain_confidence, intent_confidence or slots_confidence"
_INTENT = frozenset({"intentname", "intentid", "name", "label", "action", "category", "displayname", "intenttype"})
_SLOTS = frozenset({"entities", "entity", "parameters", "params", "slotvalues", "arguments", "args"})
_SLOT_NAME = frozenset({"slot", "slotname", "entity", "entitytype", "key", "type", "category", "label"})
_SLOT_VALUE = frozenset({"text", "rawvalue", "body", "val", "originalvalue", "surface", "words"})


_REQUEST_FIELDS = (
    *((name, name) for name in ("utterance", "hypotheses", "context", "utterances", "session", "account", "dialogue")),
    *(("hypothesis", "hypotheses"), ("ctx", "context"), ("contexts", "context")),
)
_HYPOTHESIS_FIELDS = (
    *((name, name) for name in ("domain", "intent", "slots", "skill", "features")),
    *((f"{name}confidence", f"{name}_confidence") for name in ("domain", "intent", "slots")),
)
_SLOT_FIELDS = tuple((name, name) for name in ("name", "value", "confidence", "resolved"))


def meant_in_request(key: str, line: Mapping[str, Any]) -> tuple[str, bool] | None:
    """The field that an unknown key of a request stands for, and True where the request would be misread without it.

    None for a key that is like no field, or like one that the request has.
    """
    plain = _plain(key)
    for names, field in ((_UTTERANCE, "utterance"), (_HYPOTHESES, "hypotheses"), (_UTTERANCES, "utterances")):
        if plain in names:
            vital = line.get("utterance") is None and line.get("hypotheses") is None and not line.get("utterances")
            return (field, True) if vital else None
    if plain in _CONTEXT:
        return f"context.{key}", False
    field = _near(plain, _REQUEST_FIELDS)
    if not field or line.get(field) is not None:
        return None
    return field, field in ("utterance", "hypotheses", "context", "utterances")


def meant_in_hypothesis(key: str, hypothesis: Mapping[str, Any]) -> str | None:
    """The field that an unknown key of a hypothesis stands for, None where it is like none, or like one that it has.

    A confidence under another name counts although the hypothesis has some: it would be silently lost.
    """
    plain = _plain(key)
    if _is_score(plain):
        return _CONFIDENCES
    field = "intent" if plain in _INTENT else "slots" if plain in _SLOTS else _near(plain, _HYPOTHESIS_FIELDS)
    return field if field and hypothesis.get(field) is None else None


def meant_in_slot(key: str, slot: Mapping[str, Any]) -> str | None:
    """The field that an unknown key of a slot stands for, as `meant_in_hypothesis` gives it."""
    plain = _plain(key)
    if _is_score(plain):
        field = "confidence"
    elif plain in _SLOT_VALUE and slot.get("value") is None and slot.get("resolved") is None:
        field = "value"
    else:
        field = "name" if plain in _SLOT_NAME else _near(plain, _SLOT_FIELDS)
    return field if field and slot.get(field) is None else None


def _is_score(plain: str) -> bool:
    return bool(_SCORE.search(plain)) and not plain.startswith(_NOT_READINGS)


def _plain(key: str) -> str:
    """A key without case, separators and signs, so that camelCase and kebab-case are like snake_case."""
    return re.sub(r"[\W_]+", "", key[:_LONGEST].casefold())


@lru_cache(maxsize=4096)
def _near(plain: str, fields: tuple[tuple[str, str], ...]) -> str:
    """The field that a key is, or is a misspelling of, among spellings and their fields; empty where it is of none."""
    spelt = dict(fields)
    if plain in spelt:
        return spelt[plain]
    near = get_close_matches(plain, spelt, n=1, cutoff=_ALIKE) if len(plain) >= _SHORTEST else []
    return spelt[near[0]] if near else ""


def _has(value: Any, *keys: str) -> bool:
    return isinstance(value, dict) and all(key in value for key in keys)


def _first(value: Any) -> Any:
    return value[0] if isinstance(value, list) and value else None


_Line = Mapping[str, Any]

_SYSTEMS: tuple[tuple[str, Callable[[_Line], bool]], ...] = (
    ("Dialogflow", lambda p: isinstance(p.get("queryResult", p.get("query_result")), dict)),
    ("Alexa", lambda p: _has(p.get("request"), "type") and "version" in p),
    (
        "Lex V2",
        lambda p: "interpretations" in p or _has(p.get("sessionState"), "intent") or "recentIntentSummaryView" in p,
    ),
    ("Lex", lambda p: "dialogState" in p or _has(p.get("currentIntent"), "name")),
    ("CLU", lambda p: p.get("kind") == "ConversationResult" or _has(p.get("result"), "prediction")),
    ("LUIS", lambda p: "query" in p and ("prediction" in p or "topScoringIntent" in p)),
    (
        "Watson Assistant",
        lambda p: _has(p.get("output"), "intents") or _has(_first(p.get("intents")), "intent", "confidence"),
    ),
    ("Rasa", lambda p: "intent_ranking" in p or (_has(p.get("intent"), "name", "confidence") and "entities" in p)),
    ("Wit", lambda p: isinstance(p.get("intents"), list) and bool({"traits", "entities"} & p.keys())),
    ("Hermes (Snips, Rhasspy)", lambda p: "input" in p and bool({"siteId", "sessionId", "intent", "slots"} & p.keys())),
    (
        "Rhasspy",
        lambda p: _has(p.get("intent"), "name") and bool({"raw_text", "tokens", "slots", "entities"} & p.keys()),
    ),
    ("Home Assistant", lambda p: _has(_first(p.get("results")), "intent") or _has(p.get("response"), "response_type")),
    ("OVOS", lambda p: _has(p, "type", "data") and isinstance(p["data"], dict)),
    ("Padatious", lambda p: _has(p, "name", "matches", "conf")),
    ("Adapt", lambda p: _has(p, "intent_type", "confidence")),
    ("OpenAI", lambda p: "choices" in p or (p.get("object") == "response" and "output" in p) or "tool_calls" in p),
    ("Anthropic", lambda p: isinstance(p.get("content"), list) and bool({"stop_reason", "role"} & p.keys())),
    ("Gemini", lambda p: _has(_first(p.get("candidates")), "content")),
    ("Ollama", lambda p: "done" in p and bool({"message", "response"} & p.keys())),
    ("a zero-shot classifier", lambda p: _has(p, "labels", "scores")),
    ("spaCy", lambda p: "cats" in p),
)
"""Systems whose payloads are known, each with the keys by which they are."""


def foreign(line: Mapping[str, Any]) -> str | None:
    """The system whose payload the object seems to be, None where it is like none that is known."""
    return next((name for name, is_its in _SYSTEMS if is_its(line)), None)
