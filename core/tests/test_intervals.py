"""95 % intervals: by the bootstrap over requests, and by formulas."""

from __future__ import annotations

import math

import numpy as np
import pytest

from arbitrank.evaluate.intervals import (
    Estimate,
    bootstrap_means,
    differences,
    interval,
    least_loss,
    normal_mean,
    wilson,
)


def test_the_interval_of_differences_is_the_one_of_resampling_all_requests() -> None:
    rng = np.random.default_rng(0)
    delta = np.where(rng.random(500) < 0.1, rng.choice([-1.0, 1.0, 1.0], 500), 0.0)
    (found,) = differences(delta[:, None], draws=20_000)
    whole = rng.multinomial(500, np.full(500, 1 / 500), 20_000) @ delta / 500
    assert found.mean == pytest.approx(delta.mean())
    assert (found.low, found.high) == pytest.approx(interval(whole), abs=0.002)


def test_without_any_difference_the_interval_is_zero() -> None:
    assert differences(np.zeros((5, 2))) == [Estimate(0.0, 0.0, 0.0)] * 2


def test_all_columns_are_resampled_together() -> None:
    values = np.random.default_rng(0).random(40)
    means = bootstrap_means(np.column_stack([values, 2.0 * values]))
    np.testing.assert_allclose(means[:, 1], 2.0 * means[:, 0])
    assert interval(means[:, 0])[0] < values.mean() < interval(means[:, 0])[1]


@pytest.mark.parametrize(
    ("lost", "won", "n", "together", "certain"),
    [
        (6, 0, 400, 1, True),
        (6, 0, 400, 17, False),  # chance explains the losses of one domain in seventeen
        (40, 0, 400, 17, True),
        (1, 0, 1, 2, False),
        (2, 0, 2, 2, False),
        (10, 0, 10, 2, True),
    ],
)
def test_the_least_loss_allows_for_chance(lost: int, won: int, n: int, together: int, certain: bool) -> None:
    assert (least_loss(lost, won, n, together) > 0.001) == certain


def test_there_is_no_loss_where_as_many_requests_were_won() -> None:
    assert least_loss(3, 3, 400) == -1.0


def test_the_interval_of_a_share_stays_in_0_to_1() -> None:
    assert wilson(np.ones(3)) == Estimate(1.0, pytest.approx(0.4385, abs=1e-4), 1.0)
    assert wilson(np.array([1.0, 0.0] * 50)).low == pytest.approx(0.4038, abs=1e-4)


def test_the_interval_of_a_single_value_is_infinitely_wide() -> None:
    assert normal_mean(np.array([0.5])) == Estimate(0.5, 0.0, math.inf)
    many = normal_mean(np.array([0.0, 1.0] * 50))
    assert (many.low, many.high) == pytest.approx((0.4015, 0.5985), abs=1e-4)
