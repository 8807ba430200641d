"""JSON in: one object at a time or a file of lines, bad input explained by name."""

from __future__ import annotations

import gzip
import io
import json
import random
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arbitrank.errors import DataError, InputError
from arbitrank.values import Example, Hypothesis, Request, Slot, Truth
from arbitrank.wire import (
    MAX_HYPOTHESES,
    MAX_LINE,
    BadLine,
    decode_example,
    decode_request,
    read_examples,
    read_requests,
)

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


@pytest.mark.parametrize(
    ("text", "hypotheses"), [("{}", None), ('{"hypotheses": null}', None), ('{"hypotheses": []}', ())]
)
def test_absent_hypotheses_are_not_an_empty_list(text: str, hypotheses: tuple[()] | None) -> None:
    assert decode_request(text) == Request(hypotheses=hypotheses)


@pytest.mark.parametrize(
    ("text", "field", "seen", "expected"),
    [
        (reading(domain_confidence=1.2), "hypotheses[0].domain_confidence", "1.2", "a number in [0, 1]"),
        (reading(intent_confidence=-0.1), "hypotheses[0].intent_confidence", "-0.1", "a number in [0, 1]"),
        (reading(slots_confidence="high"), "hypotheses[0].slots_confidence", '"high"', "a number in [0, 1]"),
        (reading(domain_confidence=True), "hypotheses[0].domain_confidence", "true", "a number in [0, 1]"),
        (reading(domain_confidence=float("nan")), "hypotheses[0].domain_confidence", "nan", "a finite number"),
        (reading(domain_confidence=float("-inf")), "hypotheses[0].domain_confidence", "-inf", "a finite number"),
        (reading(features={"known": "yes"}), "hypotheses[0].features", '{"known": "yes"}', "a finite number"),
        (reading(features={"known": float("inf")}), "hypotheses[0].features.known", "inf", "a finite number"),
        (
            reading(slots=[{"name": "room", "value": "x", "confidence": 2}]),
            "hypotheses[0].slots[0].confidence",
            "2",
            "a number in [0, 1]",
        ),
        (reading(slots=[{"name": "room", "value": 3}]), "hypotheses[0].slots[0].value", "3", "str"),
        (reading(slots={}), "hypotheses[0].slots", "{}", "array"),
        (reading(domain=""), "hypotheses[0].domain", '""', "length >= 1"),
        (reading(intent="x" * 201), "hypotheses[0].intent", "xxx", "length <= 200"),
        (line(hypotheses=[{"domain": "lights"}]), "hypotheses[0]", "", "lacks the field intent"),
        (line(hypotheses=3), "hypotheses", "3", "array"),
        (line(hypotheses=["On"]), "hypotheses[0]", '"On"', "an object"),
        (line(utterance=3), "utterance", "3", "str"),
        (line(utterance=["turn", "on"]), "utterance", '["turn", "on"]', "str"),
        (line(context=[]), "context", "[]", "an object"),
        (line(context={"preference.lights": 1.5}), "context['preference.lights']", "1.5", "a number in [0, 1]"),
        (line(context={"preference.lights": "much"}), "context['preference.lights']", '"much"', "a number in [0, 1]"),
        (line(context={"age": float("nan")}), "context.age", "nan", "a finite number"),
        (line(id=5), "id", "5", "str"),
        (line(account="me"), "account", '"me"', "object"),
        ("[]", "the line", "[]", "an object"),
        ("3", "the line", "3", "an object"),
        ("null", "the line", "null", "an object"),
        ('"turn on the light"', "the line", '"turn on the light"', "an object"),
        ("", "not JSON", "", "one complete JSON object"),
        ("turn on the light", "not JSON", "column 1;", "one complete JSON object"),
        ('{"utterance": "turn', "not JSON", "column 15;", "one complete JSON object"),
        ('{"utterance": "x"} {}', "not JSON", "", "one complete JSON object"),
        ("{'utterance': 'x'}", "not JSON", "", "one complete JSON object"),
        ('{"context": {"x": ' + DEEP + "}}", "nested too deeply", "", ""),
        (DEEP, "the line", "", "an object"),
        # What follows the bad field cannot be read either: the field is named all the same.
        ('{"hypotheses": 3, "utterance": "turn', "hypotheses", "", "array"),
        ('{"hypotheses": 3, "x": ' + DEEP + "}", "hypotheses", "", "array"),
        ('{"context": {"n": 1' + "0" * 5000 + "}}", "context", "", "range"),
    ],
    ids=range(38),
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
        (line(text="x", domain=3), "domain: 3 is invalid"),
        (line(text="x", domain=""), 'domain: "" is invalid'),
        (line(utterance="x"), "lacks the field truth"),
        (line(domain="lights"), "the object: lacks the field text"),
        (line(utterance="x", domain="lights", skill="s"), "the object: lacks the field text"),
        (line(utterance="x", truth={}), "truth: lacks the field domain"),
        (line(utterance="x", truth="lights"), 'truth: "lights" is invalid, expected an object'),
        (line(text="x", domain="d", context={"preference.d": 2}), "context['preference.d']: 2 is out of range"),
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
    assert bad[0].reason == "the line: [1] is invalid, expected an object"


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
