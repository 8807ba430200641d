"""Benchmark of answers from text."""

from __future__ import annotations

import numpy as np
import pytest
from benchmarks import text_peers
from benchmarks.text import different, paired, prepared_peers, varied

from arbitrank.values import Example, Request, Slot, Truth

TEXTS = ["dim the hall", "light the attic please", "off"]


def example(text: str, intent: str, room: str = "") -> Example:
    start = text.find(room)
    slots = (Slot("room", room, start=start, end=start + len(room)),) if room else ()
    return Example(Request(utterance=text), Truth("home", intent, slots))


EXAMPLES = {
    "home": [example("dim the hall", "Dim", "hall"), example("light the attic", "Light", "attic")] * 3,
    "shop": [
        Example(Request(utterance="buy a lamp"), Truth("shop", "Buy")),
        Example(Request(utterance="sell it"), Truth("shop", "Sell")),
    ]
    * 3,
}


def test_requests_are_varied_and_the_same_each_time() -> None:
    made = varied(TEXTS, 100)
    assert made == varied(TEXTS, 100)
    assert len(set(made)) > 20
    assert all(text.strip() for text in made)


def test_answers_differ_by_decision_reading_or_probability() -> None:
    one = [["accept", [0]], ["home", "Dim", []], 0.5]
    others = [["none", []], one[1], 0.5], [one[0], ["home", "Off", []], 0.5], [*one[:2], 0.50001], [*one[:2], 0.5000001]
    assert different([one] * 4, others) == [0, 1, 2]


def test_all_sides_take_the_same_turns() -> None:
    asked: list[tuple[str, int, int]] = []

    class Side:
        def __init__(self, name: str) -> None:
            self.name = name

        def seconds(self, begin: int, end: int) -> list[float]:
            asked.append((self.name, begin, end))
            return [1.0, 2.0, 9.0]

    found = paired({"a": Side("a"), "b": Side("b")}, 100, 4)
    assert {name: times.tolist() for name, times in found.items()} == {"a": [2.0] * 4, "b": [2.0] * 4}
    assert [name for name, _, _ in asked] == ["b", "a", "a", "b"] * 2
    assert all(0 <= begin < end <= 100 for _, begin, end in asked)


def test_peers_read_requests_and_missing_ones_give_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> object:
        raise text_peers.Unavailable(f"no {name}")

    monkeypatch.setattr(text_peers, "_imported", missing)
    pipelines = text_peers.Pipelines(EXAMPLES)
    home, shop = pipelines.answer("dim the attic")
    assert home[0][0, 1] > shop[0][0, 1]
    assert home[2] == ["O", "O", "B-room"]
    pipelines.texts = TEXTS
    assert np.array(pipelines.seconds(0, 3)).shape == (3,)
    with pytest.raises(text_peers.Unavailable):
        text_peers.Padacioso(EXAMPLES)
    found, reasons = prepared_peers(EXAMPLES)
    assert [one.name for one in found] == [text_peers.Pipelines.name]
    assert reasons == {"padacioso": "no padacioso", "padatious": "no padatious"}
