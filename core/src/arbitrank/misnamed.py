"""Keys that stand where another was meant, and payloads of other systems, recognised by their keys."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from difflib import get_close_matches
from typing import Any

__all__ = ["foreign", "meant_in_hypothesis", "meant_in_request", "meant_in_slot"]

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
_CONTEXT = frozenset({"ctx", "contexts", "device", "hasscreen", "locale", "previousdomain", "previousintent"})
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


def meant_in_request(key: str, line: Mapping[str, Any]) -> tuple[str, bool] | None:
    """The field that an unknown key of a request stands for, and True where the request would be misread without it.

    None for a key that is like no field, or like one that the request has.
    """
    plain = _plain(key)
    for names, field in ((_UTTERANCE, "utterance"), (_HYPOTHESES, "hypotheses"), (_UTTERANCES, "utterances")):
        if plain in names:
            vital = line.get("utterance") is None and line.get("hypotheses") is None and not line.get("utterances")
            return (field, True) if vital else None
    if plain in _CONTEXT and plain not in ("ctx", "contexts"):
        return f"context.{key}", False
    targets = (
        "utterance",
        "hypotheses",
        "hypothesis",
        "context",
        "ctx",
        "contexts",
        "utterances",
        "session",
        "account",
    )
    near = _near(plain, (*targets, "dialogue"))
    field = {"hypothesis": "hypotheses", "ctx": "context", "contexts": "context"}.get(near, near)
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
    fields = ("domain", "intent", "slots", "skill", "features")
    confidences = ("domain_confidence", "intent_confidence", "slots_confidence")
    absent = [field for field in (*fields, *confidences) if hypothesis.get(field) is None]
    if "intent" in absent and plain in _INTENT:
        return "intent"
    if "slots" in absent and plain in _SLOTS:
        return "slots"
    return _one_of(plain, absent)


def meant_in_slot(key: str, slot: Mapping[str, Any]) -> str | None:
    """The field that an unknown key of a slot stands for, as `meant_in_hypothesis` gives it."""
    plain = _plain(key)
    absent = [field for field in ("name", "value", "confidence", "resolved") if slot.get(field) is None]
    if _is_score(plain):
        return "confidence" if "confidence" in absent else None
    if "name" in absent and plain in _SLOT_NAME:
        return "name"
    if "value" in absent and plain in _SLOT_VALUE and "resolved" in absent:
        return "value"
    return _one_of(plain, absent)


def _is_score(plain: str) -> bool:
    return bool(_SCORE.search(plain)) and not plain.startswith(_NOT_READINGS)


def _one_of(plain: str, fields: Collection[str]) -> str | None:
    return {_plain(field): field for field in fields}.get(_near(plain, [_plain(field) for field in fields]))


def _plain(key: str) -> str:
    """A key without case, separators and signs, so that camelCase and kebab-case are like snake_case."""
    return re.sub(r"[\W_]+", "", key[:_LONGEST].casefold())


def _near(plain: str, targets: Collection[str]) -> str:
    """The target that a key is a misspelling of, empty where it is of none."""
    if plain in targets:
        return plain
    if len(plain) < _SHORTEST:
        return ""
    return next(iter(get_close_matches(plain, targets, n=1, cutoff=_ALIKE)), "")


def _has(value: Any, *keys: str) -> bool:
    return isinstance(value, dict) and all(key in value for key in keys)


def _first(value: Any) -> Any:
    return value[0] if isinstance(value, list) and value else None


_Line = dict[str, Any]

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
    ("Wit", lambda p: "intents" in p and bool({"traits", "entities"} & p.keys())),
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
    return next((name for name, is_its in _SYSTEMS if is_its(dict(line))), None)
