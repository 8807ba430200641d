"""Utterances as bags of hashed n-grams, the input of the discriminative model.

Words alone and two in a row, with the utterance's ends marked, and what words begin with, so that an inflected word is
not a stranger. The hash is CRC-32, the same on every machine, for training and for serving.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from arbitrank.nlu.text import crc, tokenise

__all__ = ["Bags", "bags", "grams", "vocabulary"]

Hashes = NDArray[np.uint32]

_STEM = 4


class Bags(NamedTuple):
    """The n-grams of n utterances: those of the i-th are `hashes[starts[i]:starts[i + 1]]`, sorted, each once."""

    hashes: Hashes
    starts: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.starts) - 1


def grams(utterance: str) -> Hashes:
    """The hashes of the utterance's n-grams, sorted, each once: uint32, shape (n,)."""
    words = [token.text for token in tokenise(utterance)]
    found = {crc(word) for word in words}
    found.update(crc(f"{word[:_STEM]}*") for word in words if len(word) > _STEM)
    found.update(crc(f"{left} {right}") for left, right in pairwise(["<", *words, ">"]) if words)
    return np.array(sorted(found), np.uint32)


def bags(utterances: Sequence[str]) -> Bags:
    """The n-grams of all utterances."""
    each = [grams(utterance) for utterance in utterances]
    starts = np.zeros(len(each) + 1, np.int64)
    np.cumsum([len(one) for one in each], out=starts[1:])
    return Bags(np.concatenate([np.empty(0, np.uint32), *each]), starts)


def vocabulary(of: Bags, least: int = 2) -> Hashes:
    """The n-grams that at least so many of the utterances have, sorted; a rarer one tells of that utterance alone."""
    found, counts = np.unique(of.hashes, return_counts=True)
    return np.asarray(found[counts >= least])
