"""JSON in: one object at a time or a file of lines, bad input explained by name."""

from __future__ import annotations

import gzip
import io
import json
import math
import random
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from arbitrank.errors import DataError, InputError
from arbitrank.packed import packed
from arbitrank.values import Example, Hypothesis, Request, Slot, Truth
from arbitrank.wire.json_lines import MAX_LINE, BadLine
from arbitrank.wire.lenient import MAX_HYPOTHESES
from arbitrank.wire.requests import decode_example, decode_request, read_examples, read_requests

DEEP = "[" * 100_000 + "]" * 100_000
READING = {"domain": "lights", "intent": "On"}


def line(**fields: Any) -> str:
    return json.dumps(fields, ensure_ascii=False)


def reading(**fields: Any) -> str:
    return line(hypotheses=[{**READING, **fields}])


def test_a_request_has_all_that_the_format_names() -> None:
    request = decode_request(
        line(
            id="7",
            utterance="turn on the hall light",
            context={"device": "tv", "preference.lights": 0.5},
            hypotheses=[
                {
                    **READING,
                    "domain_confidence": 0.5,
                    "intent_confidence": 1,
                    "slots": [{"name": "room", "value": "hall", "confidence": 0.25, "start": 12, "end": 16}],
                    "slots_confidence": 0,
                    "skill": "lamp",
                    "features": {"known": -3.5},
                }
            ],
            session="s",
            account={"plan": "free"},
            dialogue={"turn": 2},
        )
    )
    assert request == Request(
        id="7",
        utterance="turn on the hall light",
        context={"device": "tv", "preference.lights": 0.5},
        hypotheses=(
            Hypothesis("lights", "On", 0.5, 1.0, (Slot("room", "hall", 0.25, 12, 16),), 0.0, "lamp", {"known": -3.5}),
        ),
        session="s",
        account={"plan": "free"},
        dialogue={"turn": 2},
    )


@pytest.mark.parametrize(("given", "hypotheses"), [({}, None), ({"hypotheses": None}, None), ({"hypotheses": []}, ())])
def test_absent_hypotheses_are_not_an_empty_list(given: dict[str, Any], hypotheses: tuple[()] | None) -> None:
    assert decode_request(line(utterance="on", **given)) == Request(utterance="on", hypotheses=hypotheses)


@pytest.mark.parametrize(
    ("text", "field", "seen", "expected"),
    [
        (line(hypotheses=3), "hypotheses", "3", "a list"),
        (line(hypotheses={}), "hypotheses", "{}", "a list"),
        (line(utterance=3), "utterance", "3", "a text"),
        (line(utterance=["turn", "on"]), "utterance", '["turn", "on"]', "a text"),
        (line(utterance="on", context=[]), "context", "[]", "an object"),
        (line(utterance="on", id=True), "id", "true", "a text"),
        (line(utterance="on", id=["7"]), "id", '["7"]', "a text"),
        (line(utterance="on", account="me"), "account", '"me"', "an object"),
        (line(utterance="on", dialogue=[]), "dialogue", "[]", "a text"),
        (line(hypotheses=[], utterance_length=-1), "utterance_length", "-1", "a number of characters"),
        (line(hypotheses=[], utterance_length=1.5), "utterance_length", "1.5", "a number of characters"),
        (line(utterances=["on", 3]), "utterances[1]", "3", "an object with text and confidence"),
        (line(utterances=[{"txt": "on"}]), "utterances[0]", '{"txt": "on"}', "an object with text and confidence"),
        (line(utterances=["on"] * 101), "utterances", "101 of them", "at most 100"),
        ("[]", "the line", "[]", "an object"),
        ("3", "the line", "3", "an object"),
        ("null", "the line", "null", "an object"),
        ('"turn on the light"', "the line", '"turn on the light"', "an object"),
        ("", "not JSON", "", "one complete JSON object"),
        ("turn on the light", "not JSON", "column 1;", "one complete JSON object"),
        ('{"utterance": "turn', "not JSON", "column 15;", "one complete JSON object"),
        ('{"utterance": "x"} {}', "not JSON", "", "one complete JSON object"),
        ("{'utterance': 'x'}", "not JSON", "quoted with '", "one complete JSON object"),
        ('{"utterance": "x",}', "not JSON", "a trailing comma", "one complete JSON object"),
        ('{"utterance": "x"},', "not JSON", "a trailing comma", "one complete JSON object"),
        ("// requests", "not JSON", "a comment", "one complete JSON object"),
        ('{"utterance": "x"} // a request', "not JSON", "a comment", "one complete JSON object"),
        ('{"utterance": None}', "not JSON", "Python", "one complete JSON object"),
        ('{"utterance": "\\ud83d"}', "not JSON", "surrogates", "one complete JSON object"),
        ('{"context": {"x": ' + DEEP + "}}", "nested too deeply", "", ""),
        (DEEP, "nested too deeply", "", ""),
        ('{"utterance": "x", "account": ' + DEEP + "}", "nested too deeply", "", ""),
    ],
    ids=range(32),
)
def test_bad_input_is_explained_by_the_field_the_value_and_the_expected_value(
    text: str, field: str, seen: str, expected: str
) -> None:
    for raw in (text, text.encode()):
        with pytest.raises(InputError) as caught:
            decode_request(raw)
        message = str(caught.value)
        assert message.startswith(field)
        assert seen in message
        assert expected in message
        assert "\n" not in message
        assert len(message) < 250


def test_numbers_that_json_has_not_reach_the_domain_that_sent_them() -> None:
    """A score's value is judged by its domain's scale; a context's number that is none counts as absent."""
    raw = '{"context": {"age": NaN, "rooms": [1, -Infinity], "n": 1' + "0" * 5000 + "}, "
    request = decode_request(raw + '"hypotheses": [{"domain": "lights", "intent": "On", "domain_confidence": NaN}]}')
    assert request.context == {"rooms": [1, None]}
    assert request.hypotheses is not None
    assert math.isnan(request.hypotheses[0].domain_confidence)
    assert request.refused == {}


@pytest.mark.parametrize("value", [60, 1.2, -0.1, True, "85%", {"value": 0.5}, [0.5]])
def test_a_score_is_kept_as_it_was_sent(value: Any) -> None:
    request = decode_request(
        reading(domain_confidence=value, slots=[{"name": "room", "value": "x", "confidence": value}])
    )
    assert request.hypotheses is not None
    assert request.hypotheses[0].domain_confidence == value
    assert request.hypotheses[0].slots[0].confidence == value


@pytest.mark.parametrize(
    "raw", [b'{"utterance": "\xff"}', b'{"hypotheses": 3, "utterance": "\xff"}', b"\x00", b"\xff\xfe"]
)
def test_bytes_that_are_no_utf_8_are_explained(raw: bytes) -> None:
    with pytest.raises(InputError):
        decode_request(raw)


@given(st.binary(max_size=60) | st.text(alphabet='{}[]":,0129.eE+-truefalsn\\u \x00', max_size=60))
def test_whatever_comes_it_is_a_request_or_an_input_error(raw: bytes | str) -> None:
    with suppress(InputError):
        assert isinstance(decode_request(raw), Request)


@given(st.data())
def test_a_damaged_line_is_an_example_or_an_input_error(data: st.DataObject) -> None:
    good = reading(features={"known": 1.0}).encode()[:-1] + b', "truth": {"domain": "lights"}}'
    raw = bytearray(good)
    for _ in range(data.draw(st.integers(1, 3))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    with suppress(InputError):
        assert isinstance(decode_example(bytes(raw)), Example)


def test_too_many_hypotheses_are_refused() -> None:
    with pytest.raises(
        InputError, match=f"^hypotheses: {MAX_HYPOTHESES + 1} of them, expected at most {MAX_HYPOTHESES}"
    ):
        decode_request(line(hypotheses=[READING] * (MAX_HYPOTHESES + 1)))


def test_a_line_of_a_corpus_is_an_example_without_hypotheses() -> None:
    slot = {"name": "room", "value": "hall", "start": 8, "end": 12}
    raw = line(
        id="1", text="turn on hall", domain="lights", intent="On", slots=[slot], locale="en", context={"device": "tv"}
    )
    assert decode_example(raw) == Example(
        Request(id="1", utterance="turn on hall", context={"locale": "en", "device": "tv"}),
        Truth("lights", "On", (Slot("room", "hall", start=8, end=12),)),
    )


def test_a_line_with_hypotheses_is_an_example_with_them() -> None:
    raw = line(utterance="on", hypotheses=[READING], truth={"domain": None})
    assert decode_example(raw) == Example(
        Request(utterance="on", hypotheses=(Hypothesis("lights", "On"),)), Truth(None)
    )


@pytest.mark.parametrize(
    ("fields", "extra"),
    [
        ({"text": "on", "domain": "lights"}, {"kind": "short", "n": [1, None]}),
        ({"utterance": "on", "truth": {"domain": None}}, {"asked": {"id": "7"}, "kind": 3}),
        # A key of the one kind of line is unknown to the other.
        ({"text": "on", "domain": "lights"}, {"utterance": "on", "truth": 1}),
    ],
)
def test_unknown_keys_are_kept_in_extra(fields: dict[str, Any], extra: dict[str, Any]) -> None:
    assert decode_example(line(**fields, **extra)).extra == extra
    assert decode_example(line(**fields)).extra == {}


def test_the_answer_of_a_log_line_is_none_of_them() -> None:
    """A model learns from what was meant; what was answered would take the most of the memory."""
    assert decode_example(line(utterance="on", truth={"domain": None}, answer={"id": "7"})).extra == {}


@pytest.mark.parametrize(
    ("text", "value", "start", "end"),
    [
        ("turn on hall", "hall", 8, 12),
        ("打开卧室的灯", "卧室", 2, 4),  # characters, not bytes
        ("👍🏽 hall", "hall", 3, 7),
        ("hall", "", 2, 2),
        ("turn on hall", "hall", None, None),
    ],
)
def test_offsets_count_characters(text: str, value: str, start: int | None, end: int | None) -> None:
    slot = {"name": "room", "value": value, "start": start, "end": end}
    assert decode_example(line(text=text, domain="lights", slots=[slot])).truth.slots[0].value == value


@pytest.mark.parametrize(("start", "end"), [(7, 11), (8, 13 - 2), (12, 8), (100, 104)])
def test_offsets_that_do_not_cut_the_value_are_refused(start: int, end: int) -> None:
    slots = [
        {"name": "level", "value": "on", "start": 5, "end": 7},
        {"name": "room", "value": "hall", "start": start, "end": end},
    ]
    with pytest.raises(InputError, match=r"^slots\[1\]: text\[.*expected its value 'hall'"):
        decode_example(line(text="turn on hall", domain="lights", slots=slots))


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (line(text="x"), "lacks the field domain"),
        (line(text=3, domain="lights"), "text: 3 is invalid, expected str"),
        (line(text="x", domain="lights", slots=[{"name": "room"}]), "slots[0]: lacks the field value"),
        (line(text="x", domain=3), "domain: 3 is invalid"),
        (line(text="x", domain=""), 'domain: "" is invalid'),
        (line(utterance="x"), "lacks the field truth"),
        (line(truth={"domain": None}), "neither utterance nor hypotheses"),
        (line(domain="lights"), "the object: lacks the field text"),
        (line(utterance="x", domain="lights", skill="s"), "the object: lacks the field text"),
        (line(utterance="x", truth={}), "truth: lacks the field domain"),
        (line(utterance="x", truth="lights"), 'truth: "lights" is invalid, expected an object'),
        ("[1]", "the line: [1] is invalid, expected an object"),
    ],
)
def test_a_bad_example_is_explained(raw: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        decode_example(raw)
    assert message in str(caught.value)


GOOD = line(utterance="on")


def test_a_file_gives_its_good_lines_and_the_places_of_the_bad_ones(tmp_path: Path) -> None:
    path = tmp_path / "requests.jsonl"
    path.write_text(f"{GOOD}\n\n   \n[1]\n{GOOD}\r\n{{\n{GOOD}")
    found = list(read_requests(str(path)))
    assert [type(entry).__name__ for entry in found] == ["Request", "BadLine", "Request", "BadLine", "Request"]
    bad = [entry for entry in found if isinstance(entry, BadLine)]
    assert [entry.where for entry in bad] == [f"{path}:4", f"{path}:6"]
    assert bad[0].reason.startswith("the line: [1] is invalid, expected an object; of a list make one object per line")


def test_a_gzipped_file_is_read_like_a_plain_one(tmp_path: Path) -> None:
    text = line(text="on", domain="lights") + "\n" + line(text="off", domain=None) + "\n"
    (tmp_path / "c.jsonl").write_text(text)
    (tmp_path / "c.jsonl.gz").write_bytes(gzip.compress(text.encode()))
    plain = list(read_examples(tmp_path / "c.jsonl"))
    assert len(plain) == 2
    assert list(read_examples(tmp_path / "c.jsonl.gz")) == plain


def test_standard_input_is_a_file_named_dash(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(f"{GOOD}\nx\n".encode())))
    request, bad = read_requests("-")
    assert request == Request(utterance="on")
    assert isinstance(bad, BadLine)
    assert bad.where == "standard input:2"


def test_a_line_that_is_too_long_is_reported_and_the_next_one_read(tmp_path: Path) -> None:
    path = tmp_path / "long.jsonl"
    fits = GOOD + " " * (MAX_LINE - len(GOOD))
    path.write_text(f"{fits}\n{fits} \n{fits * 3}\n{GOOD}\n{fits} ")
    found = list(read_requests(str(path)))
    assert [type(entry).__name__ for entry in found] == ["Request", "BadLine", "BadLine", "Request", "BadLine"]
    assert found[1] == BadLine(f"{path}:2", f"longer than the {MAX_LINE} bytes allowed")
    assert isinstance(found[4], BadLine)
    assert found[4].where == f"{path}:5"


@pytest.mark.parametrize("name", ["missing.jsonl", "missing.jsonl.gz", "."])
def test_a_file_that_cannot_be_opened_is_a_data_error(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError, match="cannot be read"):
        list(read_requests(str(tmp_path / name)))


def test_a_damaged_gzip_file_is_a_data_error(tmp_path: Path) -> None:
    rng = random.Random(0)
    packed = gzip.compress("\n".join(line(utterance=f"turn on {rng.random()}") for _ in range(200)).encode())
    path = tmp_path / "damaged.jsonl.gz"
    for raw in (packed[: len(packed) // 2], b"no gzip at all", *(_with_noise(packed, rng) for _ in range(40))):
        path.write_bytes(raw)
        with pytest.raises(DataError, match="cannot be read"):
            list(read_requests(str(path)))


def _with_noise(raw: bytes, rng: random.Random) -> bytes:
    place = rng.randrange(20, len(raw) - 30)
    return raw[:place] + rng.randbytes(20) + raw[place + 20 :]


def test_integers_of_any_size_are_packed() -> None:
    huge = 10**30
    line = {
        "utterance": "x", "context": {"room": -huge, "seats": 2**63, "beds": 10**350},
        "hypotheses": [{"domain": "lights", "intent": "On", "domain_confidence": huge}],
    }  # fmt: skip
    request = decode_request(json.dumps(line))
    assert request.context["room"] == -huge
    read = msgspec.msgpack.decode(packed(msgspec.msgpack.encode, request), type=Request)
    assert read.context == {"room": -1e30, "seats": 2**63, "beds": math.inf}
    assert [one.domain_confidence for one in read.hypotheses or ()] == [1e30]
