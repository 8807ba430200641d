"""What held-out data choose of a re-ranker."""

from __future__ import annotations

import numpy as np
import pytest

from arbitrank.domain import Settings
from arbitrank.learn.evidence import Evidence, gather
from arbitrank.learn.linear_training import train_factored
from arbitrank.learn.model_selection import learn
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


SETTINGS = Settings(calibrate=False)


@pytest.mark.parametrize("seed", range(3))
def test_a_telling_context_counts_though_a_domain_has_few_requests(seed: int) -> None:
    few = evidence(200, telling=True, seed=seed)
    default, chosen = train_factored(few, SETTINGS), learn(few, SETTINGS)
    place = few.spec.request_names.index("context.favourite")
    assert chosen.mine.values[place] > 2 * default.mine.values[place] > 0.0  # type: ignore[union-attr]


@pytest.mark.parametrize(("n", "options"), [(60, {}), (1_200, {}), (200, {"l2": 0.01})])
def test_the_pull_is_the_default_where_it_is_given_or_data_are_too_few_or_enough(n: int, options: dict) -> None:
    some = evidence(n, telling=True)
    settings = Settings(calibrate=False, **options)
    assert learn(some, settings) == train_factored(some, settings)


def test_the_same_seed_chooses_the_same() -> None:
    few = evidence(200, telling=True)
    assert learn(few, SETTINGS) == learn(few, SETTINGS)
