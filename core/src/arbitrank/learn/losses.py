"""The article's losses in three forms of probability, with their gradients by the scores.

A batch holds the hypotheses of R requests one after another: scores z of shape (N,), and `starts`, shape (R,), where
each request's hypotheses begin (no request is empty). `weight`, shape (R,), weights requests; a loss is the weighted
sum divided by the sum of all weights. Forms of probability:

- sigmoid: p_i = 1 / (1 + exp(-z_i)), each hypothesis for itself;
- softmax: p_i = exp(z_i) / Σ_j exp(z_j), over the request's list;
- null: the softmax with one more option of score 0, "none of mine".

R1, expected semantic error, and R2, cross-entropy on "entirely right", follow the idea of Su et al., SLT 2018 (arXiv
1809.09605); the formulas are ours, as the paper's are only partly public.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from arbitrank.probability import Floats, Starts, binary_loss, exponentials, null_softmax, sigmoid, softmax

Form = Literal["sigmoid", "softmax", "null"]


class Batch(NamedTuple):
    """Labels and semantic errors of hypotheses, grouped by request.

    `starts`: int of shape (R,). `right`: 1.0 where the hypothesis is entirely right, shape (N,). `semer`: its semantic
    error rate, shape (N,), at least 0. `mine`: 1.0 where the request is the domain's own, shape (R,). `weight`: (R,).
    """

    starts: Starts
    right: Floats
    semer: Floats
    mine: Floats
    weight: Floats

    @property
    def sizes(self) -> NDArray[np.int64]:
        """Number of hypotheses of each request, shape (R,)."""
        return np.diff(np.append(self.starts, len(self.right)))

    def counts(self, kept: float) -> Floats:
        """Requests that each one stands for, shape (R,): others', sampled at the rate `kept`, for 1/kept each."""
        return self.weight * np.where(self.mine > 0, 1.0, 1.0 / kept)

    def only(self, chosen: NDArray[np.bool_]) -> tuple[Batch, NDArray[np.bool_]]:
        """The batch of the chosen requests, a mask of shape (R,), and the mask of their hypotheses, shape (N,)."""
        sizes = self.sizes
        each = np.repeat(chosen, sizes)
        starts = np.concatenate([[0], np.cumsum(sizes[chosen])])[: int(chosen.sum())].astype(np.int64)
        return Batch(starts, self.right[each], self.semer[each], self.mine[chosen], self.weight[chosen]), each


def probabilities(z: Floats, starts: Starts, form: Form) -> Floats:
    """P of each hypothesis in the given form, shape (N,)."""
    if form == "sigmoid":
        return sigmoid(z)
    return null_softmax(z, starts) if form == "null" else softmax(z, starts)


def expected_semer(z: Floats, batch: Batch, form: Form) -> tuple[float, Floats]:
    """R1 and its gradient: Σ p_i · SemER_i, the semantic error expected of the list, on the domain's own requests.

    Others' requests would only reward short readings. Sigmoids don't choose a reading, and all at 0 would be perfect,
    so in that form the list's softmax chooses. In the null form choosing nothing costs 1: intent and slots.
    """
    starts, sizes = batch.starts, batch.sizes
    p = probabilities(z, starts, "softmax" if form == "sigmoid" else form)
    weight = batch.weight * batch.mine / batch.weight.sum()
    expected = np.add.reduceat(p * batch.semer, starts)
    if form == "null":
        expected = expected + 1.0 - np.add.reduceat(p, starts)
    return float(weight @ expected), np.repeat(weight, sizes) * p * (batch.semer - np.repeat(expected, sizes))


def cross_entropy(z: Floats, batch: Batch, form: Form) -> tuple[float, Floats]:
    """R2 and its gradient: the negative log-likelihood of which hypothesis is entirely right.

    The plain softmax has no way to express "none", so requests without a right hypothesis don't count there.
    """
    starts, sizes = batch.starts, batch.sizes
    weight = batch.weight / batch.weight.sum()
    each = np.repeat(weight, sizes)
    if form == "sigmoid":
        return float(each @ binary_loss(z, batch.right)), each * (sigmoid(z) - batch.right)
    p = probabilities(z, starts, form)
    share = np.add.reduceat(p * batch.right, starts)
    has_right = np.add.reduceat(batch.right, starts) > 0
    null = np.maximum(1.0 - np.add.reduceat(p, starts), 1e-12)
    target = np.where(has_right, np.maximum(share, 1e-300), null if form == "null" else 1.0)
    posterior = np.where(np.repeat(has_right, sizes), p * batch.right / np.repeat(target, sizes), 0.0)
    counts = has_right | (form == "null")
    gradient = each * np.repeat(counts, sizes) * (p - posterior)
    return float(-weight @ np.log(target)), gradient


def mixed(z: Floats, batch: Batch, form: Form, r1: float, r2: float) -> tuple[float, Floats]:
    """r1·R1 + r2·R2 and its gradient; R3 is r1 = 1 and r2 = λ."""
    if form == "null" and r1 and r2:
        return _mixed_null(z, batch, r1, r2)
    loss, gradient = 0.0, np.zeros_like(z)
    for share, part in ((r1, expected_semer), (r2, cross_entropy)):
        if share:
            value, slope = part(z, batch, form)
            loss, gradient = loss + share * value, gradient + share * slope
    return loss, gradient


def _mixed_null(z: Floats, batch: Batch, r1: float, r2: float) -> tuple[float, Floats]:
    """`mixed` in the null form, where both parts share the probabilities: p·(a·SemER + b − c·right) is the gradient."""
    starts, each = batch.starts, np.repeat(np.arange(len(batch.starts)), batch.sizes)
    e, total, nothing = exponentials(z, starts, null=True)
    p = e * (1.0 / total)[each]
    null = nothing / total
    weight = batch.weight / batch.weight.sum()
    expected = np.add.reduceat(p * batch.semer, starts) + null
    share = np.add.reduceat(p * batch.right, starts)
    has_right = np.add.reduceat(batch.right, starts) > 0
    target = np.where(has_right, np.maximum(share, 1e-300), np.maximum(null, 1e-12))
    a = r1 * weight * batch.mine
    b = r2 * weight - a * expected
    c = np.where(has_right, r2 * weight / target, 0.0)
    loss = r1 * float((weight * batch.mine) @ expected) - r2 * float(weight @ np.log(target))
    return loss, p * (a[each] * batch.semer + b[each] - c[each] * batch.right)
