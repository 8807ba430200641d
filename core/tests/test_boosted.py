"""Boosted re-rankers: LightGBM's trees by domain, alone and on top of the factored score."""

from __future__ import annotations

import builtins
import sys
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from msgspec.structs import replace

from arbitrank.domain import Settings
from arbitrank.errors import ArbitrankError, ArtifactError
from arbitrank.explanation import exact_log_odds, split
from arbitrank.learn import boosted_training, files
from arbitrank.learn.boosted import Boosted, matrix
from arbitrank.learn.boosted_training import objective
from arbitrank.learn.calibration import Affine, Calibrated
from arbitrank.learn.cross_fitting import cross_fit
from arbitrank.learn.evidence import Evidence, gather
from arbitrank.learn.lightgbm import lightgbm
from arbitrank.learn.linear_training import train_factored
from arbitrank.learn.losses import Batch, mixed
from arbitrank.learn.model_selection import learn, select, select_each
from arbitrank.values import Hypothesis, Request, Truth


@cache
def traffic(n: int = 1500, seed: int = 0) -> tuple[list[Request], list[Truth]]:
    """Two readings a request, which is the domain's where a dial is far from its middle: no weighted sum sees that."""
    rng = np.random.default_rng(seed)
    requests, truths = [], []
    for _ in range(n):
        dial = float(rng.uniform(-2.0, 2.0))
        mine = rng.random() < (0.9 if abs(dial) > 1.0 else 0.1)
        domain = float(np.clip(rng.normal(0.6 if mine else 0.4, 0.2), 0.01, 0.99))
        first = float(rng.uniform(0.5, 0.95))
        right = rng.random() < first
        pair = tuple(
            Hypothesis("lights", intent, domain, p, slots_confidence=1.0, features={"dial": dial})
            for intent, p in (("on", first), ("off", 1.0 - first))
        )
        requests.append(Request(utterance="light", hypotheses=pair))
        truths.append(Truth("lights", "on" if right else "off") if mine else Truth(None))
    return requests, truths


@cache
def evidence() -> Evidence:
    return gather("lights", *traffic())


@cache
def trained(model: str, **options: Any) -> Boosted:
    found = learn(evidence(), Settings(model=model, calibrate=False, **options))  # type: ignore[arg-type]
    assert isinstance(found, Boosted)
    return found


def nll(model: Any, data: Evidence) -> float:
    _, right = model.score(*data.factored, data.batch.starts)
    p = np.clip(right, 1e-6, 1 - 1e-6)
    y = data.batch.right
    return float(-(y * np.log(p) + (1 - y) * np.log(1 - p)).mean())


@pytest.mark.parametrize("model", ["boosted", "corrected"])
def test_scores_of_many_are_those_of_one_and_keep_the_contract(model: str) -> None:
    requests = traffic(seed=3)[0][:50]
    fresh = Evidence.of(evidence().spec, requests, traffic(seed=3)[1][:50])
    mine, right = trained(model).score(*fresh.factored, fresh.batch.starts)
    for i, request in enumerate(requests):
        one = trained(model).rerank(request)
        assert one.mine == pytest.approx(mine[i], abs=1e-12)
        assert one.right == pytest.approx(right[2 * i : 2 * i + 2], abs=1e-12)
        assert 0.0 <= one.right.sum() <= one.mine + 1e-9 <= 1.0 + 1e-9


def test_trees_learn_what_a_weighted_sum_cannot() -> None:
    fresh = Evidence.of(evidence().spec, *traffic(seed=4))
    assert nll(trained("boosted"), fresh) < nll(train_factored(evidence(), Settings()), fresh)
    assert nll(trained("corrected"), fresh) < nll(train_factored(evidence(), Settings()), fresh)


def test_more_domain_confidence_is_never_worse() -> None:
    model = trained("boosted")
    for base in traffic(seed=5)[0][:40]:
        readings = [_with_domain(base, d) for d in np.linspace(0.01, 0.99, 15)]
        queried = Evidence.of(evidence().spec, readings, [Truth(None)] * 15)
        z = model.booster.predict(matrix(*queried.factored, queried.batch.starts), raw_score=True)
        assert (np.diff(z[::2]) >= -1e-12).all()


def _with_domain(request: Request, confidence: float) -> Request:
    return replace(
        request, hypotheses=tuple(replace(h, domain_confidence=confidence) for h in request.hypotheses or ())
    )


def test_the_same_seed_gives_the_same_trees() -> None:
    again = learn(evidence(), Settings(model="boosted", calibrate=False))
    assert isinstance(again, Boosted)
    assert again.text == trained("boosted").text


@pytest.mark.parametrize("loss", ["r1", "r3"])
def test_the_articles_losses_can_be_boosted_too(loss: str) -> None:
    model = trained("boosted", loss=loss)
    assert model.rerank(traffic()[0][0]).right.shape == (2,)


def test_contributions_of_trees_sum_to_their_score() -> None:
    request = traffic()[0][1]
    model = trained("boosted")
    why = model.explain(request)
    assert len(why) == 2
    groups, details = split(why[0])
    assert {"base", "domain", "intent", "slots", "context", "length", "features", "reading"} >= set(groups)
    assert sum(groups.values()) == pytest.approx(exact_log_odds(float(model.rerank(request).right[0])), abs=1e-6)
    assert details


@pytest.mark.parametrize("model", ["boosted", "corrected"])
def test_saved_and_loaded_it_answers_the_same(model: str, tmp_path: Path) -> None:
    files.save(trained(model), tmp_path)
    loaded = files.load(tmp_path)
    for request in traffic()[0][:20]:
        assert loaded.rerank(request).right == pytest.approx(trained(model).rerank(request).right, abs=0)
    assert "tree" in (tmp_path / files.TREES).read_text()


def test_damaged_trees_are_refused(tmp_path: Path) -> None:
    files.save(trained("boosted"), tmp_path)
    (tmp_path / files.TREES).write_text("tree\nversion=v4\n")
    with pytest.raises(ArtifactError):
        files.load(tmp_path)


def test_without_the_systems_openmp_the_error_names_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *rest: Any) -> Any:
        if name == "lightgbm":
            raise OSError("libgomp.so.1: cannot open shared object file")
        return real(name, *rest)

    monkeypatch.delitem(sys.modules, "lightgbm", raising=False)
    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ArbitrankError, match="libgomp1"):
        lightgbm()


@pytest.fixture
def few_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    """At most so many trees that their choice is quick."""
    monkeypatch.setattr(boosted_training, "_ROUNDS", 12)


@pytest.mark.usefixtures("few_rounds")
def test_auto_takes_trees_where_their_held_out_nll_is_surely_better() -> None:
    found = select(evidence(), Settings(calibrate=False))
    assert isinstance(found.reranker, Boosted)
    assert found.choice is not None
    assert set(found.choice.tried) == {"corrected", "boosted"}
    gain = found.choice.tried[found.choice.model].nll_gain
    assert gain.mean == max(one.nll_gain.mean for one in found.choice.tried.values())
    assert gain.low > 0.0
    assert found.choice.sentence.startswith(f"NLL {-gain.mean:+.4f} [")
    assert found.choice.sentence.endswith("points over factored, 5-fold")


@pytest.mark.usefixtures("few_rounds")
def test_auto_is_the_model_of_its_name() -> None:
    each = select_each(evidence(), Settings())
    chosen = each["auto"].choice
    assert chosen is not None
    assert each["auto"].reranker == each[chosen.model].reranker == learn(evidence(), Settings())
    assert learn(evidence(), Settings(model=chosen.model)) == each[chosen.model].reranker
    wanted = select_each(evidence(), Settings(), boosted=False)
    assert set(wanted) == {"factored", chosen.model, "auto"}
    assert wanted["auto"].reranker == each["auto"].reranker


def test_contributions_of_a_calibrated_corrected_model_sum_to_its_probability() -> None:
    model = learn(evidence(), Settings(model="corrected"))
    model = model if isinstance(model, Calibrated) else Calibrated(model, Affine(0.8, 0.1))
    for request in traffic()[0][:5]:
        for row, p in zip(model.explain(request), model.rerank(request).right.tolist(), strict=True):
            assert sum(split(row)[0].values()) == pytest.approx(exact_log_odds(p), abs=1e-9)


def test_a_calibrated_reranker_is_saved_with_its_map(tmp_path: Path) -> None:
    found = learn(evidence(), Settings(model="factored"))
    files.save(found, tmp_path)
    assert (tmp_path / files.CALIBRATION).is_file() == isinstance(found, Calibrated)
    request = traffic()[0][0]
    assert files.load(tmp_path).rerank(request).right == pytest.approx(found.rerank(request).right, abs=1e-9)


def test_cross_fitted_claims_come_from_rerankers_that_did_not_see_the_request() -> None:
    seen: list[int] = []

    def trainer(part: Evidence, settings: Settings) -> Any:
        seen.append(len(part.requests))
        return train_factored(part, settings)

    p, y = cross_fit(evidence(), Settings(), trainer).claims(evidence())
    assert len(seen) == 5
    assert max(seen) == 1200
    assert len(p) == len(y) == 1500


@pytest.mark.parametrize("loss", ["r1", "r3"])
def test_the_objective_is_the_loss_that_is_shared_with_the_linear_models(loss: str) -> None:
    rng = np.random.default_rng(0)
    sizes = rng.integers(1, 6, 40)
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    n, mine = int(sizes.sum()), (rng.random(40) < 0.5).astype(np.float64)
    right = (rng.random(n) < 0.3).astype(np.float64)
    batch = Batch(starts, right, rng.random(n), mine, rng.uniform(0.5, 3.0, 40))
    z = rng.normal(0.0, 3.0, n)
    slope, curve = objective(loss, batch)(z, None)
    _, expected = mixed(z, batch, "sigmoid", 1.0, 1.0 if loss == "r3" else 0.0)
    np.testing.assert_allclose(slope, expected * batch.weight.sum(), rtol=1e-4, atol=1e-5)
    p = 1.0 / (1.0 + np.exp(-z))
    np.testing.assert_allclose(curve, np.repeat(batch.weight, sizes) * p * (1.0 - p), rtol=1e-4, atol=1e-6)
