"""Remote domains that only recognise: calls in a vendor's words, its replies, and the ranking here."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fake_remote import Call, FakeRemote, domain_at, fake_remote, outcome, reply
from fakes import FakeModel

from arbitrank.arbitration.outcomes import Answered, Failed
from arbitrank.arbitration.scaled_model import scaled
from arbitrank.domain import Settings
from arbitrank.errors import DataError
from arbitrank.remote.domain import RecognisingRemote
from arbitrank.scales import domain_scales
from arbitrank.values import Example, Hypothesis, Request, Truth

RAIN = Request(id="7", utterance="will it rain & snow?", context={"device": "tv", "mood": {"a": 1}}, session="s-17")
PARSED = {
    "text": RAIN.utterance,
    "intent": {"name": "AskRain", "confidence": 0.7},
    "intent_ranking": [{"name": "AskRain", "confidence": 0.7}, {"name": "AskSnow", "confidence": 0.2}],
    "entities": [{"entity": "what", "value": "rain", "start": 8, "end": 12}],
}


def always(value: Any) -> Callable[[Call], bytes]:
    return lambda call: reply(value)


def recogniser(server: FakeRemote, path: str = "/parse", **entry: Any) -> RecognisingRemote:
    found = domain_at(f"{server.url}{path}", **{"format": "rasa", **entry})
    assert isinstance(found, RecognisingRemote)
    return found


def model(server: FakeRemote, path: str = "/parse", scale: str = "0..1", **entry: Any) -> Any:
    ranker = scaled(FakeModel("weather", mine=0.6), domain_scales({"intent_confidence": scale}))
    return recogniser(server, path, **entry).fetching(ranker)


def test_readings_of_a_vendor_are_ranked_here() -> None:
    with fake_remote(always(PARSED)) as server:
        found = outcome(model(server), RAIN)
    assert isinstance(found, Answered)
    assert [(h.domain, h.intent, h.intent_confidence) for h in found.hypotheses] == [
        ("weather", "AskRain", 0.7),
        ("weather", "AskSnow", 0.2),
    ]
    assert found.hypotheses[0].slots[0].value == "rain"
    assert (found.scores.mine, found.scores.right.tolist()) == (0.6, [0.3, 0.3])
    (call,) = server.calls
    assert (call.method, call.target, call.body) == ("POST", "/parse", {"text": RAIN.utterance})


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        (
            {"format": "hypotheses", "send": ["utterance", "session"]},
            {"utterance": RAIN.utterance, "session": "s-17"},
        ),
        (
            {
                "send": ["utterance", "context", "id"],
                "body": {
                    "model": "small",
                    "messages": [{"role": "user", "content": "on {context.device}: {utterance}"}, 1, None],
                    "mood": "{context.mood}",
                    "gone": "{context.gone}",
                    "id": "{id}/{context.mood}",
                    "left": "{other} {}",
                },
            },
            {
                "model": "small",
                "messages": [{"role": "user", "content": f"on tv: {RAIN.utterance}"}, 1, None],
                "mood": {"a": 1},
                "gone": None,
                "id": '7/{"a":1}',
                "left": "{other} {}",
            },
        ),
    ],
)
def test_a_body_is_what_the_entry_states(entry: dict[str, Any], expected: dict[str, Any]) -> None:
    with fake_remote(always({"hypotheses": []} if entry.get("format") else PARSED)) as server:
        assert isinstance(outcome(model(server, **entry), RAIN), Answered)
    assert server.calls[0].body == expected


def test_a_query_with_a_part_of_the_request_is_a_get() -> None:
    with fake_remote(always(PARSED)) as server:
        assert isinstance(outcome(model(server, "/m?v=1&q={utterance}"), RAIN), Answered)
    (call,) = server.calls
    assert (call.method, call.target) == ("GET", "/m?v=1&q=will%20it%20rain%20%26%20snow%3F")
    assert (call.body, "content-length" in call.headers) == (None, False)


def test_hypotheses_that_are_given_are_ranked_without_a_call() -> None:
    with fake_remote(always(PARSED)) as server:
        found = outcome(model(server), RAIN, [Hypothesis("weather", "AskRain", 0.5)])
        assert isinstance(found, Answered)
        assert (found.scores.mine, server.connections) == (0.6, 0)


def test_a_remote_without_a_reading_answers() -> None:
    silent = {"choices": [{"message": {"role": "assistant", "content": "I do not know."}}]}
    with fake_remote(always(silent)) as server:
        found = outcome(model(server, format="llm"), RAIN)
    assert isinstance(found, Answered)
    assert (found.scores.mine, len(found.hypotheses)) == (0.0, 0)


@pytest.mark.parametrize(
    ("value", "entry", "expected"),
    [
        (b"{nope", {}, "its reply cannot be read as rasa: not JSON"),
        ({"answer": 42}, {}, "its reply cannot be read as rasa: lacks the fields intent and intent_ranking"),
        (
            {"hypotheses": 7},
            {"format": "hypotheses"},
            "its reply cannot be read as hypotheses: hypotheses: 7 is invalid",
        ),
        (
            {"hypotheses": [{"domain": "maps", "intent": "Go"}]},
            {"format": "hypotheses"},
            "hypothesis 0 is of domain 'maps', expected 'weather'",
        ),
        ({"hypotheses": [{"domain": "weather"}]}, {"format": "hypotheses"}, "cannot be read as hypotheses"),
        (
            {"hypotheses": [{"domain": "weather", "intent": "A", "intent_confidence": 500}]},
            {"format": "hypotheses", "scale": "0..100"},
            "500 is out of range, expected a number in [0, 100]",
        ),
    ],
)
def test_a_reply_that_cannot_be_read_is_the_remotes_fault(value: Any, entry: dict[str, Any], expected: str) -> None:
    with fake_remote(always(value)) as server:
        found = outcome(model(server, **entry), RAIN)
    assert isinstance(found, Failed)
    assert expected in found.reason
    assert found.counts == 1
    assert RAIN.utterance is not None
    assert RAIN.utterance not in found.impersonal


def test_names_are_those_of_the_map(tmp_path: Path) -> None:
    (tmp_path / "names.toml").write_text('[intents]\nAskRain = "weather.rain"\nAskSnow = "weather.snow"\n')
    with fake_remote(always(PARSED)) as server:
        found = outcome(model(server, map=str(tmp_path / "names.toml")), RAIN)
    assert isinstance(found, Answered)
    assert [h.intent for h in found.hypotheses] == ["rain", "snow"]


def test_it_learns_from_supplied_hypotheses_alone(tmp_path: Path) -> None:
    example = Example(Request(utterance="will it rain"), Truth("weather", "AskRain"))
    with (
        fake_remote() as server,
        pytest.raises(DataError, match="import its replies: arbitrank import rasa FILE"),
    ):
        recogniser(server).train([example] * 5, tmp_path, Settings())
