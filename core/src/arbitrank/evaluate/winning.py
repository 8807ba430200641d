"""After-winning calibration: whether domains' claims are measured against one another, by data kept from the report."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from msgspec import Struct

from arbitrank.domain import Scores
from arbitrank.learn.fitting import Evidence
from arbitrank.learn.losses import Floats
from arbitrank.merge import after_winning

INDEPENDENCES = (0.0, 0.25, 0.5, 0.75, 1.0)
"""What is tried: from domains that all saw the same to domains that each know something of their own."""

_ENOUGH = 5_000  # requests from which on more would change nothing
_CLIP = 1e-6


class Heads(NamedTuple):
    """What one domain says to each of n requests, its best reading alone: the scores, None where it has no reading, and
    1.0 where that reading is entirely right."""

    scores: tuple[Scores | None, ...]
    right: Floats


class AfterWinning(Struct, frozen=True):
    """What was chosen: the `independence` to measure claims with, None where they are better left alone.

    `nll_gain` is how much the best one tried lowers the NLL of the merged top reading, in nats a request, negative
    where it raises it; `error` is the standard error of that mean over the `n` requests.
    """

    independence: float | None
    nll_gain: float
    error: float
    n: int


def heads(n: int, places: Iterable[int], scores: Sequence[Scores], evidence: Evidence) -> Heads:
    """A domain's best readings of n requests, of which it has a reading of those at `places`."""
    said: list[Scores | None] = [None] * n
    right = np.zeros(n)
    for place, one, start in zip(places, scores, evidence.batch.starts, strict=True):
        best = int(np.argmax(one.right))
        said[place], right[place] = Scores(one.mine, one.right[best : best + 1]), evidence.batch.right[start + best]
    return Heads(tuple(said), right)


def choose(domains: Sequence[Heads], *, seed: int = 0) -> AfterWinning:
    """The independence with the lowest NLL of the merged top reading; it has to win by two standard errors.

    That is strict, as it also changes the order of the list, which the NLL of its head says little about.
    """
    # Files may be sorted, so not the first ones.
    chosen = np.random.default_rng(seed).permutation(len(domains[0].scores))[:_ENOUGH]
    n = len(chosen)
    before = np.array([_loss(domains, i, None) for i in chosen])
    gains = {c: before - np.array([_loss(domains, i, c) for i in chosen]) for c in INDEPENDENCES}
    best = max(gains, key=lambda c: float(gains[c].mean()))
    gain, error = float(gains[best].mean()), float(gains[best].std() / np.sqrt(n))
    return AfterWinning(best if gain > 2.0 * error else None, gain, error, n)


def _loss(domains: Sequence[Heads], i: int, independence: float | None) -> float:
    """The NLL of the merged top reading of request i."""
    said = [(one.scores[i], one.right[i]) for one in domains]
    speaking = [(scores, right) for scores, right in said if scores is not None]
    if not speaking:
        return 0.0
    scores = [one for one, _ in speaking]
    if independence is not None:
        scores = after_winning(scores, independence)
    top = max(range(len(scores)), key=lambda k: scores[k].mine * float(scores[k].right[0]))
    p = min(max(float(scores[top].right[0]), _CLIP), 1.0 - _CLIP)
    return -float(np.log(p if speaking[top][1] else 1.0 - p))
