"""Features of a request."""

from __future__ import annotations

import math
from typing import Any

import msgspec
import pytest

from arbitrank.learn.census import fit_features
from arbitrank.learn.feature_spec import Confidences, FeatureSpec, Situation
from arbitrank.learn.features import context_row, parts, rows
from arbitrank.learn.matrices import plain_matrix
from arbitrank.learn.standardisation import Number
from arbitrank.probability import ALL, CLIP
from arbitrank.values import Hypothesis, Request, Slot

FILL = Confidences(0.4, 0.6, 0.8)


def named(names: tuple[str, ...], row: list[float]) -> dict[str, float]:
    return dict(zip(names, row, strict=True))


def request(*hypotheses: Hypothesis, utterance: str | None = "turn on", **context: Any) -> Request:
    return Request(utterance=utterance, context=context, hypotheses=hypotheses)


def reading(d: float | None, i: float | None, s: float | None, intent: str = "On", **fields: Any) -> Hypothesis:
    return Hypothesis("lights", intent, d, i, slots_confidence=s, **fields)


def test_a_missing_confidence_is_filled_with_the_mean_and_flagged() -> None:
    found = parts(request(reading(None, 0.5, None), reading(0.0, None, 1.0)), FILL)
    assert found.domain == [0.4, CLIP]
    assert found.intent == [0.5, 0.6]
    assert found.slots == [0.8, 1.0 - CLIP]
    assert found.missing == [(1.0, 0.0, 1.0), (0.0, 1.0, 0.0)]


def test_the_plain_features_are_the_logs_of_the_three_confidences() -> None:
    spec = FeatureSpec("lights", fill=FILL)
    (row,) = plain_matrix(spec, [request(reading(0.8, 0.5, None))], ALL).tolist()
    assert named(spec.plain_names, row) == pytest.approx(
        {
            "domain.logit": math.log(4.0),
            "intent.log": math.log(0.5),
            "slots.log": math.log(0.8),
            "domain.missing": 0.0,
            "intent.missing": 0.0,
            "slots.missing": 1.0,
            "bias": 1.0,
        }
    )


def test_the_features_of_the_request_and_of_each_reading() -> None:
    spec = FeatureSpec("lights", extras=("known",), fill=FILL)
    slots = (Slot("room", "hall"), Slot("level", "5"))
    example = request(
        reading(0.8, 0.3, 1 / 3),
        reading(0.8, 0.6, 0.5, "Off", slots=slots, features={"known": 2.0}),
        utterance="dim it",
    )
    of_request, of_readings = rows(spec, example)
    entropy = -(0.3 * math.log(0.3) + 0.6 * math.log(0.6))
    assert named(spec.request_names, of_request) == pytest.approx(
        {
            "domain.logit": math.log(4.0),
            "domain.missing": 0.0,
            "intent.best": math.log(0.6),
            "intent.best_logit": math.log(0.6 / 0.4),
            "intent.entropy": entropy,
            "intent.missing": 0.0,
            "slots.best": math.log(0.5),
            "slots.best_logit": 0.0,
            "slots.missing": 0.0,
            "slots.count": 2.0,
            "context.length": math.log(7.0),
            "context.length_missing": 0.0,
            "bias": 1.0,
            "features.known": 2.0,
        }
    )
    assert named(spec.reading_names, of_readings[0]) == pytest.approx(
        {
            "reading.null_odds": math.log(0.1 / 0.6),
            "intent.log": math.log(0.3),
            "slots.log": math.log(1 / 3),
            "intent.logit": math.log(0.3 / 0.7),
            "slots.logit": math.log(0.5),
            "intent.missing": 0.0,
            "slots.missing": 0.0,
            "intent.entropy": entropy,
            "reading.gap": math.log(0.3 / 0.1),
            "reading.rank": math.log(2.0),
            "slots.count": 0.0,
            "bias": 1.0,
            "context.intent_preference": 0.0,
            "context.intent_margin": 0.0,
            "context.intent_previous": 0.0,
            "features.known": 0.0,
        }
    )
    second = named(spec.reading_names, of_readings[1])
    assert (second["reading.gap"], second["reading.rank"], second["features.known"]) == (0.0, 0.0, 2.0)


@pytest.mark.parametrize(
    ("utterance", "length", "missing"), [(None, 0.0, 1.0), ("", 0.0, 0.0), ("abc", math.log(4), 0.0)]
)
def test_an_utterance_that_is_not_known_is_flagged(utterance: str | None, length: float, missing: float) -> None:
    spec = FeatureSpec("lights")
    found = named(spec.request_names, rows(spec, request(reading(0.5, 0.5, 0.5), utterance=utterance))[0])
    assert (found["context.length"], found["context.length_missing"]) == pytest.approx((length, missing))


SITUATIONS = (Situation("device", "tv"), Situation("device", "car"), Situation("has_screen"))
SITUATIONS += (Situation("volume", low=-2.0, high=10.0),)


@pytest.mark.parametrize(
    ("context", "row"),
    [
        ({}, [0, 0, 0, 0]),
        ({"device": "tv", "has_screen": True, "volume": 0.5}, [1, 0, 1, 0.5]),
        ({"device": "car", "has_screen": False, "volume": 7}, [0, 1, -1, 7]),
        ({"device": "toaster", "has_screen": None, "volume": "loud"}, [0, 0, 0, 0]),
        ({"device": 3, "has_screen": [True], "volume": {}}, [0, 0, 0, 0]),
        ({"device": "TV", "volume": 10**400}, [0, 0, 0, 10]),
        ({"volume": -1e308}, [0, 0, 0, -2]),
    ],
)
def test_the_context_in_numbers_nothing_for_what_is_absent_or_unknown(
    context: dict[str, Any], row: list[float]
) -> None:
    assert context_row(FeatureSpec("lights", SITUATIONS), context) == row


@pytest.mark.parametrize(
    ("context", "mine", "margin", "missing", "favourite"),
    [
        ({}, 0.0, 0.0, 1.0, 0.0),
        ({"preference.lights": 0.7}, 0.7, 0.0, 0.0, 0.0),
        ({"preference.lights": 0.7, "preference.heating": 0.2}, 0.7, 0.5, 0.0, 1.0),
        ({"preference.lights": 0.2, "preference.heating": 0.7, "preference.doors": 0.9}, 0.2, -0.7, 0.0, -1.0),
        ({"preference.lights": 0.7, "preference.heating": 0.7}, 0.7, 0.0, 0.0, 0.0),
        ({"preference.heating": 0.7}, 0.0, 0.0, 1.0, 0.0),
        ({"preference.lights": 0.7, "preference.heating.Warm": 0.9}, 0.7, 0.0, 0.0, 0.0),
        ({"preference.lights": "much", "preference.heating": 0.2}, 0.0, 0.0, 1.0, 0.0),
    ],
)
def test_a_preference_counts_as_it_is_by_its_margin_to_the_rivals_and_as_the_favourite(
    context: dict[str, Any], mine: float, margin: float, missing: float, favourite: float
) -> None:
    row = context_row(FeatureSpec("lights", preferences=True), context)
    assert row == pytest.approx([mine, margin, missing, favourite])


def test_a_reading_gets_its_own_intents_preference_and_whether_it_is_asked_again() -> None:
    spec = FeatureSpec("lights", preferences=True, previous=True)
    context = {
        "preference.lights.On": 0.9,
        "preference.lights.Off": 0.6,
        "previous_domain": "lights",
        "previous_intent": "Off",
    }
    example = Request(
        context=context, hypotheses=tuple(reading(0.5, 0.3, 1.0, intent) for intent in ("On", "Off", "Dim"))
    )
    found = [named(spec.reading_names, row) for row in rows(spec, example)[1]]
    own = ("context.intent_preference", "context.intent_margin", "context.intent_previous", "context.intent_favourite")
    assert [tuple(row[name] for name in own) for row in found] == [
        pytest.approx((0.9, 0.3, 0.0, 1.0)),
        pytest.approx((0.6, -0.3, 1.0, -1.0)),
        (0.0, 0.0, 0.0, 0.0),
    ]


def test_an_intents_rivals_are_those_that_the_recogniser_believes_in() -> None:
    """An intent that the user prefers to it counts for little where the words speak for others."""
    spec = FeatureSpec("lights", preferences=True)
    context = {"preference.lights.On": 0.5, "preference.lights.Off": 0.4, "preference.lights.Dim": 0.9}
    context |= {"preference.lights.Blink": 1.0}  # none of the readings
    readings = (reading(0.5, 0.5, 1.0, "On"), reading(0.5, 0.27, 1.0, "Off"), reading(0.5, 0.03, 1.0, "Dim"))
    row = named(spec.reading_names, rows(spec, Request(context=context, hypotheses=readings))[1][0])
    assert row["context.intent_margin"] == pytest.approx(0.9 * 0.1 + 0.1 * -0.4)
    assert row["context.intent_favourite"] == pytest.approx(0.9 - 0.1)


def test_the_context_is_crossed_with_the_confidences() -> None:
    spec = FeatureSpec("lights", SITUATIONS[:1])
    example = request(reading(0.8, 0.5, 0.25), device="tv")
    plain = named(spec.plain_names, plain_matrix(spec, [example], ALL)[0].tolist())
    for score in ("domain.logit", "intent.log", "slots.log"):
        assert plain[f"context.device=tv×{score}"] == plain[score]
    of_request = named(spec.request_names, rows(spec, example)[0])
    assert of_request["context.device=tv×logit"] == of_request["domain.logit"]


def fitted(contexts: list[dict[str, Any]], **options: Any) -> FeatureSpec:
    return fit_features("lights", [request(reading(0.5, 0.5, 0.5), **context) for context in contexts], **options)


@pytest.mark.parametrize(
    ("contexts", "situations"),
    [
        ([{}] * 9, ()),
        ([{"device": "tv"}] * 9, ()),  # the same for all says nothing
        ([{"device": "tv"}] * 5 + [{"device": "car"}] * 5, (Situation("device", "car"), Situation("device", "tv"))),
        ([{"device": "tv"}] * 5 + [{"device": "car"}] * 4, (Situation("device", "tv"),)),  # too rare
        ([{"device": "tv"}] * 5 + [{}] * 5, (Situation("device", "tv"),)),
        ([{"has_screen": True}] * 2 + [{"has_screen": False}] * 2, (Situation("has_screen"),)),
        ([{"has_screen": True}] * 2 + [{}] * 2, (Situation("has_screen"),)),
        ([{"has_screen": True}] * 4, ()),
        ([{"device": ["tv"]}] * 5 + [{"device": None}] * 5, ()),
        ([{"colour": "red"}] * 5 + [{"colour": "blue"}] * 5, ()),  # the key is not read
    ],
)
def test_the_situations_are_those_that_the_data_can_tell_apart(
    contexts: list[dict[str, Any]], situations: tuple[Situation, ...]
) -> None:
    assert fitted(contexts).situations == situations
    assert fitted(contexts, context=False).situations == ()


@pytest.mark.parametrize(
    ("values", "centre", "spread", "low", "high", "missing"),
    [
        ((3, -7.5, 5), 3.0, 2.0, -7.5, 5.0, False),
        ((1, 0, 0, 0), 0.0, 1.0, 0.0, 1.0, False),
        ((7, None, 7), 7.0, 1.0, 7.0, 7.0, True),
        ((7, "loud", 8), 7.0, 1.0, 7.0, 8.0, True),
    ],
)
def test_a_number_of_the_context_is_measured_by_its_distribution(
    values: tuple[Any, ...], centre: float, spread: float, low: float, high: float, missing: bool
) -> None:
    spec = fitted([{"volume": value} for value in values], keys=("volume",))
    assert spec.situations == ()
    assert spec.numbers == (Number("volume", centre, spread, low, high, missing),)


def test_a_key_that_holds_booleans_too_has_the_range_that_it_had_in_training() -> None:
    spec = fitted([{"volume": value} for value in (True, 3, -7.5)], keys=("volume",))
    assert (spec.situations, spec.numbers) == ((Situation("volume", low=-7.5, high=3.0),), ())


def test_a_domains_own_keys_are_looked_at_when_it_names_them() -> None:
    spec = fitted([{"colour": "red"}] * 5 + [{"colour": "blue"}] * 5, keys=("colour",))
    assert [situation.name for situation in spec.situations] == ["context.colour=blue", "context.colour=red"]


def test_preferences_and_the_previous_domain_are_features_where_the_data_has_them() -> None:
    assert fitted([{"preference.lights": 0.5}] + [{}] * 9).preferences
    assert fitted([{"preference.lights.On": 0.5}] + [{}] * 9).preferences
    assert not fitted([{"preference.heating": 0.5}] * 9).preferences
    assert not fitted([{"preference.lightshow": 0.5}] * 9).preferences
    assert fitted([{"previous_domain": "heating"}] * 5).previous
    assert not fitted([{"previous_domain": "heating"}] * 4).previous


def test_the_fill_is_the_mean_of_what_is_known_and_a_half_where_nothing_is() -> None:
    spec = fit_features(
        "lights", [request(reading(0.2, None, 0.5)), request(reading(0.4, None, None, slots=(Slot("a", "b", 0.1),)))]
    )
    assert spec.fill == pytest.approx((0.3, 0.5, 0.3))


def test_extras_are_the_names_of_the_hypotheses_own_features() -> None:
    spec = fit_features(
        "lights", [request(reading(0.5, 0.5, 0.5, features={"b": 1.0}), reading(0.5, 0.5, 0.5, features={"a": 2.0}))]
    )
    assert spec.known == ("a", "b")
    example = request(reading(0.5, 0.5, 0.5, features={"b": 1.0, "unknown": 3.0}))
    found = named(spec.reading_names, rows(spec, example)[1][0])
    assert {name: x for name, x in found.items() if name.startswith("features.")} == {
        "features.a": 0.0,
        "features.a.missing": 1.0,
        "features.b": 0.0,
        "features.b.missing": 0.0,
    }


def test_extras_of_an_old_artifact_are_taken_as_they_are_up_to_a_limit() -> None:
    spec = FeatureSpec("lights", extras=("a",))
    example = request(reading(0.5, 0.5, 0.5, features={"a": 1e308}), reading(0.5, 0.5, 0.5, features={"a": 0.25}))
    assert [row[-1] for row in rows(spec, example)[1]] == [1e9, 0.25]


def test_names_and_rows_have_the_same_length() -> None:
    numbers = (Number("hour", 12.0, 6.0, 0.0, 23.0, True), Number("speed"))
    spec = FeatureSpec("lights", SITUATIONS, True, True, ("known",), FILL, numbers, (Number("cosine", missing=True),))
    example = request(reading(0.5, None, 0.5), reading(None, 0.5, None))
    of_request, of_readings = rows(spec, example)
    assert len(of_request) == len(spec.request_names) == len(set(spec.request_names))
    assert {len(row) for row in of_readings} == {len(spec.reading_names)}
    assert plain_matrix(spec, [example], ALL).shape == (2, len(spec.plain_names))
    assert len(context_row(spec, {})) == len(spec.context_names)


def test_a_range_that_is_the_default_is_not_written() -> None:
    spec = fit_features("lights", [request(reading(0.5, 0.5, 0.5), has_screen=i % 2 == 0) for i in range(20)])
    assert msgspec.to_builtins(spec)["situations"] == ({"key": "has_screen"},)
