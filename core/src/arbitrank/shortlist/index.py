"""Inverted index of weighted n-grams: the kernel that finds candidates among 100,000 skills in microseconds.

It inverts a unigram language model of each skill. With Dirichlet smoothing towards the grams of all skills
(`smoothing` = a pseudo-grams),

    log P(utterance, skill) = γ·log P(skill) + Σ_gram [log P(gram) + log(a / (n_skill + a)) + w],
    w = log(1 + n_gram,skill / (a · P(gram))),

only grams seen with a skill distinguish it from others, and the sum of their w is all that has to be looked up.

A posting is one uint32: the skill's number in the upper 24 bits, its w in 255 steps in the lower 8. Each gram keeps
only its most informative postings, so sorting a few thousand integers answers an utterance, however many skills there
are. An index is a frozen value: adding or removing skills gives a new one that shares the postings. It is trained in
`arbitrank.shortlist.index_training`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from arbitrank.errors import InputError
from arbitrank.shortlist.ngrams import index_grams, word_hashes

__all__ = [
    "MAX_SKILLS",
    "RARITY",
    "STEPS",
    "Index",
    "IndexMatches",
    "IndexSettings",
    "lookup",
    "packed",
    "top",
    "with_postings",
]

MAX_SKILLS = 1 << 24
"""Skills that an index can number."""

STEPS = np.uint32(255)
"""Steps of a posting's weight."""

RARITY = 10.0
"""Steps of -log P(gram) per nat."""

_BITS = np.uint32(8)  # of a posting, for its weight
_RECENT = 4_096  # grams of the skills added last, before they join the others


class IndexSettings(Struct, frozen=True):
    """`smoothing`: a, in grams, lowered for little data, and to the usual length of a skill where none has usage.

    `prior`: γ, the weight of a skill's share of the usage. `postings`: how many are kept per gram, more of very many
    skills.
    """

    smoothing: float = 1000.0
    prior: float = 0.7
    postings: int = 320


class IndexMatches(NamedTuple):
    """The skills that share a gram with an utterance, ascending, their scores, and the number of its known grams."""

    skills: NDArray[np.int64]
    scores: NDArray[np.float32]
    grams: int


@dataclass(frozen=True, eq=False)
class Index:
    """A kernel over skills 0 … n − 1.

    `grams`: the hashes of the G ≥ 1 known grams, ascending, uint32 (G,). `starts`: where the postings of each begin,
    int32 (G + 1,). `postings`: uint32, by gram. `step`: nats per step of a weight. `rarity`: −log P(gram) in tenths of
    a nat, uint8 (G,); `unseen` is that of an unknown gram. `base`: γ·log P(skill), float32 (n,), −∞ for a removed
    skill. `missing`: log(a / (n_skill + a)), float32 (n,). `unused`: the `base` of a skill without usage. `added`: the
    postings of skills added later, by gram; those of the last ones in `recent`, which is small: each change copies it.
    """

    settings: IndexSettings
    grams: NDArray[np.uint32]
    starts: NDArray[np.int32]
    postings: NDArray[np.uint32]
    step: float
    rarity: NDArray[np.uint8]
    unseen: float
    base: NDArray[np.float32]
    missing: NDArray[np.float32]
    unused: float
    added: Mapping[int, NDArray[np.uint32]] = field(default_factory=dict)
    recent: Mapping[int, NDArray[np.uint32]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.base)

    @property
    def nbytes(self) -> int:
        """Bytes of its arrays."""
        own = (self.grams, self.starts, self.postings, self.rarity, self.base, self.missing)
        later = (*self.added.values(), *self.recent.values())
        return sum(array.nbytes for array in own) + sum(array.nbytes for array in later)

    def best(
        self, utterance: str, k: int, matches: IndexMatches | None = None
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """The at most `k` skills of the highest log P(utterance, skill), up to a constant, and these, best first.

        Scores are finite; ties go to the lower number. Empty where no word of the utterance is known. `matches` are the
        utterance's, where they are known already.
        """
        skills, scores, _ = matches or self.matches(utterance)
        order = top(scores, k)  # skills ascend, so ties go to the lower number
        if len(order) and scores[order[-1]] == -np.inf:
            order = order[np.isfinite(scores[order])]
        return skills[order], scores[order].astype(np.float64)

    def scores(
        self, utterance: str, skills: NDArray[np.int64], matches: IndexMatches | None = None
    ) -> NDArray[np.float64]:
        """The scores of these skills as `best` gives them; NaN for a removed or unknown skill."""
        found, matched, length = matches or self.matches(utterance)
        scores = np.full(len(skills), np.nan)
        known = np.flatnonzero((skills >= 0) & (skills < len(self)))
        numbers = skills[known]
        scores[known] = self.base[numbers] + length * self.missing[numbers]
        place, there = lookup(found, numbers)
        scores[known[there]] = matched[place[there]]
        scores[~np.isfinite(scores)] = np.nan
        return scores

    def known_words(self, utterance: str) -> float:
        """The share of the utterance's words that a skill has, in [0, 1]; 0 without words."""
        hashes = word_hashes(utterance)
        return float(lookup(self.grams, hashes)[1].mean()) if len(hashes) else 0.0

    def with_skills(self, texts: Sequence[Sequence[str]]) -> Index:
        """A copy with more skills, numbered on from the last; `texts` describe each. Takes well under 1 ms."""
        if len(self) + len(texts) > MAX_SKILLS:
            raise InputError(f"{len(self) + len(texts)} skills are too many, expected at most {MAX_SKILLS}")
        recent, a = dict(self.recent), self.settings.smoothing
        base, missing = [], []
        for number, own in enumerate(texts, len(self)):
            grams = np.concatenate([np.zeros(0, np.uint32), *map(index_grams, own)])
            hashes, counts = np.unique(grams, return_counts=True)
            place, known = lookup(self.grams, hashes)
            rarity = np.where(known, self.rarity[place] / RARITY, self.unseen)
            weights = np.log1p(counts * np.exp(rarity) / a)
            postings = packed(np.full(len(hashes), number), weights, self.step)
            for gram, posting in zip(hashes.tolist(), postings, strict=True):
                before = recent.get(gram)
                recent[gram] = np.array([posting]) if before is None else np.append(before, posting)
            base.append(self.unused)
            missing.append(np.log(a / (len(grams) + a)))
        added = self.added
        if len(recent) > _RECENT:
            added, recent = with_postings(added, recent), {}
        return replace(
            self,
            added=added,
            recent=recent,
            base=np.append(self.base, np.array(base, np.float32)),
            missing=np.append(self.missing, np.array(missing, np.float32)),
        )

    def without(self, skills: Iterable[int]) -> Index:
        """A copy that never finds these skills. Takes well under 1 ms."""
        base = self.base.copy()
        base[list(skills)] = -np.inf
        return replace(self, base=base)

    def _lists(self, hashes: NDArray[np.uint32]) -> list[NDArray[np.uint32]]:
        """The posting lists of the known ones of these grams."""
        place, known = lookup(self.grams, hashes)
        place = place[known]
        ends = self.starts[place + 1].tolist()
        lists = [self.postings[a:b] for a, b in zip(self.starts[place].tolist(), ends, strict=True)]
        for later in (self.added, self.recent):
            if later:
                lists += [later[gram] for gram in hashes.tolist() if gram in later]
        return lists

    def matches(self, utterance: str) -> IndexMatches:
        """The matches of an utterance, from which `best` and `scores` are."""
        lists = self._lists(index_grams(utterance))
        if not lists:
            return IndexMatches(np.zeros(0, np.int64), np.zeros(0, np.float32), 0)
        postings = np.concatenate(lists)
        postings.sort()
        numbers = postings >> _BITS
        last = np.append((numbers[1:] != numbers[:-1]).nonzero()[0], len(postings) - 1)
        steps = np.cumsum(postings & STEPS, dtype=np.uint32).take(last)
        steps[1:] -= steps[:-1].copy()
        skills = numbers.take(last).astype(np.int64)  # `take` is several times faster with int64 than with uint32
        scores = steps.astype(np.float32) * np.float32(self.step) + np.float32(len(lists)) * self.missing.take(skills)
        scores += self.base.take(skills)
        return IndexMatches(skills, scores, len(lists))


def with_postings(
    added: Mapping[int, NDArray[np.uint32]], recent: Mapping[int, NDArray[np.uint32]]
) -> dict[int, NDArray[np.uint32]]:
    """The postings of each gram in both, the second after the first: uint32 of shape (n,)."""
    both = dict(added)
    for gram, postings in recent.items():
        before = both.get(gram)
        both[gram] = postings if before is None else np.concatenate((before, postings))
    return both


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


def packed(skills: NDArray[np.int64], weights: NDArray[np.float64], step: float) -> NDArray[np.uint32]:
    """The postings of skills with these weights."""
    return skills.astype(np.uint32) << _BITS | np.clip(np.round(weights / step), 1, STEPS).astype(np.uint32)
