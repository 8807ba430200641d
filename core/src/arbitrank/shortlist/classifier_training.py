"""The discriminative model as the Shortlister's second kernel: from utterances and the numbers of their skills."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np

from arbitrank.shortlist.classifier import Learned
from arbitrank.shortlist.corrections import Corrections, Negative, fine_tune
from arbitrank.shortlist.epochs import Plan, train
from arbitrank.shortlist.hashing import bags, vocabulary
from arbitrank.shortlist.network import inputs, one_label
from arbitrank.shortlist.unlabelled import Unlabelled, retrain

__all__ = ["Lesson", "trainer"]

_WEIGHTS = 1 << 25  # of a linear model; training takes three times the memory
_HIDDEN, _HIDDEN_RATE = 64, 0.005
_MANY = 5_000  # utterances from which on an n-gram that one alone has is left out


class _Said(Protocol):
    @property
    def utterance(self) -> str: ...

    @property
    def skill(self) -> str: ...


@dataclass(frozen=True)
class Lesson:
    """What the model learns from besides labelled utterances, and how.

    `unlabelled` are utterances that it labels itself, after a first training; `corrections` are what it is fine-tuned
    against at the end.
    """

    plan: Plan = field(default=Plan())
    unlabelled: tuple[str, ...] = ()
    labelling: Unlabelled = field(default=Unlabelled())
    corrections: Corrections = field(default=Corrections((), (), ()))
    negative: Negative = field(default=Negative())


def trainer(lesson: Lesson = Lesson()) -> Callable[[Sequence[_Said], Sequence[int]], Learned]:
    """The training of a kernel on utterances and the numbers of their skills, by the lesson.

    It is linear up to 33 million weights and has a hidden layer above. Corrections of skills to which none of the
    utterances was said have no effect, as nothing of them is learned.
    """

    def learned(lines: Sequence[_Said], numbers: Sequence[int]) -> Learned:
        skills, columns = np.unique(np.array(numbers, np.int64), return_inverse=True)
        said = bags([line.utterance for line in lines])
        words = vocabulary(said, least=2 if len(lines) >= _MANY else 1)
        x, y = inputs(said, words), one_label(columns, len(skills))
        plan = _narrowed(lesson.plan, len(words), len(skills))
        trained = train(x, y, plan)
        if lesson.unlabelled:
            trained = retrain(trained, x, inputs(bags(lesson.unlabelled), words), plan, lesson.labelling)
        column_of = {line.skill: column for line, column in zip(lines, columns.tolist(), strict=True)}
        wrong = lesson.corrections
        known = [i for i, skill in enumerate(wrong.skills) if skill in column_of]
        if known:
            corrected = inputs(bags([wrong.utterances[i] for i in known]), words)
            asked = np.array([column_of[wrong.skills[i]] for i in known])
            fine_tune(trained, x, corrected, asked, lesson.negative, np.array([wrong.times[i] for i in known]))
        return trained.network.frozen(skills, words, trained.usual)

    return learned


def _narrowed(plan: Plan, words: int, skills: int) -> Plan:
    """The plan; a linear model that would have too many weights gets a hidden layer instead."""
    if plan.shape.hidden or words * skills <= _WEIGHTS:
        return plan
    return replace(plan, shape=replace(plan.shape, hidden=_HIDDEN, rate=_HIDDEN_RATE))
