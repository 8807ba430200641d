"""The features of many requests at once are those of each."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from arbitrank.learn.feature_spec import Confidences, FeatureSpec, Situation
from arbitrank.learn.features import rows
from arbitrank.learn.matrices import matrices, plain_matrix
from arbitrank.learn.standardisation import Number
from arbitrank.probability import ALL
from arbitrank.values import Hypothesis, Request, Slot

confidences = st.none() | st.sampled_from([0.0, 1e-9, 0.25, 0.5, 0.5, 1.0]) | st.floats(0.0, 1.0)
slots = st.lists(st.builds(Slot, st.sampled_from(["a", "b"]), st.just("x"), confidences), max_size=3).map(tuple)
hypotheses = st.builds(
    Hypothesis,
    domain=st.just("lights"),
    intent=st.sampled_from(["On", "Off", "Dim"]),
    domain_confidence=confidences,
    intent_confidence=confidences,
    slots=slots,
    slots_confidence=confidences,
    features=st.dictionaries(st.sampled_from(["known", "shared", "other"]), st.floats(-1e12, 1e12), max_size=2),
)
keys = [
    "device", "has_screen", "volume", "previous_domain", "previous_intent", "preference.lights", "preference.heating",
    "preference.lights.On", "preference.lights.Off", "preference.heating.On",
]  # fmt: skip
values = st.sampled_from(["tv", "phone", "lights", "On", True, False, 0.0, 0.3, 1.0, 5, None])
requests = st.builds(
    Request,
    utterance=st.none() | st.text(max_size=20),
    context=st.dictionaries(st.sampled_from(keys), values, max_size=6),
    hypotheses=st.lists(hypotheses, min_size=1, max_size=6).map(tuple),
)
SITUATIONS = (Situation("device", "tv"), Situation("device", "phone"), Situation("has_screen"), Situation("volume"))
NUMBERS = (
    Number("volume", 0.3, 0.2, 0.0, 5.0, True),
    Number("known", 1e3, 7.0, -1e11, 1e4),
    Number("shared", missing=True),
    Number("unseen", missing=True),
)
SPECS = [
    FeatureSpec("lights"),
    FeatureSpec("lights", SITUATIONS, extras=("known", "shared"), fill=Confidences(0.2, 0.7, 0.4)),
    FeatureSpec("lights", SITUATIONS, previous=True),
    FeatureSpec("lights", SITUATIONS[:1], preferences=True, previous=True, extras=("other",)),
    FeatureSpec("lights", preferences=True),
    FeatureSpec("lights", SITUATIONS[:1], extras=("other",), numbers=NUMBERS[:1], own=NUMBERS[1:], previous=True),
]


@pytest.mark.parametrize("spec", SPECS, ids=range(len(SPECS)))
@given(several=st.lists(requests, min_size=1, max_size=6))
def test_the_matrices_hold_the_rows_of_each_request(spec: FeatureSpec, several: list[Request]) -> None:
    sizes = [len(request.hypotheses or ()) for request in several]
    starts = np.cumsum([0, *sizes[:-1]])
    of_requests, of_readings = matrices(spec, several, starts)
    expected = [rows(spec, request) for request in several]
    assert of_requests.shape == (len(several), len(spec.request_names))
    assert of_readings.shape == (sum(sizes), len(spec.reading_names))
    np.testing.assert_allclose(of_requests, [row for row, _ in expected], rtol=1e-12, atol=1e-9)
    np.testing.assert_allclose(of_readings, [row for _, some in expected for row in some], rtol=1e-12, atol=1e-9)
    plain = np.concatenate([plain_matrix(spec, [request], ALL) for request in several])
    np.testing.assert_allclose(plain_matrix(spec, several, starts), plain, rtol=1e-12, atol=1e-9)
