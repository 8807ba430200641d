"""Base and groups add up to the log-odds of P(right), for every model and after every later stage."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_scoring import NAMES, contexts, grown, hypotheses, models

from arbitrank.arbitration.arbitrator import Arbitrator, Serving
from arbitrank.arbitration.decide import DecisionSettings
from arbitrank.arbitration.recalibration import Recalibration
from arbitrank.cli.answer_tables import show_answer
from arbitrank.domain import Model, Scores
from arbitrank.explanation import LEAST, completed, exact_log_odds, split, staged
from arbitrank.learn.census import fit_features
from arbitrank.learn.contributions import worded
from arbitrank.learn.feature_spec import Confidences, FeatureSpec
from arbitrank.learn.reference import ReferenceDomain, ReferenceModel
from arbitrank.learn.rerankers import R0, Factored, Weights, baseline
from arbitrank.values import Answer, Decision, Hypothesis, Ranked, Request


def assert_adds_up(ranked: Sequence[Ranked]) -> None:
    for one in ranked:
        assert one.why is not None
        assert one.probability is not None
        assert "base" in one.why
        assert all("." not in group for group in one.why)
        p = min(max(one.probability, 1e-12), 1.0 - 1e-12)
        assert sum(one.why.values()) == pytest.approx(math.log(p / (1.0 - p)), abs=1e-8)


@given(data=st.data())
def test_base_and_groups_are_the_log_odds_of_p_right_whatever_the_models_and_settings(data: st.DataObject) -> None:
    grown(40)  # random numbers that LightGBM draws during its import must not count as the example's
    served = {}
    for name in NAMES[: data.draw(st.integers(1, 3))]:
        model = data.draw(models(name, trees=True))
        if data.draw(st.booleans()):
            model = replace(
                model, reranker=R0(model.reranker.spec if hasattr(model.reranker, "spec") else FeatureSpec(name))
            )
        by = data.draw(st.sampled_from([None, None, Recalibration(0.6), Recalibration(0.6, -1.0)]))
        served[name] = Serving(model, "1", "package", recalibration=by)
    decisions = DecisionSettings(
        normalise=data.draw(st.booleans()), independence=data.draw(st.floats(0.0, 1.0)), rank_unserved=True
    )
    readings = [h for name in (*served, "elsewhere") for h in data.draw(hypotheses(name))]
    request = Request(
        utterance=data.draw(st.none() | st.text(max_size=20)), context=data.draw(contexts), hypotheses=tuple(readings)
    )
    arbitrator = Arbitrator(served, decisions, fallback=baseline)
    answer = arbitrator.answer(request, explain=True)
    assert {report.status for report in answer.domains.values()} <= {"answered", "unserved"}
    assert_adds_up(answer.ranked)
    plain = arbitrator.answer(request)
    assert [one.probability for one in plain.ranked] == [one.probability for one in answer.ranked]
    assert all(one.why is None and one.details is None for one in plain.ranked)


@given(data=st.data())
def test_a_models_own_explanation_adds_up_but_for_rounding(data: st.DataObject) -> None:
    """The core has nothing to add to the base of a model of the toolkit."""
    grown(40)
    model = data.draw(models("lights", trees=True))
    request = Request(context=data.draw(contexts), hypotheses=data.draw(hypotheses("lights")))
    for row, p in zip(model.explain(request), model.rerank(request).right.tolist(), strict=True):
        groups, _ = split(row)
        assert sum(groups.values()) == pytest.approx(exact_log_odds(p), abs=1e-6)


class Own(Model):
    """A plugin's model, with an explanation as version 0.1 asked for it: without a base, of anything."""

    def __init__(self, right: Sequence[float], why: Sequence[Mapping[str, float]]) -> None:
        self.right, self.why = right, why

    def rerank(self, request: Request) -> Scores:
        return Scores(1.0, np.array(self.right))

    def explain(self, request: Request) -> Sequence[Mapping[str, float]]:
        return self.why


@pytest.mark.parametrize(
    ("why", "base"),
    [
        ({}, 0.0),
        ({"luck": 3.0}, -3.0),
        ({"base": 7.0, "luck": 3.0}, -3.0),
        ({"luck": 3.0, "luck.a penny found": 2.0}, -3.0),
    ],
)
def test_what_a_plugins_explanation_lacks_is_its_base(why: dict[str, float], base: float) -> None:
    arbitrator = Arbitrator({"own": Serving(Own([0.5], [why]), "1", "package")})
    (ranked,) = arbitrator.answer(Request(hypotheses=(Hypothesis("own", "i"),)), explain=True).ranked
    assert ranked.why == pytest.approx({"base": base, **{k: v for k, v in why.items() if k == "luck"}})
    assert ranked.details == ({"luck.a penny found": 2.0} if "luck.a penny found" in why else None)


def test_certain_and_impossible_readings_are_explained_up_to_the_limit() -> None:
    arbitrator = Arbitrator({"own": Serving(Own([1.0, 0.0], [{}, {}]), "1", "package")})
    request = Request(hypotheses=(Hypothesis("own", "i"), Hypothesis("own", "j")))
    answer = arbitrator.answer(request, explain=True)
    assert [one.why for one in answer.ranked] == [
        pytest.approx({"base": math.log((1.0 - LEAST) / LEAST)}, abs=1e-3),
        pytest.approx({"base": math.log(LEAST)}, abs=1e-3),
    ]
    assert_adds_up(answer.ranked)


def test_a_later_stage_is_a_group_of_its_own() -> None:
    row = staged({"base": 0.0, "domain": 1.0}, "temperature", 0.5, 0.25)
    assert row == pytest.approx({"base": 0.0, "domain": 1.0, "temperature": math.log(1 / 3)})
    assert staged(row, "temperature", 0.5, 0.5) == row
    assert completed([{"a": 1.0}], np.array([0.5])) == [{"base": -1.0, "a": 1.0}]


# ------------------------------------------------------------------------------------------- groups, and what they say


def factored(spec: FeatureSpec, **weights: float) -> Factored:
    def of(names: tuple[str, ...], given: dict[str, float]) -> Weights:
        return Weights(names, tuple(given.get(name, 0.0) for name in names), (0.0,) * len(names))

    plain = {"domain.logit": 1.0, **{name.replace("__", "."): value for name, value in weights.items()}}
    return Factored(spec, of(spec.request_names, plain), of(spec.reading_names, {"reading.null_odds": 1.0}))


SEEN = [
    Request(
        utterance="play up",
        context={"device": "tv" if i % 2 else "speaker", "has_screen": i % 2 == 1, "hour": float(i)},
        hypotheses=(Hypothesis("lights", "On", 0.5, 0.9, slots_confidence=0.9, features={"known": float(i % 2)}),),
    )
    for i in range(20)
]
SPEC = fit_features("lights", SEEN, keys=("device", "has_screen", "hour"))


class Lights(ReferenceDomain):
    name = "lights"
    feature_titles = {"known": "it knows the title"}  # noqa: RUF012


def explained(model: Any, request: Request) -> Answer:
    arbitrator = Arbitrator({"lights": Serving(ReferenceModel(Lights(), None, model), "1", "package")})
    return arbitrator.answer(request, explain=True)


def test_the_length_of_an_utterance_is_not_context() -> None:
    model = factored(FeatureSpec("lights"), context__length=0.5)
    (ranked, *_) = explained(model, Request(utterance="on", hypotheses=SEEN[0].hypotheses)).ranked
    assert ranked.why is not None
    assert ranked.why["length"] > 0.3
    assert "context" not in ranked.why


def test_details_are_named_by_what_the_request_and_the_hypothesis_hold() -> None:
    values = {"features.known": 2.0, "context.device=speaker": -1.5, "context.device=tv": 1.0, "context.hour": 0.3}
    names = dict.fromkeys(SPEC.request_names, 0.0) | values
    mine = Weights(tuple(names), tuple(names.values()), tuple(0.5 * (name in values) for name in names))
    model = Factored(SPEC, mine, factored(SPEC).right)
    (ranked, *_) = explained(model, SEEN[0]).ranked
    assert ranked.details is not None
    assert set(ranked.details) == {"features.not: it knows the title", "context.speaker", "context.hour 0"}
    assert ranked.details["context.speaker"] < 0.0
    assert ranked.why is not None
    assert ranked.why["features"] == pytest.approx(ranked.details["features.not: it knows the title"])
    (ranked, *_) = explained(model, SEEN[1]).ranked
    assert ranked.details is not None
    assert {"features.it knows the title", "context.tv"} <= set(ranked.details)
    assert_adds_up([ranked])


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("features.known", "features.it knows the title"),
        ("features.title_score", "features.title score (0.834)"),
        ("features.gone", "features.not: gone"),
        ("context.has_screen", "context.has screen"),
        ("context.muted", "context.no muted"),
        ("context.device", "context.unknown device"),
        ("context.hour", "context.hour 7"),
        ("context.far", "context.far 1e+300"),
        ("context.preference", "context.the user's preference"),
        ("context.previous_domain", "context.the request before"),
        ("slots", "slots"),
    ],
)
def test_the_words_of_a_detail(key: str, words: str) -> None:
    context = {"has_screen": True, "muted": False, "hour": 7, "far": 10**400}
    row = worded({key: 1.0}, context, {"known": 1.0, "title_score": 0.8341}, {"known": "it knows the title"})
    assert row == {words: 1.0}


def test_the_baseline_is_explained_by_its_three_confidences() -> None:
    model = R0(FeatureSpec("lights", fill=Confidences(0.5, 0.5, 0.5)))
    (row,) = model.explain(Request(hypotheses=(Hypothesis("lights", "On", 0.9, 0.8, slots_confidence=0.5),)))
    assert row["base"] == pytest.approx(exact_log_odds(0.125))
    assert row["domain"] > row["intent"] > row["slots"] == 0.0
    assert sum(row.values()) == pytest.approx(exact_log_odds(0.36))


def test_an_explanation_survives_json() -> None:
    answer = explained(factored(SPEC, context__length=0.2), SEEN[3])
    assert_adds_up(msgspec.json.decode(msgspec.json.encode(answer), type=Answer).ranked)


def shown(capsys: pytest.CaptureFixture[str], why: dict[str, float], details: dict[str, float], explain: bool) -> str:
    entry = Ranked("lights", "On", (), 0.5, 0.8, 0.7, "1", None, why, details)
    show_answer(Answer("1", Decision("accept", (0,)), (entry,), {}, {}), explain=explain)
    return " ".join(capsys.readouterr().out.split())


def test_the_table_says_the_strongest_reasons_in_words(capsys: pytest.CaptureFixture[str]) -> None:
    why = {"base": -3.0, "features": 2.0, "context": -1.9, "domain": -1.8, "reading": -0.001}
    details = {"features.it knows the title": 2.3, "context.speaker": -1.7, "features.short": -0.3}
    assert "+2.3 it knows the title, -1.8 unsure that it is meant" in shown(capsys, why, details, explain=False)
    del why["domain"]
    assert "+2.3 it knows the title, -1.7 speaker" in shown(capsys, why, details, explain=False)
    assert "base -3.00 features +2.00 context -1.90" in shown(capsys, why, details, explain=True)


def test_a_plugins_own_groups_have_their_own_words(capsys: pytest.CaptureFixture[str]) -> None:
    assert "+1.2 luck [0]" in shown(capsys, {"base": -3.0, "luck [0]": 1.2, "skill": 0.01}, {}, explain=False)
