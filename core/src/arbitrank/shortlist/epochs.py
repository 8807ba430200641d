"""Training of the classifier over several epochs, with targets that each epoch may change for the next."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from scipy.sparse import csr_array, vstack

from arbitrank.errors import DataError, InputError
from arbitrank.probability import sigmoid
from arbitrank.shortlist.classifier import Singles, statistics
from arbitrank.shortlist.network import Network, NetworkShape
from arbitrank.shortlist.targets import Distillation, LabelStreaks, PseudoLabels, above, highest, mixed

__all__ = ["TrainedNetwork", "TrainingPlan", "train"]

_CELLS = 1 << 23  # outputs that are in memory at once


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
    streaks = LabelStreaks(rows, skills, plan.pseudo) if plan.pseudo else None
    labels, targets = y, y
    summary: Singles | None = None
    usual: Singles | None = None
    for epoch in range(plan.epochs):
        network.epoch(x, targets, np.arange(rows), weight=weight, summary=summary)
        trained = TrainedNetwork(network, labels, usual)
        if epoch + 1 == plan.epochs or not (plan.pseudo or plan.distil):
            continue
        further, outputs, statistic = _classified(x, y, plan, trained)
        if streaks:
            labels = targets = csr_array(y.maximum(streaks.update(further, y)))
        if plan.distil and epoch + 1 >= plan.distil.after:
            targets = mixed(labels, outputs, plan.distil.share)
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
