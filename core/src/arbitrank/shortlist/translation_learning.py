"""Learning of a translation from the requests and the texts of skills that have both."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from arbitrank.shortlist.description_grams import description_grams
from arbitrank.shortlist.translation import LEAST_WEIGHT, Translation

__all__ = ["learn_translation"]

_LEAST_SKILLS, _LEAST_LIFT = 2, 4.0
_LEAST_REQUESTS = 5  # with a word, for how informative it is
_WEIGHT = 0.25  # counts of a word that is surely asked for
_SURE = 30.0  # of lifts
_MOST = 12  # words that ask for one
_FREQUENT, _SUPPORT = 0.2, 0.5  # shares of skills that may have a word, and of those with it that must support a pair
_RAISED = 1.3
_TINY = 1e-9


def learn_translation(texts: Sequence[str], requests: Sequence[str], numbers: NDArray[np.int64]) -> Translation:
    """A translation from skills' texts and requests, each with the number of its skill among the texts."""
    n = len(texts)
    described, of_texts = _occurrences(texts, np.arange(n), n)
    asked, of_requests = _occurrences(requests, numbers, n)
    per_skill = np.bincount(numbers, minlength=n)
    used = np.flatnonzero(per_skill)
    asked, described = csr_array(asked[used]), csr_array(described[used])
    described.data[:] = 1.0
    rates = asked.copy()  # the share of a skill's requests that have the gram
    rates.data = asked.data / np.repeat(per_skill[used], np.diff(asked.indptr))
    usual = np.asarray(rates.sum(axis=0)) / max(1, len(used))
    above = rates.copy()
    above.data = (rates.data > usual[rates.indices]).astype(np.float64)
    frequency = np.asarray(described.sum(axis=0))
    together, supporting = (
        csr_array(described.T @ rates),
        csr_array(described.T @ above),
    )  # texts' grams, requests' grams
    asks: dict[int, dict[int, float]] = {}
    for row in np.flatnonzero((frequency >= _LEAST_SKILLS) & (frequency <= _FREQUENT * len(used))).tolist():
        columns, rate = _row(together, row)
        support = np.zeros(len(of_requests))
        support[_row(supporting, row)[0]] = _row(supporting, row)[1]
        lift = rate / frequency[row] / np.maximum(usual[columns], _TINY)
        good = (lift >= _LEAST_LIFT) & (support[columns] >= max(_LEAST_SKILLS, _SUPPORT * frequency[row]))
        best = np.flatnonzero(good)[np.argsort(-lift[good], kind="stable")][:_MOST]
        if len(best):
            strength = _WEIGHT * np.minimum(1.0, np.log(lift[best]) / np.log(_SURE))
            asks[int(of_texts[row])] = dict(zip(of_requests[columns[best]].tolist(), strength.tolist(), strict=True))
    return Translation(asks, of_requests, _informative(asked, len(used)))


def _row(of: csr_array, row: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    inside = slice(of.indptr[row], of.indptr[row + 1])
    return of.indices[inside], of.data[inside]


def _occurrences(texts: Sequence[str], rows: NDArray[np.int64], n: int) -> tuple[csr_array, NDArray[np.uint32]]:
    """The count of texts of each row that have each gram, (n, grams), and the grams, ascending."""
    grams = [np.unique(np.concatenate(description_grams(text)[:2])) for text in texts]
    vocabulary, columns = np.unique(np.concatenate([np.zeros(0, np.uint32), *grams]), return_inverse=True)
    at = np.repeat(rows, [len(one) for one in grams])
    found = csr_array((np.ones(len(columns)), (at, columns)), shape=(n, len(vocabulary)))
    found.sum_duplicates()
    return found, vocabulary


def _informative(asked: csr_array, skills: int) -> NDArray[np.float64]:
    """1 less the share of the highest entropy that a gram has over skills, raised; 1 for a rare gram."""
    total = np.asarray(asked.sum(axis=0))
    inner = asked.copy()
    inner.data = inner.data * np.log(inner.data)
    entropy = np.log(np.maximum(total, 1.0)) - np.asarray(inner.sum(axis=0)) / np.maximum(total, 1.0)
    weights = 1.0 - entropy / np.log(max(2, skills))
    return np.where(total < _LEAST_REQUESTS, 1.0, np.clip(weights * _RAISED, LEAST_WEIGHT, 1.0))
