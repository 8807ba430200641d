"""Searches that the Shortlister's kernels, the index and the classifier, share.

A kernel scores skills by number. A skill's number is its position in the order in which skills joined the catalogue
(`arbitrank.shortlist.catalogue`), from 0. A number is never reused, so kernels trained at different times agree on its
meaning. A kernel is frozen: the same utterance always gets the same scores.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["lookup", "top"]


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
