"""Training of the Shortlister's model: epochs, after each of which the model may change what the next one learns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, vstack

from arbitrank.errors import DataError, InputError
from arbitrank.probability import sigmoid
from arbitrank.shortlist.classifier import Singles, statistics
from arbitrank.shortlist.distil import Distil, highest, mixed
from arbitrank.shortlist.network import Network, Shape
from arbitrank.shortlist.targets import Pseudo, Streaks, above

__all__ = ["Plan", "Trained", "train"]

Rows = NDArray[np.int64]

_CELLS = 1 << 23  # outputs that are in memory at once


@dataclass(frozen=True)
class Plan:
    """How is learned: the shape, the number of epochs, and which of the techniques change the targets.

    With `folds` of 2 or more, an example is classified between epochs by a model that hasn't seen it (cross-fitting).
    """

    shape: Shape = field(default=Shape())
    epochs: int = 8
    folds: int = 0
    pseudo: Pseudo | None = None
    distil: Distil | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if self.epochs < 1 or self.folds < 0 or self.folds == 1:
            raise InputError(
                f"{self.epochs} epochs and {self.folds} folds, promised at least 1, and none or at least 2"
            )


@dataclass(frozen=True)
class Trained:
    """A network, the labels that its last epoch learned (shape (rows, skills)), and the usual statistics it is told."""

    network: Network
    labels: csr_array
    usual: Singles | None = None

    def told(self, x: csr_array) -> Singles | None:
        """The statistics of what the model says at first, less the usual ones; None where it wasn't trained on them."""
        return None if self.usual is None else statistics(self.network.log_odds(x)) - self.usual

    def log_odds(self, x: csr_array) -> Singles:
        """What the model says: log-odds of shape (rows, skills), as `Learned` says them."""
        return self.network.log_odds(x, self.told(x))


def train(
    x: csr_array,
    y: csr_array,
    plan: Plan = Plan(),
    groups: Rows | None = None,
    *,
    weight: Singles | None = None,
    watch: Callable[[int, Trained], None] | None = None,
) -> Trained:
    """Train on inputs (rows, words) towards the labels that were assigned (rows, skills), by the plan.

    Rows of one of the `groups` (a dialogue, say) are in the same fold. `weight` is that of each row; `watch` sees
    the model after each epoch.
    Raises `DataError` where there is nothing to learn from.
    """
    rows, skills = y.shape
    if not rows or not skills or not x.shape[1] or not y.nnz:
        raise DataError(f"{rows} utterances of {x.shape[1]} known n-grams for {skills} skills: nothing to learn from")
    folds = _folds(rows, plan, groups)
    told = plan.distil is not None and plan.distil.told
    networks = [Network(x.shape[1], skills, plan.shape, seed=plan.seed + i, told=told) for i in range(1 + len(folds))]
    everything = np.arange(rows)
    others = [np.setdiff1d(everything, fold) for fold in folds]
    streaks = Streaks(rows, skills, plan.pseudo) if plan.pseudo else None
    labels, targets = y, y
    known: Singles | None = None
    usual: Singles | None = None
    for epoch in range(plan.epochs):
        for network, seen in zip(networks, [everything, *others], strict=True):
            network.epoch(x, targets, seen, weight=weight, told=known)
        trained = Trained(networks[0], labels, usual)
        if watch:
            watch(epoch, trained)
        if epoch + 1 == plan.epochs or not (plan.pseudo or plan.distil):
            continue
        found, said, statistic = _classified(x, y, plan, networks, folds, usual)
        if streaks:
            labels = targets = csr_array(y.maximum(streaks.update(found, y)))
        if plan.distil and epoch + 1 >= plan.distil.after:
            targets = mixed(labels, said, plan.distil.share)
            if told:
                usual = statistic.mean(axis=0) if usual is None else usual
                known = statistic - usual
    return trained


def _folds(rows: int, plan: Plan, groups: Rows | None) -> list[Rows]:
    """The rows of each fold, none without cross-fitting."""
    if not plan.folds or not (plan.pseudo or plan.distil):
        return []
    members, number = np.unique(np.arange(rows) if groups is None else groups, return_inverse=True)
    if len(members) < plan.folds:
        raise DataError(f"{len(members)} groups of utterances, promised one at least for each of {plan.folds} folds")
    fold = np.random.default_rng(plan.seed).permutation(len(members)) % plan.folds
    return [np.flatnonzero(fold[number] == f) for f in range(plan.folds)]


def _classified(
    x: csr_array, y: csr_array, plan: Plan, networks: list[Network], folds: list[Rows], usual: Singles | None
) -> tuple[csr_array, csr_array, Singles]:
    """What was found to be a label too, the highest probabilities, and the statistics of each row of the training data.

    Each row is classified by the network that hasn't seen it, where there is one.
    """
    parts = list(zip(networks[1:], folds, strict=True)) or [(networks[0], np.arange(y.shape[0]))]
    step = max(1, _CELLS // y.shape[1])
    blocks = [(network, rows[at : at + step]) for network, rows in parts for at in range(0, len(rows), step)]
    found, said, told = [], [], []
    for network, rows in blocks:
        z = network.log_odds(x[rows])
        told.append(statistics(z))
        if usual is not None:
            z = network.log_odds(x[rows], told[-1] - usual)
        p = sigmoid(z.astype(np.float64))
        found.append(above(p, y[rows], plan.pseudo) if plan.pseudo else csr_array(p.shape, dtype=np.int32))
        said.append(highest(p, plan.distil.most) if plan.distil else csr_array(p.shape, dtype=np.float32))
    back = np.argsort(np.concatenate([rows for _, rows in blocks]))
    return csr_array(vstack(found)[back]), csr_array(vstack(said)[back]), np.concatenate(told)[back]
