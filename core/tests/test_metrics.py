"""Calibration metrics."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from arbitrank.evaluate.metrics import Calibration, brier, calibrated_eces, calibration, ece, in_band, nll, reliability

Pairs = list[tuple[float, float]]
pairs = st.lists(st.tuples(st.floats(0.0, 1.0), st.sampled_from([0.0, 1.0])), min_size=1, max_size=60)


def split(outcomes: Pairs) -> tuple[np.ndarray, np.ndarray]:
    return np.array([p for p, _ in outcomes]), np.array([y for _, y in outcomes])


@pytest.mark.parametrize(
    ("outcomes", "expected_nll", "expected_brier", "expected_ece"),
    [
        ([(1.0, 1.0)], 1e-6, 0.0, 0.0),
        ([(0.0, 0.0)], 1e-6, 0.0, 0.0),
        ([(0.5, 1.0)], math.log(2), 0.25, 0.5),
        ([(0.5, 1.0), (0.5, 0.0)], math.log(2), 0.25, 0.5),  # each its own bin
        ([(1.0, 0.0)], -math.log(1e-6), 1.0, 1.0),  # clipped: wrong and certain is not infinite
        ([(0.0, 1.0)], -math.log(1e-6), 1.0, 1.0),
        ([(0.8, 1.0), (0.2, 0.0)], -math.log(0.8), 0.04, 0.2),
        ([(0.25, 1.0), (0.75, 1.0)], -(math.log(0.25) + math.log(0.75)) / 2, (0.5625 + 0.0625) / 2, 0.5),
    ],
)
def test_figures_of_a_few(outcomes: Pairs, expected_nll: float, expected_brier: float, expected_ece: float) -> None:
    p, y = split(outcomes)
    assert nll(p, y) == pytest.approx(expected_nll, rel=1e-5)
    assert brier(p, y) == pytest.approx(expected_brier)
    assert ece(p, y) == pytest.approx(expected_ece)


def test_the_ece_is_of_15_bins_of_equal_mass() -> None:
    """In each bin of ten, all probabilities are 0.5 and eight outcomes are right."""
    p = np.repeat(np.linspace(0.49, 0.51, 15), 10)
    y = np.tile(np.repeat([1.0, 0.0], [8, 2]), 15)
    assert ece(p, y) == pytest.approx(0.3, abs=0.004)
    assert [n for _, _, n in reliability(p, y)] == [10] * 15
    assert [share for _, share, _ in reliability(p, y)] == pytest.approx([0.8] * 15)


@given(pairs)
def test_rates_are_rates(outcomes: Pairs) -> None:
    p, y = split(outcomes)
    assert 0.0 <= ece(p, y) <= 1.0
    assert 0.0 <= brier(p, y) <= 1.0
    assert 0.0 <= nll(p, y) <= -math.log(1e-6) + 1e-9


@given(pairs, st.integers(1, 20))
def test_the_ece_is_the_mean_gap_of_the_reliability_diagram(outcomes: Pairs, bins: int) -> None:
    p, y = split(outcomes)
    found = reliability(p, y, bins)
    assert sum(n for _, _, n in found) == len(p)
    assert len(found) == min(bins, len(p))
    assert max(n for _, _, n in found) - min(n for _, _, n in found) <= 1
    assert [mean for mean, _, _ in found] == sorted(mean for mean, _, _ in found) or len(set(p)) < len(p)
    assert ece(p, y, bins) == pytest.approx(sum(n * abs(mean - share) for mean, share, n in found) / len(p), abs=1e-12)


@given(pairs)
def test_no_bins_show_more_than_each_request_does(outcomes: Pairs) -> None:
    p, y = split(outcomes)
    assert abs(float((p - y).mean())) - 1e-12 <= ece(p, y) <= float(np.abs(p - y).mean()) + 1e-12


@given(st.floats(0.01, 0.99))
def test_nll_and_brier_are_proper(truth: float) -> None:
    """Of all probabilities, the true one has the best expected NLL and Brier score."""
    claims = np.linspace(0.01, 0.99, 99)

    def expected(score, p: float) -> float:
        one, zero = np.array([1.0]), np.array([0.0])
        return truth * score(np.array([p]), one) + (1 - truth) * score(np.array([p]), zero)

    for score in (nll, brier):
        assert expected(score, truth) <= min(expected(score, p) for p in claims) + 1e-12


def test_a_calibrated_system_is_at_its_floor() -> None:
    rng = np.random.default_rng(1)
    p = rng.random(3000)
    card = calibration(p, (rng.random(3000) < p).astype(np.float64))
    low, high = card.ece_band
    assert low <= card.ece <= high
    assert card.in_band
    assert low < card.ece_floor < high
    assert 0.005 < card.ece_floor < 0.03  # chance alone, on 3,000 requests
    assert card.ece_interval[0] < card.ece_interval[1]
    assert abs(card.over) < 0.03
    assert card.n == 3000


@pytest.mark.parametrize(("predicted", "sign"), [(0.95, 1.0), (0.4, -1.0)])
def test_an_over_or_under_confident_system_is_outside_the_band(predicted: float, sign: float) -> None:
    y = (np.random.default_rng(2).random(2000) < 0.7).astype(np.float64)
    card = calibration(np.full(2000, predicted), y)
    assert card.ece > card.ece_band[1]
    assert not card.in_band
    assert math.copysign(1.0, card.over) == sign
    assert card.over == pytest.approx(predicted - y.mean())


def test_the_same_seed_gives_the_same_card() -> None:
    p, y = np.linspace(0.1, 0.9, 50), np.tile([0.0, 1.0], 25)
    assert calibration(p, y) == calibration(p, y)
    assert calibration(p, y, seed=1).ece_floor != calibration(p, y).ece_floor
    assert calibration(p, y, seed=1).ece == calibration(p, y).ece


def test_nothing_to_measure_gives_zeros() -> None:
    assert calibration(np.zeros(0), np.zeros(0)) == Calibration(0, 0.0, 0.0, 0.0, (0.0, 0.0), 0.0, (0.0, 0.0), 0.0)
    assert reliability(np.zeros(0), np.zeros(0)) == []


@pytest.mark.parametrize(("figure", "inside"), [(0.0, True), (0.01, True), (0.02, True), (0.0200001, False)])
def test_an_ece_is_in_its_band_at_or_below_the_upper_end(figure: float, inside: bool) -> None:
    assert in_band(figure, (0.01, 0.02)) is inside


@given(pairs, st.floats(0.1, 10.0))
def test_equal_weights_change_nothing(outcomes: Pairs, weight: float) -> None:
    p, y = split(outcomes)
    plain, weighted = calibration(p, y, draws=20), calibration(p, y, np.full(len(p), weight), draws=20)
    for name in ("nll", "brier", "ece", "ece_floor", "over"):
        assert getattr(plain, name) == pytest.approx(getattr(weighted, name), abs=1e-9)


@given(st.integers(15, 60), st.integers(0, 2**32 - 1))
def test_requests_without_weight_are_as_though_left_out(n: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    p, y = rng.random(2 * n), rng.integers(0, 2, 2 * n).astype(np.float64)
    kept = rng.permutation(2 * n) < n
    assert ece(p, y, weight=kept.astype(np.float64)) == pytest.approx(ece(p[kept], y[kept]), abs=1e-12)
    assert nll(p, y, kept.astype(np.float64)) == pytest.approx(nll(p[kept], y[kept]))


def test_few_heavy_requests_widen_the_band() -> None:
    """Weights leave a calibrated system in its band, which is as wide as that of fewer requests."""
    rng = np.random.default_rng(3)
    p = rng.random(2000)
    y, heavy = (rng.random(2000) < p).astype(np.float64), np.where(np.arange(2000) < 200, 9.0, 0.1)
    plain, weighted = calibration(p, y), calibration(p, y, heavy)
    assert plain.in_band
    assert weighted.in_band
    assert weighted.ece_floor > 2.0 * plain.ece_floor
    assert weighted.ece_interval[1] - weighted.ece_interval[0] > plain.ece_interval[1] - plain.ece_interval[0]
    both = calibrated_eces(p, [np.ones(2000), heavy], np.random.default_rng(0))
    assert [float(one.mean()) for one in both] == pytest.approx([plain.ece_floor, weighted.ece_floor])
