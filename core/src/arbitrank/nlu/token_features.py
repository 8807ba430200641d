"""Token features of the slot tagger: a fixed number of hashed attributes a token."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from arbitrank.nlu.text import REMEMBERED, crc, tokenise_cached

PER_TOKEN = 23
"""The number of attributes of a token."""

WORD = 1
"""The column of the token's own word."""

WORDS = slice(1, 6)
"""The columns that are a word each: the token's, and its four neighbours'."""

_BIAS = crc("bias")


def attributes(utterance: str) -> NDArray[np.uint32]:
    """The attributes of each token: uint32 hashes, shape (tokens, attributes), the same number for every token.

    The token, its neighbours and pairs of them, its beginnings and endings, its shape, and its neighbours' endings and
    shapes.
    """
    row = ["\x02", "\x02", *(token.text for token in tokenise_cached(utterance)), "\x03", "\x03"]
    alone = [_of_word(word) for word in row]
    hashes = []
    for i in range(2, len(row) - 2):
        before2, before, word, after, after2 = row[i - 2 : i + 3]
        left, own, right = alone[i - 1 : i + 2]
        hashes.append(
            (
                _BIAS,
                *(own.places[0], left.places[1], right.places[2], alone[i - 2].places[3], alone[i + 2].places[4]),
                *(crc(f"w-1w {before} {word}"), crc(f"ww+1 {word} {after}")),
                *(crc(f"w-2w-1 {before2} {before}"), crc(f"w+1w+2 {after} {after2}")),
                *own.form,
                *(left.ending[0], right.ending[1], left.shape[0], right.shape[1]),
            )
        )
    return np.array(hashes, np.uint32).reshape(-1, PER_TOKEN)


def word_attributes(word: str) -> tuple[int, ...]:
    """The hashes of a word in the columns `WORDS`: as the token itself, and as each of its neighbours."""
    return _of_word(word).places


class _Word(NamedTuple):
    """The hashes of a word: at each of `WORDS`, of its form as a token, and of ending and shape on either side."""

    places: tuple[int, ...]
    form: tuple[int, ...]
    ending: tuple[int, int]
    shape: tuple[int, int]


@lru_cache(maxsize=REMEMBERED)
def _of_word(word: str) -> _Word:
    shape = _shape(word)
    beginnings = [crc(f"pre{n} {word[:n]}") for n in (1, 2, 3, 4)]
    endings = [crc(f"suf{n} {word[-n:]}") for n in (1, 2, 3, 4)]
    return _Word(
        tuple(crc(f"w{place} {word}") for place in ("", "-1", "+1", "-2", "+2")),
        (*beginnings[:3], *endings[:3], crc(f"shape {shape}"), beginnings[3], endings[3]),
        (crc(f"suf3-1 {word[-3:]}"), crc(f"suf3+1 {word[-3:]}")),
        (crc(f"shape-1 {shape}"), crc(f"shape+1 {shape}")),
    )


def _shape(word: str) -> str:
    if word.isdigit():
        return f"digits{min(len(word), 5)}"
    if any(c.isdigit() for c in word):
        return "mixed"
    return "word" if word.isalpha() else "mark"
