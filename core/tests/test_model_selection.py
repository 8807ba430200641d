"""What held-out data choose of a re-ranker."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from arbitrank.domain import Settings
from arbitrank.learn.evidence import Evidence, gather
from arbitrank.learn.gains import Gain
from arbitrank.learn.kind_choice import KindGain, choose_kind
from arbitrank.learn.linear_training import train_factored
from arbitrank.learn.model_selection import learn, select, select_each
from arbitrank.learn.rerankers import baseline
from arbitrank.probability import log_loss
from arbitrank.values import Hypothesis, Request, Truth


def evidence(n: int, *, telling: bool, seed: int = 0) -> Evidence:
    """A third of n requests are the domain's own; its confidence says little, the user's preference much or nothing."""
    rng = np.random.default_rng(seed)
    mine = rng.random(n) < 1 / 3
    confidences = np.where(mine, rng.uniform(0.2, 0.7, n), rng.uniform(0.1, 0.6, n))
    favoured = rng.random(n) < np.where(mine, 0.95, 0.05) if telling else rng.random(n) < 0.5
    requests = [
        Request(
            utterance="dim it",
            context={"preference.lights": 0.6 if yes else 0.3, "preference.heating": 0.3 if yes else 0.6},
            hypotheses=(Hypothesis("lights", "Dim", round(float(p), 6), 1.0, slots_confidence=1.0),),
        )
        for p, yes in zip(confidences, favoured, strict=True)
    ]
    return gather("lights", requests, [Truth("lights" if own else "heating", "Dim") for own in mine])


SETTINGS = Settings(model="factored", calibrate=False)


@pytest.mark.parametrize("seed", range(3))
def test_a_telling_context_counts_though_a_domain_has_few_requests(seed: int) -> None:
    few = evidence(200, telling=True, seed=seed)
    default, chosen = train_factored(few, SETTINGS), learn(few, SETTINGS)
    place = few.spec.request_names.index("context.favourite")
    assert chosen.mine.values[place] > 2 * default.mine.values[place] > 0.0  # type: ignore[union-attr]


@pytest.mark.parametrize(("n", "options"), [(60, {}), (1_200, {}), (200, {"l2": 0.01})])
def test_the_pull_is_the_default_where_it_is_given_or_data_are_too_few_or_enough(n: int, options: dict) -> None:
    some = evidence(n, telling=True)
    settings = Settings(model="factored", calibrate=False, **options)
    assert learn(some, settings) == train_factored(some, settings)


def misscaled(n: int, seed: int, score: str = "domain_confidence") -> tuple[list[Request], list[Truth]]:
    """A third of n requests are the domain's own: its `score`, the only one, is 80 % for them and 45 % for others'."""
    rng = np.random.default_rng(seed)
    mine = rng.random(n) < 1 / 3
    scores = np.clip(rng.normal(np.where(mine, 0.8, 0.45), 0.1), 0.01, 0.99).tolist()
    return (
        [Request(utterance="dim it", hypotheses=(Hypothesis("lights", "Dim", **{score: p}),)) for p in scores],
        [Truth("lights" if own else None, "Dim" if own else None) for own in mine],
    )


@pytest.mark.parametrize("score", ["domain_confidence", "intent_confidence", "slots_confidence"])
@pytest.mark.parametrize("seed", range(3))
def test_sixty_requests_correct_the_scale_of_a_score(seed: int, score: str) -> None:
    few, fresh = misscaled(60, seed, score), misscaled(400, 100 + seed, score)
    model, plain = learn(gather("lights", *few), Settings()), baseline("lights", *few)
    mine = np.array([truth.domain == "lights" for truth in fresh[1]], float)
    of_model, of_r0 = (np.array([one.rerank(r).right[0] for r in fresh[0]]) for one in (model, plain))
    assert log_loss(of_model, mine).mean() < log_loss(of_r0, mine).mean() - 0.1
    assert ((of_model > 0.5) == mine).mean() > 0.93


def test_of_few_requests_only_the_scale_of_the_score_is_learned() -> None:
    few = gather("lights", *misscaled(60, 0))
    tight, loose = train_factored(few, SETTINGS), learn(few, SETTINGS)
    moved = {
        name
        for name, a, b in zip(few.spec.request_names, tight.mine.values, loose.mine.values, strict=True)  # type: ignore[union-attr]
        if abs(a - b) > 0.2
    }
    assert moved == {"domain.logit", "bias"}
    assert loose.right == tight.right  # type: ignore[union-attr]


@pytest.mark.parametrize("n", [60, 200, 500])
def test_auto_is_factored_where_a_domain_has_few_requests_of_its_own(n: int) -> None:
    few = evidence(n, telling=True)
    found = select(few, Settings())
    assert found.reranker == learn(few, Settings(model="factored"))
    assert found.choice is not None
    assert (found.choice.model, found.choice.tried) == ("factored", {})
    assert (
        found.choice.sentence == f"{int(few.batch.mine.sum())} requests of its own, below 200: no other kind is tried"
    )


def test_auto_is_factored_without_lightgbm(monkeypatch: pytest.MonkeyPatch) -> None:
    some = evidence(1_800, telling=True)
    monkeypatch.setitem(sys.modules, "lightgbm", None)
    found = select(some, Settings(calibrate=False))
    assert found.reranker == train_factored(some, SETTINGS)
    assert found.choice is not None
    assert found.choice.sentence == "without LightGBM no other kind is tried"
    assert set(select_each(some, Settings(calibrate=False))) == {"factored", "auto"}


def test_trees_alone_are_not_tried_where_corrections_gain_nothing() -> None:
    rng = np.random.default_rng(0)
    confidences = rng.uniform(0.05, 0.95, 1_200)  # right as they are
    requests = [
        Request(utterance="dim it", hypotheses=(Hypothesis("lights", "Dim", float(p), 1.0, slots_confidence=1.0),))
        for p in confidences
    ]
    truths = [Truth("lights" if own else "heating", "Dim") for own in rng.random(1_200) < confidences]
    found = select(gather("lights", requests, truths), Settings(calibrate=False)).choice
    assert found is not None
    assert (found.model, set(found.tried)) == ("factored", {"corrected"})
    assert found.sentence.startswith("no other kind is surely better; corrected: NLL ")


def gained(nll: float, error: float, right: float = 0.0, mine: float = 0.0) -> KindGain:
    """Gains over a factored NLL of 0.5, with their standard errors."""
    each = ((nll, error), (mine, 0.001), (right, 0.001))
    return KindGain(0.5, *(Gain(mean, mean - 1.96 * one, mean + 1.96 * one) for mean, one in each))


@pytest.mark.parametrize(
    ("gain", "sure"),
    [
        (gained(0.02, 0.005), True),
        (gained(0.02, 0.011), False),  # less than two standard errors
        (gained(0.004, 0.0001), False),  # less than a hundredth of the factored NLL
        (gained(-0.02, 0.005), False),
        (gained(0.02, 0.005, right=-0.0004), True),
        (gained(0.02, 0.005, right=-0.0006), False),  # readings are likely lost
        (gained(0.02, 0.005, mine=-0.0006), False),  # P(mine) is likely worse
    ],
)
def test_a_gain_has_to_be_sure_and_worth_its_cost(gain: KindGain, sure: bool) -> None:
    assert gain.sure is sure
    assert choose_kind({"corrected": gain}, 100, 5).model == ("corrected" if sure else "factored")


def test_of_two_sure_kinds_the_better_one_is_chosen() -> None:
    assert choose_kind({"corrected": gained(0.02, 0.005), "boosted": gained(0.03, 0.01)}, 100, 5).model == "boosted"


def test_the_same_seed_chooses_the_same() -> None:
    few = evidence(200, telling=True)
    assert learn(few, SETTINGS) == learn(few, SETTINGS)
