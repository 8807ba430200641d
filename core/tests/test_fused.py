"""Domains that are fused say what each of them says alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arbitrank.arbitration.arbitrator import Arbitrator, Serving
from arbitrank.domain import LinearForm, Model, Scores
from arbitrank.learn.boosted import Boosted, feature_names
from arbitrank.learn.calibration import Affine, Calibrated, Isotonic
from arbitrank.learn.features import Confidences, FeatureSpec, Situation
from arbitrank.learn.fused import Fused
from arbitrank.learn.lightgbm import lightgbm
from arbitrank.learn.reference import ReferenceDomain, ReferenceModel
from arbitrank.learn.rerankers import R0, Factored, LogLinear, Weights
from arbitrank.values import Hypothesis, Request, Slot

NAMES = ("lights", "heating", "doors", "garden")
confidences = st.none() | st.sampled_from([0.0, 1e-9, 0.25, 0.5, 0.5, 1.0]) | st.floats(0.0, 1.0)
slots = st.lists(st.builds(Slot, st.sampled_from(["a", "b"]), st.just("x"), confidences), max_size=3).map(tuple)
EXTRAS = ["known", "shared", "other"]


def hypotheses(domain: str) -> st.SearchStrategy[tuple[Hypothesis, ...]]:
    one = st.builds(
        Hypothesis,
        domain=st.just(domain),
        intent=st.sampled_from(["On", "Off", "Dim"]),
        domain_confidence=confidences,
        intent_confidence=confidences,
        slots=slots,
        slots_confidence=confidences,
        features=st.dictionaries(st.sampled_from(EXTRAS), st.floats(-3.0, 3.0), max_size=3),
    )
    return st.lists(one, min_size=1, max_size=6).map(tuple)


keys = [
    "device", "has_screen", "volume", "previous_domain", "previous_intent",
    *(f"preference.{name}" for name in NAMES[:3]), "preference.elsewhere",
    *(f"preference.{name}.{intent}" for name in NAMES[:2] for intent in ("On", "Off")),
]  # fmt: skip
values = st.sampled_from(["tv", "phone", "On", *NAMES, True, False, 0.0, 0.3, 1.0, 0.7, 5, None])
contexts = st.dictionaries(st.sampled_from(keys), values, max_size=8)
situations = st.lists(
    st.builds(Situation, st.sampled_from(["device", "has_screen", "previous_domain"]), st.sampled_from(["tv", "phone"]))
    | st.builds(
        Situation, st.sampled_from(["volume", "has_screen"]), low=st.floats(-3.0, 0.0), high=st.floats(0.0, 3.0)
    ),
    max_size=4,
    unique_by=lambda s: (s.key, s.value),
).map(tuple)
numbers = st.floats(-2.0, 2.0)
maps = (
    st.none()
    | st.builds(Affine, st.floats(0.2, 3.0), numbers)
    | st.just(Isotonic((0.0, 0.2, 0.6, 1.0), (0.0, 0.4, 0.5, 0.9)))
)


def weights(draw: st.DrawFn, names: Sequence[str]) -> Weights:
    rng = np.random.default_rng(draw(st.integers(0, 1 << 30)))
    return Weights(tuple(names), tuple(rng.normal(size=len(names)).tolist()), (0.0,) * len(names))


@st.composite
def models(draw: st.DrawFn, domain: str, trees: bool = False) -> ReferenceModel:
    spec = FeatureSpec(
        domain,
        draw(situations),
        draw(st.booleans()),
        draw(st.booleans()),
        tuple(draw(st.lists(st.sampled_from(EXTRAS), unique=True))),
        draw(st.builds(Confidences, *[st.floats(0.0, 1.0)] * 3)),
    )
    kind = draw(
        st.sampled_from(["factored", "sigmoid", "softmax", "null", *(["boosted", "corrected"] if trees else [])])
    )
    reranker: Any
    if kind in ("sigmoid", "softmax", "null"):
        reranker = LogLinear(spec, kind, weights(draw, spec.plain_names))
    else:
        reranker = Factored(spec, weights(draw, spec.request_names), weights(draw, spec.reading_names))
    if kind in ("boosted", "corrected"):
        reranker = Boosted(spec, reranker if kind == "corrected" else None, grown(len(feature_names(spec))))
    calibrator = draw(maps)
    if calibrator is not None:
        reranker = Calibrated(reranker, calibrator)
    return ReferenceModel(ReferenceDomain(domain), None, reranker)


@cache
def grown(width: int) -> str:
    rng = np.random.default_rng(width)
    rows = rng.normal(size=(200, width))
    data = lightgbm().Dataset(rows, rows[:, 0] + rows[:, -1] > 0)
    settings = {"objective": "binary", "num_leaves": 4, "num_threads": 1, "verbose": -1}
    text: str = lightgbm().train(settings, data, 5).model_to_string()
    return text


def alone(
    served: Mapping[str, Model], request: Request, found: Mapping[str, Sequence[Hypothesis]]
) -> dict[str, Scores]:
    return {
        name: served[name].rerank(
            Request(utterance=request.utterance, context=request.context, hypotheses=tuple(found[name]))
        )
        for name in found
    }


def assert_same(fused: Mapping[str, Scores], expected: Mapping[str, Scores]) -> None:
    assert list(fused) == list(expected) or fused.keys() == expected.keys()
    for name, scores in expected.items():
        assert fused[name].mine == pytest.approx(scores.mine, rel=0, abs=1e-12)
        np.testing.assert_allclose(fused[name].right, scores.right, rtol=0, atol=1e-12)


@pytest.mark.parametrize("few", [0, 48], ids=["many", "few"])
@given(data=st.data())
def test_fused_scores_are_the_domains_own(data: st.DataObject, few: int) -> None:
    served = {name: data.draw(models(name)) for name in NAMES[: data.draw(st.integers(1, 4))]}
    fused = Fused(served, few=few)
    assert fused.models.keys() == served.keys()
    for _ in range(2):
        asked = data.draw(st.lists(st.sampled_from(sorted(served)), min_size=1, unique=True))
        found = {name: data.draw(hypotheses(name)) for name in asked}
        request = Request(utterance=data.draw(st.none() | st.text(max_size=20)), context=data.draw(contexts))
        assert_same(fused.scores(request, found), alone(served, request, found))


@settings(max_examples=30)
@given(data=st.data())
def test_trees_are_fused_too(data: st.DataObject) -> None:
    grown(40)  # what LightGBM draws by chance while it is imported isn't to count as the example's
    served = {name: data.draw(models(name, trees=True)) for name in NAMES[: data.draw(st.integers(1, 3))]}
    fused = Fused(served)
    assert fused.models.keys() == served.keys()
    asked = data.draw(st.lists(st.sampled_from(sorted(served)), min_size=1, unique=True))
    found = {name: data.draw(hypotheses(name)) for name in asked}
    request = Request(utterance=data.draw(st.none() | st.text(max_size=20)), context=data.draw(contexts))
    assert_same(fused.scores(request, found), alone(served, request, found))


ONE = Hypothesis("lights", "On", 0.7, 0.8, slots_confidence=0.5, features={"known": 1e12})
SPEC = FeatureSpec("lights", extras=("known",))
PLAIN = LogLinear(SPEC, "null", Weights(SPEC.plain_names, (0.1,) * 8, (0.0,) * 8))


def test_a_wild_feature_is_brought_down() -> None:
    served = {"lights": ReferenceModel(ReferenceDomain("lights"), None, PLAIN)}
    found = {"lights": [ONE]}
    assert_same(Fused(served).scores(Request(), found), alone(served, Request(), found))


class Own(Model):
    """A domain of somebody's own, over the toolkit's features."""

    def rerank(self, request: Request) -> Scores:
        return PLAIN.rerank(request)

    def linear(self) -> LinearForm | None:
        return PLAIN.linear()


class Otherwise(Own):
    def rerank(self, request: Request) -> Scores:
        return Scores(1.0, np.ones(1))


@dataclass(frozen=True, eq=False)
class Bent(ReferenceModel):
    def rerank(self, request: Request) -> Scores:
        return Scores(1.0, np.ones(1))


class Raising(Own):
    def linear(self) -> LinearForm | None:
        raise SystemExit("no")


def test_a_plugins_own_model_is_fused_by_its_linear_form() -> None:
    fused = Fused({"lights": Own()})
    assert fused.models.keys() == {"lights"}
    assert_same(fused.scores(Request(), {"lights": [ONE]}), alone({"lights": Own()}, Request(), {"lights": [ONE]}))


@pytest.mark.parametrize(
    "model",
    [
        Otherwise(),
        Raising(),
        Bent(ReferenceDomain("lights"), None, PLAIN),
        ReferenceModel(ReferenceDomain("lights"), None, R0(SPEC)),
        ReferenceModel(ReferenceDomain("lights"), None, LogLinear(FeatureSpec("doors"), "null", PLAIN.weights)),
        ReferenceModel(ReferenceDomain("lights"), None, LogLinear(SPEC, "null", Weights((), (0.1,), (0.0,)))),
        ReferenceModel(
            ReferenceDomain("lights"), None, LogLinear(SPEC, "null", Weights((), (float("nan"),) * 8, (0.0,) * 8))
        ),
    ],
)
def test_what_is_more_than_the_toolkits_speaks_for_itself(model: Model) -> None:
    assert not Fused({"lights": model}).models


@pytest.mark.parametrize("wrong", [Hypothesis("lights", "On", float("nan")), Hypothesis("lights", "On", "high")])  # type: ignore[arg-type]
def test_what_is_no_number_is_refused(wrong: Hypothesis) -> None:
    served = {"lights": ReferenceModel(ReferenceDomain("lights"), None, PLAIN)}
    with pytest.raises((ValueError, TypeError)):
        Fused(served).scores(Request(), {"lights": [wrong, ONE]})


def arbitrators(**served: Model) -> tuple[Arbitrator, Arbitrator]:
    """An arbitrator of the models, and the same that asks each for itself."""
    fused, plain = (Arbitrator({name: Serving(m, "1", "package") for name, m in served.items()}) for _ in range(2))
    vars(plain)["fused"] = Fused({})
    return fused, plain


@given(data=st.data())
def test_an_arbitrator_answers_the_same_fused_or_not(data: st.DataObject) -> None:
    fused, plain = arbitrators(**{name: data.draw(models(name)) for name in NAMES[:2]}, doors=Otherwise())
    brought = [h for name in NAMES[:3] for h in data.draw(hypotheses(name))[: 1 if name == "doors" else 6]]
    request = Request(context=data.draw(contexts), hypotheses=tuple(data.draw(st.permutations(brought))))
    one, other = fused.answer(request), plain.answer(request)
    assert {name: report.status for name, report in one.domains.items()} == dict.fromkeys(NAMES[:3], "answered")
    assert [round(r.score, 9) for r in one.ranked] == pytest.approx([round(r.score, 9) for r in other.ranked])
    assert sorted((r.domain, r.intent) for r in one.ranked) == sorted((r.domain, r.intent) for r in other.ranked)


def test_what_is_no_number_fails_its_own_domain_alone() -> None:
    heating = LogLinear(FeatureSpec("heating", extras=("known",)), "null", PLAIN.weights)
    fused, plain = arbitrators(
        lights=ReferenceModel(ReferenceDomain("lights"), None, PLAIN),
        heating=ReferenceModel(ReferenceDomain("heating"), None, heating),
    )
    wrong = (Hypothesis("heating", "On", float("nan")), ONE)
    for arbitrator in (fused, plain):
        reports = arbitrator.answer(Request(hypotheses=wrong)).domains
        assert (reports["heating"].status, reports["lights"].status) == ("failed", "answered")


def test_a_version_in_anothers_place_speaks_for_itself() -> None:
    fused, _ = arbitrators(lights=Own(), doors=Own())
    fused.prepare()
    other = fused.with_others({"lights": Serving(Otherwise(), "2", "store")})
    assert other.fused is fused.fused
    (ranked,) = other.answer(Request(hypotheses=(ONE,))).ranked
    assert (ranked.probability, ranked.version) == (1.0, "2")


def test_threads_have_their_own_buffers() -> None:
    served = {"lights": ReferenceModel(ReferenceDomain("lights"), None, PLAIN)}
    fused = Fused(served)

    def one(i: int) -> bool:
        found = {"lights": [Hypothesis("lights", "On", (i * j) % 97 / 97, 0.5) for j in range(1, 2 + i % 7)]}
        assert_same(fused.scores(Request(), found), alone(served, Request(), found))
        return True

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(one, range(400)))
