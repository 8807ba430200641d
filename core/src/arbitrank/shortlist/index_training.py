"""Training of the index from the counts of grams by skill, in the memory of the index, however many utterances.

Each occurrence of a gram is one integer, its hash and the skill's number. These are kept in files by the upper bits of
the hash, so that one file at a time has all occurrences of its grams: sorted, they are the counts.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from typing import IO, Any

import numpy as np
from msgspec import structs
from numpy.typing import NDArray

from arbitrank.errors import InputError, StoreError, os_errors
from arbitrank.shortlist.index import MAX_SKILLS, RARITY, STEPS, Index, IndexSettings, packed
from arbitrank.shortlist.ngrams import index_grams_in_batches

__all__ = ["train_index"]

Numbers = NDArray[np.int64]
Hashes = NDArray[np.uint32]

_LEAST_RATIO = 20  # all grams are at least so many times the smoothing, so that little data has an effect too
_MANY, _GROWTH = 15_000, 0.6  # beyond so many skills a gram keeps more postings, by this power of their number
_LENGTH = 6  # grams that a typical utterance shares with a skill: a prior is spread over so many when postings are cut
_SKILL = 24  # bits of a skill's number in an occurrence
_FILE = 6  # bits of a gram's hash that choose its file
_SLICE = 1 << 17  # occurrences that are counted at a time, more only where one gram has more


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
    number is not below `n`, or there are more than `MAX_SKILLS` skills; `StoreError` where there is no room for files.
    """
    if n > MAX_SKILLS or (len(skills) and not 0 <= skills.min() <= skills.max() < n):
        raise InputError(f"{n} skills, the highest number {skills.max(initial=-1)}; expected at most {MAX_SKILLS}")
    grams, postings = np.zeros(0, np.uint32), np.zeros(0, np.uint32)
    rarity, sizes = np.zeros(0, np.uint8), np.zeros(0, np.int32)
    with ExitStack() as files:
        occurrences = _Occurrences(files)
        lengths = _lengths(utterances, skills, n, occurrences)
        total = max(1, int(lengths.sum()))
        uses = np.bincount(skills, minlength=n) if uses is None else uses
        # Descriptions are of one length, and each word is there once; requests repeat what tells a skill.
        usual = settings.smoothing if uses.any() else total / max(1, n)
        a = min(settings.smoothing, usual, total / _LEAST_RATIO)
        missing = np.log(a / (lengths + a))
        base = settings.prior * np.log((uses + 1.0) / (uses.sum() + n))
        step = max(1.0, float(np.log1p(total / a))) / int(STEPS)  # of the weight of a gram that only one skill has
        most = int(settings.postings * max(1.0, n / _MANY) ** _GROWTH)
        for part in occurrences.parts():
            known, gram, skill, counts = _counted(part)
            in_gram = np.bincount(gram, counts).astype(np.int64)
            weights = np.log1p(counts * (total / a) / in_gram[gram])
            gain = weights + missing[skill] + base[skill] / _LENGTH
            kept = _most_informative(gram, gain, most)
            _extend(grams, known)
            _extend(rarity, np.minimum(np.round(RARITY * np.log(total / in_gram)), 255))
            _extend(sizes, np.bincount(gram[kept], minlength=len(known)))
            _extend(postings, packed(skill[kept], weights[kept], step))
    if not len(grams):  # an index has one at least
        grams, rarity, sizes = np.zeros(1, np.uint32), np.zeros(1, np.uint8), np.zeros(1, np.int32)
    starts = np.zeros(len(grams) + 1, np.int32)
    np.cumsum(sizes, out=starts[1:])
    return Index(
        structs.replace(settings, smoothing=a),
        grams,
        starts,
        postings,
        step,
        rarity,
        float(np.log(total)),
        base.astype(np.float32),
        missing.astype(np.float32),
        float(-settings.prior * np.log(uses.sum() + n + 1.0)),
    )


def _lengths(utterances: Iterable[str], skills: Numbers, n: int, occurrences: _Occurrences) -> Numbers:
    """The number of grams of each skill, which are added to the occurrences."""
    lengths, first = np.zeros(n, np.int64), 0
    for hashes, rows, count in index_grams_in_batches(utterances):
        numbers = skills[first : first + count][rows]
        np.add.at(lengths, numbers, 1)
        occurrences.add(hashes.astype(np.int64) << _SKILL | numbers)
        first += count
    return lengths


class _Occurrences:
    """Occurrences of grams: those of one batch in memory, those of more in files."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self._files: list[IO[bytes]] = []
        self._first: Numbers | None = None

    def add(self, batch: Numbers) -> None:
        """Add a batch, which is sorted in place."""
        batch.sort()
        if self._first is None:
            self._first = batch
            return
        with os_errors(StoreError, f"grams in {tempfile.gettempdir()}: cannot be kept", "; free space or set TMPDIR"):
            if not self._files:
                new = (tempfile.TemporaryFile for _ in range(1 << _FILE))
                self._files = [self._stack.enter_context(one()) for one in new]
                self._write(self._first)
            self._write(batch)

    def parts(self) -> Iterator[Numbers]:
        """All occurrences, ascending, in parts that have all those of their grams."""
        if not self._files and self._first is not None:
            yield self._first
        for file in self._files:
            file.seek(0)
            part = np.fromfile(file, np.int64)
            file.close()
            part.sort()
            ends = (part[_SLICE::_SLICE] | ((1 << _SKILL) - 1)) + 1  # of the grams that are there
            yield from np.split(part, np.unique(np.searchsorted(part, ends)))

    def _write(self, batch: Numbers) -> None:
        cuts = np.searchsorted(batch, np.arange(1, len(self._files)) << (32 + _SKILL - _FILE))
        for file, part in zip(self._files, np.split(batch, cuts), strict=True):
            file.write(part.data)
            file.flush()


def _extend(column: NDArray[Any], part: NDArray[Any]) -> None:
    """Append to an array in place: of a large one, there is no room for a copy."""
    end = len(column)
    column.resize(end + len(part), refcheck=False)
    column[end:] = part


def _counted(occurrences: Numbers) -> tuple[Hashes, Numbers, Numbers, Numbers]:
    """The grams, and for each pair of a gram and a skill the gram's place in them, the skill, and the count."""
    first = _changes(occurrences)
    counts = np.diff(first, append=len(occurrences))
    pairs = occurrences[first]
    hashes = (pairs >> _SKILL).astype(np.uint32)
    first = _changes(hashes)
    gram = np.repeat(np.arange(len(first)), np.diff(first, append=len(hashes)))
    return hashes[first], gram, pairs & ((1 << _SKILL) - 1), counts


def _changes(values: NDArray[np.generic]) -> Numbers:
    """The positions at which another value begins."""
    return np.flatnonzero(np.concatenate(([True], values[1:] != values[:-1]))) if len(values) else np.zeros(0, np.int64)


def _most_informative(gram: Numbers, gain: NDArray[np.float64], most: int) -> Numbers:
    """The positions, ascending, of the at most `most` postings of each gram with the highest gain. Grams ascend."""
    long = np.flatnonzero(np.bincount(gram)[gram] > most)  # only the postings of frequent grams have to be sorted
    order = long[np.lexsort((-gain[long], gram[long]))]
    starts = _changes(gram[order])
    rank = np.arange(len(order)) - np.repeat(starts, np.diff(starts, append=len(order)))
    keep = np.ones(len(gram), np.bool_)
    keep[order[rank >= most]] = False
    return np.flatnonzero(keep)
