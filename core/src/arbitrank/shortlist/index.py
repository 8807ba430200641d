"""Inverted index of weighted n-grams: the kernel that finds candidates among 100,000 skills in microseconds.

It inverts a unigram language model of each skill. With Dirichlet smoothing towards the grams of all skills
(`smoothing` = a pseudo-grams),

    log P(utterance, skill) = γ·log P(skill) + Σ_gram [log P(gram) + log(a / (n_skill + a)) + w],
    w = log(1 + n_gram,skill / (a · P(gram))),

only grams seen with a skill distinguish it from others, and the sum of their w is all that has to be looked up.

A posting is one uint32: the skill's number in the upper 24 bits, its w in 255 steps in the lower 8. Each gram keeps
only its most informative postings, so sorting a few thousand integers answers an utterance, however many skills there
are. An index is a frozen value: adding or removing skills gives a new one that shares the postings.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from msgspec import Struct, structs
from numpy.typing import NDArray

from arbitrank.errors import InputError
from arbitrank.shortlist.ngrams import index_grams, index_grams_of_all, word_hashes

__all__ = ["MAX_SKILLS", "Index", "IndexSettings", "lookup", "top", "train_index"]

MAX_SKILLS = 1 << 24
"""Skills that an index can number."""

_ZERO = np.zeros(1, np.int64)
_STEPS = np.uint32(255)
_BITS = np.uint32(8)  # of a posting, for its weight
_RARITY = 10.0  # steps of -log P(gram) per nat
_LEAST_RATIO = 20  # all grams are at least so many times the smoothing, so that little data has an effect too
_RECENT = 4_096  # grams of the skills added last, before they join the others
_LENGTH = 6  # grams that a typical utterance shares with a skill: a prior is spread over so many when postings are cut


class IndexSettings(Struct, frozen=True):
    """`smoothing`: a, in grams, lowered for little data. `prior`: γ, the weight of a skill's share of the usage.

    `postings`: how many are kept per gram.
    """

    smoothing: float = 1000.0
    prior: float = 0.7
    postings: int = 320


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

    def best(self, utterance: str, k: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """The at most `k` skills of the highest log P(utterance, skill), up to a constant, and these, best first.

        Scores are finite; ties go to the lower number. Empty where no word of the utterance is known.
        """
        skills, scores, _ = self._matches(utterance)
        order = top(scores, k)  # skills ascend, so ties go to the lower number
        if len(order) and scores[order[-1]] == -np.inf:
            order = order[np.isfinite(scores[order])]
        return skills[order], scores[order].astype(np.float64)

    def scores(self, utterance: str, skills: NDArray[np.int64]) -> NDArray[np.float64]:
        """The scores of these skills as `best` gives them; NaN for a removed or unknown skill."""
        matches, matched, length = self._matches(utterance)
        scores = np.full(len(skills), np.nan)
        known = np.flatnonzero((skills >= 0) & (skills < len(self)))
        numbers = skills[known]
        scores[known] = self.base[numbers] + length * self.missing[numbers]
        place, there = lookup(matches, numbers)
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
            rarity = np.where(known, self.rarity[place] / _RARITY, self.unseen)
            weights = np.log1p(counts * np.exp(rarity) / a)
            packed = np.uint32(number) << _BITS | _quantised(weights, self.step)
            for gram, posting in zip(hashes.tolist(), packed, strict=True):
                before = recent.get(gram)
                recent[gram] = np.array([posting]) if before is None else np.append(before, posting)
            base.append(self.unused)
            missing.append(np.log(a / (len(grams) + a)))
        added = self.added
        if len(recent) > _RECENT:
            added, recent = _with_postings(added, recent), {}
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

    def _matches(self, utterance: str) -> tuple[NDArray[np.int64], NDArray[np.float32], int]:
        """The skills that share a gram with the utterance, ascending, their scores, and the number of known grams."""
        lists = self._lists(index_grams(utterance))
        if not lists:
            return np.zeros(0, np.int64), np.zeros(0, np.float32), 0
        postings = np.concatenate(lists)
        postings.sort()
        numbers = postings >> _BITS
        first = np.concatenate((_ZERO, (numbers[1:] != numbers[:-1]).nonzero()[0] + 1))
        steps = np.add.reduceat(postings & _STEPS, first).astype(np.float32)
        skills = numbers.take(first).astype(np.int64)  # `take` is several times faster with int64 than with uint32
        scores = steps * np.float32(self.step) + np.float32(len(lists)) * self.missing.take(skills)
        scores += self.base.take(skills)
        return skills, scores, len(lists)


def _with_postings(
    added: Mapping[int, NDArray[np.uint32]], recent: Mapping[int, NDArray[np.uint32]]
) -> dict[int, NDArray[np.uint32]]:
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


def train_index(
    utterances: Iterable[str],
    skills: NDArray[np.int64],
    n: int,
    settings: IndexSettings = IndexSettings(),
    *,
    uses: NDArray[np.int64] | None = None,
) -> Index:
    """An index over `n` skills from utterances and the number of the skill of each, in one pass.

    `uses`: how often each skill is used, int64 (n,); by default its count in `skills`. Raises `InputError` where a
    number is not below `n`, or there are more than `MAX_SKILLS` skills.
    """
    if n > MAX_SKILLS or (len(skills) and not 0 <= skills.min() <= skills.max() < n):
        raise InputError(f"{n} skills, the highest number {skills.max(initial=-1)}; expected at most {MAX_SKILLS}")
    gram, skill, counts, known = _counted(utterances, skills)
    in_gram = np.bincount(gram, counts, len(known)).astype(np.int64) if len(gram) else np.ones(1, np.int64)
    total = max(1, int(counts.sum()))
    a = min(settings.smoothing, total / _LEAST_RATIO)
    settings = structs.replace(settings, smoothing=a)
    weights = np.log1p(counts * (total / a) / in_gram[gram])
    missing = np.log(a / (np.bincount(skill, counts, n).astype(np.int64) + a))
    uses = np.bincount(skills, minlength=n) if uses is None else uses
    base = settings.prior * np.log((uses + 1.0) / (uses.sum() + n))
    kept = _most_informative(gram, weights + missing[skill] + base[skill] / _LENGTH, settings.postings)
    gram, skill, weights = gram[kept], skill[kept], weights[kept]
    step = float(weights.max(initial=1.0)) / int(_STEPS)
    starts = np.concatenate(([0], np.cumsum(np.bincount(gram, minlength=len(known)))))
    rarity = np.round(_RARITY * np.log(total / in_gram))
    return Index(
        settings,
        known,
        starts.astype(np.int32),
        skill.astype(np.uint32) << _BITS | _quantised(weights, step),
        step,
        np.minimum(rarity, 255).astype(np.uint8),
        float(np.log(total)),
        base.astype(np.float32),
        missing.astype(np.float32),
        float(-settings.prior * np.log(uses.sum() + n + 1.0)),
    )


def _counted(
    utterances: Iterable[str], skills: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.uint32]]:
    """For each pair of a gram and a skill its place in the known grams, the skill and the count; and those grams.

    Pairs are sorted by gram and skill. Arrays are released as soon as possible: of a million utterances each is large.
    """
    hashes, rows = index_grams_of_all(utterances)
    key = hashes.astype(np.int64)
    del hashes
    key <<= 24
    key |= skills[rows]
    del rows
    key.sort()
    first = _changes(key)
    counts = np.diff(first, append=len(key))
    key = key[first]
    skill, hashes = key & (MAX_SKILLS - 1), (key >> 24).astype(np.uint32)
    del key
    first = _changes(hashes)
    known = hashes[first] if len(first) else np.zeros(1, np.uint32)
    return np.repeat(np.arange(len(first)), np.diff(first, append=len(hashes))), skill, counts, known


def _changes(values: NDArray[np.generic]) -> NDArray[np.int64]:
    """The positions at which another value begins."""
    return np.flatnonzero(np.concatenate(([True], values[1:] != values[:-1]))) if len(values) else np.zeros(0, np.int64)


def _most_informative(gram: NDArray[np.int64], gain: NDArray[np.float64], most: int) -> NDArray[np.int64]:
    """The positions, ascending, of the at most `most` postings of each gram with the highest gain. Grams ascend."""
    long = np.flatnonzero(np.bincount(gram)[gram] > most)  # only the postings of frequent grams have to be sorted
    order = long[np.lexsort((-gain[long], gram[long]))]
    starts = _changes(gram[order])
    rank = np.arange(len(order)) - np.repeat(starts, np.diff(starts, append=len(order)))
    keep = np.ones(len(gram), np.bool_)
    keep[order[rank >= most]] = False
    return np.flatnonzero(keep)


def _quantised(weights: NDArray[np.float64], step: float) -> NDArray[np.uint32]:
    return np.clip(np.round(weights / step), 1, int(_STEPS)).astype(np.uint32)
