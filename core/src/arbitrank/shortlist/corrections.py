"""Negative feedback: fine-tuning against skills that answered "I don't know that one" to an utterance.

It lowers the confidence in that one label and leaves the others unchanged. The new target follows from Bayes' rule:
where a share ρ of the feedback is wrong, a label of probability p that was refused n times more often than confirmed
has

    log-odds(p) − n · log((1 − ρ) / ρ)

so that one correction moves a confident prediction only a little. The training data are rehearsed at the same time, so
that the correction of one utterance does not penalise the skill everywhere.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, vstack

from arbitrank.errors import InputError
from arbitrank.probability import log_odds, sigmoid
from arbitrank.shortlist.epochs import TrainedNetwork

__all__ = ["Corrections", "FineTuning", "fine_tune", "posterior"]

Rows = NDArray[np.int64]


@dataclass(frozen=True)
class FineTuning:
    """Settings of fine-tuning: `wrong`, in (0, 0.5), is the assumed share of wrong feedback.

    `weight` is that of a correction relative to a row of the training data, `epochs` the passes, `slower` the divisor
    of the learning rate.
    """

    wrong: float = 0.1
    weight: float = 1.0
    epochs: int = 2
    slower: float = 4.0

    def __post_init__(self) -> None:
        if not 0.0 < self.wrong < 0.5 or self.weight <= 0.0 or self.epochs < 1 or self.slower <= 0.0:
            raise InputError(f"{self}: expected wrong in (0, 0.5), a positive weight and slower, at least one epoch")


@dataclass(frozen=True)
class Corrections:
    """Net refusals: how many times more often each pair of an utterance and a skill was refused than answered.

    `unknown` counts feedback for unknown requests or skills, `contradictory` pairs whose feedback cancels out.
    """

    refusals: Mapping[tuple[str, str], int] = field(default_factory=dict)
    unknown: int = 0
    contradictory: int = 0


def posterior(p: NDArray[np.float64], times: NDArray[np.float64] | float, wrong: float) -> NDArray[np.float64]:
    """The probabilities after `times` net refusals of which a share `wrong` is wrong, of p's shape."""
    return sigmoid(log_odds(p) - times * math.log((1.0 - wrong) / wrong))


def fine_tune(
    trained: TrainedNetwork,
    x: csr_array,
    corrected: csr_array,
    columns: Rows,
    settings: FineTuning = FineTuning(),
    times: Rows | None = None,
) -> TrainedNetwork:
    """The same network, changed in place by epochs on the training inputs `x` and the `corrected` ones.

    Row i of `corrected` was refused by the skill of column `columns[i]`, `times[i]` times (default once). The rows of
    `x` are the first that the network was trained on; rows that it labelled itself are not rehearsed.
    """
    if not len(columns):
        return trained
    rows, skills = x.shape[0], trained.labels.shape[1]
    place = (np.arange(len(columns)), columns)
    p = sigmoid(trained.log_odds(corrected)[place].astype(np.float64))
    after = posterior(p, 1.0 if times is None else times.astype(np.float64), settings.wrong)
    shape = (len(columns), skills)
    target = csr_array((after.astype(np.float32), place), shape=shape)
    alone = csr_array((np.full(len(columns), settings.weight, np.float32), place), shape=shape)
    everything = csr_array(vstack([x, corrected]))
    targets = csr_array(vstack([trained.labels[:rows], target]))
    only = csr_array(vstack([csr_array((rows, skills), dtype=np.float32), alone]))
    summary = trained.summary(everything)
    rate = trained.network.shape.rate / settings.slower
    for _ in range(settings.epochs):
        order = np.arange(rows + len(columns))
        trained.network.epoch(everything, targets, order, only=only, summary=summary, rate=rate)
    return trained
