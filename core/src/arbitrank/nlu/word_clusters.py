"""Word clusters: words that training texts use alike, found without labels.

Words are embedded by truncated SVD of the positive pointwise mutual information with their neighbours (Levy and
Goldberg, 2014), and clustered by k-means. A slot value that labelled data lack is often of the same cluster as one that
they have. Only training imports this module: a tagger's weights of clusters are added to those of their words.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.extmath import randomized_svd
from threadpoolctl import threadpool_limits

from arbitrank.nlu.encoded import Encoded
from arbitrank.nlu.text import tokenise
from arbitrank.nlu.token_features import WORD, WORDS, word_attributes

Clusters = Mapping[int, tuple[str, ...]]
"""For each attribute that is a word at one place (`token_features.WORDS`): attributes of its clusters there."""

SIZES = (50, 200)
"""Numbers of clusters, from coarse to fine."""

DIMENSIONS = 50
"""Dimensions of the words' embedding."""

_LEAST = 2  # occurrences of a word that is clustered
_FEWEST = 4  # words for each cluster, on average, at least
_SMOOTHING = 0.75  # power of the neighbours' frequencies, which makes rare neighbours count less


def learn_clusters(encoded: Sequence[Encoded], seed: int = 0) -> Clusters:
    """The clusters of the words of training texts; none where the texts have too few words."""
    rows = np.concatenate([one.attributes for one in encoded] or [np.zeros((0, WORDS.stop), np.uint32)])
    words, column = _frequent(rows[:, WORD])
    if len(words) < 2 * _FEWEST:
        return {}
    texts = _texts(encoded, words)
    # One thread: sums in another order would give other clusters.
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # fewer distinct words than clusters
        places = _embed(rows, column, len(words), seed)
        names: list[list[str]] = [[] for _ in words]
        for level, size in enumerate(SIZES):
            model = KMeans(min(size, len(words) // _FEWEST), n_init=1, max_iter=50, random_state=seed)
            for name, cluster in zip(names, model.fit(places).labels_.tolist(), strict=True):
                name.append(f"{level}/{cluster}")
    return {
        attribute: tuple(f"cluster {place}/{cluster}" for cluster in clusters)
        for text, clusters in zip(texts, names, strict=True)
        for place, attribute in enumerate(word_attributes(text))
    }


def _frequent(hashes: NDArray[np.uint32]) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
    """The hashes that occur often enough, and for each one given, its place among them, -1 for rare ones."""
    found, inverse, counts = np.unique(hashes, return_inverse=True, return_counts=True)
    kept = counts >= _LEAST
    places = np.where(kept, np.cumsum(kept) - 1, -1)
    return found[kept], places[inverse]


def _texts(encoded: Sequence[Encoded], words: NDArray[np.uint32]) -> list[str]:
    """The words that have these hashes."""
    missing = set(words.tolist())
    texts = {}
    for one in encoded:
        for i, word in enumerate(one.attributes[:, WORD].tolist()):
            if word in missing:
                missing.remove(word)
                texts[word] = tokenise(one.text)[i].text
    return [texts[word] for word in words.tolist()]


def _embed(rows: NDArray[np.uint32], column: NDArray[np.int64], n: int, seed: int) -> NDArray[np.float64]:
    """A vector of length 1 for each of n words, from the words to either side; `column` is the word of each row."""
    neighbours = rows[:, WORDS][:, 1:]
    _, flat = _frequent(neighbours.reshape(-1))  # an attribute's hash holds the place: each side is apart
    word = np.repeat(column, neighbours.shape[1])
    both = (word >= 0) & (flat >= 0)
    counts = sp.csr_matrix(
        (np.ones(int(both.sum())), (word[both], flat[both])), shape=(n, int(flat.max(initial=0)) + 1)
    )
    counts.sum_duplicates()
    pairs = counts.tocoo()
    own = np.asarray(counts.sum(axis=1)).ravel() / pairs.data.sum()
    near = np.asarray(counts.sum(axis=0)).ravel() ** _SMOOTHING
    information = np.log(pairs.data / pairs.data.sum() / (own[pairs.row] * near[pairs.col] / near.sum()))
    matrix = sp.csr_matrix((np.maximum(information, 0.0), (pairs.row, pairs.col)), shape=counts.shape)
    left, strength, _ = randomized_svd(matrix, min(DIMENSIONS, *matrix.shape), random_state=seed)
    places: NDArray[np.float64] = left * np.sqrt(strength)
    places /= np.maximum(np.linalg.norm(places, axis=1, keepdims=True), 1e-9)
    return places
