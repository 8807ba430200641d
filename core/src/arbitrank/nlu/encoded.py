"""An utterance as classifier and tagger see it, computed once for all who look."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from arbitrank.nlu.text import ngrams, runs, tokenise
from arbitrank.nlu.token_features import attributes


class Seen(NamedTuple):
    """The utterance, the buckets of its n-grams, shape (n,), the attributes of its tokens, (tokens, A), and the hashes
    of their runs, (tokens, `LONGEST_RUN`): uint32."""

    text: str
    ngrams: NDArray[np.uint32]
    attributes: NDArray[np.uint32]
    runs: NDArray[np.uint32]


def see(utterance: str) -> Seen:
    """The utterance with its hashed n-grams, attributes and runs."""
    words = [token.text for token in tokenise(utterance)]
    return Seen(utterance, ngrams(utterance), attributes(utterance), runs(words))


@lru_cache(maxsize=256)
def see_once(utterance: str) -> Seen:
    """The same, remembered for a while, because every domain asks it of the same utterance."""
    return see(utterance)
