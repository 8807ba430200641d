"""N-grams of utterances as 32-bit hashes, the same on every machine: those of the index, and those of the classifier.

The index reads words, pairs of adjacent words and the beginnings of long words; hashes are combined from CRC-32s of
words by whole arrays, so that a million utterances take seconds. The classifier hashes each n-gram as a string and
marks the utterance's ends. Trained models depend on either scheme, so neither can change.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from arbitrank.nlu.text import _MARKS, _UNSPACED, MAX_CHARACTERS, crc, tokenise

__all__ = [
    "BEGINNING",
    "FIRST",
    "PAIR",
    "SECOND",
    "Bags",
    "bags",
    "classifier_grams",
    "index_grams",
    "index_grams_in_batches",
    "paired",
    "vocabulary",
    "word_hashes",
    "words",
]

Hashes = NDArray[np.uint32]

_WORD = re.compile(rf"[{_UNSPACED}]|[^\W_{_UNSPACED}](?:[^\W_{_UNSPACED}]|[{_MARKS}])*")
_END = "\n"  # separates utterances that are read together; within one it is replaced by a blank
_WORD_OR_END = re.compile(rf"{_WORD.pattern}|{_END}")
_BATCH, _LENGTH = 20_000, 2_000_000  # utterances and characters that are read together
_KNOWN = 200_000  # words whose hashes are kept from one batch to the next
_PREFIX = 4  # characters: inflections differ later

FIRST, SECOND, PAIR = np.uint32(0x9E3779B1), np.uint32(0x85EBCA6B), np.uint32(0x27D4EB2F)
BEGINNING = np.uint32(0xC2B2AE3D)
"""Odd multipliers that spread consecutive hashes: the golden ratio's, and three of xxHash's."""

_HALF = np.uint64(32)


def words(utterance: str) -> list[str]:
    """The casefolded words of an utterance, without punctuation; single characters in scripts without spaces."""
    return _WORD.findall(utterance[:MAX_CHARACTERS].casefold())


def word_hashes(utterance: str) -> Hashes:
    """The hashes of an utterance's words among its `index_grams`."""
    return np.array([crc(word) for word in words(utterance)], np.uint32) * FIRST


def index_grams(utterance: str) -> Hashes:
    """The hashes of an utterance's words, of its pairs of words and of its long words' beginnings: shape (n,)."""
    tokens = words(utterance)
    hashes = np.array([crc(word) for word in tokens], np.uint32)
    prefixes = np.array([crc(word[:_PREFIX]) for word in tokens if len(word) >= _PREFIX], np.uint32)
    first = hashes * FIRST
    return np.concatenate((first, paired(first[:-1], hashes[1:]), prefixes * BEGINNING))


def index_grams_in_batches(utterances: Iterable[str]) -> Iterator[tuple[Hashes, NDArray[np.int64], int]]:
    """The grams of many utterances, a batch of these at a time.

    A batch is its grams, the row within it of the utterance that each comes from, and its number of utterances.
    """
    known: dict[str, int] = {}
    for batch in _batches(utterances):
        tokens = _WORD_OR_END.findall(_END.join(batch).casefold())
        if len(known) > _KNOWN:
            known = {}
        known[_END] = 0
        known |= {word: _both(word) for word in set(tokens) - known.keys()}
        both = np.fromiter(map(known.__getitem__, tokens), np.uint64, len(tokens))
        ends = np.fromiter(map(_END.__eq__, tokens), np.bool_, len(tokens))
        row, both = np.cumsum(ends)[~ends], both[~ends]
        word, prefix = both.astype(np.uint32), (both >> _HALF).astype(np.uint32)
        first = word * FIRST
        inside, long = row[:-1] == row[1:], prefix != 0
        pairs = paired(first[:-1], word[1:])[inside]
        hashes = np.concatenate((first, pairs, prefix[long] * BEGINNING))
        yield hashes, np.concatenate((row, row[:-1][inside], row[long])), len(batch)


def _batches(utterances: Iterable[str]) -> Iterator[list[str]]:
    """Utterances on one line each, by bounded numbers and lengths."""
    batch: list[str] = []
    length = 0
    for utterance in utterances:
        batch.append(utterance[:MAX_CHARACTERS].replace(_END, " "))
        length += len(batch[-1])
        if len(batch) == _BATCH or length > _LENGTH:
            yield batch
            batch, length = [], 0
    if batch:
        yield batch


def _both(word: str) -> int:
    """The hash of a word and, in the upper half, that of its beginning; 0 there for a short word."""
    return crc(word) | (crc(word[:_PREFIX]) << 32 if len(word) >= _PREFIX else 0)


def paired(first: Hashes, second: Hashes) -> Hashes:
    """The hashes of pairs, of those of their first parts, multiplied by `FIRST`, and of their second parts."""
    return first ^ (second * SECOND + PAIR)


class Bags(NamedTuple):
    """The classifier's n-grams of n utterances: row i is `hashes[starts[i]:starts[i + 1]]`, ascending and unique."""

    hashes: Hashes
    starts: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.starts) - 1


def classifier_grams(utterance: str) -> Hashes:
    """The hashes of an utterance's words, pairs of words, ends and long words' beginnings: ascending and unique."""
    words = [token.text for token in tokenise(utterance)]
    hashes = {crc(word) for word in words}
    hashes.update(crc(f"{word[:_PREFIX]}*") for word in words if len(word) > _PREFIX)
    hashes.update(crc(f"{left} {right}") for left, right in pairwise(["<", *words, ">"]) if words)
    return np.array(sorted(hashes), np.uint32)


def bags(utterances: Sequence[str]) -> Bags:
    """The classifier's n-grams of all utterances."""
    rows = [classifier_grams(utterance) for utterance in utterances]
    starts = np.zeros(len(rows) + 1, np.int64)
    np.cumsum([len(row) for row in rows], out=starts[1:])
    return Bags(np.concatenate([np.empty(0, np.uint32), *rows]), starts)


def vocabulary(of: Bags, least: int = 2) -> Hashes:
    """The n-grams that at least `least` utterances have, ascending; rarer ones identify single utterances."""
    grams, counts = np.unique(of.hashes, return_counts=True)
    return np.asarray(grams[counts >= least])
