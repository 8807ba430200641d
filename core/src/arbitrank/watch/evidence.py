"""Evidence against a null hypothesis, as the logarithm of an e-value: under the hypothesis its mean is at most 1.

An e-value of at least 1/α comes by chance with a probability of at most α (Markov), whatever the sample's size; several
looks, domains and statistics share α by the union bound. The null hypotheses are wide: composites, over which the
likelihood is maximised ("universal inference", Wasserman, Ramdas & Balakrishnan 2020, arXiv 1912.11436), while the
alternative is a mixture that is fixed in advance. A power of an e-value below 1 is one too, and forgives dependence.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from arbitrank.probability import Floats, log_odds

_STEPS = 200  # of expectation maximisation over the mixture's weights

# The null of claims that are right: log-odds with a slope and a bias within these, the latter as traffic's shares move.
_SLOPES = np.geomspace(2 / 3, 1.5, 9)
_BIASES = np.linspace(-0.7, 0.7, 9)
# The alternative: these slopes and biases, equally likely beforehand.
_FAR_SLOPES = np.array([0.1, 0.2, 0.33, 0.5, 0.7, 1.0, 1.5, 2.0, 3.0])
_FAR_BIASES = np.array([-4.0, -3.0, -2.0, -1.4, -0.7, 0.0, 0.7, 1.4, 2.0, 3.0])


def mixture_fit(counts: Floats, parts: Floats) -> tuple[Floats, float]:
    """The weights of `parts`, shape (k, cells), most likely to give the counts, and that log-likelihood."""
    weights = np.full(len(parts), 1.0 / len(parts))
    total = counts.sum()
    for _ in range(_STEPS):
        mixed = weights @ parts
        weights = weights * (parts @ (counts / mixed)) / total
    mixed = weights @ parts
    return weights, float(counts @ np.log(mixed))


def surprise(counts: Floats, parts: Floats) -> tuple[float, Floats]:
    """Log e-value of the cells' counts against every mixture of `parts`; and the mixture that fits best.

    The alternative is any distribution, by the mixture of Krichevsky and Trofimov.
    """
    n, cells = float(counts.sum()), len(counts)
    free = math.lgamma(cells / 2) - cells * math.lgamma(0.5) - math.lgamma(n + cells / 2)
    free += sum(math.lgamma(count + 0.5) for count in counts)
    weights, fitted = mixture_fit(counts, parts)
    return free - fitted, weights @ parts


def miscalibration(p: Floats, y: NDArray[np.bool_]) -> float:
    """Log e-value of outcomes against claims p that are right up to a slope of 2/3 to 1.5 and a bias of 0.7."""
    z = log_odds(p)
    far = _likelihoods(z, y, _FAR_SLOPES, _FAR_BIASES)
    near = _likelihoods(z, y, _SLOPES, _BIASES)
    top = far.max()
    return float(top + np.log(np.exp(far - top).mean()) - near.max())


def _likelihoods(z: Floats, y: NDArray[np.bool_], slopes: Floats, biases: Floats) -> Floats:
    """Log-likelihoods of the outcomes by slope and bias."""
    sign = np.where(y, 1.0, -1.0)
    found = [-np.logaddexp(0.0, -sign * (slope * z + bias)).sum() for slope in slopes for bias in biases]
    return np.asarray(found)
