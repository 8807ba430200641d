"""Token features of the slot tagger: a fixed number of hashed attributes a token."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from arbitrank.nlu.text import crc, tokenise

PER_TOKEN = 23
"""The number of attributes of a token."""

WORD = 1
"""The column of the token's own word."""

WORDS = slice(1, 6)
"""The columns that are a word each: the token's, and its four neighbours'."""


def attributes(utterance: str) -> NDArray[np.uint32]:
    """The attributes of each token: uint32 hashes, shape (tokens, attributes), the same number for every token.

    The token, its neighbours and pairs of them, its beginnings and endings, its shape, and its neighbours' endings and
    shapes.
    """
    row = ["\x02", "\x02", *(token.text for token in tokenise(utterance)), "\x03", "\x03"]
    hashes = [[crc(name) for name in _named(*row[i : i + 5])] for i in range(len(row) - 4)]
    return np.array(hashes, np.uint32).reshape(-1, PER_TOKEN)


def word_attributes(word: str) -> list[int]:
    """The hashes of a word in the columns `WORDS`: as the token itself, and as each of its neighbours."""
    return [crc(name) for name in _named(word, word, word, word, word)[WORDS]]


def _named(before2: str, before: str, word: str, after: str, after2: str) -> list[str]:
    return [
        "bias",
        f"w {word}",
        f"w-1 {before}",
        f"w+1 {after}",
        f"w-2 {before2}",
        f"w+2 {after2}",
        f"w-1w {before} {word}",
        f"ww+1 {word} {after}",
        f"w-2w-1 {before2} {before}",
        f"w+1w+2 {after} {after2}",
        f"pre1 {word[:1]}",
        f"pre2 {word[:2]}",
        f"pre3 {word[:3]}",
        f"suf1 {word[-1:]}",
        f"suf2 {word[-2:]}",
        f"suf3 {word[-3:]}",
        f"shape {_shape(word)}",
        f"pre4 {word[:4]}",
        f"suf4 {word[-4:]}",
        f"suf3-1 {before[-3:]}",
        f"suf3+1 {after[-3:]}",
        f"shape-1 {_shape(before)}",
        f"shape+1 {_shape(after)}",
    ]


def _shape(word: str) -> str:
    if word.isdigit():
        return f"digits{min(len(word), 5)}"
    if any(c.isdigit() for c in word):
        return "mixed"
    return "word" if word.isalpha() else "mark"
