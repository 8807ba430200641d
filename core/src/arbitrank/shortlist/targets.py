"""Training targets that change between epochs: pseudo-labels and self-distillation.

Pseudo-labels: training examples name one skill although several may be acceptable. After each epoch the training data
are classified; the top `most` labels that score above `ratio` times the assigned one in `epochs` consecutive epochs
count as correct from then on, for as long as that lasts (the article has p = 2, r = 4 and a ratio of 1). A ratio below
1 admits labels that score nearly as high: of two equally right labels, each assigned half of the time, the model gives
each a half.

Self-distillation: the model's probabilities of one epoch are mixed into the targets of the next, and statistics of
them may be an input. They carry more than a single label does: that two skills were close, or that none fitted.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from arbitrank.errors import InputError

__all__ = ["Distillation", "LabelStreaks", "PseudoLabels", "above", "frequent_pairs", "highest", "mixed"]


@dataclass(frozen=True)
class PseudoLabels:
    """The rule for pseudo-labels: `most` is the article's p, `epochs` its r.

    `ratio`, in (0, 1], is the share of the assigned label's score that another has to exceed, `least` its minimum
    score, `share` how often the two skills have to occur together (`frequent_pairs`).
    """

    most: int = 2
    epochs: int = 4
    ratio: float = 1.0
    least: float = 0.0
    share: float = 0.0

    def __post_init__(self) -> None:
        if self.most < 1 or self.epochs < 1 or not (0.0 < self.ratio <= 1.0 and 0.0 <= self.share <= 1.0):
            raise InputError(f"{self}: expected most and epochs of at least 1, a ratio in (0, 1], a share in [0, 1]")


@dataclass(frozen=True)
class Distillation:
    """`share`, in [0, 1), is the part of the targets from the previous epoch's outputs, from epoch `after` on.

    The `most` highest outputs of each row are kept. With `statistics`, those of the previous outputs are an input too.
    """

    share: float = 0.3
    after: int = 2
    most: int = 8
    statistics: bool = False

    def __post_init__(self) -> None:
        if not 0.0 <= self.share < 1.0 or self.after < 1 or self.most < 1:
            raise InputError(f"{self}: expected a share in [0, 1), after and most of at least 1")


def above(p: NDArray[np.floating], assigned: csr_array, rule: PseudoLabels) -> csr_array:
    """The labels that score high enough beside the assigned ones: int32 ones, of p's shape (rows, skills).

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


class LabelStreaks:
    """The number of consecutive epochs, up to the latest, in which each label was found."""

    def __init__(self, rows: int, skills: int, rule: PseudoLabels) -> None:
        self._rule = rule
        self._length = csr_array((rows, skills), dtype=np.int32)

    def update(self, found: csr_array, assigned: csr_array) -> csr_array:
        """Add an epoch; the labels found in enough consecutive epochs: float32 ones, shape (rows, skills)."""
        self._length = csr_array(found + found * self._length)
        labels = csr_array(self._length >= self._rule.epochs, dtype=np.float32)
        return frequent_pairs(labels, assigned, self._rule.share) if self._rule.share else labels


def frequent_pairs(labels: csr_array, assigned: csr_array, share: float) -> csr_array:
    """The labels that occur in at least this share of the examples with the same assigned skill.

    Two skills for the same requests are confused all the time; where that happens only now and then, the utterance is
    uninformative.
    """
    together = csr_array(assigned.T @ labels)
    examples = np.repeat(np.maximum(assigned.sum(axis=0), 1.0), np.diff(together.indptr))
    together.data = (together.data >= share * examples).astype(np.float32)
    together.eliminate_zeros()
    return csr_array(labels * (assigned @ together > 0), dtype=np.float32)


def highest(p: NDArray[np.floating], most: int) -> csr_array:
    """The `most` highest probabilities of each row: float32, of p's shape (rows, skills)."""
    most = min(most, p.shape[1])
    top = np.sort(np.argpartition(-p, most - 1, axis=1)[:, :most], axis=1)
    values = np.take_along_axis(p, top, axis=1).astype(np.float32)
    return csr_array((values.ravel(), top.ravel(), np.arange(len(p) + 1) * most), shape=p.shape)


def mixed(y: csr_array, outputs: csr_array, share: float) -> csr_array:
    """(1 − share) · y + share · outputs: float32, of y's shape."""
    return csr_array((1.0 - share) * y + share * outputs, dtype=np.float32)
