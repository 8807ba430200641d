"""Training of the classifier: a binary model of the domain, and a softmax of its intents and "not mine"."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import scipy.sparse as sp

from arbitrank.nlu import classifier_training
from arbitrank.nlu.classifier import Classifier
from arbitrank.nlu.classifier_training import JOINT, train_classifier
from arbitrank.nlu.encoded import encode
from arbitrank.nlu.text import ngrams
from arbitrank.values import Example, Request, Truth

ROOMS = ("hall", "attic", "kitchen", "shed", "garden", "cellar")


def said(template: str, intent: str | None, domain: str | None = "lights") -> list[Example]:
    texts = [template.format(room) for room in ROOMS]
    return [Example(Request(utterance=text), Truth(domain, intent)) for text in texts]


OWN = said("dim the lamp in the {}", "Dim") + said("light up the {} please", "Light")
OTHERS = said("heat the {} please", "Heat", "heating") + said("buy a lamp for the {}", None, None)


def trained(examples: list[Example]) -> Classifier:
    return train_classifier("lights", examples, [encode(one.request.utterance or "") for one in examples], 0)


def test_the_domains_log_odds_are_the_mean_of_the_binary_models_and_of_the_softmax() -> None:
    assert trained(OWN + OTHERS).joint == JOINT


@pytest.mark.parametrize("examples", [OWN, OWN[:6] + OTHERS])
def test_without_others_or_with_one_intent_there_is_no_softmax_with_not_mine(examples: list[Example]) -> None:
    model = trained(examples)
    assert model.joint == 0.0
    mine, intents = model.classify(encode("dim the lamp in the loft"))
    assert mine > 0.5
    assert intents[model.intents.index("Dim")] > 0.5


def test_the_softmax_tells_the_intents_apart_and_the_others_from_them(monkeypatch: pytest.MonkeyPatch) -> None:
    both = trained(OWN + OTHERS)
    monkeypatch.setattr(classifier_training, "JOINT", 0.0)
    alone = trained(OWN + OTHERS)
    asked = {"dim the lamp in the loft": "Dim", "light up the loft please": "Light"}
    for model, (text, intent) in product((both, alone), asked.items()):
        mine, intents = model.classify(encode(text))
        assert model.intents[int(intents.argmax())] == intent
        assert mine > 0.5
    for text in ("heat the loft please", "buy a lamp for the loft"):
        assert both.classify(encode(text))[0] < alone.classify(encode(text))[0]


def test_intents_have_weights_for_the_own_requests_n_grams_alone() -> None:
    """So that an artifact is no larger for the others that it learned from."""
    model = trained(OWN + OTHERS)
    own = set(np.concatenate([ngrams(one.request.utterance or "") for one in OWN]).tolist())
    weighted = model.buckets[model.weights[:-1, 1:].any(axis=1)].tolist()
    assert set(weighted) <= own
    assert len(model.buckets) > len(own)


def test_of_many_others_the_softmax_learns_from_those_that_the_binary_model_confuses_most(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(classifier_training, "LEAST_OTHERS", 1)  # but as many as own requests
    labels, odds = np.array([1, 2, 0, 0, 0]), np.array([2.0, 2.0, -1.0, -9.0, -2.0])
    rows = np.array([[1.0, 0, 0, 1], [0, 1, 0, 1], [0, 1, 1, 0], [1, 0, 1, 0], [1, 0, 1, 1]])

    def weights(changed: int | None = None) -> list[float]:
        other = [row if i != changed else 1.0 - row for i, row in enumerate(rows)]
        return classifier_training._joint_softmax(sp.csr_matrix(np.array(other)), labels, odds)[0].ravel().tolist()

    assert weights(changed=3) == weights()
    assert weights(changed=4) != weights()
