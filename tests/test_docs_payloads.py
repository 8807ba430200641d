"""What docs/reference/formats/payloads.md shows of other systems' payloads is what the importers do."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from arbitrank.errors import InputError
from arbitrank.importers.formats import FORMATS, imported
from arbitrank.importers.options import ImportOptions, read_map
from arbitrank.values import Request
from arbitrank.wire.request_checks import FORMATS as NAMED
from arbitrank.wire.requests import decode_request

PAGE = (Path(__file__).parents[1] / "docs/reference/formats/payloads.md").read_text(encoding="utf-8")


def shown(name: str, folder: Path) -> ImportOptions:
    """The mapping file of a block, read."""
    found = re.search(rf"^```toml {name}\n(.*?)^```$", PAGE, re.M | re.S)
    assert found is not None
    (folder / "names.toml").write_text(found[1], encoding="utf-8")
    return read_map(folder / "names.toml", ImportOptions("own"))


def test_the_table_has_every_format() -> None:
    rows = re.findall(r"^\| `([\w-]+)` \|", PAGE, re.M)
    assert list(FORMATS) == rows
    assert set(NAMED.values()) <= FORMATS.keys()


def test_the_names_that_are_shown_are_read(tmp_path: Path) -> None:
    names = shown("names", tmp_path)
    called = {"tool_calls": [{"function": {"name": "shop_refund"}}, {"function": {"name": "weather_today"}}]}
    found = imported({"choices": [{"message": called}]}, "llm", names).hypotheses or ()
    assert [(one.domain, one.intent) for one in found] == [("shop", "refund"), ("weather", "weather_today")]
    ranking = [{"name": "a", "confidence": 0.5}, {"name": "chitchat/joke", "confidence": 0.25}]
    (only,) = imported({"intent_ranking": ranking}, "rasa", names).hypotheses or ()
    assert only.domain_confidence == 0.75


def test_the_mapping_that_is_shown_reads_a_payload(tmp_path: Path) -> None:
    action = {"name": "On", "arguments": {"lamp": "desk lamp"}}
    payload = {
        "request": {"text": "desk lamp on", "language": "en"},
        "found": {"Lamps": {"action": action, "score": 50, "gaps": [3]}},
    }
    request = imported(payload, "map", shown("mapping", tmp_path))
    expected = decode_request(
        '{"utterance": "desk lamp on", "context": {"locale": "en"}, "hypotheses": [{"domain": "lamps", "intent": "On", '
        '"domain_confidence": 0.5, "slots": [{"name": "lamp", "value": "desk lamp", "start": 0, "end": 9}], '
        '"features": {"margin": 3}}]}'
    )
    assert isinstance(request, Request)
    assert request == expected


def test_a_payload_given_as_a_request_is_refused_with_the_import() -> None:
    with pytest.raises(
        InputError,
        match=r"arbitrank rank --format wit FILE, over HTTP \?format=wit; see docs/reference/formats/payloads\.md$",
    ):
        decode_request('{"text": "on", "intents": [], "entities": {}}')
    with pytest.raises(InputError, match=r"arbitrank rank --format map --map MAPPING FILE, over HTTP \?format=map"):
        decode_request('{"output": {"intents": []}}')
