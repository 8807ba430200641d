"""Scales: a text states how scores are read; each is monotone, and none is guessed."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arbitrank.errors import InputError
from arbitrank.scales import FIELDS, domain_scales, recorded, scale, shown
from arbitrank.scores import ScoreError, distinct, distinct_hypotheses, only, read_hypotheses
from arbitrank.values import Hypothesis, Slot

NUMBERS = {
    "0..1": (0.0, 1.0),
    "0..100": (0.0, 100.0),
    "-1..1": (-1.0, 1.0),
    "percent": (0.0, 100.0),
    "text": (0.0, 1.0),
    "cosine": (-1.0, 1.0),
    "logprob": (-1e6, 0.0),
    "log10": (-1e6, 0.0),
    "log2": (-1e6, 0.0),
    "logit": (-1e6, 1e6),
    "margin": (-1e300, 1e300),
}


def read(text: str, value: Any) -> Any:
    """The domain confidence `value` as it is read on the scale that `text` states."""
    one = Hypothesis("lights", "Do", domain_confidence=value)
    return read_hypotheses((one,), domain_scales({"domain_confidence": text}))[0].domain_confidence


@pytest.mark.parametrize(
    ("text", "value", "expected"),
    [
        ("0..1", 0.85, 0.85),
        ("0..1", 1, 1.0),
        ("0..100", 1, 0.01),
        ("0..100", "60", 0.6),
        ("100..0", 25.0, 0.75),
        ("2..0", 0.5, 0.75),
        ("-1..1", 0.0, 0.5),
        ("percent", "85%", 0.85),
        ("percent", " 85.5 % ", 0.855),
        ("percent", 85, 0.85),
        ("text", "0.85", 0.85),
        ("text", 0.85, 0.85),
        ("cosine", 0.5, 0.75),
        ("cosine", 1.0000001, 1.0),
        ("logprob", math.log(0.25), 0.25),
        ("log10", -1.0, 0.1),
        ("log2", -3.0, 0.125),
        ("logit", 0.0, 0.5),
        ("logit", math.log(3.0), 0.75),
        ("margin", 0, 0.5),
        ("margin", 1.0, 0.75),
        ("rank", 1, 0.5),
        ("rank", 3, 0.25),
        ("low,medium,high", "High", 5 / 6),
        ("low,medium,high", "low", 1 / 6),
        ("1,2,3,4,5", 4, 0.7),
        ("1,2,3,4,5", "4", 0.7),
        ("missing", 1.0, None),
        ("missing", {"any": "thing"}, None),
    ],
)
def test_a_score_is_read(text: str, value: Any, expected: float | None) -> None:
    assert read(text, value) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    ("text", "value", "problem"),
    [
        ("0..1", 60, "60 is out of range, expected a number in [0, 1]; state its scale: --scale lights.domain_conf"),
        ("0..1", 1.2, "1.2 is out of range, expected a number in [0, 1]"),
        ("0..1", -0.12, "-0.12 is out of range, expected a number in [0, 1]"),
        ("0..1", "85%", '"85%" is invalid, expected a number in [0, 1]; state its scale: --scale lights.domain_conf'),
        ("0..1", "high", '"high" is invalid'),
        ("0..1", "0.85", '"0.85" is invalid'),
        ("0..1", True, "true is invalid, expected a number in [0, 1]"),
        ("0..1", {"p": 1}, '{"p": 1} is invalid'),
        ("0..1", [0.5], "[0.5] is invalid"),
        ("0..1", math.nan, "NaN is out of range"),
        ("0..1", math.inf, "Infinity is out of range"),
        ("0..1", 10**400, "is out of range"),
        ("0..100", 160, "160 is out of range, expected a number in [0, 100], its scale being 0..100"),
        ("0..100", True, "true is invalid"),
        ("percent", "high", '"high" is invalid, expected a number in [0, 100]'),
        ("text", "1_0", '"1_0" is invalid'),
        ("text", "nan", '"nan" is invalid'),
        ("logprob", 0.5, "0.5 is out of range, expected a logarithm, at most 0"),
        ("rank", 0, "0 is out of range, expected a rank, 1 or more"),
        ("margin", math.inf, "Infinity is out of range"),
        ("low,medium,high", "tall", '"tall" is unknown, expected one of low, medium, high'),
        ("low,medium,high", None.__class__, "is unknown"),
    ],
)
def test_a_score_that_cannot_be_read_is_named_with_its_field_value_and_range(
    text: str, value: Any, problem: str
) -> None:
    with pytest.raises(ScoreError) as raised:
        read(text, value)
    message = str(raised.value)
    assert message.startswith("hypotheses[0].domain_confidence: ")
    assert problem in message
    assert "\n" not in message
    assert len(message) < 250


def test_within_the_rounding_of_float32_a_score_is_clipped() -> None:
    for value, expected in ((1.0000001192092896, 1.0), (-6e-8, 0.0), (1.0000005, 1.0)):
        assert read("0..1", value) == expected
    with pytest.raises(ScoreError):
        read("0..1", 1.001)


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("prcent", "percent"),
        ("percentage", "percent"),
        ("%", "percent"),
        ("log-probability", "logprob"),
        ("probability", "0..1"),
        ("log_odds", "logit"),
        ("unbounded", "margin"),
        ("always-1", None),
        ("0-100", "0..100"),
        ("0–100", "0..100"),
        ("0...1", "0..1"),
        ("[0, 100]", "0..100"),
        ("0,1", "0..1"),
        ("100", "0..100"),
        ("none", "missing"),
        ("bogus", None),
    ],
)
def test_an_unknown_scale_is_refused_with_the_list_and_the_one_that_is_meant(text: str, meant: str | None) -> None:
    with pytest.raises(InputError) as raised:
        scale(text)
    message = str(raised.value)
    assert "expected LOW..HIGH, percent, text, cosine, logprob" in message
    assert message.endswith(f"did you mean {meant}?") if meant else "did you mean" not in message


@pytest.mark.parametrize("text", ["1..1", "0..1e400", "-1e308..1e308", "low,low", "low,", ","])
def test_a_scale_of_one_point_is_refused(text: str) -> None:
    with pytest.raises(InputError):
        scale(text)


def test_an_unknown_field_is_refused_with_the_one_that_is_meant() -> None:
    with pytest.raises(InputError, match=r"intent_confidance.*did you mean intent_confidence"):
        domain_scales({"intent_confidance": "percent"})


def test_scales_are_equal_where_they_read_numbers_alike() -> None:
    assert scale("percent") == scale("0..100") == scale(" 0 .. 100.0 ")
    assert scale("text") == scale("0..1") != scale("0..10")
    assert scale("low,high") == scale("LOW, High") != scale("high,low")
    stated = domain_scales(dict(zip(FIELDS, ("0..100", "0..1", "text"), strict=True)))
    assert shown(stated) == {"domain_confidence": "0..100", "slots_confidence": "text"}
    assert recorded(stated) == {**dict.fromkeys(FIELDS, "0..1"), "domain_confidence": "0..100"}
    assert recorded(stated, ["domain_confidence"]) == {"domain_confidence": "0..100"}
    assert recorded(domain_scales(dict.fromkeys(FIELDS, "text"))) == {}


@given(st.sampled_from(sorted(NUMBERS)), st.data())
def test_a_scale_is_monotone_within_0_and_1_and_survives_json(text: str, data: st.DataObject) -> None:
    low, high = NUMBERS[text]
    one, two = sorted(data.draw(st.floats(low, high)) for _ in range(2))
    p, q = read(text, one), read(text, two)
    assert 0.0 <= p <= q <= 1.0
    assert json.loads(json.dumps(p)) == p == read(text, json.loads(json.dumps(one)))


@given(st.integers(1, 10**9), st.integers(1, 10**9))
def test_the_smaller_rank_is_the_better(one: int, two: int) -> None:
    p, q = read("rank", min(one, two)), read("rank", max(one, two))
    assert 0.0 < q <= p < 1.0
    assert p > q or one == two


@given(st.floats(-1e4, 1e4), st.floats(-1e4, 1e4))
def test_a_margin_does_not_saturate(one: float, two: float) -> None:
    p, q = read("margin", one), read("margin", two)
    assert abs(one - two) < 1e-3 or p != q


JUNK: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)


@given(
    st.sampled_from([*NUMBERS, "rank", "low,medium,high", "missing"]),
    st.tuples(JUNK, JUNK, JUNK, JUNK, st.dictionaries(st.text(), JUNK, max_size=2)),
)
def test_any_value_is_read_or_refused(text: str, values: tuple[Any, ...]) -> None:
    domain, intent, slots, slot, features = values
    one = Hypothesis("lights", "Do", domain, intent, (Slot("a", "b", slot),), slots, features=features)
    for scales in (domain_scales({}), domain_scales(dict.fromkeys(FIELDS, text))):
        try:
            (found,) = read_hypotheses((one,), scales)
        except InputError as error:
            message = str(error).encode()
        else:
            message = b""
            scores = [getattr(found, name) for name in FIELDS] + [found.slots[0].confidence]
            assert all(p is None or 0.0 <= p <= 1.0 for p in scores)
            assert all(math.isfinite(number) for number in found.features.values())
        assert b"\n" not in message


def test_plain_numbers_are_returned_as_the_same_tuple() -> None:
    plain = (Hypothesis("lights", "Do", 0.5, None, (Slot("a", "b", 0.5),), 1.0, features={"x": -3.0}),)
    assert read_hypotheses(plain) is plain


def test_a_long_text_of_digits_is_refused_in_linear_time() -> None:
    # Matched in every way, so many digits would take hours.
    for digits in ("1" * 1_000_000, "1" * 500_000 + "." + "1" * 500_000):
        with pytest.raises(ScoreError, match="is invalid, expected a number in"):
            read_hypotheses((Hypothesis("lights", "Do", f"{digits}x"),))


def test_features_are_finite_numbers_on_no_scale() -> None:
    def reading(**features: Any) -> tuple[Hypothesis, ...]:
        return (Hypothesis("lights", "Do", 50.0, features=features),)

    scales = domain_scales(dict.fromkeys(FIELDS, "0..100"))
    assert read_hypotheses(reading(a=7, b=None), scales)[0].features == {"a": 7.0}
    for value, problem in ((math.nan, "NaN is out of range"), ("7", '"7" is invalid'), (True, "true is invalid")):
        with pytest.raises(ScoreError, match=problem):
            read_hypotheses(reading(a=value), scales)


def test_a_slots_own_confidence_is_on_the_scale_of_the_reading() -> None:
    one = Hypothesis("lights", "Do", 0.5, slots=(Slot("a", "b", 50), Slot("c", "d")), slots_confidence="70")
    (found,) = read_hypotheses((one,), domain_scales({"slots_confidence": "0..100"}))
    assert (found.slots[0].confidence, found.slots[1].confidence, found.slots_confidence) == (0.5, None, 0.7)
    with pytest.raises(ScoreError, match=r"hypotheses\[0\].slots\[0\].confidence: 50 is out of range"):
        read_hypotheses((Hypothesis("lights", "Do", slots=(Slot("a", "b", 50),)),))


# ---------------------------------------------------------------------------------------------------- equal readings


def slots(*pairs: tuple[str, str]) -> tuple[Slot, ...]:
    return tuple(Slot(name, value) for name, value in pairs)


def test_equal_readings_count_once_the_best_in_the_first_ones_place() -> None:
    given_ = (
        Hypothesis("lights", "Do", 0.4, slots=slots(("a", "x"), ("b", "y"))),
        Hypothesis("lights", "Other", 0.5),
        Hypothesis("lights", "Do", 0.6, slots=slots(("b", "Y "), ("a", "x"))),
    )
    kept = distinct(given_)
    assert kept == ((2, 2), (1, 1))
    found = only(given_, kept)
    assert [(h.intent, h.domain_confidence, h.features) for h in found] == [
        ("Do", 0.6, {"repeated": 2.0}),
        ("Other", 0.5, {}),
    ]
    assert distinct(found) is None


@pytest.mark.parametrize(
    "change",
    [
        lambda h: Hypothesis("lights", "Do", 0.6, slots=slots(("a", "z"))),
        lambda h: Hypothesis("lights", "Do", 0.6, slots=slots(("c", "x"))),
        lambda h: Hypothesis("lights", "Do", 0.6),
        lambda h: Hypothesis("lights", "Do", 0.6, slots=h.slots, skill="another"),
    ],
)
def test_other_readings_stay(change: Callable[[Hypothesis], Hypothesis]) -> None:
    one = Hypothesis("lights", "Do", 0.6, slots=slots(("a", "x")))
    assert distinct((one, change(one))) is None


def test_the_best_is_chosen_by_what_the_scores_mean() -> None:
    given_ = (Hypothesis("lights", "Do", 1), Hypothesis("lights", "Do", 2))
    (found,) = distinct_hypotheses(given_, domain_scales({"domain_confidence": "rank"}))
    assert (found.domain_confidence, found.features) == (0.5, {"repeated": 2.0})


@given(st.lists(st.tuples(st.sampled_from("AB"), st.sampled_from("xy"), st.floats(0, 1)), max_size=8))
def test_reading_twice_changes_nothing(rows: list[tuple[str, str, float]]) -> None:
    given_ = tuple(Hypothesis("lights", intent, p, slots=slots(("a", value))) for intent, value, p in rows)
    once = distinct_hypotheses(given_)
    assert distinct_hypotheses(once) is once
    assert sum(h.features.get("repeated", 1.0) for h in once) == len(rows)
    assert len(once) == len({(intent, value) for intent, value, _ in rows})
