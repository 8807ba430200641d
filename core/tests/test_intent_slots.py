"""How slots go with intents."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from arbitrank.nlu.intent_slots import IntentSlots, learn_intent_slots
from arbitrank.nlu.tagger import Reading
from arbitrank.values import Slot

ROWS = [("on", {"room"})] * 40 + [("off", {"room", "time"})] * 30 + [("off", {"time"})] * 10 + [("ask", set())] * 20
NAMES, INTENTS = ("room", "time"), ("on", "off", "ask")


def fit() -> IntentSlots:
    return learn_intent_slots(NAMES, INTENTS, ROWS)


def reading(probability: float, *names: str) -> Reading:
    return Reading(tuple(Slot(name, "x") for name in names), probability)


def test_an_intent_prefers_the_readings_whose_slots_it_has() -> None:
    readings = [reading(0.5, "room"), reading(0.3, "room", "time"), reading(0.1)]
    on, off, ask = fit().given_intents(readings)
    assert on.argmax() == 0
    assert off.argmax() == 1
    assert ask.argmax() == 2


@given(st.lists(st.tuples(st.floats(1e-6, 1.0), st.sets(st.sampled_from(NAMES))), min_size=1, max_size=6))
def test_readings_share_out_what_they_had_together(found: list[tuple[float, set[str]]]) -> None:
    total = sum(p for p, _ in found)
    readings = [reading(p / max(1.0, total), *sorted(names)) for p, names in found]
    given_intents = fit().given_intents(readings)
    assert given_intents.shape == (3, len(readings))
    assert (given_intents >= 0.0).all()
    assert given_intents.sum(axis=1) == pytest.approx(sum(r.probability for r in readings))


def test_an_intent_that_is_like_the_domain_changes_nothing() -> None:
    even = learn_intent_slots(
        ("room",), ("on", "off"), [("on", {"room"}), ("on", set()), ("off", {"room"}), ("off", set())]
    )
    readings = [reading(0.6, "room"), reading(0.2)]
    assert even.given_intents(readings) == pytest.approx(np.array([[0.6, 0.2], [0.6, 0.2]]))


def test_an_intent_seen_once_is_not_taken_at_its_word() -> None:
    often = learn_intent_slots(("room",), ("on", "rare"), [("on", {"room"})] * 50 + [("rare", set())] * 50)
    once = learn_intent_slots(("room",), ("on", "rare"), [("on", {"room"})] * 50 + [("rare", set())])
    readings = [reading(0.8, "room"), reading(0.2)]
    assert once.given_intents(readings)[1, 0] > often.given_intents(readings)[1, 0]
