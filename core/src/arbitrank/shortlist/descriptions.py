"""Description kernel: BM25F of requests over what skills say of themselves, for skills that have no requests.

    score(request, skill) = Σ_gram q(gram) · w(gram, skill) / √(Σ_word q(word))

w, of the fields of a skill (its name, description, phrases, parameters, owner, and words related to these), saturates
and is computed in training (`arbitrank.shortlist.description_training`); q weighs a gram by how rare it is in
descriptions and how little requests of any kind have it. The norm makes long requests comparable with short ones.

A posting is one uint32, as in the index: the skill's number in the upper 24 bits, w in 255 steps in the lower 8. A
kernel is a frozen value.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from arbitrank.shortlist.description_grams import description_grams
from arbitrank.shortlist.index import lookup, with_postings
from arbitrank.shortlist.request_words import request_words

__all__ = ["BEGINNING", "COMMON", "PAIR", "STEPS", "DescriptionKernel", "DescriptionMatches"]

STEPS = 255
_BITS = np.uint32(8)
_POSTINGS = 60_000  # of a request: of common grams none is read beyond them
_RECENT = 4_096  # grams of the skills added last, before they join the others
_DENSE = 1 << 18  # numbers up to which an array of all skills is quicker than sorting
PAIR, BEGINNING, COMMON = 0.25, 0.2, 0.1
"""Weights of a pair, of a beginning and of a request's common words, relative to a word's."""

Floats = NDArray[np.float64]
Numbers = NDArray[np.int64]


@dataclass(frozen=True)
class DescriptionMatches:
    """Skills that share a gram with a request, ascending, their scores, and the share of its words that are known.

    `covered` weighs each word by q.
    """

    skills: Numbers
    scores: Floats
    covered: float


@dataclass(frozen=True, eq=False)
class DescriptionKernel:
    """A kernel over the skills of its postings.

    `grams`: the hashes of the V known grams, ascending, uint32 (V,). `weights`: q of each, float32 (V,). `starts`:
    where the postings of each begin, int64 (V + 1,). `postings`: uint32, by gram. `unseen`: q of an unknown word.
    `lengths`: the usual length of each field, float32, for skills that are added later: these are in `added`, by
    gram, and the last of them in `recent`, which is small: each change copies it.
    """

    grams: NDArray[np.uint32]
    weights: NDArray[np.float32]
    starts: NDArray[np.int64]
    postings: NDArray[np.uint32]
    lengths: NDArray[np.float32]
    unseen: float
    added: Mapping[int, NDArray[np.uint32]] = field(default_factory=dict)
    recent: Mapping[int, NDArray[np.uint32]] = field(default_factory=dict)

    @property
    def nbytes(self) -> int:
        """Bytes of its arrays."""
        own = (self.grams, self.weights, self.starts, self.postings)
        later = (*self.added.values(), *self.recent.values())
        return sum(array.nbytes for array in own) + sum(array.nbytes for array in later)

    def matches(self, utterance: str) -> DescriptionMatches:
        """The skills that match a request."""
        grams = description_grams(utterance)
        of_words = self._weights(grams.words, 1.0) * np.where(
            lookup(request_words(), grams.words)[1], np.float32(COMMON), np.float32(1.0)
        )
        hashes = np.concatenate(grams)
        q = np.concatenate((of_words, self._weights(grams.pairs, PAIR), self._weights(grams.beginnings, BEGINNING)))
        hashes, first = np.unique(hashes, return_index=True)
        lists = self._lists(hashes, q[first])
        total = float(of_words.sum())
        known = self._known(grams.words)
        covered = float(of_words[known].sum()) / total if total > 0 else 0.0
        skills, scores = _summed(lists)
        return DescriptionMatches(skills, scores / np.sqrt(max(total, 1e-9)), covered)

    def with_skills(self, postings: Mapping[int, NDArray[np.uint32]]) -> DescriptionKernel:
        """A copy with the postings of more skills, by gram."""
        added, recent = self.added, with_postings(self.recent, postings)
        if len(recent) > _RECENT:
            added, recent = with_postings(added, recent), {}
        return replace(self, added=added, recent=recent)

    def _weights(self, hashes: NDArray[np.uint32], kind: float) -> NDArray[np.float32]:
        at, known = lookup(self.grams, hashes)
        if not len(self.grams):
            return np.full(len(hashes), self.unseen * kind, np.float32)
        return np.where(known, self.weights[at], np.float32(self.unseen * kind))

    def _known(self, hashes: NDArray[np.uint32]) -> NDArray[np.bool_]:
        known = lookup(self.grams, hashes)[1]
        for later in filter(None, (self.added, self.recent)):
            known = known | np.array([gram in later for gram in hashes.tolist()], np.bool_)
        return known

    def _lists(self, hashes: NDArray[np.uint32], q: NDArray[np.float32]) -> list[tuple[NDArray[np.uint32], float]]:
        """The posting lists of these grams with q of each, those of the greatest q first."""
        found = []
        at, known = lookup(self.grams, hashes)
        left = _POSTINGS
        for i in np.argsort(-q, kind="stable").tolist():
            if known[i]:
                begin, end = int(self.starts[at[i]]), int(self.starts[at[i] + 1])
                if end - begin <= left:
                    found.append((self.postings[begin:end], float(q[i])))
                    left -= end - begin
            for later in filter(None, (self.added, self.recent)):
                if (own := later.get(int(hashes[i]))) is not None:
                    found.append((own, float(q[i])))
        return found


def _summed(lists: list[tuple[NDArray[np.uint32], float]]) -> tuple[Numbers, Floats]:
    """The skills of posting lists, ascending, and the sum of each one's weights."""
    if not lists:
        return np.zeros(0, np.int64), np.zeros(0)
    postings = np.concatenate([one for one, _ in lists])
    q = np.repeat([weight for _, weight in lists], [len(one) for one, _ in lists])
    numbers = (postings >> _BITS).astype(np.int64)
    w = q * (postings & np.uint32(STEPS)) / STEPS
    if len(numbers) and numbers.max() < _DENSE:
        every = np.bincount(numbers, w).astype(np.float64)
        skills = np.flatnonzero(every > 0.0)  # of truth values several times faster than of floats
        return skills, every[skills]
    skills, at = np.unique(numbers, return_inverse=True)
    return skills, np.bincount(at, w, len(skills)).astype(np.float64)
