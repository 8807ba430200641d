"""The re-rankers that serve."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from arbitrank.explanation import exact_log_odds, split
from arbitrank.learn.feature_spec import Confidences, FeatureSpec, Situation
from arbitrank.learn.matrices import plain_matrix
from arbitrank.learn.rerankers import R0, Factored, LogLinear, Weights
from arbitrank.probability import ALL, CLIP
from arbitrank.values import Hypothesis, Request, Slot

SPEC = FeatureSpec(
    "lights",
    (Situation("device", "tv"), Situation("has_screen"), Situation("volume")),
    preferences=True,
    previous=True,
    extras=("known",),
    fill=Confidences(0.4, 0.6, 0.8),
)


def weights(names: tuple[str, ...], seed: int, scale: float) -> Weights:
    rng = np.random.default_rng(seed)
    values, means = scale * rng.standard_normal(len(names)), rng.standard_normal(len(names))
    return Weights(names, tuple(values.tolist()), tuple(means.tolist()))


def some_rerankers(seed: int, scale: float) -> list[Any]:
    plain = weights(SPEC.plain_names, seed, scale)
    forms = [LogLinear(SPEC, form, plain) for form in ("sigmoid", "softmax", "null")]
    factored = Factored(
        SPEC, weights(SPEC.request_names, seed + 1, scale), weights(SPEC.reading_names, seed + 2, scale)
    )
    return [R0(SPEC), *forms, factored]


def as_in_r0(spec: FeatureSpec) -> Factored:
    """The factored re-ranker with the weights that training starts from and is pulled towards."""

    def one_at(feature: str, names: tuple[str, ...]) -> Weights:
        return Weights(names, tuple(float(name == feature) for name in names), (0.0,) * len(names))

    return Factored(spec, one_at("domain.logit", spec.request_names), one_at("reading.null_odds", spec.reading_names))


confidences = st.none() | st.sampled_from([0.0, 1.0, 1e-9]) | st.floats(0.0, 1.0)
numbers = st.floats(allow_nan=False, allow_infinity=False)
scalars = st.none() | st.booleans() | st.integers() | st.just(10**400) | numbers | st.text(max_size=3) | st.just(["x"])
contexts = st.fixed_dictionaries(
    {},
    optional={
        "device": st.sampled_from(["tv", "toaster", ""]) | scalars,
        "has_screen": scalars,
        "volume": scalars,
        "preference.lights": st.floats(0.0, 1.0),
        "preference.heating": st.floats(0.0, 1.0),
        "preference.lights.On": st.floats(0.0, 1.0),
        "previous_domain": st.sampled_from(["lights", "heating"]) | scalars,
        "previous_intent": st.just("On") | scalars,
        "colour": scalars,
    },
)
readings = st.builds(
    Hypothesis,
    domain=st.just("lights"),
    intent=st.sampled_from(["On", "Off", "Dim"]),
    domain_confidence=confidences,
    intent_confidence=confidences,
    slots=st.lists(
        st.builds(Slot, name=st.just("room"), value=st.just("hall"), confidence=confidences), max_size=2
    ).map(tuple),
    slots_confidence=confidences,
    features=st.dictionaries(st.sampled_from(["known", "unknown"]), numbers, max_size=2),
)
requests = st.builds(
    Request,
    utterance=st.none() | st.text(max_size=10),
    context=contexts,
    hypotheses=st.lists(readings, min_size=1, max_size=6).map(tuple),
)


def of_sensible_size(request: Request) -> bool:
    numbers = [value for value in request.context.values() if isinstance(value, int | float)]
    numbers += [value for h in request.hypotheses or () for value in h.features.values()]
    return all(abs(value) < 100 for value in numbers)


@given(requests, st.integers(0, 2**32), st.sampled_from([0.0, 1.0, 30.0]))
def test_scores_are_probabilities_whatever_the_request(request: Request, seed: int, scale: float) -> None:
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        for reranker in some_rerankers(seed, scale):
            scores = reranker.rerank(request)
            assert scores.right.shape == (len(request.hypotheses or ()),)
            assert scores.right.dtype == np.float64
            assert (scores.right >= 0.0).all()
            assert scores.right.sum() <= scores.mine + 1e-9
            assert 0.0 <= scores.mine <= 1.0


@given(requests, st.integers(0, 2**32))
def test_explanations_are_finite_numbers_one_mapping_a_hypothesis(request: Request, seed: int) -> None:
    for reranker in some_rerankers(seed, 1.0):
        why = reranker.explain(request)
        assert len(why) == len(request.hypotheses or ())
        assert all(np.isfinite(list(groups.values())).all() for groups in why)


@given(requests, st.integers(0, 2**32), st.randoms(use_true_random=False))
def test_a_log_linear_score_goes_with_its_hypothesis_not_with_its_place(
    request: Request, seed: int, random: Any
) -> None:
    assume(of_sensible_size(request))  # sums of huge numbers have no digits left for small ones
    order = list(range(len(request.hypotheses or ())))
    random.shuffle(order)
    turned = msgspec.structs.replace(request, hypotheses=tuple((request.hypotheses or ())[i] for i in order))
    for reranker in some_rerankers(seed, 1.0)[:4]:
        there, back = reranker.rerank(request), reranker.rerank(turned)
        assert back.right == pytest.approx(there.right[order], rel=1e-9, abs=1e-12)
        assert back.mine == pytest.approx(there.mine, rel=1e-9, abs=1e-12)


@given(st.floats(0.0, 1.0), st.lists(st.tuples(st.floats(0.0, 1.0), st.floats(0.0, 1.0)), min_size=1, max_size=5))
def test_with_r0s_weights_the_factored_reranker_is_r0(domain: float, pairs: list[tuple[float, float]]) -> None:
    clipped = [(min(max(i, CLIP), 1 - CLIP), min(max(s, CLIP), 1 - CLIP)) for i, s in pairs]
    assume(sum(i * s for i, s in clipped) < 1 - CLIP)  # a list that claims more than everything is no distribution
    hypotheses = tuple(Hypothesis("lights", f"i{n}", domain, i, slots_confidence=s) for n, (i, s) in enumerate(pairs))
    request = Request(utterance="on", hypotheses=hypotheses)
    spec = FeatureSpec("lights")
    scores = as_in_r0(spec).rerank(request)
    q = min(max(domain, CLIP), 1 - CLIP)
    assert scores.mine == pytest.approx(q, rel=1e-9)
    assert scores.right == pytest.approx([q * i * s for i, s in clipped], rel=1e-6, abs=1e-15)
    assert scores.right == pytest.approx(R0(spec).rerank(request).right, rel=1e-6, abs=1e-15)


def test_r0_is_the_product_of_the_confidences_a_missing_one_at_its_mean() -> None:
    request = Request(
        hypotheses=(Hypothesis("lights", "On", 0.5, 0.4, slots_confidence=0.5), Hypothesis("lights", "Off", None, None))
    )
    scores = R0(SPEC).rerank(request)
    assert scores.right == pytest.approx([0.1, 0.4 * 0.6 * 0.8])
    assert scores.mine == pytest.approx(scores.right.sum())


@pytest.mark.parametrize("reranker", [R0(FeatureSpec("lights")), some_rerankers(0, 0.0)[1]], ids=["R0", "sigmoid"])
def test_a_list_that_claims_more_than_everything_is_brought_down_to_one(reranker: Any) -> None:
    request = Request(
        hypotheses=tuple(Hypothesis("lights", intent, 1.0, 1.0, slots_confidence=1.0) for intent in "abc")
    )
    scores = reranker.rerank(request)
    assert scores.mine == 1.0
    assert scores.right == pytest.approx([1 / 3] * 3)


@given(requests, st.integers(0, 2**32))
def test_contributions_add_up_to_the_log_odds_against_the_average_request(request: Request, seed: int) -> None:
    assume(of_sensible_size(request))
    plain = weights(SPEC.plain_names, seed, 1.0)
    plain = msgspec.structs.replace(
        plain, means=tuple(1.0 if name == "bias" else m for name, m in zip(plain.names, plain.means, strict=True))
    )
    average = np.dot(plain.values, plain.means)
    log_odds = plain_matrix(SPEC, [request], ALL) @ np.array(plain.values)
    model = LogLinear(SPEC, "sigmoid", plain)
    assume(np.abs(log_odds).max() < 20.0 and model.rerank(request).mine < 1.0)  # neither a limit nor a rival holds it
    found = [sum(value for key, value in row.items() if "." not in key) for row in model.explain(request)]
    assert found == pytest.approx(log_odds, rel=1e-6, abs=1e-6)
    assert [row["base"] for row in model.explain(request)] == pytest.approx([average] * len(found))


def test_contributions_come_by_group() -> None:
    request = Request(
        context={"device": "tv"}, hypotheses=(Hypothesis("lights", "On", 0.9, 0.8, slots_confidence=0.7),)
    )
    log_linear, factored = some_rerankers(1, 1.0)[1], some_rerankers(1, 1.0)[4]
    groups = {"base", "domain", "intent", "slots", "context", "features"}
    assert groups <= set(split(log_linear.explain(request)[0])[0]) <= groups | {"reading"}
    assert groups | {"length"} <= set(split(factored.explain(request)[0])[0]) <= groups | {"length", "reading"}
    assert set(R0(SPEC).explain(request)[0]) == {"base", "domain", "intent", "slots"}


def test_a_factored_explanation_begins_at_p_mine_of_an_average_request_and_ends_at_p_right() -> None:
    request = Request(
        context={"device": "tv"}, hypotheses=(Hypothesis("lights", "On", 0.9, 0.8, slots_confidence=0.7),)
    )
    mine = weights(SPEC.request_names, 3, 0.3)
    mine = msgspec.structs.replace(mine, means=tuple(1.0 if name == "bias" else 0.0 for name in mine.names))
    reranker = Factored(SPEC, mine, weights(SPEC.reading_names, 4, 0.3))
    row, _ = split(reranker.explain(request)[0])
    scores = reranker.rerank(request)
    assert row["base"] == pytest.approx(mine.values[mine.names.index("bias")])
    assert sum(row.values()) == pytest.approx(exact_log_odds(float(scores.right[0])))
    assert row["reading"] < 0.0
