"""Interface of the Shortlister's kernels, which score skills by number, and the searches that they share.

A skill's number is its position in the order in which skills joined the catalogue (`arbitrank.shortlist.catalogue`),
from 0. A number is never reused, so kernels trained at different times agree on its meaning.
"""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

__all__ = ["Kernel", "lookup", "top"]


def lookup(ascending: NDArray[Any], values: NDArray[Any]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """The positions of values in an ascending array, arbitrary for absent ones, and which values it contains."""
    if not len(ascending):
        return np.zeros(len(values), np.int64), np.zeros(len(values), np.bool_)
    at = np.searchsorted(ascending, values)
    at[at == len(ascending)] = 0
    return at, ascending[at] == values


def top(scores: NDArray[np.floating], k: int) -> NDArray[np.int64]:
    """The indices of the at most k ≥ 1 highest scores, best first; ties go to the lower index."""
    if k >= len(scores):
        return np.argsort(-scores, kind="stable")
    # More than k where several tie.
    near: NDArray[np.int64] = (scores >= np.partition(scores, -k)[-k]).nonzero()[0]
    return near.take(np.argsort(-scores.take(near), kind="stable")[:k])


@runtime_checkable
class Kernel(Protocol):
    """Scorer of skills for an utterance. Frozen: the same utterance always gets the same scores."""

    def best(self, utterance: str, k: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """The numbers and raw scores of the at most `k` best skills, both of shape (n,), best first.

        Scores are finite and higher is better; ties go to the lower number. Empty where the kernel knows no word of
        the utterance.
        """
        ...

    def scores(self, utterance: str, skills: NDArray[np.int64]) -> NDArray[np.float64]:
        """The raw scores of these skills, in their order; NaN for a skill that the kernel was not trained on."""
        ...
