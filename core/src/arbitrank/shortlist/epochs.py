"""Training of the classifier over several epochs, with targets that each epoch may change for the next.

Pseudo-labels: training examples name one skill although several may be acceptable. After each epoch the training data
are classified; the top `most` labels that score above `ratio` times the assigned one in `epochs` consecutive epochs
count as correct from then on, for as long as that lasts (the article has p = 2, r = 4 and a ratio of 1). A ratio below
1 admits labels that score nearly as high: of two equally right labels, each assigned half of the time, the model gives
each a half.

Self-distillation: the model's probabilities of one epoch are mixed into the targets of the next, and statistics of
them may be an input. They carry more than a single label does: that two skills were close, or that none fitted.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, vstack

from arbitrank.errors import DataError, InputError
from arbitrank.probability import sigmoid
from arbitrank.shortlist.classifier import Singles, statistics
from arbitrank.shortlist.network import Network, NetworkShape

__all__ = ["Distillation", "PseudoLabels", "TrainedNetwork", "TrainingPlan", "highest", "train"]

_CELLS = 1 << 23  # outputs that are in memory at once


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


@dataclass(frozen=True)
class TrainingPlan:
    """The network's shape, the number of epochs, and the techniques that change the targets."""

    shape: NetworkShape = field(default=NetworkShape())
    epochs: int = 8
    pseudo: PseudoLabels | None = None
    distil: Distillation | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if self.epochs < 1:
            raise InputError(f"epochs: {self.epochs} is out of range, expected at least 1")


@dataclass(frozen=True)
class TrainedNetwork:
    """A network, the labels of its last epoch, shape (rows, skills), and the usual statistics of its first outputs."""

    network: Network
    labels: csr_array
    usual: Singles | None = None

    def summary(self, x: csr_array) -> Singles | None:
        """Statistics of the first outputs less the usual ones; None where the network was trained without."""
        return None if self.usual is None else statistics(self.network.log_odds(x)) - self.usual

    def log_odds(self, x: csr_array) -> Singles:
        """Log-odds of shape (rows, skills), equal to those of `SkillClassifier`."""
        return self.network.log_odds(x, self.summary(x))


def train(
    x: csr_array,
    y: csr_array,
    plan: TrainingPlan = TrainingPlan(),
    *,
    weight: Singles | None = None,
) -> TrainedNetwork:
    """Train on inputs (rows, words) towards the assigned labels (rows, skills).

    `weight` is that of each row. Raises `DataError` where there is nothing to learn from.
    """
    rows, skills = y.shape
    if not rows or not skills or not x.shape[1] or not y.nnz:
        raise DataError(f"{rows} utterances of {x.shape[1]} known n-grams for {skills} skills: nothing to learn from")
    with_summary = plan.distil is not None and plan.distil.statistics
    network = Network(x.shape[1], skills, plan.shape, seed=plan.seed, summary=with_summary)
    labels, targets, length = y, y, csr_array((rows, skills), dtype=np.int32)
    summary: Singles | None = None
    usual: Singles | None = None
    for epoch in range(plan.epochs):
        network.epoch(x, targets, np.arange(rows), weight=weight, summary=summary)
        trained = TrainedNetwork(network, labels, usual)
        if epoch + 1 == plan.epochs or not (plan.pseudo or plan.distil):
            continue
        further, outputs, statistic = _classified(x, y, plan, trained)
        if plan.pseudo:
            length = streaks(length, further)
            labels = targets = csr_array(y.maximum(lasting(length, y, plan.pseudo)))
        if plan.distil and epoch + 1 >= plan.distil.after:
            share = plan.distil.share
            targets = csr_array((1.0 - share) * labels + share * outputs, dtype=np.float32)
            if with_summary:
                usual = statistic.mean(axis=0) if usual is None else usual
                summary = statistic - usual
    return trained


def _classified(
    x: csr_array, y: csr_array, plan: TrainingPlan, trained: TrainedNetwork
) -> tuple[csr_array, csr_array, Singles]:
    """The further labels, the highest probabilities, and the statistics of the first outputs, by row of x."""
    step = max(1, _CELLS // y.shape[1])
    further, outputs, summaries = [], [], []
    for at in range(0, y.shape[0], step):
        rows = slice(at, at + step)
        z = trained.network.log_odds(x[rows])
        summaries.append(statistics(z))
        if trained.usual is not None:
            z = trained.network.log_odds(x[rows], summaries[-1] - trained.usual)
        p = sigmoid(z.astype(np.float64))
        further.append(above(p, y[rows], plan.pseudo) if plan.pseudo else csr_array(p.shape, dtype=np.int32))
        outputs.append(highest(p, plan.distil.most) if plan.distil else csr_array(p.shape, dtype=np.float32))
    return csr_array(vstack(further)), csr_array(vstack(outputs)), np.concatenate(summaries)


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


def streaks(before: csr_array, found: csr_array) -> csr_array:
    """The number of consecutive epochs, up to the latest, in which each label was found."""
    return csr_array(found + found * before)


def lasting(length: csr_array, assigned: csr_array, rule: PseudoLabels) -> csr_array:
    """The labels found in enough consecutive epochs: float32 ones, shape (rows, skills)."""
    labels = csr_array(length >= rule.epochs, dtype=np.float32)
    return frequent_pairs(labels, assigned, rule.share) if rule.share else labels


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
