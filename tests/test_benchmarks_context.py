"""The results of the context benchmark hold on invented titles."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from benchmarks import context
from benchmarks.titles import DEVICES, MEDIA, chances, draw, invented_titles

from arbitrank.evaluate.corpus import Corpus
from arbitrank.values import Example, Hypothesis, Request, Slot, Truth

TITLES = invented_titles(1_200, seed=1)


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return context.shared_titles(TITLES, tmp_path_factory.mktemp("kept"), sizes=(900, 900), seed=1)


def test_with_device_and_own_catalogue_independent_domains_decide_nearly_as_well_as_possible(found: Any) -> None:
    arms = found["arms"]
    assert arms["no context"]["domain_accuracy"] < 0.5
    assert arms["context"]["headroom"] > 0.15
    assert 0.9 < arms["context, own catalogue"]["headroom"] <= 1.0


def test_rivals_are_under_confident_until_the_decision_settings_are_tuned(found: Any) -> None:
    before, after = (found["arms"][name] for name in ("context, own catalogue", "the same, tuned"))
    assert before["over_confidence"] < -0.02
    assert after["nll"] < before["nll"] - 0.02
    assert abs(after["over_confidence"]) < abs(before["over_confidence"])


def test_requests_are_sampled_from_the_known_model() -> None:
    corpus = draw(TITLES, train=3_000, held=3_000, seed=2)
    titles = [{e.truth.slots[0].value for e in part} for part in (corpus.train, corpus.held)]
    assert not titles[0] & titles[1]
    assert all(e.request.utterance[s.start : s.end] == s.value for e in corpus.train for s in e.truth.slots)
    for device in DEVICES:
        on = [e for e in corpus.held if e.request.context["device"] == device]
        for medium in MEDIA:
            promised = np.mean([chances(e.extra["media"], device).get(medium, 0.0) for e in on])
            assert np.mean([e.truth.domain == medium for e in on]) == pytest.approx(promised, abs=0.06)


def corpus_of(*rows: tuple[str, str, str, str]) -> Corpus:
    """Requests by domain, intent, movement, and the type of the title that they name."""
    examples = tuple(
        Example(
            Request(id=str(i), utterance="x", context={"movement": movement}),
            Truth(domain, intent, (Slot("title", "Emma"),)),
            {"knowledge": [{"subject": "Emma", "type": kind}]},
        )
        for i, (domain, intent, movement, kind) in enumerate(rows)
    )
    return Corpus("small", ("a", "b"), examples, (), (), "fold", ())


def test_a_domain_knows_the_types_and_situations_of_its_own_requests_alone() -> None:
    rows = [("a", "Go", "car", "Book"), ("a", "Stay", "still", "Film")] * 20 + [("b", "Play", "car", "Song")] * 40
    corpus = corpus_of(*rows)
    example = Example(
        Request(id="new", context={"movement": "car"}),
        Truth("b", "Play"),
        {"knowledge": [{"subject": "Emma", "type": "Book"}, {"subject": "Emma", "type": None}]},
    )
    named = Hypothesis("a", "Go", slots=(Slot("title", "Emma"),))
    entity = context.entities(corpus)
    assert entity("a", example, named) == pytest.approx({"entity_share": 0.5, "entity_types": np.log(2)})
    assert entity("b", example, named)["entity_share"] == 0.0
    assert entity("a", example, Hypothesis("a", "Go")) == {"entity_share": 0.0, "entity_types": 0.0}
    situation = context.situations(corpus)
    assert situation("a", example, named)["situation"] > 0.3
    assert situation("a", example, Hypothesis("a", "Stay"))["situation"] < -0.3


def test_a_request_does_not_count_among_those_that_it_is_compared_with() -> None:
    once = corpus_of(("a", "Go", "plane", "Book"), *[("a", "Go", "car", "Book"), ("a", "Stay", "car", "Book")] * 10)
    situation, alone = context.situations(once), once.train[0]
    stays, goes = (situation("a", alone, Hypothesis("a", name))["situation"] for name in ("Stay", "Go"))
    assert goes == pytest.approx(stays, abs=0.01)
