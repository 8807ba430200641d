"""Trees by NumPy: LightGBM's scores and contributions, without LightGBM."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from test_boosted import traffic, trained

from arbitrank.errors import ArtifactError
from arbitrank.learn import files
from arbitrank.learn.boosted import Boosted
from arbitrank.learn.lightgbm import Trees, lightgbm
from arbitrank.learn.trees import ParsedTrees
from arbitrank.probability import Floats


def grown(leaves: int, rounds: int = 12) -> tuple[object, Floats]:
    """A booster whose trees differ in size, and rows with values on the thresholds."""
    rng = np.random.default_rng(leaves)
    x = np.round(rng.normal(size=(600, 4)), 1)
    y = (x[:, 0] * x[:, 1] + 0.3 * rng.normal(size=600) > 0.0).astype(float)
    parameters = {"objective": "binary", "num_leaves": leaves, "min_data_in_leaf": 5, "verbosity": -1, "num_threads": 1}
    return lightgbm().train(parameters, lightgbm().Dataset(x, y), rounds), x


@pytest.mark.parametrize("leaves", [2, 7, 8, 9, 31, 64])
def test_scores_are_lightgbms_to_the_last_bit(leaves: int) -> None:
    booster, x = grown(leaves)
    found = ParsedTrees(booster.model_to_string())(x)  # type: ignore[attr-defined]
    assert (found == booster.predict(x, raw_score=True)).all()  # type: ignore[attr-defined]


@pytest.mark.parametrize("leaves", [2, 7, 31])
def test_contributions_are_lightgbms_shapley_values(leaves: int) -> None:
    booster, x = grown(leaves, rounds=3)
    found = ParsedTrees(booster.model_to_string()).contributions(x[:6])  # type: ignore[attr-defined]
    assert found == pytest.approx(Trees(booster).contributions(x[:6]), abs=1e-9)


def test_a_tree_without_splits_adds_its_value() -> None:
    x = np.zeros((100, 2))
    y = np.array([1.0, 0.0, 0.0, 0.0] * 25)
    booster = lightgbm().train({"objective": "binary", "verbosity": -1, "num_threads": 1}, lightgbm().Dataset(x, y), 2)
    found = ParsedTrees(booster.model_to_string())
    assert found(x[:3]) == pytest.approx(booster.predict(x[:3], raw_score=True), abs=1e-15)
    assert found.contributions(x[:1])[0, -1] == pytest.approx(found(x[:1])[0], abs=1e-12)


@pytest.mark.parametrize("model", ["boosted", "corrected"])
def test_without_lightgbm_a_model_answers_and_explains_the_same(model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    here = trained(model)
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "lightgbm", None)
        bare = Boosted(here.spec, here.base, here.text, here.bias)
        found = [(bare.rerank(one), bare.explain(one)) for one in traffic()[0][:3]]
    for request, (scores, why) in zip(traffic()[0][:3], found, strict=True):
        expected = here.rerank(request)
        assert scores.mine == expected.mine
        assert (scores.right == expected.right).all()
        for row, other in zip(why, here.explain(request), strict=True):
            assert row == pytest.approx(other, abs=1e-9)


@pytest.mark.parametrize("damage", ["cut", "words", "feature", "categories"])
def test_damaged_trees_are_refused_without_lightgbm(
    damage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = trained("boosted")
    text = {
        "cut": model.text[: len(model.text) // 2].rpartition("left_child")[0],
        "words": model.text.replace("threshold=", "threshold=x "),
        "feature": model.text.replace("max_feature_idx=", "max_feature_idx=-1"),
        "categories": model.text.replace("decision_type=2", "decision_type=1"),
    }[damage]
    files.save(Boosted(model.spec, None, text, model.bias), tmp_path)
    monkeypatch.setitem(sys.modules, "lightgbm", None)
    with pytest.raises(ArtifactError, match="trees"):
        files.load(tmp_path)
