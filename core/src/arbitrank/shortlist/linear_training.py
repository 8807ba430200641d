"""Training of the linear kernel: a one-vs-rest support-vector machine and a multinomial regression, added up.

The machine, with squared hinge loss (liblinear), is the best at putting one skill first; the regression, stopped after
few epochs, orders those behind it better. Both are linear in the same grams, so the sum of their logits is one matrix.
The requests are kept beside it, by the grams that tell them apart, for the nearest one to be found.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csc_array, csr_array
from sklearn.svm import LinearSVC

from arbitrank.shortlist.linear import LinearKernel
from arbitrank.shortlist.ranking_grams import RankingGrams, ranking_grams

__all__ = ["can_train", "train_linear"]

Rows = NDArray[np.int64]
Singles = NDArray[np.float32]

_WEIGHTS = 1 << 26  # of a kernel, each a byte; rarer grams are left out above it
_WORK = 1 << 23  # utterances times skills, above which training takes more than half a minute
_C, _TOLERANCE = 0.5, 0.3  # of liblinear; a smaller tolerance changes nothing in the order of skills
_SLOPE, _SHARE = 5.0, 1.0  # of the machine's margins and of the regression's logits in their sum
_EPOCHS, _BATCH, _RATE = 5, 256, 0.05  # of the regression
_KEPT = 1 << 16  # requests of which the nearest is found; each skill has its share of them
_SHARED = 200  # requests that share a gram, above which it does not count for the nearest
_ONCE = (True, True, False, True)  # kinds that keep grams seen once: four characters belong to a word that says as much
_LEAST_WEIGHT = 0.2  # of a gram that all skills use alike
_BYTE = 127


def can_train(utterances: int, skills: int) -> bool:
    """True where a kernel for so many skills with utterances is trained within half a minute, and has a choice."""
    return skills > 1 and utterances * skills <= _WORK


def train_linear(
    utterances: Sequence[str],
    numbers: Sequence[int],
    *,
    seed: int = 0,
    grams: Callable[[str], RankingGrams] = ranking_grams,
) -> LinearKernel:
    """A kernel from utterances and the number of the skill of each, of two skills or more.

    The same data and seed give the same weights. `grams` returns a text's `ranking_grams`, which several trainings on
    the same texts need not compute again.
    """
    skills, columns = np.unique(np.array(numbers, np.int64), return_inverse=True)
    blocks, vocabulary = _counts([grams(utterance) for utterance in utterances], len(skills))
    informative = _informative(blocks, columns, len(skills))
    x = csr_array(sum(_unit_rows(block, informative) for block in blocks))
    x = csr_array((x.data, x.indices.astype(np.int32), x.indptr.astype(np.int32)), x.shape)  # liblinear's integers
    margins, offsets = _support_vectors(x, columns, len(skills), seed)
    weights, bias = _regression(x, columns, len(skills), seed)
    weights *= np.float32(_SHARE)
    weights += np.float32(_SLOPE) * margins
    scale = np.maximum(np.abs(weights).max(axis=1), np.float32(1e-12)) / np.float32(_BYTE)
    weights /= scale[:, None]
    output = np.rint(weights, out=weights).astype(np.int8)
    bias = _SHARE * bias + _SLOPE * offsets
    return LinearKernel(skills, vocabulary, informative, output, scale, bias, *_requests(x, columns, len(skills)))


def _counts(grams: Sequence[RankingGrams], skills: int) -> tuple[list[csr_array], NDArray[np.uint32]]:
    """The counts of each kind of grams, of shape (utterances, vocabulary), and the vocabulary."""
    every = []
    for kind, once in zip(zip(*grams, strict=True), _ONCE, strict=True):
        rows = np.repeat(np.arange(len(kind)), [len(hashes) for hashes in kind])
        hashes = np.concatenate([np.empty(0, np.uint32), *kind])
        if not once:
            _, place, seen = np.unique(hashes, return_inverse=True, return_counts=True)
            often = seen[place] > 1
            rows, hashes = rows[often], hashes[often]
        every.append((rows, hashes))
    vocabulary, counts = np.unique(np.concatenate([hashes for _, hashes in every]), return_counts=True)
    if len(vocabulary) * skills > _WEIGHTS:
        most = _WEIGHTS // skills
        vocabulary = vocabulary[counts > np.partition(counts, -most)[-most]]
    blocks = []
    for rows, hashes in every:
        at = np.searchsorted(vocabulary, hashes).clip(max=max(0, len(vocabulary) - 1))
        known = vocabulary[at] == hashes
        ones = np.ones(int(known.sum()), np.float32)
        block = csr_array((ones, (rows[known], at[known])), shape=(len(grams), len(vocabulary)))
        block.sum_duplicates()
        blocks.append(block)
    return blocks, vocabulary


def _informative(blocks: Sequence[csr_array], columns: Rows, skills: int) -> Singles:
    """The weight of each gram: 1 less the share of the highest entropy that its skills have, and a least weight."""
    rows = len(columns)
    owners = csr_array((np.ones(rows, np.float32), (columns, np.arange(rows))), shape=(skills, rows))
    present = [csr_array((np.ones_like(block.data), block.indices, block.indptr), block.shape) for block in blocks]
    used = csr_array(owners @ sum(present))
    total = np.asarray(used.sum(axis=0))
    used.data *= np.log(used.data)
    entropy = np.log(np.maximum(total, 1.0)) - np.asarray(used.sum(axis=0)) / np.maximum(total, 1.0)
    return np.asarray(_LEAST_WEIGHT + 1.0 - entropy / np.log(skills), np.float32)


def _unit_rows(block: csr_array, informative: Singles) -> csr_array:
    """Rows of unit length: a gram's count, its logarithm taken, times its weight."""
    rows = np.repeat(np.arange(block.shape[0]), np.diff(block.indptr))
    values = (1.0 + np.log(block.data)) * informative[block.indices]
    length = np.sqrt(np.bincount(rows, values * values, block.shape[0]))
    values = (values / np.maximum(length, 1e-9)[rows]).astype(np.float32)
    return csr_array((values, block.indices, block.indptr), block.shape)


def _requests(
    x: csr_array, columns: Rows, skills: int
) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int32], NDArray[np.float16]]:
    """The requests by their grams, as `LinearKernel` keeps them: first, starts, requests and shares."""
    order = np.argsort(columns, kind="stable")
    sizes = np.bincount(columns, minlength=skills)
    place = np.arange(len(order)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    kept = order[place < max(1, _KEPT // skills)]
    first = np.searchsorted(columns[kept], np.arange(skills)).astype(np.int32)
    sharing = np.bincount(x.indices, minlength=x.shape[1])
    by_gram = csc_array(x[kept])
    counts = np.diff(by_gram.indptr) * ((sharing > 1) & (sharing <= _SHARED))
    used = np.repeat(counts > 0, np.diff(by_gram.indptr))
    starts = np.concatenate(([0], np.cumsum(counts))).astype(np.int32)
    return first, starts, by_gram.indices[used].astype(np.int32), by_gram.data[used].astype(np.float16)


def _support_vectors(x: csr_array, columns: Rows, skills: int, seed: int) -> tuple[Singles, Singles]:
    """Weights (grams, skills) and offsets of one-vs-rest machines."""
    # Frequent grams side by side: their weights stay in the processor's cache.
    order = np.argsort(-np.bincount(x.indices, minlength=x.shape[1]), kind="stable")
    place = np.empty(len(order), np.int32)
    place[order] = np.arange(len(order))
    near = csr_array((x.data.copy(), place[x.indices], x.indptr.copy()), x.shape)
    near.sort_indices()
    machine = LinearSVC(C=_C, tol=_TOLERANCE, random_state=seed).fit(near, columns)
    weights, offsets = machine.coef_.astype(np.float32), machine.intercept_.astype(np.float32)
    if skills == 2:  # one machine for both
        weights, offsets = np.concatenate([-weights, weights]), np.concatenate([-offsets, offsets])
    return weights.T[place], offsets


def _regression(x: csr_array, columns: Rows, skills: int, seed: int) -> tuple[Singles, Singles]:
    """Weights (grams, skills) and offsets of a multinomial regression by AdaGrad, with a rate for each gram."""
    rng = np.random.default_rng(seed)
    weights, bias = np.zeros((x.shape[1], skills), np.float32), np.zeros(skills, np.float32)
    squares, of_bias = np.full(x.shape[1], 1e-8, np.float32), 1e-8
    for epoch in range(_EPOCHS):
        rate = _RATE * (1.0 - epoch / _EPOCHS)
        order = rng.permutation(len(columns))
        for at in range(0, len(order), _BATCH):
            batch = order[at : at + _BATCH]
            part = x[batch]
            grams, places = np.unique(part.indices, return_inverse=True)
            part = csr_array((part.data, places, part.indptr), shape=(len(batch), len(grams)))
            own = weights[grams]
            slope = _softmax(part @ own + bias)
            slope[np.arange(len(batch)), columns[batch]] -= 1.0
            slope /= len(batch)
            gradient = part.T @ slope
            squares[grams] += (gradient * gradient).mean(axis=1)
            weights[grams] = own - (np.float32(rate) / np.sqrt(squares[grams]))[:, None] * gradient
            along = slope.sum(axis=0)
            of_bias += float((along * along).mean())
            bias -= np.float32(0.5 * rate / np.sqrt(of_bias)) * along
    return weights, bias


def _softmax(z: Singles) -> Singles:
    p = np.exp(z - z.max(axis=1, keepdims=True))
    return np.asarray(p / p.sum(axis=1, keepdims=True), np.float32)
