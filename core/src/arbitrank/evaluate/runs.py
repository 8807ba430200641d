"""What one domain's run of an experiment leaves for the merge, and how requests are shared out."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from arbitrank.evaluate.corpus import Corpus
from arbitrank.evaluate.joint import Part
from arbitrank.evaluate.merge_tuning import Heads
from arbitrank.evaluate.results import Claims
from arbitrank.evaluate.shared_corpus import Peak

_FOLDS = 5  # of the re-rankers, where one file of hypotheses is all there is


class DomainRun(NamedTuple):
    """What one domain contributes: where its hypotheses are kept, each system's claims of the held-out requests, its
    rows for the joint model in training and held out (None where there is none), the seconds it took, what the default
    system says to requests that the report isn't on (those of the tuning split, else training requests, cross-fitted),
    what was left out, in words, and the memory that its process held."""

    domain: str
    hypotheses: Path
    claims: Mapping[str, Claims]
    parts: tuple[Part, Part] | None
    seconds: Mapping[str, float]
    unreported: Heads | None
    notes: tuple[str, ...]
    peak: Peak | None


def splits(corpus: Corpus, seed: int) -> list[tuple[NDArray[np.bool_], NDArray[np.bool_]]]:
    """Which training requests teach and which held-out ones are then scored: everything once, or fold by fold."""
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
