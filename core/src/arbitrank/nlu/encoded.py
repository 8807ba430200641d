"""An utterance encoded for the classifier and the tagger, computed once for all domains."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from arbitrank.nlu.text import ngrams, runs, tokenise_cached
from arbitrank.nlu.token_features import attributes


class Encoded(NamedTuple):
    """An utterance and its hashes, uint32: `ngrams` (n,), `attributes` (tokens, A), `runs` (tokens, `LONGEST_RUN`)."""

    text: str
    ngrams: NDArray[np.uint32]
    attributes: NDArray[np.uint32]
    runs: NDArray[np.uint32]


def encode(utterance: str) -> Encoded:
    """The encoding of an utterance."""
    words = [token.text for token in tokenise_cached(utterance)]
    return Encoded(utterance, ngrams(utterance), attributes(utterance), runs(words))


encode_cached = lru_cache(maxsize=256)(encode)
"""`encode`, cached, because every domain encodes the same utterance."""
