"""Training of the classifier as the Shortlister's second kernel, from utterances and the numbers of their skills."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from arbitrank.shortlist.classifier import SkillClassifier
from arbitrank.shortlist.corrections import Corrections, FineTuning, fine_tune
from arbitrank.shortlist.epochs import TrainingPlan, train
from arbitrank.shortlist.network import inputs, one_label
from arbitrank.shortlist.ngrams import bags, vocabulary
from arbitrank.shortlist.unlabelled import SelfTraining, retrain

if TYPE_CHECKING:
    from arbitrank.shortlist.build import SkillUtterance

__all__ = ["ClassifierRecipe"]

_WEIGHTS = 1 << 25  # of a linear model; training takes three times the memory
_HIDDEN, _HIDDEN_RATE = 64, 0.005
_MANY = 5_000  # utterances from which on an n-gram of a single one is left out


@dataclass(frozen=True)
class ClassifierRecipe:
    """The training plan and the data beside labelled utterances.

    `unlabelled` are utterances that the model labels itself after a first training (`self_training`); `corrections`
    are what it is finally fine-tuned against (`fine_tuning`).
    """

    plan: TrainingPlan = field(default=TrainingPlan())
    unlabelled: tuple[str, ...] = ()
    self_training: SelfTraining = field(default=SelfTraining())
    corrections: Corrections = field(default=Corrections())
    fine_tuning: FineTuning = field(default=FineTuning())

    def train(self, lines: Sequence[SkillUtterance], numbers: Sequence[int]) -> SkillClassifier:
        """A classifier trained on utterances and the numbers of their skills.

        It is linear up to 33 million weights and has a hidden layer above. Corrections of skills without an utterance
        have no effect, as the model does not know them.
        """
        skills, columns = np.unique(np.array(numbers, np.int64), return_inverse=True)
        grams = bags([line.utterance for line in lines])
        words = vocabulary(grams, least=2 if len(lines) >= _MANY else 1)
        x, y = inputs(grams, words), one_label(columns, len(skills))
        plan = _narrowed(self.plan, len(words), len(skills))
        trained = train(x, y, plan)
        if self.unlabelled:
            trained = retrain(trained, x, inputs(bags(self.unlabelled), words), plan, self.self_training)
        column_of = {line.skill: column for line, column in zip(lines, columns.tolist(), strict=True)}
        refusals = self.corrections.refusals.items()
        known = [(utterance, column_of[skill], n) for (utterance, skill), n in refusals if skill in column_of]
        if known:
            utterances, refusing, times = zip(*known, strict=True)
            corrected = inputs(bags(utterances), words)
            fine_tune(trained, x, corrected, np.array(refusing), self.fine_tuning, np.array(times))
        return trained.network.frozen(skills, words, trained.usual)


def _narrowed(plan: TrainingPlan, words: int, skills: int) -> TrainingPlan:
    """The plan; a linear model that would have too many weights gets a hidden layer instead."""
    if plan.shape.hidden or words * skills <= _WEIGHTS:
        return plan
    return replace(plan, shape=replace(plan.shape, hidden=_HIDDEN, rate=_HIDDEN_RATE))
