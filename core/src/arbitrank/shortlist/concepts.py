"""Words of one meaning, by which descriptions are found in other words than their own: `concepts.txt` lists them."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.resources import files

from arbitrank.nlu.text import crc
from arbitrank.shortlist.description_grams import stem
from arbitrank.shortlist.ngrams import words

__all__ = ["related_words"]


@cache
def related_words() -> Mapping[int, frozenset[int]]:
    """The grams of each word's or pair's related words, by its gram."""
    related: dict[int, set[int]] = {}
    for line in files(__package__).joinpath("concepts.txt").read_text("utf-8").splitlines():
        grams = {gram for word in line.split() if (gram := _gram(word)) is not None} if line[:1] != "#" else set()
        for gram in grams:
            related.setdefault(gram, set()).update(grams - {gram})
    return {gram: frozenset(others) for gram, others in related.items()}


def _gram(word: str) -> int | None:
    """The hash of a word, or of the pair that its two characters are; None for a longer one."""
    stems = [stem(part) for part in words(word)]
    return crc(" ".join(stems)) if 0 < len(stems) <= 2 else None
