"""Grams of the linear kernel as 32-bit hashes, the same on every machine; trained kernels depend on them.

Beside words and characters, which say what the training requests said, there are the concepts of words: these requests
may have said the same in other words.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from arbitrank.nlu.text import crc
from arbitrank.shortlist.concepts import concepts
from arbitrank.shortlist.description_grams import stem
from arbitrank.shortlist.ngrams import BEGINNING, FIRST, PAIR, SECOND, paired, words

__all__ = ["RankingGrams", "ranking_grams"]

Hashes = NDArray[np.uint32]

_CUT_AFTER = 5  # letters of a word cut
_KNOWN = 1 << 16  # words that are kept with their hashes
_START, _STOP = crc("<"), crc(">")  # no words


class RankingGrams(NamedTuple):
    """Hashes of words, of words cut after five letters, each with their pairs, of four characters, and of concepts.

    Pairs of words include the text's ends, characters the ends of words. Each concept is there once.
    """

    words: Hashes
    cut: Hashes
    characters: Hashes
    concepts: Hashes


_NONE = RankingGrams(*(np.empty(0, np.uint32) for _ in RankingGrams._fields))


class _HashedWord(NamedTuple):
    whole: int
    cut: int
    stem: str
    hashed: int  # of the stem


def ranking_grams(text: str) -> RankingGrams:
    """The grams of a text."""
    tokens = words(text)
    if not tokens:
        return _NONE
    known = [_known(word) for word in tokens]
    whole = np.array([_START, *(word.whole for word in known), _STOP], np.uint32)
    cut = np.array([word.cut for word in known], np.uint32)
    first, begun = whole * FIRST, cut * BEGINNING
    return RankingGrams(
        np.concatenate((first[1:-1], paired(first[:-1], whole[1:]))),
        np.concatenate((begun, paired(begun[:-1], cut[1:]))),
        _characters(f" {' '.join(tokens)} "),
        _concepts(known),
    )


@lru_cache(_KNOWN)
def _known(word: str) -> _HashedWord:
    stemmed = stem(word)
    return _HashedWord(crc(word), crc(word[:_CUT_AFTER]), stemmed, crc(stemmed))


def _concepts(known: list[_HashedWord]) -> Hashes:
    """The concepts of words, and of words side by side, each once."""
    table = concepts()
    found = {one for word in known for one in table.get(word.hashed, ())}
    for before, after in pairwise(known):
        found.update(table.get(crc(f"{before.stem} {after.stem}"), ()))
    return np.array(sorted(found), np.uint32) * SECOND


def _characters(text: str) -> Hashes:
    """The hashes of all four characters in a row with no blank in between."""
    codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)
    first, second, third, fourth = (codes[at : len(codes) - 3 + at] for at in range(4))
    hashes = paired(paired(paired(first * FIRST, second) * PAIR, third) * BEGINNING, fourth)
    blank = np.uint32(32)
    return np.asarray(hashes[(second != blank) & (third != blank)])
