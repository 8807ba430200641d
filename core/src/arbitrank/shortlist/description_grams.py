"""Grams of skills' descriptions and of requests: stems, their pairs, and the beginnings of long words.

Names are split where their writing changes (`getStockPrice`, `get_stock_price`). Stems bring the forms of an English
word together, roughly; scripts without spaces are read by characters and their pairs. Hashes are the same on every
machine; trained kernels depend on them, so they cannot change.
"""

from __future__ import annotations

import re
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from arbitrank.nlu.text import _UNSPACED, crc
from arbitrank.shortlist.ngrams import words

__all__ = ["DescriptionGrams", "description_grams", "split_name", "stem"]

Hashes = NDArray[np.uint32]

_PART = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[^\W\dA-Z_]+|\d+")
_BEGINNING, _LONG = 5, 6  # letters of a beginning, and of the words that have one
_ENDINGS = ("ations", "ation", "ators", "ator", "ings", "ing", "ments", "ment", "ers", "ies", "ed", "er", "es", "s")
_CUT = {"ations": "at", "ation": "at", "ators": "at", "ator": "at", "ies": "y"}
_KEPT = ("ss", "us", "is", "ness", "news")
_LEAST = 3  # letters of a stem
_UNSPACED_ONE = re.compile(rf"[{_UNSPACED}]\Z")
_DOUBLE = re.compile(r"([bdgklmnprt])\1$")


class DescriptionGrams(NamedTuple):
    """The hashes of a text's words, of the pairs of adjacent words, and of long words' beginnings.

    In a script without spaces two adjacent characters are a word, and each of them its beginning.
    """

    words: Hashes
    pairs: Hashes
    beginnings: Hashes


def description_grams(text: str) -> DescriptionGrams:
    """The grams of a text, in its order."""
    stems = [stem(word) for word in words(text)]
    single = [_UNSPACED_ONE.match(one) is not None for one in stems]
    whole, pairs, beginnings = [], [], []
    for at, one in enumerate(stems):
        after = stems[at + 1] if at + 1 < len(stems) else None
        joined = single[at] and after is not None and single[at + 1]
        if joined:
            whole.append(f"{one} {after}")
        elif after is not None:
            pairs.append(f"{one} {after}")
        if single[at]:
            beginnings.append(f"{one}*")
        else:
            whole.append(one)
            if len(one) >= _LONG:
                beginnings.append(f"{one[:_BEGINNING]}*")
    return DescriptionGrams(*(np.array([crc(gram) for gram in each], np.uint32) for each in (whole, pairs, beginnings)))


def split_name(name: str) -> str:
    """The words of a name, separated by blanks; the name itself where it has none."""
    return " ".join(_PART.findall(name)) or name


def stem(word: str) -> str:
    """A casefolded word without the endings of English inflection; another script's word as it is."""
    if not word.isascii() or len(word) <= _LEAST or not word.isalpha():
        return word
    for ending in _ENDINGS:
        if word.endswith(ending) and not (ending == "s" and word.endswith(_KEPT)):
            cut = word[: -len(ending)] + _CUT.get(ending, "")
            if len(cut) >= _LEAST:
                word = _DOUBLE.sub(r"\1", cut) if len(cut) > _LEAST else cut
                break
    return word[:-1] + "i" if word.endswith("y") else word.removesuffix("e")
