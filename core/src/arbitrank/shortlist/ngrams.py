"""Utterances as the index sees them: word hashes, and the n-grams that are made of them.

A gram is a word, the beginning of a long word, or two words in a row. Its 32-bit hash is computed from CRC-32s by
whole arrays, so that a million utterances are read in seconds and one in microseconds.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from arbitrank.nlu.text import _MARKS, _UNSPACED, MAX_CHARACTERS, crc

_WORD = re.compile(rf"[{_UNSPACED}]|[^\W_{_UNSPACED}](?:[^\W_{_UNSPACED}]|[{_MARKS}])*")
_END = "\n"  # between utterances that are read together; within one it's a blank like any other
_WORD_OR_END = re.compile(rf"{_WORD.pattern}|{_END}")
_BATCH = 20_000
_BEGINNING = 4  # characters: inflections differ later

# Odd multipliers that spread consecutive hashes: the golden ratio's, and two of xxHash's.
_ONE, _TWO, _PAIR = np.uint32(0x9E3779B1), np.uint32(0x85EBCA6B), np.uint32(0x27D4EB2F)
_BEGUN = np.uint32(0xC2B2AE3D)


_HALF = np.uint64(32)
_NO_ROWS, _NO_HASHES = np.zeros(0, np.int64), np.zeros(0, np.uint64)


def words(utterance: str) -> list[str]:
    """The words of an utterance, casefolded; single characters in scripts written without spaces; no punctuation."""
    return _WORD.findall(utterance[:MAX_CHARACTERS].casefold())


def grams(utterance: str) -> NDArray[np.uint32]:
    """The hashes of an utterance's words, of its pairs of words, and of its long words' beginnings: uint32, (n,)."""
    found = words(utterance)
    hashes = np.array([crc(word) for word in found], np.uint32)
    begun = np.array([crc(word[:_BEGINNING]) for word in found if len(word) >= _BEGINNING], np.uint32)
    first = hashes * _ONE
    return np.concatenate((first, _pairs(first[:-1], hashes[1:]), begun * _BEGUN))


def grams_of_all(utterances: Iterable[str]) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
    """The grams of many utterances, and which utterance each of them stands in: two arrays of one shape."""
    known: dict[str, int] = {_END: 0}
    rows, hashes, read = [_NO_ROWS], [_NO_HASHES], 0
    for batch in _batches(utterances):
        text = _END.join(utterance[:MAX_CHARACTERS].replace(_END, " ") for utterance in batch)
        found = _WORD_OR_END.findall(text.casefold())
        known |= {word: _both(word) for word in set(found) - known.keys()}
        both = np.fromiter(map(known.__getitem__, found), np.uint64, len(found))
        ends = np.fromiter(map(_END.__eq__, found), np.bool_, len(found))
        rows.append((read + np.cumsum(ends))[~ends])
        hashes.append(both[~ends])
        read += len(batch)
    row, both = np.concatenate(rows), np.concatenate(hashes)
    word, begun = both.astype(np.uint32), (both >> _HALF).astype(np.uint32)
    first = word * _ONE
    inside, long = row[:-1] == row[1:], begun != 0
    pairs = _pairs(first[:-1], word[1:])[inside]
    return np.concatenate((first, pairs, begun[long] * _BEGUN)), np.concatenate((row, row[:-1][inside], row[long]))


def _both(word: str) -> int:
    """The hash of a word and, above it, that of its beginning; 0 there where it is short."""
    return crc(word) | (crc(word[:_BEGINNING]) << 32 if len(word) >= _BEGINNING else 0)


def _pairs(first: NDArray[np.uint32], second: NDArray[np.uint32]) -> NDArray[np.uint32]:
    return first ^ (second * _TWO + _PAIR)


def _batches(utterances: Iterable[str]) -> Iterator[list[str]]:
    remaining = iter(utterances)
    while batch := list(islice(remaining, _BATCH)):
        yield batch
