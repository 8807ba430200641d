"""Calibration maps, beside scikit-learn's own."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression

from arbitrank.domain import Scores
from arbitrank.evaluate.metrics import ece, nll
from arbitrank.learn.calibration import IDENTITY, Affine, Isotonic, recalibrated
from arbitrank.learn.calibration_fitting import choose, fit_affine, fit_isotonic, fit_temperature
from arbitrank.probability import log_odds, sigmoid


def claims(n: int, slope: float, shift: float = 0.0, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities whose log-odds have to be stretched by `slope` and moved by `shift` to be true, and outcomes."""
    rng = np.random.default_rng(seed)
    z = rng.normal(0.0, 2.0, n)
    return sigmoid(z), (rng.random(n) < sigmoid(slope * z + shift)).astype(np.float64)


def test_with_much_data_an_affine_map_is_scikit_learns_platt_scaling() -> None:
    p, y = claims(200_000, 0.5, -0.7)
    theirs = LogisticRegression(C=np.inf, max_iter=1000).fit(log_odds(p)[:, None], y)
    ours = fit_affine(p, y)
    assert ours.slope == pytest.approx(theirs.coef_[0, 0], abs=2e-3)
    assert ours.shift == pytest.approx(theirs.intercept_[0], abs=2e-3)


def test_with_much_data_a_temperature_is_scikit_learns_without_an_intercept() -> None:
    p, y = claims(200_000, 0.5)
    theirs = LogisticRegression(C=np.inf, fit_intercept=False, max_iter=1000).fit(log_odds(p)[:, None], y)
    assert fit_temperature(p, y).slope == pytest.approx(theirs.coef_[0, 0], abs=2e-3)
    assert fit_temperature(p, y).shift == 0.0


@pytest.mark.parametrize("prior", [-3.0, -1.0, 0.0])
@pytest.mark.parametrize("factor", [1.0, 2.0, 3.0])
def test_claims_that_are_far_too_strong_are_brought_down_to_the_truth(prior: float, factor: float) -> None:
    rng = np.random.default_rng(0)
    z = rng.normal(prior, 3.0, 8_000)
    y = (rng.random(8_000) < sigmoid(z)).astype(float)
    slope = fit_temperature(np.clip(sigmoid(factor * z), 1e-6, 1.0 - 1e-6), y).slope
    assert 1.0 / slope == pytest.approx(factor, rel=0.15)


def test_an_isotonic_map_is_scikit_learns_but_at_the_ends() -> None:
    p, y = claims(6_000, 0.4)
    theirs = IsotonicRegression(out_of_bounds="clip").fit(p, y).predict(p)
    ours = fit_isotonic(p, y)(p)
    inner = (theirs > 0.01) & (theirs < 0.99)
    assert np.abs(ours - theirs)[inner].max() < 1e-9
    assert 0.0 < ours.min() <= ours.max() < 1.0


@pytest.mark.parametrize("slope", [0.4, 2.5])
def test_a_map_that_helps_is_chosen_and_mends_the_calibration(slope: float) -> None:
    p, y = claims(3_000, slope)
    fresh, truth = claims(20_000, slope, seed=1)
    chosen = choose(p, y)
    assert nll(chosen(fresh), truth) < nll(fresh, truth)
    assert ece(chosen(fresh), truth) < 0.25 * ece(fresh, truth)


@pytest.mark.parametrize("seed", range(5))
def test_honest_probabilities_are_left_alone_or_all_but(seed: int) -> None:
    p, y = claims(2_000, 1.0, seed=seed)
    chosen = choose(p, y)
    assert chosen == IDENTITY or np.abs(chosen(p) - p).max() < 0.05


def test_few_outcomes_move_a_map_little() -> None:
    p, y = claims(12, 0.2)
    assert abs(fit_temperature(p, y).slope - 1.0) < abs(fit_temperature(*claims(3_000, 0.2)).slope - 1.0)


@pytest.mark.parametrize("y", [[0.0] * 40, [1.0] * 40, []])
def test_outcomes_of_one_kind_teach_nothing(y: list[float]) -> None:
    assert choose(np.full(len(y), 0.7), np.array(y)) == IDENTITY


@pytest.mark.parametrize("rare", [0.0, 1.0])
def test_no_map_is_looked_for_where_an_outcome_was_seen_less_than_fifty_times(rare: float) -> None:
    p = np.full(1_000, 0.5)
    y = np.full(1_000, 1.0 - rare)
    y[:49] = rare
    assert choose(p, y) == IDENTITY
    y[49] = rare
    assert choose(p, y) != IDENTITY


@given(
    right=st.lists(st.floats(0.0, 1.0), min_size=1, max_size=6),
    slope=st.floats(0.01, 5.0),
    shift=st.floats(-5.0, 5.0),
    slack=st.floats(0.0, 1.0),
)
def test_calibrated_scores_keep_the_contract(right: list[float], slope: float, shift: float, slack: float) -> None:
    given_right = np.array(right) / max(1.0, sum(right))
    total = float(given_right.sum())
    scores = recalibrated(Scores(min(1.0, total + slack * (1.0 - total)), given_right), Affine(slope, shift))
    assert (scores.right >= 0.0).all()
    assert scores.right.sum() <= scores.mine + 1e-9
    assert scores.mine <= 1.0


@given(st.lists(st.floats(0.0, 1.0), min_size=2, max_size=20))
def test_no_map_turns_two_readings_around(p: list[float]) -> None:
    ordered = np.sort(np.array(p))
    for calibrator in (
        fit_temperature(*claims(50, 0.3)),
        fit_affine(*claims(50, 3.0)),
        Isotonic((0.1, 0.9), (0.2, 0.5)),
    ):
        assert (np.diff(calibrator(ordered)) >= -1e-12).all()


def test_wrong_outcomes_that_were_sampled_count_as_many_as_they_stand_for() -> None:
    p, y = claims(20_000, 1.0)
    kept = (y > 0) | (np.random.default_rng(1).random(len(y)) < 0.1)
    p, y = p[kept], y[kept]
    counts = np.where(y > 0, 1.0, 10.0)
    assert choose(p, y) != IDENTITY
    assert choose(p, y, counts) == IDENTITY
    assert fit_affine(p, y, counts).shift == pytest.approx(0.0, abs=0.1)
    assert fit_affine(p, y).shift > 1.5
