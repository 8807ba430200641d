"""Words of the tools of a catalogue, and the share of them that a request has in common with each tool."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from arbitrank.shortlist.catalogue import name_words
from arbitrank.shortlist.ngrams import words
from arbitrank.values import Candidate
from arbitrank.wire.catalogue_lines import CatalogueSkill

__all__ = ["WORD_FEATURES", "ToolWords"]

WORD_FEATURES = ("name", "described", "parameters", "owner", "name_behind", "described_behind")
"""The share of the tool's name that the request names; the words that request and description share, relative to both;
the share of the request in the parameters; the share of the owner's name that the request names; how far the first two
are behind the greatest of the list. Words weigh by their rarity in the catalogue. NaN for tools without known words.
"""

_STEM = 5  # characters by which inflections are the same
_MOST = 400  # words of a description
_FIELDS = 4

Floats = NDArray[np.float64]


class ToolWords(Struct, frozen=True, dict=True):
    """The stems of each tool's name, description, parameters and owner, by the tool's unique name.

    Stems are given by their places in `stems`; `rarity` is −log of the share of the tools that have each.
    """

    stems: tuple[str, ...] = ()
    rarity: tuple[float, ...] = ()
    tools: Mapping[str, tuple[tuple[int, ...], ...]] = {}

    @classmethod
    def of(cls, skills: Iterable[tuple[str, CatalogueSkill]]) -> ToolWords:
        """The words of skills, each with its unique name."""
        found = {name: [_stems(text) for text in _texts(one)] for name, one in skills}
        counts = Counter(stem for texts in found.values() for stem in set().union(*texts))
        stems = tuple(sorted(counts))
        number = {stem: i for i, stem in enumerate(stems)}
        rarity = tuple(math.log((1 + len(found)) / (0.5 + counts[stem])) for stem in stems)
        tools = {name: tuple(tuple(sorted(number[s] for s in text)) for text in texts) for name, texts in found.items()}
        return cls(stems, rarity, tools)

    @property
    def problem(self) -> str | None:
        """The defect that `features` would fail on, None where there is none."""
        n = len(self.stems)
        if len(self.rarity) != n:
            return f"{len(self.rarity)} rarities of {n} stems"
        if any(
            len(texts) != _FIELDS or any(not 0 <= i < n for text in texts for i in text)
            for texts in self.tools.values()
        ):
            return "words of a tool that do not exist"
        return None

    def features(self, utterance: str | None, candidates: Sequence[Candidate]) -> Floats:
        """The columns of `WORD_FEATURES`: shape (n, features)."""
        x = np.full((len(candidates), len(WORD_FEATURES)), np.nan)
        if not utterance or not self.tools:
            return x
        asked = _stems(utterance)
        known = {self._numbers[stem] for stem in asked if stem in self._numbers}
        unknown = math.log(2 * (1 + len(self.tools))) * (len(asked) - len(known))
        whole = math.fsum(self.rarity[i] for i in known) + unknown  # exact, so that a set's order changes no bit
        if not whole:
            return x
        for row, one in enumerate(candidates):
            if (held := self._held.get(one.skill)) is None:
                continue
            shared = [math.fsum(self.rarity[i] for i in known & stems) for stems, _ in held]
            name, described, parameters, owner = (total for _, total in held)
            x[row, :_FIELDS] = (
                shared[0] / name if name else 0.0,
                shared[1] / math.sqrt(whole * described) if described else 0.0,
                shared[2] / whole if parameters else 0.0,
                shared[3] / owner if owner else 0.0,
            )
        if np.isfinite(x[:, 0]).any():
            x[:, _FIELDS:] = np.nanmax(x[:, :2], axis=0) - x[:, :2]
        return x

    @cached_property
    def _numbers(self) -> Mapping[str, int]:
        return {stem: i for i, stem in enumerate(self.stems)}

    @cached_property
    def _held(self) -> Mapping[str, list[tuple[frozenset[int], float]]]:
        return {
            name: [(frozenset(text), sum(self.rarity[i] for i in text)) for text in texts]
            for name, texts in self.tools.items()
        }


def _stems(text: str) -> set[str]:
    return {word.removesuffix("s")[:_STEM] for word in words(text)[:_MOST]}


def _texts(one: CatalogueSkill) -> tuple[str, str, str, str]:
    described = (one.description, *one.phrases, *one.tags)
    parameters = (text for parameter in one.parameters for text in (name_words(parameter.name), parameter.description))
    return name_words(one.name), " ".join(described), " ".join(parameters), name_words(one.domain)
