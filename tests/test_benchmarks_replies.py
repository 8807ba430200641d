"""Replies of assistants as hypotheses, in the benchmark of owners that overlap."""

from __future__ import annotations

import gzip
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from benchmarks.replies import Replies, regressed
from numpy.typing import NDArray

from arbitrank.shortlist.embedding import Encoder
from arbitrank.values import Hypothesis

_REPLIES = {"chef": "Here is a recipe for {}.", "clock": "It is noon."}


def _encode(texts: Sequence[str]) -> NDArray[np.floating]:
    """A vector by which texts with the same dish are alike."""
    return np.array([[1.0, "soup" in text, "cake" in text] for text in texts])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Questions for dishes, which the chef answers acceptably, and for the time."""
    rows = []
    for i in range(20):
        dish = ("soup", "cake")[i % 2]
        cooks = i < 14
        rows.append(
            {
                "id": str(i),
                "text": f"how do I make {dish} number {i}" if cooks else f"what time is it {i}",
                "intent": "unknown",
                "agents_ok": ["chef" if cooks else "clock"],
                "votes": {"chef": 5} if cooks else {"clock": 5},
                "responses": {name: text.format(dish) for name, text in _REPLIES.items()},
            }
        )
    for name, some in {"responses": rows, "train": rows[:10], "dev": rows[10:]}.items():
        with gzip.open(tmp_path / f"{name}.jsonl.gz", "wt", encoding="utf-8") as file:
            file.writelines(json.dumps(row) + "\n" for row in some)
    return tmp_path


def test_an_encoder_adds_how_close_a_reply_is_and_how_often_it_was_given_in_the_other_folds(folder: Path) -> None:
    fold = np.arange(20) % 2
    source = Replies(folder, Encoder("dishes", _encode))
    for f, found in enumerate(source.hypotheses("chef", fold, 0)):
        assert found[0].features["close"] == pytest.approx(1.0)  # a recipe for the dish of the question
        assert found[15].features["close"] < 0.8
        same = [i for i in range(20) if i % 2 == f]  # even requests have one reply, odd ones another
        assert [round(float(np.expm1(found[i].features["often"]))) for i in same] == [0] * 10
        others = [i for i in range(20) if i % 2 != f]
        assert [round(float(np.expm1(found[i].features["often"]))) for i in others] == [9] * 10


def test_without_an_encoder_hypotheses_have_neither(folder: Path) -> None:
    features = {
        name for found in Replies(folder).hypotheses("chef", np.arange(20) % 2, 0) for name in found[0].features
    }
    assert "replied" in features
    assert not features & {"close", "often"}


def test_where_all_five_people_agree_nearly_every_question_can_be_served(folder: Path) -> None:
    mean, low, high = Replies(folder).attainable(0)
    assert 0.9 < low <= mean <= high <= 1.0


def test_the_confidence_is_a_regression_over_all_that_is_said_learned_from_the_other_folds() -> None:
    rng = np.random.default_rng(0)
    accepted, held = rng.random(200) < 0.1, np.arange(200) % 4 == 0
    said = [
        Hypothesis("chef", "cook", domain_confidence=0.3, features={"close": float(close)})
        for close in np.where(accepted, 0.8, 0.3) + rng.normal(0.0, 0.1, 200)
    ]
    confident = np.array([h.domain_confidence for h in regressed(said, accepted, held, 0)])
    for some in (held, ~held):
        assert confident[some & accepted].min() > confident[some & ~accepted].mean()
    turned = regressed(said, np.where(held, ~accepted, accepted), held, 0)
    assert [h.domain_confidence for h in turned] == confident.tolist()  # what is held teaches nothing
    assert regressed(said, np.zeros(200, bool), held, 0) == said
