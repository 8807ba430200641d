"""Training of the discriminative model, epoch by epoch, towards soft targets.

The loss of a row is the binary cross-entropy summed over the skills. Steps are Adam's (Kingma & Ba 2015), taken only
for the n-grams and skills that a batch touches, so that a step's cost is that of its batch. Where skills are very
many, a batch is held against the skills that it names and a random sample of the others, weighted by how many they
stand for.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from arbitrank.probability import sigmoid
from arbitrank.shortlist.classifier import STATISTICS, Learned, Singles
from arbitrank.shortlist.hashing import Bags

__all__ = ["Network", "Shape", "inputs", "one_label"]

Rows = NDArray[np.int64]

_MOMENTUM, _SECOND, _TINY = 0.9, 0.999, 1e-8


@dataclass(frozen=True)
class Shape:
    """How a model is built and stepped: `hidden` units (0: linear), Adam's rate, rows a batch.

    `decay` pulls weights that are touched towards 0; `dropout` hides that share of an utterance's n-grams from a step.
    Above `all_skills` skills, a batch sees `sampled` others beside those that it names.
    """

    hidden: int = 0
    rate: float = 0.02
    batch: int = 256
    decay: float = 1e-4
    dropout: float = 0.0
    all_skills: int = 2_000
    sampled: int = 1_000


def inputs(of: Bags, vocabulary: NDArray[np.uint32]) -> csr_array:
    """A row for each utterance, 1/√n at each of its n known n-grams: float32, shape (utterances, vocabulary)."""
    if not len(vocabulary):
        return csr_array((len(of), 0), dtype=np.float32)
    at = np.minimum(np.searchsorted(vocabulary, of.hashes), len(vocabulary) - 1)
    known = vocabulary[at] == of.hashes
    starts = np.concatenate([[0], np.cumsum(known)])[of.starts]
    sizes = np.diff(starts)
    values = np.repeat(1.0 / np.sqrt(np.maximum(sizes, 1)), sizes).astype(np.float32)
    return csr_array((values, at[known], starts), shape=(len(of), len(vocabulary)))


def one_label(columns: Rows, skills: int) -> csr_array:
    """Targets that name one skill a row: float32, shape (rows, skills)."""
    ones = np.ones(len(columns), np.float32)
    return csr_array((ones, columns, np.arange(len(columns) + 1)), shape=(len(columns), skills))


class _Weights:
    """An array and Adam's two moments of each of its numbers."""

    def __init__(self, values: Singles) -> None:
        self.values = values
        self._first = np.zeros_like(values)
        self._second = np.zeros_like(values)

    def step(self, at: Any, slope: Singles, rate: float, decay: float) -> None:
        """One step of the numbers at `at`, against the slope of the loss; `rate` holds the correction for the start."""
        first = self._first[at] * _MOMENTUM + (1.0 - _MOMENTUM) * slope
        second = self._second[at] * _SECOND + (1.0 - _SECOND) * slope * slope
        self._first[at], self._second[at] = first, second
        self.values[at] = self.values[at] * (1.0 - rate * decay) - rate * first / (np.sqrt(second) + _TINY)


class Network:
    """A model while it is trained: weights, their moments, and its own source of chance.

    The same seed, data and calls give the same weights to the bit. `told` says that it will be given statistics of
    what was said before.
    """

    def __init__(self, words: int, skills: int, shape: Shape = Shape(), *, seed: int = 0, told: bool = False) -> None:
        rng = np.random.default_rng(seed)
        inner = shape.hidden or words
        self.shape, self.words, self.skills, self._rng, self._steps = shape, words, skills, rng, 0
        self._hidden = self._hidden_bias = None
        output = np.zeros((inner, skills), np.float32)
        if shape.hidden:
            self._hidden = _Weights(rng.normal(0.0, 1.0, (words, inner)).astype(np.float32))
            self._hidden_bias = _Weights(np.zeros(inner, np.float32))
            output = rng.normal(0.0, inner**-0.5, (inner, skills)).astype(np.float32)
        self._output = _Weights(output)
        # As if one skill in all were right: the chance before anything is learnt.
        self._bias = _Weights(np.full(skills, -np.log(max(skills - 1, 1)), np.float32))
        self._again = _Weights(np.zeros((STATISTICS, skills), np.float32)) if told else None

    def epoch(
        self,
        x: csr_array,
        y: csr_array,
        rows: Rows,
        *,
        only: csr_array | None = None,
        weight: Singles | None = None,
        told: Singles | None = None,
        rate: float | None = None,
    ) -> None:
        """One pass over these rows of `x` towards `y`, in a new random order.

        `only`, of y's shape, weighs each skill's part of the loss where it isn't one: rows that it names at all count
        for the skills that it names, others whole. `weight` (rows of x) weighs whole rows; `told` (rows of x, 4) are
        statistics of what was said before, less the usual.
        """
        rate = self.shape.rate if rate is None else rate
        order = self._rng.permutation(rows)
        for at in range(0, len(order), self.shape.batch):
            batch = order[at : at + self.shape.batch]
            self._batch(
                x[batch],
                y[batch],
                None if only is None else only[batch],
                None if weight is None else weight[batch],
                None if told is None else told[batch],
                rate,
            )

    def log_odds(self, x: csr_array, told: Singles | None = None) -> Singles:
        """The log-odds of all skills: shape (rows, skills)."""
        inner = x
        if self._hidden is not None and self._hidden_bias is not None:
            inner = np.tanh(x @ self._hidden.values + self._hidden_bias.values)
        z = inner @ self._output.values + self._bias.values
        if told is not None and self._again is not None:
            z = z + told @ self._again.values
        return np.asarray(z, np.float32)

    def frozen(self, numbers: Rows, vocabulary: NDArray[np.uint32], usual: Singles | None = None) -> Learned:
        """The model for serving; `numbers` are the skills' of its columns, rising."""
        none = np.zeros((0, 0), np.float32)
        again = none if self._again is None or usual is None else self._again.values.copy()
        return Learned(
            np.asarray(numbers, np.int64),
            vocabulary,
            self._output.values.copy(),
            self._bias.values.copy(),
            none if self._hidden is None else self._hidden.values.copy(),
            np.zeros(0, np.float32) if self._hidden_bias is None else self._hidden_bias.values.copy(),
            again,
            np.zeros(0, np.float32) if usual is None or not again.size else usual.astype(np.float32),
        )

    def _batch(
        self,
        x: csr_array,
        y: csr_array,
        only: csr_array | None,
        weight: Singles | None,
        told: Singles | None,
        rate: float,
    ) -> None:
        self._steps += 1
        if self.shape.dropout:
            x = _dropped(x, self.shape.dropout, self._rng)
        words, places = np.unique(x.indices, return_inverse=True)
        x = csr_array((x.data, places, x.indptr), shape=(x.shape[0], len(words)))
        columns, stands_for = self._columns(y, only)
        inner: Any = x
        block: Any
        if self._hidden is not None and self._hidden_bias is not None:
            inner = np.tanh(x @ self._hidden.values[words] + self._hidden_bias.values)
            block = (slice(None), columns)
        else:
            block = np.ix_(words, columns) if len(columns) < self.skills else (words, slice(None))
        z = inner @ self._output.values[block] + self._bias.values[columns]
        if told is not None and self._again is not None:
            z = z + told @ self._again.values[:, columns]
        slope = (sigmoid(z) - y[:, columns].toarray()) * stands_for
        if only is not None:
            named = only[:, columns].toarray()
            slope *= np.where(np.diff(only.indptr)[:, None] > 0, named, 1.0)
        if weight is not None:
            slope *= weight[:, None]
        slope = (slope / len(slope)).astype(np.float32)
        # Adam's correction of moments that began at 0.
        rate *= np.sqrt(1.0 - _SECOND**self._steps) / (1.0 - _MOMENTUM**self._steps)
        decay = self.shape.decay
        if self._hidden is not None and self._hidden_bias is not None:
            below = (slope @ self._output.values[block].T) * (1.0 - inner * inner)
            self._hidden.step((words,), np.asarray(x.T @ below, np.float32), rate, decay)
            self._hidden_bias.step(slice(None), below.sum(axis=0), rate, 0.0)
        self._output.step(block, np.asarray(inner.T @ slope, np.float32), rate, decay)
        self._bias.step((columns,), slope.sum(axis=0), rate, 0.0)
        if told is not None and self._again is not None:
            self._again.step((slice(None), columns), told.T @ slope, rate, decay)

    def _columns(self, y: csr_array, only: csr_array | None) -> tuple[Rows, Singles]:
        """The skills that a batch is held against, and how many skills each stands for."""
        if self.skills <= self.shape.all_skills:
            return np.arange(self.skills), np.ones(1, np.float32)
        named = np.unique(y.indices if only is None else np.concatenate([y.indices, only.indices]))
        drawn = np.setdiff1d(self._rng.integers(0, self.skills, self.shape.sampled), named)
        columns = np.concatenate([named, drawn])
        stands_for = np.ones(len(columns), np.float32)
        stands_for[len(named) :] = (self.skills - len(named)) / max(1, len(drawn))
        return columns, stands_for


def _dropped(x: csr_array, share: float, rng: np.random.Generator) -> csr_array:
    keep = (rng.random(x.nnz) >= share).astype(np.float32) / np.float32(1.0 - share)
    return csr_array((x.data * keep, x.indices, x.indptr), shape=x.shape)
