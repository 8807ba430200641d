"""Pseudo-labels: what a model keeps predicting above the one label that an example was given becomes its label too.

Training examples name one skill although several could serve. After each epoch the training data are classified; the
top `most` labels that score above `ratio` times the assigned one, `epochs` epochs in a row, count as right from then
on, for as long as that lasts (the article has p = 2, r = 4 and a ratio of 1). Below 1, `ratio` admits labels that score
nearly as high: a model that was told one of two equal labels each time gives each a half.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from arbitrank.errors import InputError

__all__ = ["Pseudo", "Streaks", "above"]


@dataclass(frozen=True)
class Pseudo:
    """How examples come by further labels: `most` is the article's p, `epochs` its r.

    `ratio`, in (0, 1], is the share of the assigned label's score that another has to exceed, `least` the score that it
    needs in any case, `share` how often the two skills have to be found together (`usual_pairs`).
    """

    most: int = 2
    epochs: int = 4
    ratio: float = 1.0
    least: float = 0.0
    share: float = 0.0

    def __post_init__(self) -> None:
        if self.most < 1 or self.epochs < 1 or not (0.0 < self.ratio <= 1.0 and 0.0 <= self.share <= 1.0):
            raise InputError(f"{self}: promised most and epochs of at least 1, a ratio in (0, 1], a share in [0, 1]")


def above(p: NDArray[np.floating], assigned: csr_array, rule: Pseudo) -> csr_array:
    """Which labels score high enough beside the assigned ones: bool, of p's shape (rows, skills).

    Of several assigned labels the lowest counts. A row without any gets no label.
    """
    rows, skills = p.shape
    truth = np.full(rows, np.inf)
    owner = np.repeat(np.arange(rows), np.diff(assigned.indptr))
    np.minimum.at(truth, owner, p[owner, assigned.indices])
    rival = np.array(p, np.float32)
    rival[owner, assigned.indices] = -np.inf
    most = min(rule.most, skills)
    top = np.argpartition(-rival, most - 1, axis=1)[:, :most]
    score = np.take_along_axis(rival, top, axis=1)
    right = (score > rule.ratio * truth[:, None]) & (score > rule.least)
    at = np.repeat(np.arange(rows), right.sum(axis=1))
    return csr_array((np.ones(len(at), np.int32), (at, top[right])), shape=p.shape)


class Streaks:
    """For how many epochs in a row, up to now, each label was found."""

    def __init__(self, rows: int, skills: int, rule: Pseudo) -> None:
        self._rule = rule
        self._length = csr_array((rows, skills), dtype=np.int32)

    def update(self, found: csr_array, assigned: csr_array) -> csr_array:
        """Count an epoch in; the labels that were found in enough of the last: float32 ones, shape (rows, skills)."""
        self._length = csr_array(found + found * self._length)
        labels = csr_array(self._length >= self._rule.epochs, dtype=np.float32)
        return usual_pairs(labels, assigned, self._rule.share) if self._rule.share else labels


def usual_pairs(labels: csr_array, assigned: csr_array, share: float) -> csr_array:
    """Those of the labels that are found in at least this share of the examples that were assigned the same skill.

    Two skills that serve the same requests are mistaken for one another all the time; where that happens now and then,
    it is the utterance that says little.
    """
    together = csr_array(assigned.T @ labels)
    examples = np.repeat(np.maximum(assigned.sum(axis=0), 1.0), np.diff(together.indptr))
    together.data = (together.data >= share * examples).astype(np.float32)
    together.eliminate_zeros()
    return csr_array(labels * (assigned @ together > 0), dtype=np.float32)
