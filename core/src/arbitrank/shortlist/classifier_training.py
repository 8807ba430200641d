"""Training of the classifier as the Shortlister's second kernel: supervised, self-trained, and finally fine-tuned.

Fine-tuning is against skills that answered "I don't know that one" to an utterance. It lowers the confidence in that
one label and leaves the others unchanged. The new target follows from Bayes' rule: where a share ρ of the feedback is
wrong, a label of probability p that was refused n times more often than confirmed has

    log-odds(p) − n · log((1 − ρ) / ρ)

so that one correction moves a confident prediction only a little. The training data are rehearsed at the same time, so
that the correction of one utterance does not penalise the skill everywhere.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, vstack

from arbitrank.probability import log_odds, sigmoid
from arbitrank.shortlist.classifier import SkillClassifier
from arbitrank.shortlist.epochs import TrainedNetwork, TrainingPlan, highest, train
from arbitrank.shortlist.network import inputs, one_label
from arbitrank.shortlist.ngrams import bags, vocabulary

if TYPE_CHECKING:
    from arbitrank.shortlist.build import SkillUtterance

__all__ = ["Corrections", "FineTuning", "SelfTraining", "fine_tune", "posterior", "retrain", "train_classifier"]

Rows = NDArray[np.int64]

_WEIGHTS = 1 << 25  # of a linear model; training takes three times the memory
_HIDDEN, _HIDDEN_RATE = 64, 0.005
_MANY = 5_000  # utterances from which on an n-gram of a single one is left out


@dataclass(frozen=True)
class SelfTraining:
    """Utterances whose best label has probability `least` count; their `most` best are targets, of that `weight`."""

    least: float = 0.3
    most: int = 3
    weight: float = 0.5


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


@dataclass(frozen=True)
class Corrections:
    """Net refusals: how many times more often each pair of an utterance and a skill was refused than answered.

    `unknown` counts feedback for unknown requests or skills, `contradictory` pairs whose feedback cancels out.
    """

    refusals: Mapping[tuple[str, str], int] = field(default_factory=dict)
    unknown: int = 0
    contradictory: int = 0


def train_classifier(
    lines: Sequence[SkillUtterance],
    numbers: Sequence[int],
    plan: TrainingPlan = TrainingPlan(),
    unlabelled: Sequence[str] = (),
    corrections: Corrections = Corrections(),
    fine_tuning: FineTuning = FineTuning(),
) -> SkillClassifier:
    """A classifier trained on utterances and the numbers of their skills.

    It is linear up to 33 million weights and has a hidden layer above. It labels the `unlabelled` utterances itself
    after a first training. Corrections of skills without an utterance have no effect, as it does not know them.
    """
    skills, columns = np.unique(np.array(numbers, np.int64), return_inverse=True)
    grams = bags([line.utterance for line in lines])
    words = vocabulary(grams, least=2 if len(lines) >= _MANY else 1)
    x, y = inputs(grams, words), one_label(columns, len(skills))
    if not plan.shape.hidden and len(words) * len(skills) > _WEIGHTS:
        plan = replace(plan, shape=replace(plan.shape, hidden=_HIDDEN, rate=_HIDDEN_RATE))
    trained = train(x, y, plan)
    if unlabelled:
        trained = retrain(trained, x, inputs(bags(unlabelled), words), plan)
    column_of = {line.skill: column for line, column in zip(lines, columns.tolist(), strict=True)}
    refusals = corrections.refusals.items()
    known = [(utterance, column_of[skill], n) for (utterance, skill), n in refusals if skill in column_of]
    if known:
        utterances, refusing, times = zip(*known, strict=True)
        fine_tune(trained, x, inputs(bags(utterances), words), np.array(refusing), fine_tuning, np.array(times))
    return trained.network.frozen(skills, words, trained.usual)


def retrain(
    trained: TrainedNetwork,
    x: csr_array,
    more: csr_array,
    plan: TrainingPlan,
    settings: SelfTraining = SelfTraining(),
    refused: csr_array | None = None,
    wrong: float = FineTuning.wrong,
) -> TrainedNetwork:
    """A new model, of the final labels of the trained one and of its own probabilities for `more` utterances.

    The labels of the trained model stay as they are: its pseudo-labels are already found. `refused`, of shape
    (utterances of `more`, skills), counts how often each skill refused each of those, a share `wrong` of it wrongly.
    """
    p = sigmoid(trained.log_odds(more).astype(np.float64))
    sure = np.flatnonzero(p.max(axis=1, initial=0.0) >= settings.least)
    if refused is not None:
        p = posterior(p, refused.toarray(), wrong)
    y = csr_array(vstack([trained.labels, highest(p[sure], settings.most)]), dtype=np.float32)
    weight = np.ones(y.shape[0], np.float32)
    weight[trained.labels.shape[0] :] = settings.weight
    return train(csr_array(vstack([x, more[sure]])), y, replace(plan, pseudo=None), weight=weight)


def fine_tune(
    trained: TrainedNetwork,
    x: csr_array,
    corrected: csr_array,
    columns: Rows,
    settings: FineTuning = FineTuning(),
    times: Rows | int = 1,
) -> TrainedNetwork:
    """The same network, changed in place by epochs on the training inputs `x` and the `corrected` ones.

    Row i of `corrected` was refused by the skill of column `columns[i]`, `times[i]` times. The rows of
    `x` are the first that the network was trained on; rows that it labelled itself are not rehearsed.
    """
    if not len(columns):
        return trained
    rows, skills = x.shape[0], trained.labels.shape[1]
    place = (np.arange(len(columns)), columns)
    p = sigmoid(trained.log_odds(corrected)[place].astype(np.float64))
    after = posterior(p, times, settings.wrong)
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


def posterior(p: NDArray[np.float64], times: NDArray[Any] | float, wrong: float) -> NDArray[np.float64]:
    """The probabilities after `times` net refusals of which a share `wrong` is wrong, of p's shape."""
    return sigmoid(log_odds(p) - times * math.log((1.0 - wrong) / wrong))
