"""An utterance as the recogniser sees it: tokens with their offsets, and hashed n-grams.

Nothing here knows a language. Letters, their combining marks and digits make words; in scripts written without spaces
each character is a token of its own. The hash is CRC-32 (zlib's) of the n-gram in UTF-8, the same for training and for
serving, so a model's weights stay valid on every machine and Python.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from arbitrank.normal_text import INVISIBLE, SPACE, composed

MAX_CHARACTERS = 1_000
"""Characters of an utterance that are read; a spoken request is far shorter."""

BUCKETS = 1 << 20
"""Buckets that n-grams are hashed into; a model keeps only those that its training data filled."""

REMEMBERED = 1 << 12
"""Words of which the hashes are cached: most requests are made of few words."""

LONGEST_RUN = 8
"""Tokens of the longest run that is looked up."""

# Han, kana, Thai, Lao, Myanmar and Khmer are written without spaces.
_UNSPACED = (
    "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\U00020000-\U0003ffff"
)
# Accents, points and vowel signs that stand as characters of their own: `\w` leaves them out, but the word goes on.
# In the Indic scripts all is letter, mark or digit but the two dandas.
_MARKS = (
    "\u0300-\u036f\u0483-\u0489\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7\u0610-\u061a\u064b-\u065f"
    "\u0670\u06d6-\u06dc\u06df-\u06e4\u06e7\u06e8\u06ea-\u06ed\u0900-\u0963\u0966-\u0dff"
    "\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f"
)
_WORD = rf"[^\W_{_UNSPACED}](?:[{INVISIBLE}]*(?:[^\W_{_UNSPACED}]|[{_MARKS}]))*"
_TOKEN = re.compile(rf"[{_UNSPACED}]|{_WORD}|[^\w\s{INVISIBLE}{SPACE}]|_")
_UNSEEN = re.compile(f"[{INVISIBLE}]+")


class Token(NamedTuple):
    """A token, casefolded and in NFC, and where it stands in the utterance (characters)."""

    text: str
    start: int
    end: int


def tokenise(utterance: str) -> list[Token]:
    """The tokens of the utterance in order: words, single characters of unspaced scripts, punctuation marks.

    They are the same for accents of their own (NFD) and composed ones, and without invisible characters.
    """
    text, places = composed(utterance[:MAX_CHARACTERS])
    if text.isascii():
        return [Token(m[0].casefold(), m.start(), m.end()) for m in _TOKEN.finditer(text)]
    tokens = (Token(_seen(m[0]).casefold(), m.start(), m.end()) for m in _TOKEN.finditer(text))
    if places is None:
        return list(tokens)
    return [Token(token, places[start], max(places[end], places[start] + 1)) for token, start, end in tokens]


@lru_cache(maxsize=256)
def tokenise_cached(utterance: str) -> Sequence[Token]:
    """`tokenise`, cached, because every domain needs the tokens of the same utterance."""
    return tuple(tokenise(utterance))


def _seen(word: str) -> str:
    """The word without invisible characters, which may have kept a mark apart from its letter."""
    seen = _UNSEEN.sub("", word)
    return seen if seen == word else composed(seen)[0]


def crc(text: str) -> int:
    """The 32-bit hash of a text: CRC-32 of its UTF-8, lone surrogates included."""
    return crc32(text.encode("utf-8", "surrogatepass"))


def ngrams(utterance: str) -> NDArray[np.uint32]:
    """The distinct buckets of the utterance's n-grams, sorted: uint32, shape (n,), each below `BUCKETS`.

    Words: one to three in a row, and pairs with one word left out between them, with the utterance's ends marked.
    Characters: two to five in a row within a word and its borders.
    """
    words = [token.text for token in tokenise_cached(utterance)]
    buckets = {crc(gram) % BUCKETS for gram in _of_several(words)}.union(*map(_of_one, words))
    return np.array(sorted(buckets), np.uint32)


def runs(words: Sequence[str]) -> NDArray[np.uint32]:
    """The hashes of the runs of words: [i, n] is that of the n + 1 words from the i-th on, shape (n, `LONGEST_RUN`).

    A run that would go on past the last word ends there.
    """
    pieces = [word.encode("utf-8", "surrogatepass") + b" " for word in words]
    found = []
    for first in range(len(pieces)):
        value, row = 0, []
        for piece in pieces[first : first + LONGEST_RUN]:
            value = crc32(piece, value)
            row.append(value)
        found.append(row + [value] * (LONGEST_RUN - len(row)))
    return np.array(found, np.uint32).reshape(-1, LONGEST_RUN)


def _of_several(words: Sequence[str]) -> list[str]:
    """The n-grams of several words."""
    row = ["\x02", *words, "\x03"]
    grams = [f"w{a} {b}" for a, b in pairwise(row)]
    grams += [f"w{a} {b} {c}" for a, b, c in zip(row, row[1:], row[2:], strict=False)]
    grams += [f"s{a} {b}" for a, b in zip(row, row[2:], strict=False)]
    return grams


@lru_cache(maxsize=REMEMBERED)
def _of_one(word: str) -> frozenset[int]:
    """The buckets of a word and of the characters in it."""
    padded = f" {word} "
    grams = [f"c{padded[i : i + n]}" for n in (2, 3, 4, 5) for i in range(len(padded) - n + 1)]
    return frozenset(crc(gram) % BUCKETS for gram in (f"w{word}", *grams))
