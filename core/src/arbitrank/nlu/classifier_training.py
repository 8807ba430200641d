"""Training of the domain and intent classifier, the mean of two models of "is this mine?".

The first is binary: the domain's own requests against all others. The second is one softmax over the intents and "not
mine", on top of the first: it learns from the own requests and the others' that the first confuses with them most. The
domain's log-odds are the mean of both, P(intent | mine) is the softmax's.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.optimize import minimize
from sklearn.linear_model import LogisticRegression

from arbitrank.nlu.classifier import SHORTEST, Classifier
from arbitrank.nlu.encoded import Encoded
from arbitrank.nlu.tagger_training import as_shipped
from arbitrank.nlu.text import BUCKETS
from arbitrank.values import Example

INVERSE_REGULARISATION = 30.0
"""C of the maximum-entropy models; chosen once for all corpora, on their dev splits."""

RARITY = 0.7
"""The power of an n-gram's inverse document frequency in its weight; chosen like the regularisation."""

JOINT = 0.5
"""Weight of the softmax's log-odds of the domain, the other half is the binary model's."""

LEAST_OTHERS = 2_000
"""Others' requests that the softmax learns from; as many as the domain's own where it has more."""

_ITERATIONS = 100  # of L-BFGS; fewer read intents worse where requests are many and mixed
_RARE = 2_000  # with more examples than this, n-grams that occur once are left out

Floats = NDArray[np.float64]


def train_classifier(domain: str, examples: Sequence[Example], encoded: Sequence[Encoded], seed: int) -> Classifier:
    """The classifier of a domain; without others' requests, P(mine) is constant and the intents are learned alone."""
    matrix, buckets, rarity = _design([one.ngrams for one in encoded])
    mine = np.array([example.truth.owned_by(domain) for example in examples])
    own = (example.truth for example, is_own in zip(examples, mine.tolist(), strict=True) if is_own)
    names = [truth.seen_by(domain).intent or domain for truth in own]
    intents = tuple(sorted(set(names)))
    weights = np.zeros((len(buckets) + 1, 1 + len(intents)), np.float32)
    bias = np.zeros(1 + len(intents), np.float32)
    joint = 0.0
    if mine.all():
        bias[0] = np.log(len(mine) + 1.0)  # no requests of other domains: the odds of the rule of succession
    else:
        # liblinear is the fastest of scikit-learn's solvers on sparse rows, and single-threaded.
        model = LogisticRegression(C=INVERSE_REGULARISATION, solver="liblinear", random_state=seed)
        model.fit(matrix, mine)
        weights[:-1, 0], bias[0] = model.coef_[0], model.intercept_[0]
        joint = JOINT if len(intents) > 1 else 0.0
    if joint:
        labels = np.zeros(len(mine), np.int64)
        labels[mine] = 1 + np.searchsorted(intents, names)
        odds = matrix @ model.coef_[0] + model.intercept_[0]
        weights[:-1, 1:], bias[1:] = _joint_softmax(matrix, labels, odds)
    elif len(intents) > 1:
        weights[:-1, 1:], bias[1:] = _softmax(matrix[mine], names)
    rarity = np.append(rarity, np.float32(0.0))
    return Classifier(intents, buckets, rarity, as_shipped(weights * rarity[:, None]), bias, joint)


def _softmax(matrix: sp.csr_matrix, names: Sequence[str]) -> tuple[Floats, Floats]:
    """Weights and biases of the intents, from the domain's own requests."""
    model = LogisticRegression(C=INVERSE_REGULARISATION, solver="lbfgs", max_iter=200).fit(matrix, names)
    coef, intercept = model.coef_, model.intercept_
    if len(coef) == 1:  # two classes come as one column: the second against the first
        coef, intercept = np.vstack([-coef / 2, coef / 2]), np.concatenate([-intercept / 2, intercept / 2])
    return coef.T, intercept


def _joint_softmax(matrix: sp.csr_matrix, labels: NDArray[np.int64], odds: Floats) -> tuple[Floats, Floats]:
    """Weights and biases of the intents, whose labels count from 1, against "not mine", label 0, which scores 0.

    `odds` are the binary model's log-odds, added to each intent's score. Weights are for the own requests' n-grams
    alone, so they are no more than without others.
    """
    own, others = np.flatnonzero(labels), np.flatnonzero(labels == 0)
    hardest = others[np.argsort(-odds[others], kind="stable")][: max(LEAST_OTHERS, len(own))]
    rows = np.concatenate([own, hardest])
    known = np.flatnonzero(np.diff(matrix[own].tocsc().indptr))
    features, count = matrix[rows][:, known], int(labels.max())
    back, offset = features.T.tocsr(), odds[rows, None]
    at, of = np.arange(len(own)), labels[own] - 1

    def loss(flat: Floats) -> tuple[float, Floats]:
        weights = flat.reshape(-1, count)
        scores = offset + features @ weights[:-1] + weights[-1]
        total = np.logaddexp(0.0, np.logaddexp.reduce(scores, axis=1))
        errors = np.exp(scores - total[:, None])
        errors[at, of] -= 1.0
        value = INVERSE_REGULARISATION * (total.sum() - scores[at, of].sum()) + 0.5 * np.vdot(
            weights[:-1], weights[:-1]
        )
        slope = INVERSE_REGULARISATION * np.vstack([back @ errors, errors.sum(axis=0)])
        slope[:-1] += weights[:-1]
        return float(value), slope.ravel()

    start = np.zeros((len(known) + 1, count))
    start[-1] = -np.log(count)  # together the intents start with the binary model's odds
    found = minimize(loss, start.ravel(), jac=True, method="L-BFGS-B", options={"maxiter": _ITERATIONS}).x
    found = found.reshape(-1, count)
    weights = np.zeros((matrix.shape[1], count))
    weights[known] = found[:-1]
    return weights, found[-1]


def _design(rows: Sequence[NDArray[np.uint32]]) -> tuple[sp.csr_matrix, NDArray[np.uint32], NDArray[np.float32]]:
    """The utterances as vectors of length 1, their n-grams, and the inverse document frequency of each n-gram."""
    counts = np.bincount(np.concatenate(rows), minlength=BUCKETS)
    buckets = np.flatnonzero(counts >= (2 if len(rows) > _RARE else 1))
    # The +2 keeps an n-gram of every utterance from the weight 0 where there is only one utterance.
    rarity = np.log((2.0 + len(rows)) / (1.0 + counts[buckets])) ** RARITY
    rarity = rarity.astype(np.float16).astype(np.float32)
    sizes = np.array([len(row) for row in rows])
    starts = np.concatenate([[0], np.cumsum(sizes)])
    ones = np.ones(int(starts[-1]))
    whole = sp.csr_matrix((ones, np.concatenate(rows).astype(np.int32), starts), shape=(len(rows), BUCKETS))
    matrix = whole[:, buckets] @ sp.diags(rarity.astype(np.float64))
    lengths = np.sqrt(np.asarray(matrix.multiply(matrix).sum(axis=1)).ravel())
    return (sp.diags(1.0 / np.maximum(lengths, SHORTEST)) @ matrix).tocsr(), buckets.astype(np.uint32), rarity
