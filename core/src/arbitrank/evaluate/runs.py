"""Run of one domain in an experiment, as the merge needs it, and the split of requests into learning and scoring."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from arbitrank.arbitration.merge import BestReadings
from arbitrank.evaluate.corpus import Corpus
from arbitrank.evaluate.joint import JointRows, Masks
from arbitrank.evaluate.merge_tuning import LabelledReadings
from arbitrank.evaluate.shared_corpus import Peak

_FOLDS = 5  # of the re-rankers, where one file of hypotheses is all there is


class DomainRun(NamedTuple):
    """Results of one domain in an experiment.

    `hypotheses` is the file of its hypotheses, `readings` are each system's best readings of the held-out requests,
    `joint` its rows for the joint model in training and held out (None where there is none), `seconds` the time by
    stage. `unreported` are the default system's readings of requests that the report is not on: those of the tuning
    split, else training requests, cross-fitted. `notes` name what was left out; `peak` is its process's memory.
    """

    domain: str
    hypotheses: Path
    readings: Mapping[str, BestReadings]
    joint: tuple[JointRows, JointRows] | None
    seconds: Mapping[str, float]
    unreported: LabelledReadings | None
    notes: tuple[str, ...]
    peak: Peak | None


def splits(corpus: Corpus, seed: int) -> list[Masks]:
    """Masks of the training requests to learn from and of the held-out ones then scored: all once, or fold by fold."""
    if not corpus.cross_fitted:
        return [(np.ones(len(corpus.train), bool), np.ones(len(corpus.held), bool))]
    fold = np.random.default_rng(seed).permutation(len(corpus.held)) % _FOLDS
    return [(fold != f, fold == f) for f in range(_FOLDS)]


class Clock:
    """Laps of wall time in seconds, by name."""

    def __init__(self) -> None:
        self.laps: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, name: str) -> None:
        """End the present lap under this name."""
        now = time.perf_counter()
        self.laps[name] = round(self.laps.get(name, 0.0) + now - self._last, 3)
        self._last = now
