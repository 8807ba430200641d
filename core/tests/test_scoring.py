"""Quick scoring gives the scores of the weighted features, `arbitrank.learn.features` being the reference."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from arbitrank.arbitration.arbitrator import Arbitrator, Serving
from arbitrank.domain import LinearForm, Model, Scores
from arbitrank.learn.boosted import Boosted, feature_names
from arbitrank.learn.calibration import Affine, Calibrated, Isotonic, recalibrated
from arbitrank.learn.feature_spec import Confidences, FeatureSpec, Situation
from arbitrank.learn.features import rows
from arbitrank.learn.lightgbm import lightgbm
from arbitrank.learn.losses import probabilities
from arbitrank.learn.matrices import plain_matrix
from arbitrank.learn.reference import ReferenceDomain, ReferenceModel
from arbitrank.learn.rerankers import Factored, LogLinear, Weights
from arbitrank.learn.standardisation import Number
from arbitrank.probability import ALL, bounded
from arbitrank.values import Hypothesis, Request, Slot

NAMES = ("lights", "heating", "doors", "garden")
confidences = st.none() | st.sampled_from([0.0, 1e-9, 0.25, 0.5, 0.5, 1.0]) | st.floats(0.0, 1.0)
slots = st.lists(st.builds(Slot, st.sampled_from(["a", "b"]), st.just("x"), confidences), max_size=3).map(tuple)
UNSCALED, STANDARDISED = ("shared", "other"), ("known", "cosine", "rare")
# Sums of numbers of 1e12 that nothing standardises round differently by the order of their terms.
features = st.fixed_dictionaries(
    {},
    optional={
        **dict.fromkeys(UNSCALED, st.floats(-3.0, 3.0)),
        **dict.fromkeys(STANDARDISED, st.floats(-3.0, 3.0) | st.floats(-1e12, 1e12)),
    },
)


def hypotheses(domain: str) -> st.SearchStrategy[tuple[Hypothesis, ...]]:
    one = st.builds(
        Hypothesis,
        domain=st.just(domain),
        intent=st.sampled_from(["On", "Off", "Dim"]),
        domain_confidence=confidences,
        intent_confidence=confidences,
        slots=slots,
        slots_confidence=confidences,
        features=features,
    )
    return st.lists(one, min_size=1, max_size=6).map(tuple)


keys = [
    "device", "has_screen", "volume", "hour", "speed", "previous_domain", "previous_intent",
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
    return Weights(tuple(names), *(tuple(rng.normal(size=len(names)).tolist()) for _ in range(2)))


def measured(names: Sequence[str]) -> st.SearchStrategy[tuple[Number, ...]]:
    """Standardised numbers, some of which leave the range in which they are linear."""
    one = st.builds(
        Number,
        st.sampled_from(names),
        numbers,
        st.sampled_from([1e-3, 0.1, 1.0, 50.0]),
        st.floats(-4.0, 0.0) | st.just(-1e300),
        st.floats(0.0, 4.0) | st.just(1e300),
        st.booleans(),
    )
    return st.lists(one, max_size=3, unique_by=lambda number: number.name).map(tuple)


@st.composite
def models(draw: st.DrawFn, domain: str, trees: bool = False) -> ReferenceModel:
    spec = FeatureSpec(
        domain,
        draw(situations),
        draw(st.booleans()),
        draw(st.booleans()),
        tuple(draw(st.lists(st.sampled_from(UNSCALED), unique=True))),
        draw(st.builds(Confidences, *[st.floats(0.0, 1.0)] * 3)),
        draw(measured(["hour", "speed"])),
        draw(measured(STANDARDISED)),
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


def reference(reranker: Any, request: Request) -> Scores:
    """The scores from the rows of features."""
    if isinstance(reranker, Calibrated):
        return recalibrated(reference(reranker.reranker, request), reranker.calibrator)
    if isinstance(reranker, LogLinear):
        z = plain_matrix(reranker.spec, [request], ALL) @ np.array(reranker.weights.values)
        return bounded(probabilities(z, ALL, reranker.form))
    of_request, of_readings = rows(reranker.spec, request)
    mine, right = reranker.score(np.array([of_request]), np.array(of_readings), ALL)
    return Scores(float(mine[0]), right)


def assert_same(scores: Scores, expected: Scores) -> None:
    assert scores.mine == pytest.approx(expected.mine, rel=0, abs=1e-12)
    np.testing.assert_allclose(scores.right, expected.right, rtol=0, atol=1e-12)


@given(data=st.data())
def test_scores_are_those_of_the_weighted_features(data: st.DataObject) -> None:
    model = data.draw(models("lights"))
    for _ in range(2):
        readings = data.draw(hypotheses("lights"))
        words = data.draw(st.none() | st.text(max_size=20))
        request = Request(utterance=words, context=data.draw(contexts), hypotheses=readings)
        assert_same(model.rerank(request), reference(model.reranker, request))


@given(data=st.data())
def test_trees_correct_the_same_scores(data: st.DataObject) -> None:
    grown(40)  # random numbers that LightGBM draws during its import must not count as the example's
    model = data.draw(models("lights", trees=True))
    request = Request(context=data.draw(contexts), hypotheses=data.draw(hypotheses("lights")))
    assert_same(model.rerank(request), reference(model.reranker, request))


@pytest.mark.parametrize("n", [1, 128, 129, 400])
@pytest.mark.parametrize("kind", ["factored", "loglinear"])
def test_any_number_of_readings_in_any_order(n: int, kind: str) -> None:
    rng = np.random.default_rng(n)
    readings = tuple(
        Hypothesis("lights", f"intent{k % 7}", float(p), float(i), slots_confidence=float(s))
        for k, (p, i, s) in enumerate(rng.random((n, 3)))
    )
    spec = FeatureSpec("lights")

    def weights(names: Sequence[str]) -> Weights:
        return Weights(tuple(names), tuple(rng.normal(size=len(names)).tolist()), (0.0,) * len(names))

    reranker: Any = LogLinear(spec, "null", weights(spec.plain_names))
    if kind == "factored":
        reranker = Factored(spec, weights(spec.request_names), weights(spec.reading_names))
    request = Request(hypotheses=readings)
    assert_same(reranker.rerank(request), reference(reranker, request))


SPEC = FeatureSpec("lights", extras=("known",))
PLAIN = LogLinear(SPEC, "null", Weights(SPEC.plain_names, (0.1,) * 8, (0.0,) * 8))
FACTORED = Factored(
    SPEC,
    Weights(SPEC.request_names, (0.1,) * len(SPEC.request_names), (0.0,) * len(SPEC.request_names)),
    Weights(SPEC.reading_names, (0.1,) * len(SPEC.reading_names), (0.0,) * len(SPEC.reading_names)),
)
KNOWN = Hypothesis("lights", "On", 0.7, 0.8, slots_confidence=0.5, features={"known": 1e12})


@pytest.mark.parametrize("reranker", [PLAIN, FACTORED])
def test_a_wild_feature_is_clipped(reranker: Any) -> None:
    request = Request(hypotheses=(KNOWN,))
    assert_same(reranker.rerank(request), reference(reranker, request))


@pytest.mark.parametrize("reranker", [PLAIN, FACTORED])
@pytest.mark.parametrize(
    "wrong",
    [
        Hypothesis("lights", "On", float("nan"), 0.5, slots_confidence=0.5),
        Hypothesis("lights", "On", 0.5, float("nan"), slots_confidence=0.5),
        Hypothesis("lights", "On", 0.5, 0.5, slots_confidence=float("nan")),
        Hypothesis("lights", "On", 0.5, 0.5, features={"known": float("nan")}),
        Hypothesis("lights", "On", "high"),  # type: ignore[arg-type]
    ],
)
def test_a_hypothesis_without_numbers_is_refused(reranker: Any, wrong: Hypothesis) -> None:
    for readings in ((wrong,), (wrong, KNOWN), (KNOWN, wrong)):
        with pytest.raises((ValueError, TypeError)):
            reranker.rerank(Request(hypotheses=readings))


class Own(Model):
    """A model of the plugin's own that still defines `linear`, which was part of the contract of 0.1."""

    def rerank(self, request: Request) -> Scores:
        return Scores(1.0, np.ones(1))

    def linear(self) -> LinearForm | None:
        return LinearForm("null", SPEC, None, np.array(PLAIN.weights.values))


def test_a_linear_form_is_ignored() -> None:
    arbitrator = Arbitrator({"lights": Serving(Own(), "1", "package")})
    (ranked,) = arbitrator.answer(Request(hypotheses=(KNOWN,))).ranked
    assert ranked.probability == 1.0


def test_a_hypothesis_without_numbers_fails_its_own_domain_alone() -> None:
    heating = LogLinear(FeatureSpec("heating", extras=("known",)), "null", PLAIN.weights)
    models = {"lights": PLAIN, "heating": heating}
    arbitrator = Arbitrator(
        {n: Serving(ReferenceModel(ReferenceDomain(n), None, one), "1", "package") for n, one in models.items()}
    )
    reports = arbitrator.answer(Request(hypotheses=(Hypothesis("heating", "On", float("nan")), KNOWN))).domains
    assert (reports["heating"].status, reports["lights"].status) == ("failed", "answered")


def test_a_version_in_anothers_place_answers() -> None:
    arbitrator = Arbitrator({"lights": Serving(ReferenceModel(ReferenceDomain("lights"), None, PLAIN), "1", "package")})
    arbitrator.prepare()
    other = replace(arbitrator, domains={**arbitrator.domains, "lights": Serving(Own(), "2", "store")})
    (ranked,) = other.answer(Request(hypotheses=(KNOWN,))).ranked
    assert (ranked.probability, ranked.version) == (1.0, "2")
