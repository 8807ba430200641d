"""A key that was misspelt, and a payload of another system, are refused by name; neither is answered `none`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from arbitrank.errors import InputError
from arbitrank.wire.requests import decode_example, decode_request

VENDORS = Path(__file__).parents[3] / "shared" / "cases" / "vendors"
READING = {"domain": "lights", "intent": "On"}


def refusal(line: Any) -> str:
    """The reason why a line is refused."""
    with pytest.raises(InputError) as caught:
        decode_request(json.dumps(line))
    return str(caught.value)


@pytest.mark.parametrize(
    ("line", "meant"),
    [
        ({"text": "lights on", "domain": "lights"}, "text: unknown key, expected utterance; a line of a corpus is for"),
        ({"text": "lights on"}, "text: unknown key, expected utterance"),
        ({"utterence": "lights on"}, "utterence: unknown key, expected utterance"),
        ({"Utterance": "lights on"}, "Utterance: unknown key, expected utterance"),
        ({"query": "lights on"}, "query: unknown key, expected utterance"),
        ({"utterance": "on", "hypothesis": [READING]}, "hypothesis: unknown key, expected hypotheses"),
        ({"utterance": "on", "hypotheses ": [READING]}, "'hypotheses ': unknown key, expected hypotheses"),
        ({"utterance": "on", "hypothesises": [READING]}, "hypothesises: unknown key, expected hypotheses"),
        ({"nbest": [READING]}, "nbest: unknown key, expected hypotheses"),
        ({"utterance": "on", "contxt": {"device": "tv"}}, "contxt: unknown key, expected context"),
        ({"utterance": None, "hypotheses": None, "sentence": "on"}, "sentence: unknown key, expected utterance"),
    ],
)
def test_a_key_that_stands_for_another_is_refused_with_the_key_meant(line: dict[str, Any], meant: str) -> None:
    assert refusal(line).startswith(meant)


def test_a_misspelt_key_does_not_make_text_of_hypotheses_with_their_truth() -> None:
    line = {"utterance": "on", "hypothesis": [READING], "truth": {"domain": "lights"}}
    with pytest.raises(InputError, match=r"^hypothesis: unknown key, expected hypotheses$"):
        decode_example(json.dumps(line))
    assert decode_example(json.dumps({**line, "hypotheses": [READING]})).extra == {"hypothesis": [READING]}


@pytest.mark.parametrize(
    "line",
    [
        {},
        {"id": "7"},
        {"utterance": None, "hypotheses": None},
        {"utterance": ""},
        {"utterance": " \t "},
        {"utterances": []},
        {"utterances": [{"text": " "}]},
        {"context": {"device": "tv"}},
    ],
)
def test_a_request_with_nothing_to_read_is_refused(line: dict[str, Any]) -> None:
    assert "expected utterance, hypotheses or both" in refusal(line)


@pytest.mark.parametrize(
    "line",
    [
        {"utterance": "on", "text": "on", "input": "on"},
        {"utterance": "on", "intents": []},
        {"hypotheses": []},
        {"utterance": " ", "hypotheses": []},
        {"utterance": "on", "context": {"device": None, "text": "x", "hypothesis": 1}},
        {"utterance": "on", "hypotheses": [READING], "weight": 2, "truth": {"domain": "lights"}, "answer": None},
        {"utterance": "on", "i": 1, "x": 2, "session_id": "s"},
    ],
)
def test_what_cannot_be_misread_is_answered(line: dict[str, Any]) -> None:
    decode_request(json.dumps(line))


PAYLOADS = {
    "Rasa": {"text": "on", "intent": {"name": "on", "confidence": 0.9}, "entities": [], "intent_ranking": []},
    "Dialogflow": {"queryResult": {"queryText": "on", "intent": {"displayName": "on"}}},
    "Lex V2": {"sessionState": {"intent": {"name": "On"}}, "interpretations": [], "sessionId": "s"},
    "Lex": {"intentName": "On", "slots": {}, "dialogState": "Fulfilled"},
    "LUIS": {"query": "on", "prediction": {"topIntent": "On", "intents": {}}},
    "CLU": {"kind": "ConversationResult", "result": {"query": "on", "prediction": {}}},
    "Watson Assistant": {"output": {"intents": [{"intent": "on", "confidence": 0.9}], "generic": []}},
    "Wit": {"text": "on", "intents": [{"name": "on", "confidence": 1}], "entities": {}, "traits": {}},
    "Hermes": {"input": "on", "intent": {"intentName": "a:On", "confidenceScore": 1}, "slots": []},
    "Home Assistant": {"results": [{"intent": {"name": "HassTurnOn"}, "slots": {}}]},
    "OVOS": {"type": "ovos.common_play.query.response", "data": {"phrase": "on"}, "context": {}},
    "Alexa": {"version": "1.0", "session": {}, "request": {"type": "IntentRequest", "intent": {"name": "On"}}},
    "OpenAI": {"id": "c", "object": "chat.completion", "choices": [{"message": {"content": "lights"}}]},
    "Anthropic": {"id": "m", "role": "assistant", "content": [{"type": "text", "text": "on"}], "stop_reason": "end"},
    "a zero-shot classifier": {"sequence": "on", "labels": ["lights"], "scores": [1.0]},
}


@pytest.mark.parametrize("vendor", PAYLOADS)
def test_a_payload_of_another_system_is_refused_by_its_name(vendor: str) -> None:
    message = refusal(PAYLOADS[vendor])
    assert message.startswith(f"it seems to be a payload of {vendor}")
    assert "docs/reference/formats/payloads.md" in message


@pytest.mark.skipif(not VENDORS.is_dir(), reason="the vendors' cases are not beside the project")
def test_every_payload_of_the_cases_is_refused() -> None:
    paths = [path for path in VENDORS.glob("*/*.json") if not path.name.endswith(".expected.json")]
    assert paths
    unnamed = []
    for path in paths:
        payload = json.loads(path.read_text(encoding="utf-8"))
        message = refusal(payload)
        if "seems to be a payload of" not in message and isinstance(payload, dict):
            unnamed.append((path.parent.name, path.name, message))
    assert unnamed == []
