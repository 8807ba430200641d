"""The article's losses, their forms of probability and their gradients."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from arbitrank.learn.losses import Batch, Floats, cross_entropy, expected_semer, mixed, probabilities, sigmoid

FORMS = ("sigmoid", "softmax", "null")
LOSSES = {
    "R1": expected_semer,
    "R2": cross_entropy,
    "R3": partial(mixed, r1=1.0, r2=1.0),
    "R1 + 3·R2": partial(mixed, r1=1.0, r2=3.0),
}


def several(elements: st.SearchStrategy[float], n: int) -> st.SearchStrategy[Floats]:
    return st.lists(elements, min_size=n, max_size=n).map(lambda values: np.array(values, np.float64))


@st.composite
def problems(draw: st.DrawFn, largest: float = 6.0) -> tuple[Floats, Batch]:
    """Scores and labels of some requests; a request may have no right hypothesis, one, or several."""
    sizes = draw(st.lists(st.integers(1, 4), min_size=1, max_size=4))
    n, labels = sum(sizes), st.sampled_from([0.0, 1.0])
    mine = draw(several(labels, len(sizes)))
    right = draw(several(labels, n)) * np.repeat(mine, sizes)
    batch = Batch(
        starts=np.cumsum([0, *sizes[:-1]]),
        right=right,
        semer=np.where(right > 0, 0.0, draw(several(st.floats(0.1, 3.0), n))),
        mine=mine,
        weight=draw(several(st.floats(0.1, 5.0), len(sizes))),
    )
    return draw(several(st.floats(-largest, largest), n)), batch


def lists(z: Floats, batch: Batch) -> list[slice]:
    return [slice(start, start + size) for start, size in zip(batch.starts, batch.sizes, strict=True)]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
@given(problem=problems())
def test_the_gradient_is_that_of_finite_differences(loss, form, problem: tuple[Floats, Batch]) -> None:
    z, batch = problem
    value, gradient = loss(z, batch, form)
    step = 1e-5
    for i in range(len(z)):
        shift = np.zeros_like(z)
        shift[i] = step
        slope = (loss(z + shift, batch, form)[0] - loss(z - shift, batch, form)[0]) / (2 * step)
        assert gradient[i] == pytest.approx(slope, rel=1e-5, abs=1e-8)
    assert value >= -1e-12


@given(problems(largest=800.0))
def test_probabilities_are_what_the_forms_say(problem: tuple[Floats, Batch]) -> None:
    z, batch = problem
    for form in FORMS:
        p = probabilities(z, batch.starts, form)
        assert ((p >= 0) & (p <= 1)).all()
        for part in lists(z, batch):
            rivals = np.append(z[part], 0.0) if form == "null" else z[part]
            total = np.logaddexp(0.0, z[part]) if form == "sigmoid" else np.logaddexp.reduce(rivals)
            assert np.allclose(p[part], np.exp(z[part] - total), rtol=1e-9, atol=1e-15)


@given(problems())
def test_expected_semer_is_the_sum_of_chance_times_error_over_own_requests(problem: tuple[Floats, Batch]) -> None:
    """The sigmoid form does not say which reading is chosen; there the softmax of its scores does."""
    z, batch = problem
    for form in FORMS:
        p = probabilities(z, batch.starts, "softmax" if form == "sigmoid" else form)
        total = 0.0
        for i, part in enumerate(lists(z, batch)):
            nothing = 1.0 - p[part].sum() if form == "null" else 0.0  # choosing nothing costs 1
            total += batch.weight[i] * batch.mine[i] * (p[part] @ batch.semer[part] + nothing)
        assert expected_semer(z, batch, form)[0] == pytest.approx(total / batch.weight.sum(), abs=1e-12)


@given(problems())
def test_cross_entropy_is_the_likelihood_of_what_was_right(problem: tuple[Floats, Batch]) -> None:
    z, batch = problem
    for form in FORMS:
        p = probabilities(z, batch.starts, form)
        total = 0.0
        for i, part in enumerate(lists(z, batch)):
            y, q = batch.right[part], p[part]
            if form == "sigmoid":
                loss = -(y * np.log(q) + (1 - y) * np.log(1 - q)).sum()
            elif y.any():
                loss = -np.log(q[y > 0].sum())
            else:
                loss = -np.log(1 - q.sum()) if form == "null" else 0.0
            total += batch.weight[i] * loss
        assert cross_entropy(z, batch, form)[0] == pytest.approx(total / batch.weight.sum(), rel=1e-9, abs=1e-9)


@given(problems(largest=800.0))
def test_no_score_is_so_large_that_a_loss_overflows(problem: tuple[Floats, Batch]) -> None:
    z, batch = problem
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        for form in FORMS:
            for loss in LOSSES.values():
                value, gradient = loss(z, batch, form)
                assert np.isfinite(value)
                assert np.isfinite(gradient).all()


@given(problems(), st.randoms(use_true_random=False))
def test_a_loss_does_not_depend_on_the_order_of_the_requests(problem: tuple[Floats, Batch], random) -> None:
    z, batch = problem
    order = list(range(len(batch.starts)))
    random.shuffle(order)
    parts = lists(z, batch)
    rows = np.concatenate([np.arange(parts[i].start, parts[i].stop) for i in order])
    starts = np.cumsum([0, *batch.sizes[order][:-1]])
    shuffled = Batch(starts, batch.right[rows], batch.semer[rows], batch.mine[order], batch.weight[order])
    for form in FORMS:
        for loss in LOSSES.values():
            assert loss(z[rows], shuffled, form)[0] == pytest.approx(loss(z, batch, form)[0], abs=1e-12)


@given(problems())
def test_others_requests_are_no_part_of_expected_semer(problem: tuple[Floats, Batch]) -> None:
    z, batch = problem
    others = np.repeat(batch.mine == 0, batch.sizes)
    for form in FORMS:
        assert (expected_semer(z, batch, form)[1][others] == 0).all()


@given(st.floats(-1e6, 1e6))
def test_the_sigmoid_of_minus_z_is_the_rest(z: float) -> None:
    assert sigmoid(np.array([z]))[0] + sigmoid(np.array([-z]))[0] == pytest.approx(1.0)


@given(st.integers(0, 10_000))
def test_both_losses_at_once_are_the_sum_of_each(seed: int) -> None:
    rng = np.random.default_rng(seed)
    sizes = rng.integers(1, 5, 6)
    n, starts = int(sizes.sum()), np.concatenate([[0], np.cumsum(sizes)[:-1]])
    right = (rng.random(n) < 0.3).astype(np.float64)
    batch = Batch(starts, right, rng.random(n), (rng.random(6) < 0.5).astype(np.float64), rng.uniform(0.5, 2.0, 6))
    z = rng.normal(0.0, 4.0, n)
    loss, slope = mixed(z, batch, "null", 2.0, 3.0)
    (one, its), (other, others) = expected_semer(z, batch, "null"), cross_entropy(z, batch, "null")
    assert loss == pytest.approx(2.0 * one + 3.0 * other, rel=1e-9)
    np.testing.assert_allclose(slope, 2.0 * its + 3.0 * others, rtol=1e-7, atol=1e-12)
