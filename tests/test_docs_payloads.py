"""The jq programs in docs/formats.md make requests of other systems' payloads."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from arbitrank.errors import InputError
from arbitrank.wire.request_checks import PROGRAMS as NAMES
from arbitrank.wire.requests import decode_request

ROOT = Path(__file__).parents[1]
PROGRAMS = dict(
    re.findall(r"^```jq (\w+)\n(.*?)^```$", (ROOT / "docs" / "formats.md").read_text(encoding="utf-8"), re.M | re.S)
)

NAMED = {"name": "on", "confidence": 0.9}
PAYLOADS: dict[str, dict[str, Any]] = {
    "Rasa": {"text": "light on", "intent": NAMED, "intent_ranking": [{"name": "nlu_fallback", "confidence": 1}, NAMED]},
    "Dialogflow": {
        "queryResult": {"queryText": "light on", "intent": {"displayName": "on"}, "intentDetectionConfidence": 0.9}
    },
    "Lex": {
        "inputTranscript": "light on",
        "interpretations": [
            {"intent": {"name": "FallbackIntent"}},
            {"intent": {"name": "on"}, "nluConfidence": {"score": 0.9}},
        ],
    },
    "CLU": {
        "kind": "ConversationResult",
        "result": {
            "query": "light on",
            "prediction": {
                "intents": [
                    {"category": "on", "confidenceScore": 0.9},
                    {"category": "None", "confidenceScore": 0.1},
                ]
            },
        },
    },
    "LUIS": {"query": "light on", "prediction": {"intents": {"on": {"score": 0.9}, "None": {"score": 0.1}}}},
    "Wit": {"text": "light on", "intents": [{"id": "1", **NAMED}], "entities": {}, "traits": {}},
    "Hermes": {
        "input": "light on",
        "intent": {"intentName": "on", "confidenceScore": 0.9},
        "alternatives": [{"intentName": None, "confidenceScore": 0.1}],
    },
}


def test_every_program_has_a_payload() -> None:
    assert PROGRAMS.keys() == PAYLOADS.keys()


@pytest.mark.skipif(shutil.which("jq") is None, reason="jq is not installed")
@pytest.mark.parametrize("system", PAYLOADS)
def test_a_program_makes_a_request_of_a_payload(system: str) -> None:
    made = subprocess.run(
        ["jq", "-c", PROGRAMS[system]], input=json.dumps(PAYLOADS[system]), capture_output=True, text=True, check=True
    )
    request = decode_request(made.stdout)
    assert request.utterance == "light on"
    assert request.refused == {}
    assert [(h.domain, h.intent, h.intent_confidence) for h in request.hypotheses or ()] == [("DOMAIN", "on", 0.9)]


def test_the_refusal_of_a_payload_names_the_program_that_converts_it() -> None:
    assert {name.lower() for name in PROGRAMS} == set(NAMES.values())
    for name, payload in PAYLOADS.items():
        with pytest.raises(InputError, match=rf"jq -c -f {name.lower()}\.jq FILE \| arbitrank rank, "):
            decode_request(json.dumps(payload))
