"""Payloads of other systems become valid requests, or are refused by name; nothing else comes of any JSON."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from arbitrank.errors import InputError
from arbitrank.importers.formats import ALIASES, FORMATS, imported
from arbitrank.importers.options import ImportOptions, domain_name, read_map
from arbitrank.importers.readings import score
from arbitrank.wire.requests import decode_request

CASES = Path(__file__).parents[3] / "shared" / "cases" / "vendors"

RASA = {
    "text": "😀 two teas to lyon",
    "intent": {"name": "order", "confidence": 1.0000001},
    "entities": [
        {"entity": "city", "start": 14, "end": 18, "value": "Lyon (FR)", "role": "to", "confidence_entity": 0.9},
        {"entity": "city", "start": 14, "end": 18, "value": "lyon", "role": "to", "extractor": "RegexEntityExtractor"},
        {"entity": "number", "start": 2, "end": 5, "text": "two", "value": 2, "confidence": 1.0},
    ],
    "intent_ranking": [
        {"name": "order", "confidence": 1.0000001},
        {"name": "nlu_fallback", "confidence": 0.3},
        {"name": "cancel", "confidence": 0.25},
        {"name": "out_of_scope", "confidence": 0.1},
        {"name": "order", "confidence": 0.01},
    ],
}
LEX = {
    "sessionId": "s",
    "inputTranscript": "two to two with ham and sweet corn",
    "bot": {"name": "Pizza"},
    "interpretations": [
        {"intent": {"name": "FallbackIntent"}},
        {
            "intent": {
                "name": "Order",
                "slots": {
                    "Size": None,
                    "Number": {"value": {"originalValue": "two", "interpretedValue": "2"}},
                    "Topping": {
                        "shape": "List",
                        "values": [{"value": {"originalValue": "ham"}}, {"value": {"originalValue": "sweet corn"}}],
                    },
                },
            },
            "nluConfidence": 0.8,
        },
        {"intent": {"name": "Cancel"}, "nluConfidence": {"score": 0.4}},
    ],
}
DIALOGFLOW_ES = {
    "queryResult": {
        "queryText": "two nights from monday",
        "parameters": {"nights": 2, "from": {"date": "2026-11-30"}, "extras": [], "name": ""},
        "intent": {"displayName": "book"},
        "intentDetectionConfidence": 0.75,
        "outputContexts": [
            {"name": "old", "parameters": {"nights": 3, "nights.original": "three"}},
            {"name": "new", "parameters": {"nights": 2, "nights.original": "two", "from.original": "monday"}},
        ],
    },
    "alternativeQueryResults": [
        {"intent": {"displayName": "Knowledge.Base.1"}, "intentDetectionConfidence": 0.5},
        {"intent": {"displayName": "Default Fallback Intent", "isFallback": True}, "intentDetectionConfidence": 1},
        {"intent": {"displayName": "cancel"}},
    ],
}
DIALOGFLOW_CX = {
    "queryResult": {
        "transcript": "cancel my booking",
        "parameters": {"old": "x"},
        "match": {
            "intent": {"displayName": "cancel"},
            "parameters": {"what": "booking"},
            "matchType": "INTENT",
            "confidence": 0.9,
        },
        "diagnosticInfo": {
            "Alternative Matched Intents": [
                {"DisplayName": "cancel", "Score": 0.9, "Active": True},
                {"DisplayName": "change", "Score": 0.4, "Active": False},
            ]
        },
    }
}
CLU = {
    "kind": "ConversationResult",
    "result": {
        "query": "😀 sunday it is",
        "detectedLanguage": "en",
        "prediction": {
            "projectKind": "Conversation",
            "intents": [
                {"category": "Change", "confidenceScore": 0.9},
                {"category": "None", "confidenceScore": 0.75},
            ],
            "entities": [{"category": "Day", "text": "sunday", "offset": 3, "length": 6}],
        },
    },
}
ORCHESTRATION = {
    "result": {
        "query": "park a van",
        "prediction": {
            "projectKind": "Orchestration",
            "intents": {
                "None": {"targetProjectKind": "NonLinked", "confidenceScore": 0.1},
                "Bookings": {"targetProjectKind": "Conversation", "confidenceScore": 0.25},
                "FAQ 1": {
                    "targetProjectKind": "QuestionAnswering",
                    "confidenceScore": 0.75,
                    "result": {
                        "answers": [{"id": 4, "confidenceScore": 0.5}, {"id": -1, "confidenceScore": 0}],
                    },
                },
                "Old": {
                    "targetProjectKind": "Luis",
                    "confidenceScore": 0.5,
                    "result": {"query": "park a van", "prediction": {"intents": {"Park": {"score": 0.25}}}},
                },
            },
        },
    },
}
LUIS = {
    "query": "two large pizzas at noon",
    "prediction": {
        "topIntent": "Order",
        "intents": {"None": {"score": 0.25}, "Greet": {"score": 0.1}, "Order": {"score": 0.8}},
        "entities": {
            "Order": [
                {
                    "Pizza": [
                        {
                            "Size": [["L"]],
                            "Number": [2],
                            "$instance": {
                                "Size": [{"text": "large", "startIndex": 4, "length": 5}],
                                "Number": [{"text": "two", "startIndex": 0, "length": 3, "score": 0.7}],
                            },
                        }
                    ]
                }
            ],
            "datetimeV2": [{"type": "time", "values": [{"timex": "T12"}]}],
        },
    },
}
HERMES = {
    "input": "timer for ten minutes",
    "intent": {"intentName": "Maker:SetTimer", "confidenceScore": 0.5},
    "slots": [
        {
            "slotName": "duration",
            "rawValue": "ten minutes",
            "value": {"kind": "Duration", "minutes": 10},
            "range": {"start": 10, "end": 21},
            "confidenceScore": 0.25,
        }
    ],
    "alternatives": [
        {"intentName": None, "confidenceScore": 0.2},
        {"intentName": "StopTimer", "confidenceScore": 0.1, "slots": []},
    ],
}
OVOS = [
    {
        "type": "ovos.common_play.query.response",
        "data": {
            "phrase": "lofi",
            "skill_id": "tunes.someone",
            "results": [
                {"title": "A", "match_confidence": 25, "media_type": 2},
                {"title": "B", "match_confidence": 1, "media_type": 2},
                {"title": "C", "match_confidence": 75, "media_type": 7},
            ],
        },
    },
    {"type": "ovos.common_play.query.response", "data": {"phrase": "lofi", "skill_id": "x.y", "searching": True}},
    {"type": "speak", "data": {"utterance": "hm"}},
    {"type": "question:query.response", "data": {"phrase": "lofi", "skill_id": "wiki", "answer": "a", "conf": 0.55}},
]
PADATIOUS = {"name": "tea.me:brew.intent", "sent": "brew green tea", "matches": {"kind": "green tea"}, "conf": 0.5}
WIT = {
    "text": "book mo on friday",
    "intents": [{"name": "book", "confidence": 0.9}, {"name": "cancel", "confidence": 0.1}],
    "entities": {
        "wit$contact:contact": [{"role": "contact", "body": "mo", "start": 5, "end": 7, "confidence": 0.5}],
        "slot:slot": [
            {
                "role": "slot",
                "entities": {"wit$datetime:day": [{"role": "day", "body": "friday", "from": {"value": 1}}]},
            }
        ],
    },
    "traits": {"wit$sentiment": [{"value": "neutral", "confidence": 0.7}]},
}
HOME_ASSISTANT = {
    "results": [
        {
            "intent": {"name": "HassTurnOn"},
            "slots": {"name": "desk lamp"},
            "details": {"name": {"value": "light.desk", "text": "desk lamp "}},
            "targets": {"light.desk": {"matched": True}, "light.other": {"matched": False}},
            "match": False,
            "unmatched_slots": {"area": "attic"},
        },
        None,
    ]
}
TOOL_CALLS = {
    "choices": [
        {
            "message": {
                "tool_calls": [
                    {"function": {"name": "mcp__shop__refund", "arguments": '{"order": "A7", "items": [1]}'}},
                    {"function": {"name": "send", "arguments": '{"to": '}},
                ]
            }
        }
    ]
}
LOGPROBS = {
    "choices": [
        {
            "message": {"content": "B"},
            "logprobs": {
                "content": [
                    {
                        "token": "B",
                        "logprob": math.log(0.5),
                        "top_logprobs": [
                            {"token": "B", "logprob": math.log(0.5)},
                            {"token": " B", "logprob": math.log(0.25)},
                            {"token": "A", "logprob": -9999.0},
                            {"token": "**", "logprob": -3.0},
                        ],
                    }
                ]
            },
        }
    ]
}
REPORTED = {
    "message": {
        "role": "assistant",
        "content": '```json\n{"intent": "refund", "confidence": 0.75, "slots": {"order": "A7", "why": null}}\n```',
    }
}
ZERO_SHOT = {"sequence": "where is it", "labels": ["Billing", "shipping"], "scores": [0.25, 0.5]}
ROUTER = [{"name": "billing", "similarity_score": 1.5}, {"name": None, "similarity_score": None}]

DISPATCH = {
    "query": "opening hours",
    "prediction": {
        "topIntent": "l_Shop",
        "intents": {
            "q_FAQ": {"score": 0.25, "childApp": {"answers": [{"id": 3, "score": 80.0}, {"id": -1, "score": 0}]}},
            "q_Other": {"score": 0.125},
            "Chat": {"score": 0.1},
            "l_Shop": {"score": 0.5, "childApp": {"intents": {"Hours": {"score": 0.75}, "None": {"score": 0.1}}}},
            "None": {"score": 0.01},
        },
    },
}
CX_CALL = {
    "fulfillmentInfo": {"tag": "t"},
    "text": "a large tea",
    "intentInfo": {"displayName": "order", "confidence": 0.5,
                   "parameters": {"size": {"originalValue": "large", "resolvedValue": "L"}}},
}  # fmt: skip
RHASSPY = {
    "text": "lamp on",
    "raw_text": "Lamp on",
    "intent": {"name": "Light", "confidence": 1.0},
    "entities": [{"entity": "name", "value": "lamp.1", "raw_value": "lamp", "start": 0, "end": 4}],
}
PROCESSED = {"response": {"response_type": "action_done", "data": {"success": [{"id": "light.desk"}]}}}
SEVERAL_TOKENS = {
    "choices": [
        {
            "logprobs": {
                "content": [
                    {"token": "bill", "logprob": math.log(0.5), "top_logprobs": [{"token": "ship", "logprob": -1.0}]},
                    {"token": "ing", "logprob": math.log(0.5)},
                    {"token": "<|im_end|>", "logprob": -0.1},
                ]
            }
        }
    ]
}
COMPLETION = {
    "choices": [
        {
            "text": " B",
            "logprobs": {
                "tokens": [" B"],
                "token_logprobs": [math.log(0.5)],
                "top_logprobs": [{" B": math.log(0.5), "A": math.log(0.25)}],
            },
        }
    ]
}
ANTHROPIC = {
    "role": "assistant",
    "content": [{"type": "text", "text": "I look."}, {"type": "tool_use", "name": "look"}],
}
RESPONSES = {
    "output": [{"type": "reasoning"}, {"type": "function_call", "name": "functions.shop.look", "arguments": ""}]
}
GEMINI = {"candidates": [{"content": {"parts": [{"functionCall": {"name": "look", "args": {"deep": True}}}]}}]}
REPORTED_LIST = {
    "content": [{"type": "text", "text": '{"text": "two teas", "intents": [{"domain": "Tea", "confidence": 0.5}, '
                 '{"intent": "order", "entities": [{"entity": "n", "value": "two"}]}, {"intent": "none"}]}'}]
}  # fmt: skip

TOLD = ImportOptions("own", "the attic and the desk lamp")

EXPECTED: list[tuple[str, Any, str | None, str]] = [
    (
        "rasa", RASA, "😀 two teas to lyon",
        "own order domain=0.9 intent=1 city.to=lyon@14-18*0.9 number=two@2-5*1; own cancel domain=0.9 intent=0.25",
    ),
    (
        "lex-v2", LEX, "two to two with ham and sweet corn",
        "own Order intent=0.8 Number=two Topping=ham@16-19 Topping=sweet corn@24-34; own Cancel intent=0.4",
    ),
    (
        "dialogflow-es", DIALOGFLOW_ES, "two nights from monday",
        "own book intent=0.75 nights=two@0-3 from=monday@16-22; own Knowledge.Base.1 intent=0.5 skill=knowledge; "
        "own cancel intent=0",
    ),
    (
        "dialogflow-cx", DIALOGFLOW_CX, "cancel my booking",
        "own cancel intent=0.9 what=booking@10-17; own change intent=0.4 active:0",
    ),
    ("clu", CLU, "😀 sunday it is", "own Change domain=0.25 intent=0.9 Day=sunday@2-8"),
    (
        "clu", ORCHESTRATION, "park a van",
        "faq-1 qna-4 domain=0.75 intent=0.5; old Park domain=0.5 intent=0.25; bookings unknown domain=0.25",
    ),
    (
        "luis-v3", LUIS, "two large pizzas at noon",
        "own Order domain=0.75 intent=0.8 Order.Pizza.Number=two@0-3*0.7 Order.Pizza.Size=large@4-9 "
        'datetimeV2={"type": "time", "values": [{"timex": "T12"}]}; own Greet domain=0.75 intent=0.1',
    ),
    (
        "hermes", HERMES, "timer for ten minutes",
        "maker SetTimer intent=0.5 duration=ten minutes@10-21*0.25; own StopTimer intent=0.1",
    ),
    (
        "ovos", OVOS, "lofi",
        "wiki question domain=0.5; tunes-someone media-2 domain=0.25 title=A results:2; "
        "tunes-someone media-7 domain=0.75 title=C results:1",
    ),
    ("ovos", PADATIOUS, "brew green tea", "tea-me brew intent=0.5 kind=green tea@5-14"),
    (
        "ovos", {"intent_type": "skill.me:Brew", "confidence": 0.5, "Kind": "tea", "utterance": "a tea"},
        "a tea", "skill-me Brew intent=0.5 Kind=tea@2-5",
    ),
    (
        "wit", WIT, "book mo on friday",
        "own book intent=0.9 contact=mo@5-7*0.5 slot.day=friday@11-17; own cancel intent=0.1",
    ),
    (
        "home-assistant", HOME_ASSISTANT, TOLD.utterance,
        "own HassTurnOn name=desk lamp@18-27 area=attic@4-9 unmatched:1 targets:1",
    ),
    ("llm", TOOL_CALLS, TOLD.utterance, "shop refund order=A7 items=1; own send bad_arguments:1"),
    ("llm", LOGPROBS, TOLD.utterance, "b route domain=0.75; a route domain=0"),
    ("llm", REPORTED, TOLD.utterance, "own refund intent=0.75 order=A7"),
    ("llm", ZERO_SHOT, "where is it", "shipping route domain=0.5; billing route domain=0.25"),
    ("llm", ROUTER, TOLD.utterance, "billing route similarity:1.5"),
    (
        "luis-v3", DISPATCH, "opening hours",
        "l_shop Hours domain=0.5 intent=0.75; q_faq qna-3 domain=0.25 intent=0.8; q_other unknown domain=0.125; "
        "own Chat intent=0.1",
    ),
    ("dialogflow-cx", CX_CALL, "a large tea", "own order intent=0.5 size=large@2-7"),
    ("hermes", RHASSPY, "lamp on", "own Light intent=1 name=lamp@0-4"),
    ("home-assistant", PROCESSED, TOLD.utterance, "own unknown unmatched:0 targets:1"),
    ("llm", SEVERAL_TOKENS, TOLD.utterance, "billing route domain=0.25"),
    ("llm", COMPLETION, TOLD.utterance, "b route domain=0.5; a route domain=0.25"),
    ("llm", ANTHROPIC, TOLD.utterance, "own look"),
    ("llm", RESPONSES, TOLD.utterance, "shop look"),
    ("llm", GEMINI, TOLD.utterance, "own look deep=true"),
    ("llm", REPORTED_LIST, "two teas", "tea route domain=0.5; own order n=two"),
    (
        "options", {"text": "hm", "options": [{"id": "a", "probability": 0.5}, {"name": "b"}]}, "hm",
        "a route domain=0.5; b route",
    ),
    ("options", [[{"label": "a", "score": 0.5}]], TOLD.utterance, "a route domain=0.5"),
    ("llm", {"choices": [{"message": {"content": "It is on its way."}}]}, TOLD.utterance, ""),
]  # fmt: skip


def shown(payload: Any, name: str, options: ImportOptions = TOLD) -> str:
    """The hypotheses of an imported payload in one line."""
    parts = []
    for h in imported(payload, name, options).hypotheses or ():
        words = [h.domain, h.intent]
        words += [
            f"{k}={v:g}" for k, v in (("domain", h.domain_confidence), ("intent", h.intent_confidence)) if v is not None
        ]
        for slot in h.slots:
            at = "" if slot.start is None else f"@{slot.start}-{slot.end}"
            words.append(f"{slot.name}={slot.value}{at}{'' if slot.confidence is None else f'*{slot.confidence:g}'}")
        words += [f"skill={h.skill}"] if h.skill else []
        words += [f"{k}:{v:g}" for k, v in h.features.items()]
        parts.append(" ".join(words))
    return "; ".join(parts)


@pytest.mark.parametrize(
    ("name", "payload", "expected"),
    [
        ("rasa", {"event": "user", "parse_data": {"text": "hi", "intent": {"name": "a", "confidence": 1}}},
         "own a intent=1"),
        ("llm", {"output": {"message": {"content": [{"toolUse": {"name": "tea__order", "input": {"n": 2}}}]}}},
         "tea order n=2"),
        ("tool-calls", {"output": {"message": {"content": [{"text": "hello"}]}}}, ""),
        ("llm", {"message": {"tool_calls": [{"type": "custom", "custom": {"name": "q", "input": "x y"}}]}},
         "own q input=x y"),
        ("llm", {"output": [{"type": "custom_tool_call", "name": "q", "input": "x"}]}, "own q input=x"),
        ("options", {"predictions": [{"displayNames": ["a", "b"], "confidences": [0.2, 0.8]}]},
         "b route domain=0.8; a route domain=0.2"),
        ("llm", {"Classes": [{"Name": "a", "Score": 0.7}]}, "a route domain=0.7"),
        ("ovos", [{"type": "play:query.response", "data": {"phrase": "p", "skill_id": "a", "conf": 0.6}},
                  {"type": "play:query.response", "data": {"phrase": "p", "skill_id": "b", "searching": True}}],
         "a play domain=0.6"),
    ],
)  # fmt: skip
def test_further_shapes_of_payloads_are_read(name: str, payload: Any, expected: str) -> None:
    assert shown(payload, name) == expected


@pytest.mark.parametrize(("name", "payload", "utterance", "expected"), EXPECTED)
def test_a_payload_becomes_a_request(name: str, payload: Any, utterance: str, expected: str) -> None:
    assert shown(payload, name) == expected
    assert imported(payload, name, TOLD).utterance == utterance


def test_every_format_has_a_payload() -> None:
    assert FORMATS.keys() - {name for name, *_ in EXPECTED} == {
        *("dialogflow", "tool-calls", "logprobs", "self-reported", "semantic-router", "map")
    }  # which read no payload that the others do not
    assert set(ALIASES.values()) <= FORMATS.keys()


@pytest.mark.parametrize(
    ("name", "payload"),
    [("dialogflow", DIALOGFLOW_ES), ("dialogflow", DIALOGFLOW_CX), ("tool-calls", TOOL_CALLS), ("logprobs", LOGPROBS),
     ("self-reported", REPORTED), ("options", ZERO_SHOT), ("semantic-router", ROUTER), ("lex", LEX)],
)  # fmt: skip
def test_a_format_by_another_name_reads_the_same(name: str, payload: Any) -> None:
    general = {"dialogflow": "dialogflow-cx" if payload is DIALOGFLOW_CX else "dialogflow-es", "lex": "lex-v2"}
    assert shown(payload, name) == shown(payload, general.get(name, "llm"))


@pytest.mark.parametrize(
    ("name", "payload"),
    [
        ("rasa", {"text": "", "intent": {"name": None, "confidence": 0.0}, "intent_ranking": []}),
        ("rasa", {"text": "hm", "intent": None}),
        ("lex-v2", {"interpretations": [{"intent": {"name": "FallbackIntent", "slots": {}}}]}),
        ("dialogflow-es", {"queryResult": {"action": "input.unknown", "intent": {"displayName": "F"}}}),
        ("dialogflow-cx", {"queryResult": {"text": "hm", "match": {"matchType": "NO_MATCH", "confidence": 0.3}}}),
        ("clu", {"result": {"prediction": {"intents": [{"category": "None", "confidenceScore": 0.9}]}}}),
        ("luis-v3", {"prediction": {"intents": {"None": {"score": 0.9}}}}),
        ("hermes", {"input": "hm", "siteId": "default"}),
        ("hermes", {"text": "hm", "intent": {"name": "", "confidence": 0}, "entities": []}),
        ("ovos", {"type": "question:query.response", "data": {"skill_id": "x", "searching": False}}),
        ("ovos", {"type": "intent.service.padatious.reply", "data": {"intent": None}}),
        ("Wit", {"text": "hm", "intents": [], "entities": {}}),
        ("home-assistant", {"results": [None]}),
        ("home-assistant", {"response": {"response_type": "error", "data": {"code": "no_intent_match"}}}),
        ("semantic-router", {"name": None}),
        ("self-reported", {"intent": None, "confidence": 0.9}),
    ],
)  # fmt: skip
def test_an_intent_of_none_is_no_hypothesis(name: str, payload: Any) -> None:
    assert imported(payload, name).hypotheses == ()


@pytest.mark.parametrize(
    ("name", "payload", "problem"),
    [
        ("rasa", [], "the line: [] is invalid, expected an object"),
        ("rasa", {"text": "hm"}, "lacks the fields intent and intent_ranking, expected those of Rasa's /model/parse"),
        ("rasa", {"intent": {"name": "a", "confidence": 1.5}}, "intent.confidence: 1.5 is out of range, expected a "
         "number in [0, 1]"),
        ("rasa", {"intent_ranking": [{"name": "a", "confidence": "high"}]}, 'intent_ranking[0].confidence: "high" is '
         "invalid, expected a number in [0, 1]"),
        ("rasa", {"intent": {"name": "a" * 300}}, f'hypotheses[0].intent: "{"a" * 58}… is invalid, expected a text of '
         "1 to 200 characters"),
        ("rasa", CLU, "lacks the fields intent and intent_ranking, expected those of Rasa's /model/parse; it seems to "
         "be a payload of CLU, run: arbitrank import clu"),
        ("lex-v2", {"interpretations": "H4sI"}, "interpretations: a text, as in a header of RecognizeUtterance, "
         "expected a list; decode it first, as base64 and then gzip"),
        ("lex-v2", {"intentName": "A", "slots": {}}, "intentName: of Lex V1, expected an answer of V2, which has "
         "interpretations"),
        ("dialogflow-es", {"result": {"resolvedQuery": "a"}}, "result: of Dialogflow's API v1, expected an answer of "
         "v2, which has queryResult"),
        ("dialogflow-es", {"result": 1}, "the object: lacks the field queryResult"),
        ("wit", {"outcomes": []}, "outcomes: of Wit's API of 2014, expected an answer of a later one, which has "
         "intents"),
        ("rasa", {"status": "failure", "message": "no model", "code": 409}, "lacks the fields intent and "
         "intent_ranking, expected those of Rasa's /model/parse; it is an error that the system reports: "
         '"no model"'),
        ("ovos", {"type": "play:query.response", "data": {"skill_id": "a", "conf": 60}}, "data.conf: 60.0 is out of "
         "range, expected a number in [0, 1]"),
        ("dialogflow-es", DIALOGFLOW_CX, "queryResult.match: of Dialogflow CX, expected ES; run: arbitrank import "
         "dialogflow-cx"),
        ("dialogflow-cx", DIALOGFLOW_ES, "queryResult.queryText: of Dialogflow ES, expected CX; run: arbitrank import "
         "dialogflow-es"),
        ("clu", {"error": {"code": "401"}}, "the object: lacks the field result; it is an error that the system "
         'reports: {"code": "401"}'),
        ("luis-v3", {"query": "a", "topScoringIntent": {}}, "topScoringIntent: of LUIS v2, expected an answer of v3, "
         "which has prediction"),
        ("luis-v3", {"prediction": {"intents": {"a": {"score": 2}}}}, "prediction.intents['a'].score: 2.0 is out of "
         "range, expected a number in [0, 1]"),
        ("hermes", {"intent": None}, "the object: lacks the field input"),
        ("hermes", {"input": "a", "intent": {}}, "intent: lacks the field intentName"),
        ("wit", {"intents": [{"id": "1"}]}, "intents[0]: lacks the field name"),
        ("rasa", {"intent_ranking": [{"confidence": 1}]}, "intent_ranking[0]: lacks the field name"),
        ("lex-v2", {"interpretations": [{"nluConfidence": 1}]}, "interpretations[0]: lacks the field intent"),
        ("ovos", [{"type": "speak", "data": {}}], "no message of ovos.common_play.query.response, "
         "play:query.response or question:query.response, and no match of Padatious or Adapt, expected some"),
        ("ovos", {"type": "question:query.response", "data": {"skill_id": "a", "answer": "b", "conf": 2}}, "data.conf: "
         "2 is out of range, expected a number in [0, 1.1]"),
        ("wit", {"code": "no-auth"}, "lacks the fields intents and entities, expected those of Wit's /message"),
        ("home-assistant", {"results": [{"match": True}]}, "results[0]: lacks the field intent"),
        ("llm", {"id": 1}, "no tool call, log-probability, option or route, expected an answer of a model with some"),
        ("self-reported", {"intent": "a", "confidence": 85}, "confidence: 85 is out of range, expected a number in "
         '[0, 1]; state its scale, as in scale = "0..100", in the file of --map'),
        ("options", {"labels": ["a"], "scores": []}, "scores: 0 of them, expected one for each of 1 labels"),
        ("options", {"cats": {"日本": 0.5}}, '"日本": no name for a domain, expected lower-case letters, digits, \'_\' '
         "and '-', at most 64 characters; map it: [domains] of --map FILE"),
        ("map", {}, "no [reading], expected one in the file of --map, which tells where the payload has what"),
        ("rasas", {}, f'format "rasas": unknown, expected one of {", ".join(FORMATS)}; did you mean rasa?'),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_refused_by_place_value_and_what_was_expected(
    name: str, payload: Any, problem: str
) -> None:
    with pytest.raises(InputError) as caught:
        imported(payload, name)
    assert str(caught.value) == problem


# ----------------------------------------------------------------------------------------------- names and mapping file


@pytest.mark.parametrize(
    ("name", "made"),
    [("skill-tales.example", "skill-tales-example"), ("HotelFAQ", "hotelfaq"), ("l_A", "l_a"), ("Café 2", "cafe-2")],
)  # fmt: skip
def test_a_name_becomes_a_domains(name: str, made: str) -> None:
    assert domain_name(name) == made


@pytest.fixture
def mapping(tmp_path: Path) -> Any:
    def written(text: str) -> ImportOptions:
        (tmp_path / "names.toml").write_text(text, encoding="utf-8")
        return read_map(tmp_path / "names.toml", TOLD)

    return written


def test_a_mapping_file_names_domains_intents_and_readings_of_none(mapping: Any) -> None:
    names = mapping('none = ["cancel*"]\n[intents]\norder = "tea"\n')
    assert [(h.domain, h.domain_confidence) for h in imported(RASA, "rasa", names).hypotheses or ()] == [("tea", 0.75)]
    names = mapping('[domains]\n"mcp__shop__*" = "store.tool_*"\nsend = "mail"\nB = "billing"\n')
    assert shown(TOOL_CALLS, "llm", names).startswith("store tool_refund order=A7")
    assert shown(TOOL_CALLS, "llm", names).endswith("mail send bad_arguments:1")
    assert shown(LOGPROBS, "llm", names) == "billing route domain=0.75"


def test_a_mapping_file_states_a_scale(mapping: Any) -> None:
    assert (
        shown({"intent": "a", "confidence": "85%"}, "self-reported", mapping('scale = "percent"'))
        == "own a intent=0.85"
    )
    assert (
        shown({"intent": "a", "confidence": "High"}, "self-reported", mapping('scale = "low,high"'))
        == "own a intent=0.75"
    )


def test_a_mapping_file_tells_where_any_payload_has_what(mapping: Any) -> None:
    options = mapping(
        """
        scale = { domain_confidence = "0..100" }
        none = ["Nothing"]
        [domains]
        Lamps = "lights"
        [reading]
        id = "meta.id"
        utterance = "meta.said[0]"
        each = "found"
        domain = "@key"
        intent = "@value.act"
        domain_confidence = "@value.\\"how sure\\""
        [reading.slots]
        each = "args"
        name = "@key"
        value = "@value"
        [reading.features]
        margin = "gap"
        [reading.context]
        locale = "meta.lang"
        """
    )
    payload = {
        "meta": {"id": 7, "said": ["desk lamp on"], "lang": "en"},
        "found": {
            "Lamps": {"act": "On", "how sure": 50, "args": {"which": "desk lamp", "level": None}, "gap": 2},
            "Nothing": {"act": "None"},
        },
    }
    assert shown(payload, "map", options) == "lights On domain=0.5 which=desk lamp@0-9 margin:2"
    request = imported(payload, "map", options)
    assert (request.id, request.context, request.utterance) == ("7", {"locale": "en"}, "desk lamp on")
    with pytest.raises(InputError, match=r"^found\['Lamps'\]\.@value\.\"how sure\": 500 is out of range"):
        imported({**payload, "found": {"Lamps": {"act": "On", "how sure": 500}}}, "map", options)


def test_a_mapping_reads_offsets_and_scores_of_slots(mapping: Any) -> None:
    options = mapping(
        """
        offsets = "utf16"
        [reading]
        each = "found"
        intent = "=On"
        [reading.slots]
        each = "slots"
        start = "at"
        length = "n"
        confidence = "p"
        resolved = "id"
        """
    )
    slot = {"name": "which", "value": "lamp", "at": 3, "n": 4, "p": 0.5, "id": "light.1"}
    payload = {"utterance": "😀 lamp", "payload": {"found": [{"slots": [slot, {"name": "none"}]}]}}
    (first,) = imported(payload, "map", options).hypotheses or ()
    assert [(s.value, s.start, s.end, s.confidence, s.resolved) for s in first.slots] == [
        ("lamp", 2, 6, 0.5, "light.1")
    ]
    for change, problem in (
        ({"at": 1.5}, "found[0].slots[0].at: 1.5 is invalid, expected a number of characters"),
        ({"p": 2}, "found[0].slots[0].p: 2 is out of range, expected a number in [0, 1]"),
        ({"name": []}, "found[0].slots[0].name: [] is invalid, expected a text"),
    ):
        with pytest.raises(InputError) as caught:
            imported({"found": [{"slots": [{**slot, **change}]}]}, "map", options)
        assert str(caught.value) == problem


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("none = 1", "names.toml: none: 1 is invalid, expected array, got int"),
        ("nones = []", "names.toml: nones: unknown key, expected domains, intents, none, offsets, scale, reading; did "
         "you mean none?"),
        ("[domains]\na = 'A b'", "names.toml: domains['a']: \"A b\" is no domain's name, expected lower-case letters"),
        ("scale = 'much'", 'names.toml: scale "much": unknown, expected LOW..HIGH'),
        ("[", "names.toml: not TOML: "),
    ],
)  # fmt: skip
def test_a_bad_mapping_file_is_refused_by_key(mapping: Any, tmp_path: Path, text: str, problem: str) -> None:
    with pytest.raises(InputError) as caught:
        mapping(text)
    assert problem in str(caught.value)


def test_an_envelope_has_what_a_payload_lacks() -> None:
    payload = {"intent": {"name": "a", "confidence": 0.5}}
    made = imported(
        {"id": "1", "utterance": "hm", "context": {"device": "tv"}, "session": "s", "payload": payload}, "rasa"
    )
    assert (made.id, made.utterance, made.context, made.session) == ("1", "hm", {"device": "tv"}, "s")
    assert made.hypotheses == imported(payload, "rasa").hypotheses
    for bad in ({"utterance": 5}, {"context": []}, {"utterances": 1}):
        with pytest.raises(InputError, match=r"^utterance|^context"):
            imported({**bad, "payload": payload}, "rasa")


@pytest.mark.parametrize(("offset", "unit"), [(11, "utf16"), (8, "characters"), (7, "elements")])
def test_offsets_of_clu_are_read_in_the_unit_that_fits(offset: int, unit: str) -> None:
    payload = copy.deepcopy(CLU)
    payload["result"]["query"] = text = "🛏👍🏽 no, sunday not sunday"
    payload["result"]["prediction"]["entities"][0]["offset"] = offset
    (first, *_) = imported(payload, "clu").hypotheses or ()
    (slot,) = first.slots
    assert text[slot.start : slot.end] == "sunday", unit
    assert slot.start == text.index("sunday")


def test_the_bot_of_a_lambda_function_is_a_domain_where_none_is_stated() -> None:
    assert {h.domain for h in imported(LEX, "lex-v2").hypotheses or ()} == {"pizza"}
    member = {**LEX, "recognizedBotMember": {"botName": "Pasta"}}
    assert {h.domain for h in imported(member, "lex-v2", TOLD).hypotheses or ()} == {"pasta"}


def test_a_message_of_rasa_may_be_a_trackers_latest() -> None:
    assert imported({"tracker": {"latest_message": RASA}}, "rasa") == imported(RASA, "rasa")


# --------------------------------------------------------------------------------------------------------- any JSON

LEAVES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=4),
    st.sampled_from(["None", "a:b", "mcp__a__b", '{"intent": "a"}', "\ud800", "x" * 300, 0.5, -1, 100, 1e308, 10**400]),
)  # fmt: skip
KEYS = st.sampled_from(["name", "intent", "text", "score", "confidence", "", "results", "entities", "slots", "domain"])
VALUES = st.recursive(LEAVES, lambda x: st.lists(x, max_size=2) | st.dictionaries(KEYS, x, max_size=3), max_leaves=6)


def check(payload: Any, name: str, options: ImportOptions = TOLD) -> None:
    """What any JSON becomes: an `InputError`, or a request that is read again as it is, without a remark."""
    try:
        request = imported(payload, name, options)
    except InputError as error:
        str(error).encode()
        return
    assert decode_request(msgspec.json.encode(request), strict=True) == request


@given(st.sampled_from(sorted(FORMATS)), VALUES)
def test_any_json_is_refused_or_becomes_a_request(name: str, payload: Any) -> None:
    check(payload, name)


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The paths of all values inside a value."""
    entries = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in entries:
        yield (*path, key)
        yield from places(inner, (*path, key))


@given(st.data())
def test_a_damaged_payload_is_refused_or_becomes_a_request(data: st.DataObject) -> None:
    name, payload, *_ = data.draw(st.sampled_from(EXPECTED))
    payload = copy.deepcopy(payload)
    for _ in range(data.draw(st.integers(1, 3))):
        if not (paths := list(places(payload))):
            break
        *above, last = data.draw(st.sampled_from(paths))
        holder = payload
        for key in above:
            holder = holder[key]
        if data.draw(st.booleans()):
            del holder[last]
        else:
            holder[last] = data.draw(VALUES)
    check(payload, name)


@pytest.mark.parametrize("value", ["x\ud800y", {"\ud800": 1}])
def test_an_error_names_a_text_with_half_a_surrogate_pair(value: Any) -> None:
    for name, payload, *_ in EXPECTED:
        for path in places(payload):
            *above, last = path
            changed = holder = copy.deepcopy(payload)
            for key in above:
                holder = holder[key]
            holder[last] = value
            check(changed, name)


READING = {
    "utterance": "text", "each": "results", "domain": "domain", "intent": "intent", "domain_confidence": "score",
    "slots": {"each": "slots", "start": "score", "end": "confidence"}, "features": {"f": "confidence"},
    "context": {"room": "name"},
}  # fmt: skip


@given(VALUES)
def test_a_mapping_refuses_any_json_or_makes_a_request(payload: Any) -> None:
    check({"results": payload, "text": "some words"}, "map", ImportOptions("own", reading=READING))
    check(payload, "map", ImportOptions("own", reading=READING))


# ----------------------------------------------------------------------------------------------------------- the cases


def handed() -> list[Path]:
    return sorted(path for path in CASES.glob("*/*.json") if not path.name.endswith(".expected.json"))


@pytest.mark.skipif(not CASES.is_dir(), reason="the cases of vendors' payloads are not in this checkout")
def test_every_handed_payload_gives_what_is_expected_of_it() -> None:
    for path in handed():
        expected = json.loads(path.with_suffix(".expected.json").read_text(encoding="utf-8"))
        names = {one["domain"] for one in expected["hypotheses"]}
        own = next(iter(names)) if len(names) == 1 else None
        domains = {"B": "billing", "A": "shipping", "D": "none-of-these"} if path.stem == "logprobs" else {}
        options = ImportOptions(own, expected["utterance"], domains)
        request = imported(json.loads(path.read_text(encoding="utf-8")), path.parent.name, options)
        made = msgspec.json.decode(msgspec.json.encode(request))
        for one in made["hypotheses"]:
            for slot in one.get("slots", ()):
                slot.pop("resolved", None)  # which the cases leave out
        assert made == expected, path


@pytest.mark.parametrize("value", [10**400, -(10**400)])
def test_an_integer_beyond_what_a_float_holds_is_out_of_range(value: int) -> None:
    with pytest.raises(InputError, match="is out of range, expected a number in"):
        score(value, "options[0].probability")
