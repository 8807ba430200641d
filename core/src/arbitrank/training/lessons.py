"""Lessons in training: those of a log in time, and what they change in weights that are measured on truths alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from arbitrank.answerlog.reader import read_log
from arbitrank.domain import Domain
from arbitrank.errors import InputError
from arbitrank.evaluate.metrics import ece
from arbitrank.learn.feature_spec import Confidences
from arbitrank.learn.gains import Gain
from arbitrank.outcomes.lessons import Lesson, LessonReport, is_lesson, lessons
from arbitrank.probability import log_loss
from arbitrank.training.build import Split, held_out
from arbitrank.training.example_file import select
from arbitrank.training.figures import claims
from arbitrank.training.plugin_calls import loaded
from arbitrank.values import Example
from arbitrank.wire.json_lines import BadLine
from arbitrank.wire.requests import Logged

_LIKELY = 1.0  # standard errors by which weights have to be worse with lessons to count as worse


class LessonEffect(msgspec.Struct, frozen=True):
    """Effect of lessons on a domain's weights, on `n` held-out requests of known truth.

    `gain` is the mean NLL without the lessons less that with them, above 0 where they help; `ece` has both ECEs,
    without and with. `changed` is the share of the requests whose best reading is right on one side alone, `moved` the
    mean absolute change of P(right). `lessons` taught, with this `weight` together.
    """

    lessons: int
    weight: float
    n: int
    gain: Gain
    ece: tuple[float, float]
    changed: float
    moved: float

    @property
    def harms(self) -> bool:
        """True where the weights are likely worse with the lessons."""
        return self.gain.below(_LIKELY)

    def __str__(self) -> str:
        return (
            f"{self.lessons} lessons from outcomes, of the weight of {self.weight:.0f} requests, change NLL by "
            f"{-self.gain.mean:+.4f} [{-self.gain.high:+.4f}, {-self.gain.low:+.4f}] and ECE from "
            f"{100 * self.ece[0]:.1f} to {100 * self.ece[1]:.1f} % on {self.n} held-out requests of known truth; "
            f"P(right) moves by {100 * self.moved:.1f} points on average, and another best reading decides in "
            f"{100 * self.changed:.1f} %"
        )


def lessons_of(location: str, since: float | None, report: LessonReport) -> Iterator[Lesson]:
    """The lessons of a log's requests `since` then. Raises `InputError` where the location is no log."""
    folder = Path(location)
    if not folder.is_dir():
        raise InputError(f"--outcomes: {location} is no log, expected its folder: arbitrank serve --log DIR")

    def lines() -> Iterator[Logged]:
        for line in read_log(folder):
            if not isinstance(line, BadLine) and (since is None or (line.time is not None and line.time >= since)):
                yield line

    return lessons(lines, report)


def taught(examples: Sequence[Example]) -> NDArray[np.bool_]:
    """The mask of the examples that are lessons, shape (n,)."""
    return np.fromiter((is_lesson(example) for example in examples), bool, len(examples))


def effect(
    domain: Domain, without: Path, now: Path, examples: Sequence[Example], split: Split, kept: float = 1.0
) -> LessonEffect:
    """The effect of the lessons among the examples, from artifacts trained `without` them and `now` with them."""
    lesson = taught(examples)
    test = select(examples, held_out(domain.name, examples, split) & ~lesson)
    models = [loaded(domain, folder) for folder in (without, now)]
    rows = [claims(domain.name, model, test, Confidences(), kept).rows for model in models]
    (p, y, *_, weight), (p_now, y_now, *_) = (one.T for one in rows)
    weights = np.array([example.weight for example in select(examples, lesson)])
    if not len(p):
        return LessonEffect(len(weights), float(weights.sum()), 0, Gain(0.0, 0.0, 0.0), (0.0, 0.0), 0.0, 0.0)
    return LessonEffect(
        lessons=len(weights),
        weight=float(weights.sum()),
        n=len(p),
        gain=Gain.of(log_loss(p, y) - log_loss(p_now, y_now), weight),
        ece=(ece(p, y, weight=weight), ece(p_now, y_now, weight=weight)),
        changed=float(np.mean(y != y_now)),
        moved=float(np.average(np.abs(p_now - p), weights=weight)),
    )
