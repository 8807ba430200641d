"""What cannot be read of a request costs one domain its place in the answer, and never the request."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from arbitrank.errors import InputError
from arbitrank.values import Hypothesis, Request, Slot, Wording
from arbitrank.wire.lenient import MAX_HYPOTHESES
from arbitrank.wire.notices import Notices
from arbitrank.wire.requests import decode_example, decode_logged, decode_request

HEATING = {"domain": "heating", "intent": "Warmer"}
LIGHTS = {"domain": "lights", "intent": "On"}


def reading(**fields: Any) -> dict[str, Any]:
    """A hypothesis of the lights with some fields changed; `...` leaves one out."""
    return {key: value for key, value in {**LIGHTS, **fields}.items() if value is not ...}


def decoded(*hypotheses: Any, utterance: str = "hall light on", **fields: Any) -> tuple[Request, list[str]]:
    """The request with these hypotheses, and the remarks on it."""
    remarks: list[str] = []
    line = json.dumps({"utterance": utterance, "hypotheses": hypotheses, **fields})
    return decode_request(line, Notices(remarks.append)), remarks


@pytest.mark.parametrize(
    ("faulty", "reason"),
    [
        (reading(intent=None), ".intent: null is invalid, expected a text of 1 to 200 characters"),
        (reading(intent=""), '.intent: "" is invalid, expected a text of 1 to 200 characters'),
        (reading(intent=7), ".intent: 7 is invalid, expected a text of 1 to 200 characters"),
        (reading(intent="x" * 201), ".intent: "),
        (reading(intent=...), ": lacks the field intent"),
        (reading(slots={"room": "hall"}), '.slots: {"room": "hall"} is invalid, expected a list of objects'),
        (reading(slots=["hall"]), '.slots[0]: "hall" is invalid, expected an object'),
        (reading(slots=[{"value": "hall"}]), ".slots[0]: lacks the field name"),
        (reading(slots=[{"name": "room"}]), ".slots[0]: lacks the field value"),
        (reading(slots=[{"name": "", "value": "hall"}]), '.slots[0].name: "" is invalid'),
        (reading(slots=[{"name": "room", "text": "hall"}]), ".slots[0].text: unknown key, expected value"),
        (reading(slots=[{"entity": "room", "value": "hall"}]), ".slots[0].entity: unknown key, expected name"),
        (reading(slots=[{"name": "room", "value": "hall", "score": 1}]), ".slots[0].score: unknown key, expected conf"),
        (reading(features=[1]), ".features: [1] is invalid, expected an object of numbers"),
        (reading(features={"known": "yes"}), '.features.known: "yes" is invalid, expected a finite number'),
        (reading(features={"known": True}), ".features.known: true is invalid, expected a finite number"),
        (reading(features={"known": float("inf")}), ".features.known: Infinity is out of range, expected a finite"),
        (reading(skill=["lamp"]), '.skill: ["lamp"] is invalid, expected a text'),
        (reading(confidence=0.9), ".confidence: unknown key, expected domain_confidence, intent_confidence or slots_"),
        (reading(conf=0.9, intent_confidence=0.9), ".conf: unknown key, expected domain_confidence"),
        (reading(score=0.9), ".score: unknown key, expected domain_confidence"),
        (reading(domainConfidence=0.9), ".domainConfidence: unknown key, expected domain_confidence"),
        (reading(intent_confidense=0.9), ".intent_confidense: unknown key, expected domain_confidence"),
        (reading(match_confidence=60), ".match_confidence: unknown key, expected domain_confidence"),
        (reading(slot=[]), ".slot: unknown key, expected slots"),
        (reading(entities=[]), ".entities: unknown key, expected slots"),
        (reading(feature={}), ".feature: unknown key, expected features"),
    ],
    ids=range(27),
)
def test_a_hypothesis_that_cannot_be_read_costs_its_domain_alone(faulty: dict[str, Any], reason: str) -> None:
    request, remarks = decoded(HEATING, reading(intent="Off"), faulty)
    assert request.hypotheses == (Hypothesis("heating", "Warmer"),)
    assert request.refused.keys() == {"lights"}
    assert request.refused["lights"].startswith(f"hypotheses[2]{reason}")
    assert remarks == []


@pytest.mark.parametrize(
    ("faulty", "reason"),
    [
        ("On", '"On" is invalid, expected an object'),
        (None, "null is invalid, expected an object"),
        ({"intent": "On"}, "lacks the field domain"),
        (reading(domain=None), "domain: null is invalid, expected a text of 1 to 200 characters"),
        (reading(domain=""), 'domain: "" is invalid, expected a text of 1 to 200 characters'),
        (reading(domain=3), "domain: 3 is invalid, expected a text of 1 to 200 characters"),
    ],
)
def test_a_hypothesis_without_a_domain_is_refused_under_its_position(faulty: Any, reason: str) -> None:
    request, _ = decoded(HEATING, faulty)
    assert request.hypotheses == (Hypothesis("heating", "Warmer"),)
    assert request.refused.keys() == {"hypotheses[1]"}
    assert reason in request.refused["hypotheses[1]"]


def test_a_misspelt_domain_is_that_domains_fault() -> None:
    request, _ = decoded(HEATING, {"domian": "lights", "intent": "On"})
    assert request.refused == {"lights": "hypotheses[1].domian: unknown key, expected domain"}


@pytest.mark.parametrize(
    "given",
    [
        {"context": None, "session": None, "account": None, "dialogue": None, "utterance_length": None, "id": None},
        {"context": {"device": None, "has_screen": None, "preference.lights": None, "age": None}},
        {"utterances": None, "refused": None},
    ],
)
def test_null_in_a_request_is_an_absent_value(given: dict[str, Any]) -> None:
    request, remarks = decoded(LIGHTS, **given)
    assert request == Request(utterance="hall light on", hypotheses=(Hypothesis("lights", "On"),))
    assert remarks == []


def test_null_in_a_hypothesis_is_an_absent_value() -> None:
    absent = dict.fromkeys(["domain_confidence", "intent_confidence", "slots", "slots_confidence", "skill", "features"])
    request, remarks = decoded(reading(**absent), reading(features={"known": None, "rank": 2}))
    assert request.hypotheses == (Hypothesis("lights", "On"), Hypothesis("lights", "On", features={"rank": 2.0}))
    assert request.refused == {}
    assert remarks == []


@pytest.mark.parametrize(
    ("slot", "read", "remark"),
    [
        ({"value": 230}, Slot("room", "230"), "a number, read as a text"),
        ({"value": 2.0}, Slot("room", "2"), "a number, read as a text"),
        ({"value": 12.5}, Slot("room", "12.5"), "a number, read as a text"),
        ({"value": True}, Slot("room", "true"), "true or false, read as a text"),
        ({"value": {"id": 7}}, Slot("room", "", resolved={"id": 7}), "an object, read as resolved"),
        ({"value": [1]}, Slot("room", "", resolved=[1]), "a list, read as resolved"),
        ({"value": {"id": 7}, "start": 0, "end": 4}, Slot("room", "hall", None, 0, 4, {"id": 7}), "read as resolved"),
        ({"value": None, "resolved": 7}, Slot("room", "", resolved=7), None),
        ({"value": "hall", "resolved": {"id": 7}}, Slot("room", "hall", resolved={"id": 7}), None),
        ({"value": None}, None, "null, so the slot counts as absent"),
        ({"value": "hall", "start": 50, "end": 54}, Slot("room", "hall"), "beyond the text"),
        ({"value": "hall", "start": 4, "end": 0}, Slot("room", "hall"), "in reverse"),
        ({"value": "hall", "end": 14}, Slot("room", "hall"), "beyond the text"),
        ({"value": "hall", "start": -1}, Slot("room", "hall"), "start: invalid, and the slot's offsets left out"),
        ({"value": "hall", "start": "0", "end": 4}, Slot("room", "hall"), "the slot's offsets left out"),
        ({"value": "hall", "start": 0, "end": 4.5}, Slot("room", "hall"), "end: invalid, and the slot's offsets"),
        ({"value": "hall", "start": 0.0, "end": 4.0}, Slot("room", "hall", None, 0, 4), None),
        ({"value": "hall", "role": "from"}, Slot("room", "hall"), "role: unknown key, ignored"),
    ],
    ids=range(18),
)
def test_a_slot_is_read_as_far_as_it_can_be(slot: dict[str, Any], read: Slot | None, remark: str | None) -> None:
    request, remarks = decoded(reading(slots=[{"name": "room", **slot}]))
    assert request.hypotheses == (Hypothesis("lights", "On", slots=() if read is None else (read,)),)
    assert request.refused == {}
    assert len(remarks) == (remark is not None)
    assert remark is None or remark in remarks[0]


@pytest.mark.parametrize(("given", "id"), [(12345, "12345"), (7.0, "7"), (1.5, "1.5")])
def test_a_number_as_id_is_read_as_a_text(given: float, id: str) -> None:
    request, remarks = decoded(LIGHTS, id=given, session=given)
    assert (request.id, request.session) == (id, id)
    assert remarks == [f"{key}: a number, read as a text; expected a text" for key in ("id", "session")]


@pytest.mark.parametrize(
    ("context", "kept", "remark"),
    [
        ({"has_screen": "true"}, True, "context['has_screen']: a text is of the wrong type, expected true or false"),
        ({"device": 3}, True, "context['device']: a number is of the wrong type, expected a text"),
        ({"preference.lights": "0.7"}, False, "a text is of the wrong type, so it counts as absent; expected a number"),
        ({"preference.lights": True}, False, "true or false is of the wrong type, so it counts as absent"),
        ({"preference.lights": 1.5}, False, "out of range, so it counts as absent; expected a number in [0, 1]"),
    ],
)
def test_a_known_context_key_of_the_wrong_type_is_reported(context: dict[str, Any], kept: bool, remark: str) -> None:
    request, remarks = decoded(LIGHTS, context=context)
    assert request.context == (context if kept else {})
    assert len(remarks) == 1
    assert remark in remarks[0]


def test_an_unknown_key_is_ignored_and_reported_once() -> None:
    remarks: list[str] = []
    notices = Notices(remarks.append)
    for rank in range(3):
        line = {"utterance": "on", "customer": "c", "hypotheses": [reading(rank=rank, asr_confidence=0.5)]}
        request = decode_request(json.dumps(line), notices)
        assert request == Request(utterance="on", hypotheses=(Hypothesis("lights", "On"),))
    assert sorted(remarks) == [
        "customer: unknown key, ignored",
        "hypotheses[0].asr_confidence: unknown key, ignored",
        "hypotheses[0].rank: unknown key, ignored",
    ]


def test_remarks_are_bounded() -> None:
    remarks: list[str] = []
    notices = Notices(remarks.append, most=3)
    for i in range(10):
        notices(f"key {i}", f"remark {i}")
    assert remarks == ["remark 0", "remark 1", "remark 2", "further remarks on the input are not shown"]


@pytest.mark.parametrize(
    "line",
    [
        {"utterance": "on", "hypotheses": [reading(confidence=0.5)]},
        {"utterance": "on", "hypotheses": [reading(rank=1)]},
        {"utterance": "on", "hypotheses": [LIGHTS], "customer": "c"},
        {"utterance": "on", "id": 5},
        {"utterance": "on", "context": {"has_screen": "true"}},
    ],
)
def test_strict_reading_refuses_what_is_not_as_expected(line: dict[str, Any]) -> None:
    decode_request(json.dumps(line))
    with pytest.raises(InputError):
        decode_request(json.dumps(line), strict=True)


def test_the_reasons_of_many_faulty_hypotheses_are_bounded() -> None:
    nameless, _ = decoded(*[{"intent": "On" * 200}] * MAX_HYPOTHESES)
    assert nameless.hypotheses == ()
    assert len(nameless.refused) == 11
    assert nameless.refused["hypotheses"] == f"{MAX_HYPOTHESES - 10} more cannot be read and name no domain"
    named, _ = decoded(*({"domain": f"d{i}", "intent": "x" * 300} for i in range(MAX_HYPOTHESES)))
    assert len(named.refused) == MAX_HYPOTHESES
    assert sum(map(len, named.refused.values())) < 50 * MAX_HYPOTHESES
    with pytest.raises(InputError, match="expected at most 10000"):
        decoded(*[{"domain": "lights"}] * (MAX_HYPOTHESES + 1))


def test_the_number_of_unknown_keys_is_bounded() -> None:
    """Each is compared with those that may be meant, which must not keep a service busy."""
    many = {f"domaix{i:04}": i for i in range(201)}
    for line in (
        {"utterance": "on", **many},
        {"utterance": "on", "hypotheses": [reading(**many)]},
        {"utterance": "on", "hypotheses": [reading(slots=[{"name": "room", "value": "hall", **many}])]},
    ):
        with pytest.raises(InputError, match="unknown keys, expected at most 200"):
            decode_request(json.dumps(line))


def test_several_wordings_stand_best_first() -> None:
    wordings = [
        {"text": "all light on", "confidence": 0.2},
        {"text": "hall light on", "confidence": 0.7},
        {"text": " "},
    ]
    request = decode_request(json.dumps({"utterances": wordings[:2]}))
    assert request.utterance == "hall light on"
    assert request.utterances == (Wording("hall light on", 0.7), Wording("all light on", 0.2))
    assert decode_request(json.dumps({"utterances": wordings})) == request
    unsure = [{"text": "all light on"}, wordings[1]]
    assert decode_request(json.dumps({"utterances": unsure})).utterance == "all light on"
    assert decode_request(json.dumps({"utterances": ["on", None]})).utterances == (Wording("on"),)
    both = decode_request(json.dumps({"utterance": "fall light on", "utterances": wordings[:2]}))
    assert both.utterance == "fall light on"
    assert [one.text for one in both.utterances] == ["fall light on", "hall light on", "all light on"]


def test_a_labelled_line_and_a_line_of_a_log_are_read_alike() -> None:
    line = {"utterance": "on", "hypotheses": [HEATING, reading(intent=None)], "truth": {"domain": "lights"}, "id": 3}
    example = decode_example(json.dumps(line))
    assert example.request.hypotheses == (Hypothesis("heating", "Warmer"),)
    assert example.request.refused.keys() == {"lights"}
    assert example.request.id == "3"
    logged = decode_logged(json.dumps(line))
    assert logged.refused == example.request.refused
    assert logged.truth == example.truth


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.sampled_from(["lights", "x"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
FIELDS = [
    "domain",
    "intent",
    "domain_confidence",
    "slots",
    "features",
    "skill",
    "name",
    "value",
    "start",
    "end",
    "conf",
]
nearly = st.recursive(
    json_values,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(FIELDS), inner, max_size=6),
    max_leaves=15,
)


@given(st.lists(nearly, max_size=4))
def test_whatever_the_hypotheses_are_the_other_domains_stay(faulty: list[Any]) -> None:
    with suppress(UnicodeEncodeError, InputError):  # half of a character; a text that JSON cannot hold
        request, _ = decoded(HEATING, *faulty)
        assert request.hypotheses is not None
        kept = {hypothesis.domain for hypothesis in request.hypotheses}
        assert "heating" in kept
        assert not kept & request.refused.keys()


def test_what_a_context_leaves_out_is_found_in_linear_time() -> None:
    nulls = {f"key {i}": None for i in range(100_000)}
    wrong = {f"preference.{i}": "much" for i in range(100_000)}
    request, remarks = decoded(context={**nulls, **wrong, "device": "tv"})
    assert request.context == {"device": "tv"}
    assert len(remarks) == 51


def test_half_of_a_surrogate_pair_costs_the_domain_that_sent_it() -> None:
    line = (
        r'{"utterance": "x", "hypotheses": [{"domain": "lights", "intent": "On\ud83d"}, {"domain": "\ud83d", '
        r'"intent": "On"}, "\ud83d", {"domain": "heating", "intent": "Warm"}]}'
    )
    request = decode_request(line)
    assert [one.domain for one in request.hypotheses or ()] == ["heating"]
    assert list(request.refused) == ["lights", "hypotheses[1]", "hypotheses[2]"]
    assert msgspec.json.decode(msgspec.json.encode(request), type=Request) == request
    example = decode_example(line[:-1] + ', "truth": {"domain": "heating"}}')
    assert example.request == request


def test_an_integer_of_any_size_is_out_of_range() -> None:
    for digits in (350, 5000):
        line = '{"hypotheses": [{"domain": "lights", "intent": "On", "features": {"a": %s}}]}' % ("9" * digits)
        assert "hypotheses[0].features.a: " in decode_request(line).refused["lights"]
