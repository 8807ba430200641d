"""Words of one meaning, by which descriptions are found in other words than their own: `concepts.txt` lists them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files

from arbitrank.nlu.text import crc
from arbitrank.shortlist.description_grams import stem
from arbitrank.shortlist.ngrams import words

__all__ = ["concepts", "related_words"]


@cache
def related_words() -> Mapping[int, frozenset[int]]:
    """The grams of each word's or pair's related words, by its gram."""
    related: dict[int, set[int]] = {}
    for _, grams in _lines():
        for gram in grams:
            related.setdefault(gram, set()).update(grams - {gram})
    return {gram: frozenset(others) for gram, others in related.items()}


@cache
def concepts() -> Mapping[int, tuple[int, ...]]:
    """The concepts of each word or pair, by its gram: the hash of the first word of each line that has it."""
    of: dict[int, list[int]] = {}
    for concept, grams in _lines():
        for gram in grams:
            of.setdefault(gram, []).append(concept)
    return {gram: tuple(each) for gram, each in of.items()}


@cache
def _lines() -> Sequence[tuple[int, frozenset[int]]]:
    """The hash of each line's first word, and the grams of its words and pairs."""
    found = []
    for line in files(__package__).joinpath("concepts.txt").read_text("utf-8").splitlines():
        if (listed := line.split()) and line[:1] != "#":
            grams = (_gram(word) for word in listed)
            found.append((crc(listed[0]), frozenset(gram for gram in grams if gram is not None)))
    return found


def _gram(word: str) -> int | None:
    """The hash of a word, or of the pair that its two characters are; None for a longer one."""
    stems = [stem(part) for part in words(word)]
    return crc(" ".join(stems)) if 0 < len(stems) <= 2 else None
