"""Discriminative classifier of skills: hashed n-grams, linear or with one hidden layer, a sigmoid for each skill.

    h = x, or tanh(x E + c)          x has 1/√n at each of the utterance's n known n-grams
    z = h W + b                      log-odds that the skill is acceptable
    z + (s(z) − s̄) U                 if trained with statistics of its own first outputs as an input

Trained in `arbitrank.shortlist.classifier_training`, kept by `arbitrank.shortlist.artifact`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from arbitrank.probability import CLIP, sigmoid
from arbitrank.shortlist.index import lookup, top
from arbitrank.shortlist.ngrams import classifier_grams

__all__ = ["STATISTICS", "SkillClassifier", "statistics"]

STATISTICS = 4

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]


def statistics(z: NDArray[np.floating]) -> Singles:
    """Each row's best and second probability, sum of probabilities, and summed entropy: shape (n, `STATISTICS`).

    `z` are log-odds of shape (n, skills).
    """
    p = sigmoid(z.astype(np.float32))
    best = -np.sort(-np.partition(p, -2, axis=1)[:, -2:], axis=1) if p.shape[1] > 1 else np.repeat(p, 2, axis=1)
    q = np.clip(p, CLIP, 1.0 - CLIP)
    entropy = -(q * np.log(q) + (1.0 - q) * np.log(1.0 - q)).sum(axis=1)
    return np.stack([best[:, 0], best[:, 1], p.sum(axis=1), entropy], axis=1).astype(np.float32)


@dataclass(frozen=True)
class SkillClassifier:
    """A trained kernel; column j of `output` and `bias` is of the skill with number `skills[j]`, ascending.

    `vocabulary` holds the known hashes, ascending; `hidden` and `hidden_bias` are empty in a linear model. `again`, of
    shape (`STATISTICS`, skills), weighs the statistics of the first outputs less their `usual` values; empty where the
    model was trained without.
    """

    skills: NDArray[np.int64]
    vocabulary: NDArray[np.uint32]
    output: Singles
    bias: Singles
    hidden: Singles
    hidden_bias: Singles
    again: Singles
    usual: Singles

    def best(self, utterance: str, k: int) -> tuple[NDArray[np.int64], Floats]:
        """The numbers and log-odds of the best skills, best first; ties go to the lower number."""
        z = self._log_odds(utterance, None)
        if z is None or k < 1:
            return np.empty(0, np.int64), np.empty(0)
        order = top(z, k)
        return self.skills[order], z[order]

    def scores(self, utterance: str, skills: NDArray[np.int64]) -> Floats:
        """The log-odds of these skills; NaN for unknown skills, and for all where no word is known."""
        scores = np.full(len(skills), np.nan)
        at, known = lookup(self.skills, skills)
        z = self._log_odds(utterance, at[known])
        if z is not None:
            scores[known] = z
        return scores

    def _log_odds(self, utterance: str, columns: NDArray[np.int64] | None) -> Floats | None:
        """The log-odds of those columns, all for None; None where no n-gram is known."""
        at, known = lookup(self.vocabulary, classifier_grams(utterance))
        rows = at[known]
        if not len(rows) or not len(self.skills):
            return None
        every = columns is None or self.again.size > 0  # the statistics are of all skills
        z = self._forward(rows, None if every else columns)
        if self.again.size:
            z = z + ((statistics(z[None]) - self.usual) @ self.again)[0]
        z = z if columns is None or not every else z[columns]
        return z.astype(np.float64)

    def _forward(self, rows: NDArray[np.int64], columns: NDArray[np.int64] | None) -> Singles:
        output, bias = (self.output, self.bias) if columns is None else (self.output[:, columns], self.bias[columns])
        scale = np.float32(1.0 / np.sqrt(len(rows)))
        if not self.hidden.size:
            return np.asarray(output[rows].sum(axis=0) * scale + bias)
        inner = np.tanh(self.hidden[rows].sum(axis=0) * scale + self.hidden_bias)
        return np.asarray(inner @ output + bias)
