"""Training of the classifier, epoch by epoch, towards soft targets.

The loss of a row is the binary cross-entropy summed over the skills. Steps are Adam's (Kingma & Ba 2015), taken only
for the n-grams and skills that a batch touches, so that a step's cost is that of its batch. Where skills are very
many, a batch's negatives are a random sample of the skills that it does not name, weighted by how many each represents.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from arbitrank.probability import sigmoid
from arbitrank.shortlist.classifier import STATISTICS, Singles, SkillClassifier
from arbitrank.shortlist.index import lookup
from arbitrank.shortlist.ngrams import Bags

__all__ = ["Network", "NetworkShape", "inputs", "one_label"]

Rows = NDArray[np.int64]

_MOMENTUM, _SECOND, _TINY = 0.9, 0.999, 1e-8


@dataclass(frozen=True)
class NetworkShape:
    """Architecture and optimiser settings: `hidden` units (0: linear), Adam's `rate`, rows per `batch`.

    `decay` pulls touched weights towards 0. Above `all_skills` skills, a batch has `sampled` negatives beside the
    skills that it names.
    """

    hidden: int = 0
    rate: float = 0.02
    batch: int = 256
    decay: float = 1e-4
    all_skills: int = 2_000
    sampled: int = 1_000


def inputs(of: Bags, vocabulary: NDArray[np.uint32]) -> csr_array:
    """A row for each utterance, 1/√n at each of its n known n-grams: float32, shape (utterances, vocabulary)."""
    at, known = lookup(vocabulary, of.hashes)
    starts = np.concatenate([[0], np.cumsum(known)])[of.starts]
    sizes = np.diff(starts)
    values = np.repeat(1.0 / np.sqrt(np.maximum(sizes, 1)), sizes).astype(np.float32)
    return csr_array((values, at[known], starts), shape=(len(of), len(vocabulary)))


def one_label(columns: Rows, skills: int) -> csr_array:
    """Targets with one skill per row: float32, shape (rows, skills)."""
    ones = np.ones(len(columns), np.float32)
    return csr_array((ones, columns, np.arange(len(columns) + 1)), shape=(len(columns), skills))


class _AdamArray:
    """Trainable weights with Adam's two moments of each."""

    def __init__(self, values: Singles) -> None:
        self.values = values
        self._first = np.zeros_like(values)
        self._second = np.zeros_like(values)

    def step(self, at: Any, slope: Singles, rate: float, decay: float = 0.0) -> None:
        """Step the weights at `at` against the gradient; `rate` includes the bias correction of the moments."""
        first = self._first[at] * _MOMENTUM + (1.0 - _MOMENTUM) * slope
        second = self._second[at] * _SECOND + (1.0 - _SECOND) * slope * slope
        self._first[at], self._second[at] = first, second
        self.values[at] = self.values[at] * (1.0 - rate * decay) - rate * first / (np.sqrt(second) + _TINY)


class Network:
    """A classifier in training: weights, their moments, and its own random generator.

    The same seed, data and calls give the same weights to the bit. With `summary` it takes statistics of its own
    earlier outputs as an input.
    """

    def __init__(
        self, words: int, skills: int, shape: NetworkShape = NetworkShape(), *, seed: int = 0, summary: bool = False
    ) -> None:
        rng = np.random.default_rng(seed)
        self.shape, self._skills, self._rng, self._steps = shape, skills, rng, 0
        self._hidden: tuple[_AdamArray, _AdamArray] | None = None
        output = np.zeros((words, skills), np.float32)
        if inner := shape.hidden:
            weights = rng.normal(0.0, 1.0, (words, inner)).astype(np.float32)
            self._hidden = _AdamArray(weights), _AdamArray(np.zeros(inner, np.float32))
            output = rng.normal(0.0, inner**-0.5, (inner, skills)).astype(np.float32)
        self._output = _AdamArray(output)
        # The prior before training: one skill in all is right.
        self._bias = _AdamArray(np.full(skills, -np.log(max(skills - 1, 1)), np.float32))
        self._again = _AdamArray(np.zeros((STATISTICS, skills), np.float32)) if summary else None

    def epoch(
        self,
        x: csr_array,
        y: csr_array,
        rows: Rows,
        *,
        only: csr_array | None = None,
        weight: Singles | None = None,
        summary: Singles | None = None,
        rate: float | None = None,
    ) -> None:
        """Train for one pass over these rows of `x` towards `y`, in a new random order.

        `only`, of y's shape, weighs single skills of the loss: rows with an entry in it count for the skills named
        there, others for all. `weight` (rows of x) weighs whole rows; `summary` (rows of x, 4) are statistics of
        earlier outputs less the usual ones.
        """
        order = self._rng.permutation(rows)
        for at in range(0, len(order), self.shape.batch):
            batch = order[at : at + self.shape.batch]
            parts = (None if values is None else values[batch] for values in (only, weight, summary))
            self._batch(self.shape.rate if rate is None else rate, x[batch], y[batch], *parts)

    def log_odds(self, x: csr_array, summary: Singles | None = None) -> Singles:
        """The log-odds of all skills: shape (rows, skills)."""
        inner = x
        if self._hidden:
            weights, bias = self._hidden
            inner = np.tanh(x @ weights.values + bias.values)
        z = inner @ self._output.values + self._bias.values
        if summary is not None and self._again:
            z = z + summary @ self._again.values
        return np.asarray(z, np.float32)

    def frozen(self, numbers: Rows, vocabulary: NDArray[np.uint32], usual: Singles | None = None) -> SkillClassifier:
        """The classifier for serving; `numbers` are the skills of its columns, ascending."""
        table, row = np.zeros((0, 0), np.float32), np.zeros(0, np.float32)
        hidden, hidden_bias = (part.values.copy() for part in self._hidden) if self._hidden else (table, row)
        again = (self._again.values.copy(), usual.astype(np.float32)) if self._again and usual is not None else None
        return SkillClassifier(
            np.asarray(numbers, np.int64),
            vocabulary,
            self._output.values.copy(),
            self._bias.values.copy(),
            hidden,
            hidden_bias,
            *(again or (table, row)),
        )

    def _batch(
        self,
        rate: float,
        x: csr_array,
        y: csr_array,
        only: csr_array | None,
        weight: Singles | None,
        summary: Singles | None,
    ) -> None:
        self._steps += 1
        words, places = np.unique(x.indices, return_inverse=True)
        x = csr_array((x.data, places, x.indptr), shape=(x.shape[0], len(words)))
        columns, represents = self._columns(y, only)
        inner: Any = x
        block: Any = np.ix_(words, columns) if len(columns) < self._skills else (words, slice(None))
        if self._hidden:
            inner = np.tanh(x @ self._hidden[0].values[words] + self._hidden[1].values)
            block = (slice(None), columns)
        z = inner @ self._output.values[block] + self._bias.values[columns]
        if summary is not None and self._again:
            z = z + summary @ self._again.values[:, columns]
        slope = (sigmoid(z) - y[:, columns].toarray()) * represents
        if only is not None:
            slope *= np.where(np.diff(only.indptr)[:, None] > 0, only[:, columns].toarray(), 1.0)
        if weight is not None:
            slope *= weight[:, None]
        slope = (slope / len(slope)).astype(np.float32)
        # Adam's bias correction: the moments start at 0.
        rate *= np.sqrt(1.0 - _SECOND**self._steps) / (1.0 - _MOMENTUM**self._steps)
        decay = self.shape.decay
        if self._hidden:
            below = (slope @ self._output.values[block].T) * (1.0 - inner * inner)
            self._hidden[0].step((words,), np.asarray(x.T @ below, np.float32), rate, decay)
            self._hidden[1].step(slice(None), below.sum(axis=0), rate)
        self._output.step(block, np.asarray(inner.T @ slope, np.float32), rate, decay)
        self._bias.step((columns,), slope.sum(axis=0), rate)
        if summary is not None and self._again:
            self._again.step((slice(None), columns), summary.T @ slope, rate, decay)

    def _columns(self, y: csr_array, only: csr_array | None) -> tuple[Rows, Singles]:
        """The skills whose loss a batch computes, and how many skills each represents."""
        if self._skills <= self.shape.all_skills:
            return np.arange(self._skills), np.ones(1, np.float32)
        named = np.unique(y.indices if only is None else np.concatenate([y.indices, only.indices]))
        drawn = np.setdiff1d(self._rng.integers(0, self._skills, self.shape.sampled), named)
        columns = np.concatenate([named, drawn])
        represents = np.ones(len(columns), np.float32)
        represents[len(named) :] = (self._skills - len(named)) / max(1, len(drawn))
        return columns, represents
