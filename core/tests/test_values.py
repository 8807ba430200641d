"""The values a request is made of."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from arbitrank.values import Answer, Decision, Example, Hypothesis, Ranked, Request, Slot, Truth

NOTHING = Answer("1", Decision("none"), (), {}, {})


@pytest.mark.parametrize(
    "value",
    [
        Slot("title", "x"),
        Hypothesis("lights", "On"),
        Request(),
        Truth(None),
        Example(Request(), Truth(None)),
        Ranked("a", "b"),
        NOTHING,
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_value_is_frozen(value: msgspec.Struct) -> None:
    with pytest.raises(AttributeError):
        setattr(value, value.__struct_fields__[0], "other")


@pytest.mark.parametrize(
    ("whole", "each", "promised"),
    [
        (0.3, [0.9, 0.9], 0.3),
        (0.0, [0.9], 0.0),
        (0.8, [], 0.8),
        (0.8, [None], 0.8),
        (None, [0.5, 0.5], 0.25),
        (None, [0.0, 0.5], 0.0),
        (None, [0.5, None], None),
        (None, [None, 0.0], None),
        (None, [], None),
        (None, [1.0], 1.0),
    ],
)
def test_the_confidence_of_a_reading_is_the_products_where_the_whole_has_none(
    whole: float | None, each: list[float | None], promised: float | None
) -> None:
    slots = tuple(Slot(f"s{i}", "v", confidence) for i, confidence in enumerate(each))
    assert Hypothesis("d", "i", slots=slots, slots_confidence=whole).reading_confidence == promised


confidences = st.none() | st.floats(0.0, 1.0)
slots = st.builds(
    Slot,
    name=st.text(min_size=1, max_size=8),
    value=st.text(max_size=8),
    confidence=confidences,
    start=st.none() | st.integers(0, 99),
    end=st.none() | st.integers(0, 99),
)
hypotheses = st.builds(
    Hypothesis,
    domain=st.text(min_size=1, max_size=8),
    intent=st.text(min_size=1, max_size=8),
    domain_confidence=confidences,
    intent_confidence=confidences,
    slots=st.lists(slots, max_size=3).map(tuple),
    slots_confidence=confidences,
    skill=st.none() | st.text(max_size=5),
    features=st.dictionaries(st.text(max_size=5), st.floats(allow_nan=False, allow_infinity=False), max_size=3),
)
json = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@given(
    st.builds(
        Request,
        id=st.none() | st.text(max_size=5),
        utterance=st.none() | st.text(max_size=20),
        context=st.dictionaries(st.text(max_size=5), json, max_size=3),
        hypotheses=st.none() | st.lists(hypotheses, max_size=3).map(tuple),
        session=st.none() | st.text(max_size=5),
        account=st.none() | st.dictionaries(st.text(max_size=5), json, max_size=2),
    )
)
def test_a_request_survives_json(request: Request) -> None:
    assert msgspec.json.decode(msgspec.json.encode(request), type=Request) == request


def test_absent_hypotheses_and_an_empty_list_stay_different_in_json() -> None:
    assert msgspec.json.encode(Request()) == b"{}"
    assert msgspec.json.encode(Request(hypotheses=())) == b'{"hypotheses":[]}'


def test_an_answer_in_json_names_the_decision_the_list_the_domains_and_the_times() -> None:
    assert msgspec.json.decode(msgspec.json.encode(NOTHING)) == {
        "id": "1",
        "decision": {"action": "none", "contenders": []},
        "ranked": [],
        "domains": {},
        "ms": {},
    }
