"""Numbers of any unit are standardised by their distribution in training, and re-rankers learn the same from each."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from arbitrank.domain import Settings
from arbitrank.learn import files
from arbitrank.learn.census import Census, fit_features
from arbitrank.learn.evidence import Evidence, gather
from arbitrank.learn.feature_spec import FeatureSpec
from arbitrank.learn.model_selection import learn
from arbitrank.learn.rerankers import Factored, LogLinear
from arbitrank.learn.standardisation import FAR, Number, Sample, standardised_columns, standardised_row
from arbitrank.probability import log_loss
from arbitrank.values import Hypothesis, Request, Truth

MODELS = ["factored", "loglinear", "boosted", "corrected"]


def number(values: Sequence[float], of: int | None = None) -> Number:
    sample = Sample()
    for value in values:
        sample.add(value)
    return sample.number("x", len(values) if of is None else of)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0.5] * 4, {0.5: 0.0, 0.7: 0.0, -9.0: 0.0}),  # constant: another value was never seen
        ([0.0] * 9 + [1.0], {0.0: 0.0, 1.0: 1.0, 2.0: 1.0}),  # zeros and ones stay one unit apart
        ([0.0, 1.0, 1.0], {0.0: -1.0, 1.0: 0.0}),
        ([0.0] * 9 + [100.0], {0.0: 0.0, 100.0: 1.0}),
        ([1.0, 2.0, 3.0, 4.0, 5.0], {3.0: 0.0, 4.0: 1.0, 5.0: 2.0, 6.0: 2.0, 1.0: -2.0, -1e9: -2.0}),
        ([0.0, 1.0, 2.0, 3.0, 1e200], {2.0: 0.0, 1e200: FAR + math.log1p(1e4 - FAR)}),  # one outlier
        ([5e-324, 0.0, 1e-310], {5e-324: 0.0}),
        ([-1.7e308, 0.0, 1.7e308], {0.0: 0.0, 1.7e308: 1.0}),
    ],
)
def test_a_number_counts_its_distance_from_the_median_in_spreads(
    values: list[float], expected: dict[float, float]
) -> None:
    fitted = number([min(max(value, -1e300), 1e300) for value in values])
    assert {x: fitted.standardised(x) for x in expected} == pytest.approx(expected)


finite = st.floats(allow_nan=False, allow_infinity=False)


@given(st.lists(finite, min_size=1, max_size=30), st.lists(finite, max_size=5))
def test_whatever_the_values_are_the_standardised_ones_are_small_and_in_order(
    seen: list[float], unseen: list[float]
) -> None:
    spec = fit_features("d", [Request(hypotheses=(Hypothesis("d", "i", features={"x": value}),)) for value in seen])
    asked = sorted([*seen, *unseen])
    each = [{"x": value} for value in asked]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        (column,) = standardised_columns(spec.own, each)
    assert np.isfinite(column).all()
    assert np.abs(column).max() <= FAR + math.log(1e4)
    assert (np.diff(column) >= 0.0).all()
    assert column.tolist() == pytest.approx([standardised_row(spec.own, one)[0] for one in each], abs=1e-12)


@given(
    st.lists(st.floats(-1.0, 1.0).map(lambda x: round(x, 6)), min_size=2, max_size=30),
    st.sampled_from([1e-9, 0.01, 3.0, 100.0, 1e12]),
    st.sampled_from([0.0, -0.5, 1.0]),
)
def test_the_unit_does_not_matter(values: list[float], scale: float, shift: float) -> None:
    plain, other = number(values), number([scale * (x + shift) for x in values])
    for x in values:
        assert other.standardised(scale * (x + shift)) == pytest.approx(plain.standardised(x), abs=1e-6)


def test_a_number_that_is_missing_for_some_has_an_indicator_and_is_at_its_centre() -> None:
    some, all_ = number([1.0, 2.0, 3.0], of=5), number([1.0, 2.0, 3.0])
    assert some.names("features") == ("features.x", "features.x.missing")
    assert standardised_row([some, all_], {"x": 3.0}) == [1.0, 0.0, 1.0]
    assert standardised_row([some, all_], {}) == [0.0, 1.0, 0.0]


def test_the_counts_of_parts_of_the_data_add_up() -> None:
    rng = np.random.default_rng(0)
    requests = [
        Request(hypotheses=(Hypothesis("d", "i", features={"x": float(x)} if x > -1.0 else {}),), context={"hour": i})
        for i, x in enumerate(rng.normal(size=60))
    ]
    whole, parts = Census("d", ("hour",)), [Census("d", ("hour",)) for _ in range(3)]
    for i, request in enumerate(requests):
        whole.count(request)
        parts[i % 3].count(request)
    parts[0].merge(parts[1])
    parts[0].merge(parts[2])
    assert parts[0].spec().own == whole.spec().own
    assert parts[0].spec().numbers == whole.spec().numbers


def test_of_very_many_values_a_part_is_kept() -> None:
    sample = Sample()
    for i in range(200_000):
        sample.add(float(i))
    kept = sample.number("x", 200_000)
    assert (kept.low, kept.high) == (0.0, 199_999.0)
    assert kept.centre == pytest.approx(100_000.0, rel=0.01)
    assert kept.spread == pytest.approx(50_000.0, rel=0.01)


# -------------------------------------------------------------------------------------- what re-rankers learn from them


def traffic(
    n: int, seed: int, unit: Callable[[float], float], absent: float = 0.0
) -> tuple[list[Request], list[Truth]]:
    """Requests of a matcher whose only score is a cosine, stated in some unit as a feature of its own."""
    rng = np.random.default_rng(seed)
    requests, truths = [], []
    for _ in range(n):
        mine = rng.random() < 0.4
        cosine = float(rng.normal(0.78 if mine else 0.62, 0.07))
        features = {} if rng.random() < absent else {"cosine": unit(cosine)}
        requests.append(Request(utterance="where is it", hypotheses=(Hypothesis("faq", "Answer", features=features),)))
        truths.append(Truth("faq", "Answer") if mine else Truth("home", "TurnOn"))
    return requests, truths


UNITS: dict[str, Callable[[float], float]] = {
    "raw": lambda x: x,
    "×100": lambda x: 100.0 * x,
    "centred": lambda x: x - 0.68,
    "÷100": lambda x: x / 100.0,
    "huge": lambda x: 1e200 * x,
    "tiny": lambda x: 1e-200 * x,
}


@pytest.mark.parametrize("model", MODELS)
def test_one_cosine_in_any_unit_gives_the_same_probabilities(model: Any) -> None:
    found = {}
    for name, unit in UNITS.items():
        reranker = learn(gather("faq", *traffic(1_000, 1, unit)), Settings(model=model))
        requests, truths = traffic(1_000, 2, unit)
        mine = np.array([reranker.rerank(request).mine for request in requests])
        found[name] = float(log_loss(mine, np.array([float(t.domain == "faq") for t in truths])).mean())
    assert max(found.values()) - min(found.values()) < 0.005
    assert max(found.values()) < 0.34  # the best that 0.1 learned, of ×100


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize(
    "value",
    [0.0, 1.0, 5e-324, 1e-310, 1.7e308, -1.7e308, "0/1", "denormal/0", "heavy"],
)
def test_constant_binary_denormal_huge_and_heavy_tailed_numbers_train_without_a_warning(model: Any, value: Any) -> None:
    rng = np.random.default_rng(3)
    requests, truths = [], []
    for _ in range(200):
        mine = rng.random() < 0.5
        x = value
        if isinstance(value, str):
            x = {"0/1": float(mine), "denormal/0": 5e-324 * mine, "heavy": float(rng.standard_cauchy() ** 5)}[value]
        requests.append(Request(utterance="go", hypotheses=(Hypothesis("faq", "Answer", features={"x": x}),)))
        truths.append(Truth("faq", "Answer") if mine else Truth("home", "TurnOn"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        reranker = learn(gather("faq", requests, truths), Settings(model=model))
        found = [reranker.rerank(request).mine for request in requests]
    assert np.isfinite(found).all()


@pytest.mark.parametrize("model", MODELS)
def test_a_feature_that_was_always_there_in_training_and_is_missing_now_is_neutral(model: Any) -> None:
    evidence = gather("faq", *traffic(1_000, 1, lambda x: x))
    reranker = learn(evidence, Settings(model=model))
    (cosine,) = evidence.spec.own
    assert not cosine.missing
    absent, neutral = (
        reranker.rerank(Request(utterance="where is it", hypotheses=(Hypothesis("faq", "Answer", features=features),)))
        for features in ({}, {"cosine": cosine.centre})
    )
    assert absent.mine == pytest.approx(neutral.mine, abs=1e-12)


@pytest.mark.parametrize("model", MODELS)
def test_a_feature_that_was_missing_for_some_is_learned_from_as_missing(model: Any) -> None:
    """It is missing on the domain's own requests alone."""
    rng = np.random.default_rng(0)
    requests, truths = [], []
    for _ in range(1_000):
        mine = rng.random() < 0.5
        features = {} if mine and rng.random() < 0.8 else {"cosine": float(rng.normal())}
        requests.append(Request(utterance="go", hypotheses=(Hypothesis("faq", "Answer", features=features),)))
        truths.append(Truth("faq", "Answer") if mine else Truth("home", "TurnOn"))
    reranker = learn(gather("faq", requests, truths), Settings(model=model))
    missing, there = (
        reranker.rerank(Request(utterance="go", hypotheses=(Hypothesis("faq", "Answer", features=features),))).mine
        for features in ({}, {"cosine": 0.0})
    )
    assert missing > 0.9
    assert there < 0.4


# ------------------------------------------------------------------------------------------------------ in artifacts


@pytest.mark.parametrize("model", MODELS)
def test_the_distributions_are_kept_in_the_artifact(tmp_path: Path, model: Any) -> None:
    requests, truths = traffic(400, 1, lambda x: x, absent=0.2)
    reranker = learn(gather("faq", requests, truths), Settings(model=model))
    files.save(reranker, tmp_path)
    loaded = files.load(tmp_path)
    spec = files.spec_of(loaded)
    assert (spec.known, [one.missing for one in spec.own]) == (("cosine",), [True])
    for request in requests[:20]:
        assert loaded.rerank(request).mine == pytest.approx(reranker.rerank(request).mine, abs=1e-12)


def test_an_artifact_of_before_takes_its_numbers_as_they_are(tmp_path: Path) -> None:
    """`weights.json` as 0.1 wrote it: features without a distribution."""
    spec = FeatureSpec("faq", extras=("cosine",))
    names = spec.plain_names
    weights = {"names": names, "values": [0.5] * len(names), "means": [0.0] * len(names)}
    old = {"domain": "faq", "situations": [], "preferences": False, "previous": False, "extras": ["cosine"]}
    content = {"kind": "loglinear", "spec": {**old, "fill": [0.5, 0.5, 0.5]}, "form": "sigmoid", "weights": weights}
    (tmp_path / files.WEIGHTS).write_bytes(msgspec.json.encode(content))
    loaded = files.load(tmp_path)
    assert isinstance(loaded, LogLinear)
    for x in (0.0, 0.3, -40.0, 1e12):
        reading = Hypothesis("faq", "Answer", 0.5, 0.5, slots_confidence=0.5, features={"cosine": x})
        z = 0.5 * (0.0 + 2.0 * math.log(0.5) + 1.0 + min(x, 1e9))
        assert loaded.rerank(Request(hypotheses=(reading,))).mine == pytest.approx(
            1.0 / (1.0 + math.exp(-z)), abs=1e-12
        )


def test_an_older_core_refuses_the_new_features() -> None:
    """It would take them as they are; it looks for the names of `extras`, and finds others among the weights."""
    evidence: Evidence = gather("faq", *traffic(400, 1, lambda x: x))
    reranker = learn(evidence, Settings(calibrate=False))
    assert isinstance(reranker, Factored)
    known_to_it = msgspec.structs.replace(reranker.spec, numbers=(), own=())
    assert reranker.right.names != known_to_it.reading_names
