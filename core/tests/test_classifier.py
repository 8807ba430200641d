"""The domain and intent classifiers."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from arbitrank.nlu.classifier import SHORTEST, Classifier
from arbitrank.nlu.encoded import encode
from arbitrank.nlu.text import ngrams


def classifier(known: str, intents: int = 2, seed: int = 0) -> Classifier:
    """Random weights for the n-grams of the known words."""
    rng = np.random.default_rng(seed)
    weights = rng.standard_normal((len(ngrams(known)) + 1, 1 + intents)).astype(np.float32)
    rarity = rng.uniform(0.5, 3.0, len(weights)).astype(np.float32)
    weights[-1] = rarity[-1] = 0.0
    bias = rng.standard_normal(1 + intents).astype(np.float32)
    return Classifier(tuple(f"i{n}" for n in range(intents)), ngrams(known), rarity, weights, bias)


@pytest.mark.parametrize("utterance", ["turn on", "turn on the light", "quite other words", "打开 turn", ""])
def test_it_is_linear_in_the_known_n_grams_scaled_to_a_vector_of_length_one(utterance: str) -> None:
    model = classifier("turn on the light")
    place = {bucket: i for i, bucket in enumerate(model.buckets.tolist())}
    grams = ngrams(utterance).tolist()
    known = [place[gram] for gram in grams if gram in place]
    length = max(math.sqrt(sum(float(model.rarity[i]) ** 2 for i in known)), 1e-6)
    scores = model.bias + model.weights[known].sum(axis=0, dtype=np.float64) / length
    mine, intents = model.classify(encode(utterance))
    assert mine == pytest.approx(1 / (1 + math.exp(-scores[0])), rel=1e-6)
    assert intents == pytest.approx(np.exp(scores[1:]) / np.exp(scores[1:]).sum(), rel=1e-6)


@pytest.mark.parametrize("text", ["turn on", "other words"])
def test_with_joint_1_the_intents_and_not_mine_are_one_softmax_and_with_a_half_it_is_the_mean_of_log_odds(
    text: str,
) -> None:
    model, seen = classifier("turn on the light", intents=3), encode(text)
    (alone, each), (mine, same), (half, _) = (replace(model, joint=share).classify(seen) for share in (0.0, 1.0, 0.5))
    assert np.array_equal(each, same)
    odds = [np.log(p / (1.0 - p)) for p in (alone, mine, half)]
    assert odds[2] == pytest.approx((odds[0] + odds[1]) / 2)
    rows = model._rows[seen.ngrams]
    length = max(float(np.linalg.norm(model.rarity[rows])), SHORTEST)
    scores = model.bias + model.weights[rows].sum(axis=0) / length
    exponents = np.exp(scores[0] + scores[1:])
    assert mine * each == pytest.approx(exponents / (1.0 + exponents.sum()), rel=1e-5)


@given(st.text(max_size=15), st.integers(1, 4))
def test_chances_are_chances(utterance: str, intents: int) -> None:
    mine, each = classifier("turn on the light", intents).classify(encode(utterance))
    assert 0.0 < mine < 1.0
    assert each.shape == (intents,)
    assert each.sum() == pytest.approx(1.0)


@pytest.mark.parametrize(("bias", "mine"), [(-1e4, 0.0), (1e4, 1.0)])
def test_extreme_odds_overflow_nothing(bias: float, mine: float) -> None:
    model = replace(classifier("turn on"), bias=np.array([bias, 0.0, 0.0], np.float32))
    assert model.classify(encode("other"))[0] == mine


def test_a_classifier_that_knows_no_n_gram_answers_by_its_bias() -> None:
    nothing, bias = np.zeros(0, np.uint32), np.array([0.0, 3.0], np.float32)
    model = Classifier(("a",), nothing, np.zeros(1, np.float32), np.zeros((1, 2), np.float32), bias)
    for text in ("turn on", ""):
        mine, intents = model.classify(encode(text))
        assert mine == 0.5
        assert intents.tolist() == [1.0]
