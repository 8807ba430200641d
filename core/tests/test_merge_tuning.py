"""Whether claims are measured against one another is for held-out data to say."""

from __future__ import annotations

import numpy as np
import pytest

from arbitrank.arbitration.merge import BestReadings
from arbitrank.evaluate.merge_tuning import LabelledReadings, choose, choose_none


def heads(claims: np.ndarray, right: np.ndarray) -> LabelledReadings:
    return LabelledReadings(
        BestReadings(claims, claims, np.zeros(len(claims), np.int32), claims), right.astype(np.float64)
    )


def rivals(n: int, seed: int) -> list[LabelledReadings]:
    """Two domains that could serve every request: each is under-confident by half, as it leaves room for the other."""
    rng = np.random.default_rng(seed)
    share = rng.uniform(0.1, 0.9, n)
    first = rng.random(n) < share
    return [heads(share / 2, first), heads((1 - share) / 2, ~first)]


def unrelated(n: int, seed: int) -> list[LabelledReadings]:
    """Two domains of which neither owns half of the requests, each calibrated by itself and apart."""
    rng = np.random.default_rng(seed)
    claims = rng.uniform(0.0, 0.5, (2, n))
    draw = rng.random(n)
    return [heads(claims[0], draw < claims[0]), heads(claims[1], (claims[0] <= draw) & (draw < claims.sum(axis=0)))]


@pytest.mark.parametrize("seed", range(5))
def test_p_mine_of_rivals_for_the_same_requests_is_normalised(seed: int) -> None:
    found = choose(rivals(1_000, seed))
    assert found.independence is not None
    assert found.nll_gain > 2 * found.error > 0.0
    assert found.n == 1_000


@pytest.mark.parametrize("seed", range(5))
def test_p_mine_of_unrelated_domains_is_left_as_it_is(seed: int) -> None:
    found = choose(unrelated(1_000, seed))
    assert found.independence is None
    assert found.nll_gain < 0.0


def test_requests_that_at_most_one_domain_has_a_reading_of_do_not_count() -> None:
    silent = LabelledReadings(BestReadings.empty(50), np.zeros(50))
    alone = heads(np.full(50, 0.4), np.arange(50) < 20)
    for domains in ([silent, silent], [alone, silent]):
        found = choose(domains)
        assert (found.independence, found.nll_gain, found.error) == (None, 0.0, 0.0)


def echoes(n: int, seed: int, domains: int = 5) -> tuple[list[BestReadings], np.ndarray]:
    """Domains of which the first owns nearly every request; all have some P(mine), as they cannot tell them apart."""
    rng = np.random.default_rng(seed)
    owners = np.where(rng.random(n) < 0.02, -1, 0)
    first = np.where(owners == 0, rng.uniform(0.3, 0.9, n), rng.uniform(0.0, 0.3, n))
    claims = [first, *(np.full(n, 0.01) for _ in range(domains - 1))]
    return [heads(one, np.ones(n)).readings for one in claims], owners


@pytest.mark.parametrize("seed", range(3))
def test_where_p_out_of_scope_is_too_high_the_threshold_is_higher(seed: int) -> None:
    claims, owners = echoes(2_000, seed)
    found = choose_none(claims, owners)
    assert found.threshold == pytest.approx(0.7, abs=0.051)
    assert found.gain > 2 * found.error > 0.0
    assert found.n == 2_000


def test_where_the_default_decides_well_it_stays() -> None:
    rng = np.random.default_rng(0)
    mine = rng.random(2_000)
    owners = np.where(rng.random(2_000) < mine, 0, -1)
    assert choose_none([heads(mine, np.ones(2_000)).readings], owners).threshold == 0.5
