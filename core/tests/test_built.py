"""Requests that a program builds: one domain's junk is that domain's, as in JSON."""

from __future__ import annotations

import math
from typing import Any

import msgspec
import numpy as np
import pytest

from arbitrank.arbitration.arbitrator import as_request
from arbitrank.errors import InputError
from arbitrank.values import Hypothesis, Request, Slot, Wording

SOUND = Hypothesis("heating", "Warm", 0.8)


def built(hypothesis: Any) -> Request:
    return as_request(Request(utterance="warm the hall", hypotheses=(hypothesis, SOUND)))


def test_a_request_of_valid_types_stays_itself() -> None:
    request = Request(utterance="x", hypotheses=(Hypothesis("lights", "On", 60, slots=(Slot("room", "hall"),)), SOUND))
    assert as_request(request) is request


@pytest.mark.parametrize(
    ("hypothesis", "reason"),
    [
        (Hypothesis("lights", None), "hypotheses[0].intent: null is invalid"),  # type: ignore[arg-type]
        (Hypothesis("lights", "On", slots={"room": "hall"}), "hypotheses[0].slots: {"),  # type: ignore[arg-type]
        (Hypothesis("lights", "On", features=[1.0]), "hypotheses[0].features: [1.0] is invalid"),  # type: ignore[arg-type]
        (Hypothesis("lights", "On", features={"a": 10**5000}), "hypotheses[0].features.a: Infinity is out of range"),
        (Hypothesis("lights", "On\ud83d"), "hypotheses[0]: half of a surrogate pair"),
        ({"domain": "lights", "intent": "On", "conf": 0.5}, "hypotheses[0].conf: unknown key"),
    ],
)
def test_junk_costs_its_domain_alone_its_place(hypothesis: Any, reason: str) -> None:
    request = built(hypothesis)
    assert request.hypotheses == (SOUND,)
    assert request.refused["lights"].startswith(reason)


@pytest.mark.parametrize("junk", [None, 5, ("lights", "On"), Hypothesis(None, "On"), Hypothesis("\ud83d", "On")])  # type: ignore[arg-type]
def test_what_names_no_domain_is_refused_by_its_place(junk: Any) -> None:
    request = built(junk)
    assert request.hypotheses == (SOUND,)
    assert list(request.refused) == ["hypotheses[0]"]


def test_what_can_be_read_is() -> None:
    request = built(Hypothesis("lights", "On", np.float32(0.5), slots=[Slot("room", 7)], features=None))  # type: ignore[arg-type]
    assert request.hypotheses == (Hypothesis("lights", "On", 0.5, slots=(Slot("room", "7"),)), SOUND)
    assert math.isnan((built(Hypothesis("lights", "On", math.nan)).hypotheses or ())[0].domain_confidence)
    generated = Request(utterance="x", hypotheses=(one for one in [SOUND]))  # type: ignore[arg-type]
    assert as_request(generated).hypotheses == (SOUND,)
    assert as_request(Request(utterances=("warm it",))).utterances == (Wording("warm it"),)  # type: ignore[arg-type]
    assert as_request(Request(utterance="x", context=None), device="tv").context == {"device": "tv"}  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("request_", "reason"),
    [
        (Request(utterance=5), "utterance: 5 is invalid"),  # type: ignore[arg-type]
        (Request(utterance=b"x"), "utterance: a value is invalid"),  # type: ignore[arg-type]
        (Request(utterance="x", context=["tv"]), "context: [\"tv\"] is invalid"),  # type: ignore[arg-type]
        (Request(utterance="x", context={5: "tv"}), "context: the key 5 is invalid"),  # type: ignore[dict-item]
        (Request(hypotheses=(SOUND,), utterance_length=-5), "utterance_length: -5 is invalid"),
        (Request(utterance="x", hypotheses="none"), 'hypotheses: "none" is invalid'),  # type: ignore[arg-type]
        ({"utterance": "x"}, "the request: dict, expected a text or a Request"),
    ],
)  # fmt: skip
def test_a_request_that_cannot_be_read_is_refused(request_: Any, reason: str) -> None:
    with pytest.raises(InputError) as caught:
        as_request(request_)
    assert str(caught.value).startswith(reason)


def test_the_program_s_own_objects_reach_the_domains_as_they_are() -> None:
    account = {"user": object()}
    assert as_request(Request(utterance="x", account=account, hypotheses=[])).account is account  # type: ignore[arg-type]
    assert msgspec.json.encode(built(Hypothesis("lights", "On", object())))
