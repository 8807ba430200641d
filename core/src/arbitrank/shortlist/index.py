"""The index: an inverted index of weighted n-grams, the kernel that 100,000 skills are looked up in.

It is a language model for each skill, turned inside out. With a skill's grams smoothed towards everybody's (Dirichlet
smoothing with `smoothing` = a pseudo-grams),

    log P(utterance, skill) = γ·log P(skill) + Σ_gram [log P(gram) + log(a / (n_skill + a)) + w],
    w = log(1 + n_gram,skill / (a · P(gram))),

so only grams seen with a skill tell it from the others, and the sum over them is all that has to be looked up.

A posting is one uint32: the skill's number above, its w in 255 steps below. Each gram's postings are cut to those that
tell most, so one sort of a few thousand integers answers an utterance, however many skills there are. An index is a
frozen value: one with a skill more or less shares its postings.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from msgspec import Struct, structs
from numpy.typing import NDArray

from arbitrank.errors import InputError
from arbitrank.shortlist.ngrams import grams, grams_of_all

MAX_SKILLS = 1 << 24
"""Skills that an index can number."""

_FIRST = np.zeros(1, np.int64)
_STEPS = np.uint32(255)
_BITS = np.uint32(8)  # of a posting, for its weight
_RARITY = 10.0  # steps of -log P(gram) a nat
_LITTLE = 20  # times the smoothing are all grams at the least, so that a little data tells too
_LENGTH = 6  # grams that a typical utterance shares with a skill: what a prior is spread over when postings are cut


class IndexSettings(Struct, frozen=True):
    """`smoothing`: a, in grams; less where there is little data. `prior`: γ, how much a skill's share of it counts.

    `postings`: how many are kept of a gram.
    """

    smoothing: float = 1000.0
    prior: float = 0.7
    postings: int = 320


@dataclass(frozen=True, eq=False)
class Index:
    """A kernel (`arbitrank.shortlist.kernel.Kernel`) over skills 0 … n − 1.

    `grams`: the hashes of the G ≥ 1 grams it knows, ascending, uint32 (G,). `starts`: where each one's postings
    begin, int32 of shape (G + 1,). `postings`: uint32, by gram. `step`: nats of one step of a weight. `rarity`:
    −log P(gram) in tenths of a nat, uint8 of shape (G,); `unseen` is that of a gram never read. `base`: γ·log P(skill),
    float32 of shape (n,), −∞ for a skill that was removed. `missing`: log(a / (n_skill + a)), float32 of shape (n,).
    `unused`: the `base` of a skill that nobody used yet. `added`: postings of the skills that joined later, by gram.
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

    def __len__(self) -> int:
        return len(self.base)

    @property
    def nbytes(self) -> int:
        """Bytes of its arrays."""
        own = (self.grams, self.starts, self.postings, self.rarity, self.base, self.missing)
        return sum(array.nbytes for array in own) + sum(array.nbytes for array in self.added.values())

    def best(self, utterance: str, k: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """The at most `k` skills of the highest log P(utterance, skill), up to a constant; see `Kernel`."""
        skills, scores, _ = self._found(utterance)
        if len(scores) > k:
            near = (scores >= np.partition(scores, len(scores) - k)[len(scores) - k]).nonzero()[0]
            skills, scores = skills.take(near), scores.take(near)
        order = np.argsort(-scores, kind="stable")[:k]  # skills ascend, so ties fall to the lower number
        if len(order) and scores[order[-1]] == -np.inf:
            order = order[np.isfinite(scores[order])]
        return skills[order], scores[order].astype(np.float64)

    def scores(self, utterance: str, skills: NDArray[np.int64]) -> NDArray[np.float64]:
        """What `best` would say of these skills; NaN for one that was removed or is unknown."""
        found, scored, length = self._found(utterance)
        given = np.full(len(skills), np.nan)
        known = np.flatnonzero((skills >= 0) & (skills < len(self)))
        asked = skills[known]
        given[known] = self.base[asked] + length * self.missing[asked]
        if len(found):
            place = np.minimum(np.searchsorted(found, asked), len(found) - 1)
            there = found[place] == asked
            given[known[there]] = scored[place[there]]
        given[~np.isfinite(given)] = np.nan
        return given

    def with_skills(self, sayings: Sequence[Sequence[str]]) -> Index:
        """The same with more skills, numbered on from the last; `sayings` are what is said to each. Well under 1 ms."""
        if len(self) + len(sayings) > MAX_SKILLS:
            raise InputError(f"{len(self) + len(sayings)} skills, at most {MAX_SKILLS} are promised")
        added, a = dict(self.added), self.settings.smoothing
        base, missing = [], []
        for number, said in enumerate(sayings, len(self)):
            found = np.concatenate([np.zeros(0, np.uint32), *(grams(one) for one in said)])
            hashes, counts = np.unique(found, return_counts=True)
            weights = np.log1p(counts * np.exp(self._rarity(hashes)) / a)
            packed = np.uint32(number) << _BITS | _quantised(weights, self.step)
            for gram, posting in zip(hashes.tolist(), packed, strict=True):
                before = added.get(gram)
                added[gram] = np.array([posting]) if before is None else np.append(before, posting)
            base.append(self.unused)
            missing.append(np.log(a / (len(found) + a)))
        return replace(
            self,
            added=added,
            base=np.append(self.base, np.array(base, np.float32)),
            missing=np.append(self.missing, np.array(missing, np.float32)),
        )

    def without(self, skills: Iterable[int]) -> Index:
        """The same with these skills never found again. Well under 1 ms."""
        base = self.base.copy()
        base[list(skills)] = -np.inf
        return replace(self, base=base)

    def _places(self, hashes: NDArray[np.uint32]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Where these grams stand among those known, and which of them do."""
        place = np.searchsorted(self.grams, hashes)
        place[place == len(self.grams)] = 0
        return place, self.grams[place] == hashes

    def _rarity(self, hashes: NDArray[np.uint32]) -> NDArray[np.float64]:
        place, known = self._places(hashes)
        return np.where(known, self.rarity[place] / _RARITY, self.unseen)

    def _lists(self, hashes: NDArray[np.uint32]) -> list[NDArray[np.uint32]]:
        """The postings of those grams that have some."""
        place, known = self._places(hashes)
        place = place[known]
        ends = self.starts[place + 1].tolist()
        lists = [self.postings[a:b] for a, b in zip(self.starts[place].tolist(), ends, strict=True)]
        if self.added:
            lists += [self.added[gram] for gram in hashes.tolist() if gram in self.added]
        return lists

    def _found(self, utterance: str) -> tuple[NDArray[np.int64], NDArray[np.float32], int]:
        """The skills that have a gram of the utterance, ascending, their scores, and how many grams are known."""
        lists = self._lists(grams(utterance))
        if not lists:
            return np.zeros(0, np.int64), np.zeros(0, np.float32), 0
        postings = np.concatenate(lists)
        postings.sort()
        numbers = postings >> _BITS
        first = np.concatenate((_FIRST, (numbers[1:] != numbers[:-1]).nonzero()[0] + 1))
        steps = np.add.reduceat(postings & _STEPS, first).astype(np.float32)
        skills = numbers.take(first).astype(np.int64)  # `take` by these is several times faster than by what is smaller
        scores = steps * np.float32(self.step) + np.float32(len(lists)) * self.missing.take(skills)
        scores += self.base.take(skills)
        return skills, scores, len(lists)


def train(
    utterances: Iterable[str],
    skills: NDArray[np.int64],
    n: int,
    settings: IndexSettings = IndexSettings(),
    *,
    uses: NDArray[np.int64] | None = None,
) -> Index:
    """An index over `n` skills from utterances and the number of the skill that each was said to, in one pass.

    `uses`: how often each skill is used, int64 of shape (n,); by default how often it stands in `skills`. Raises
    `InputError` where a number is not below `n`, or there are more skills than can be numbered.
    """
    if n > MAX_SKILLS or (len(skills) and not 0 <= skills.min() <= skills.max() < n):
        raise InputError(f"{n} skills, the highest number {skills.max(initial=-1)}; at most {MAX_SKILLS} are promised")
    hashes, rows = grams_of_all(utterances)
    key = hashes.astype(np.int64) << 24 | skills[rows]
    in_skill = np.bincount(skills[rows], minlength=n)
    del hashes, rows
    key.sort()
    total = max(1, len(key))
    first = _changes(key)
    counts = np.diff(first, append=len(key))
    key = key[first]
    skill, hashes = key & (MAX_SKILLS - 1), (key >> 24).astype(np.uint32)
    del key
    first = _changes(hashes)
    known = hashes[first] if len(first) else np.zeros(1, np.uint32)
    gram = np.repeat(np.arange(len(first)), np.diff(first, append=len(hashes)))
    del hashes
    in_gram = np.add.reduceat(counts, first) if len(first) else np.ones(1, np.int64)
    a = min(settings.smoothing, total / _LITTLE)
    settings = structs.replace(settings, smoothing=a)
    weights = np.log1p(counts * (total / a) / in_gram[gram])
    missing = np.log(a / (in_skill + a))
    uses = np.bincount(skills, minlength=n) if uses is None else uses
    base = settings.prior * np.log((uses + 1.0) / (uses.sum() + n))
    kept = _telling(gram, weights + missing[skill] + base[skill] / _LENGTH, settings.postings)
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


def _changes(values: NDArray[np.generic]) -> NDArray[np.int64]:
    """The places at which another value begins."""
    return np.flatnonzero(np.concatenate(([True], values[1:] != values[:-1]))) if len(values) else np.zeros(0, np.int64)


def _telling(gram: NDArray[np.int64], gain: NDArray[np.float64], most: int) -> NDArray[np.int64]:
    """The places, ascending, of the at most `most` postings of each gram that gain a skill most. Grams ascend."""
    long = np.flatnonzero(np.bincount(gram)[gram] > most)  # only what common grams have is to be sorted
    order = long[np.lexsort((-gain[long], gram[long]))]
    begun = _changes(gram[order])
    rank = np.arange(len(order)) - np.repeat(begun, np.diff(begun, append=len(order)))
    keep = np.ones(len(gram), np.bool_)
    keep[order[rank >= most]] = False
    return np.flatnonzero(keep)


def _quantised(weights: NDArray[np.float64], step: float) -> NDArray[np.uint32]:
    return np.clip(np.round(weights / step), 1, int(_STEPS)).astype(np.uint32)
