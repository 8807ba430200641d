"""95 % intervals: of means and their differences by the bootstrap over requests, of shares by Wilson's formula."""

from __future__ import annotations

import math
from collections.abc import Iterator

import msgspec
import numpy as np
from numpy.typing import NDArray

from arbitrank.probability import Floats

DRAWS = 1_000
"""Bootstrap samples of an interval."""

_Z = 1.96
_LOSS_DRAWS = 20_000
_AT_ONCE = 1_000_000  # numbers drawn at a time, which bounds the memory


class Estimate(msgspec.Struct, frozen=True):
    """A mean, or a difference of means, with its 95 % interval."""

    mean: float
    low: float
    high: float


def interval(draws: Floats) -> tuple[float, float]:
    """The range that holds the middle 95 % of the draws."""
    low, high = np.quantile(draws, [0.025, 0.975])
    return float(low), float(high)


def blocks(n: int, draws: int) -> Iterator[slice]:
    """Slices of the draws, few enough that n numbers for each fit in memory."""
    step = max(1, _AT_ONCE // n)
    for first in range(0, draws, step):
        yield slice(first, min(first + step, draws))


def resamples(n: int, draws: int, rng: np.random.Generator) -> Iterator[tuple[slice, NDArray[np.int64]]]:
    """Bootstrap samples of n requests in blocks: which of the draws, and their indices, one row for each draw."""
    for block in blocks(n, draws):
        yield block, rng.integers(0, n, (block.stop - block.start, n))


def bootstrap_means(columns: Floats, seed: int = 0) -> Floats:
    """The means of the columns in each bootstrap sample of their n rows, shape (draws, columns)."""
    n, means = len(columns), np.empty((DRAWS, columns.shape[1]))
    for block, indices in resamples(n, DRAWS, np.random.default_rng(seed)):
        means[block] = [np.bincount(row, minlength=n) @ columns for row in indices]
    return means / n


def differences(delta: Floats, seed: int = 0, draws: int = DRAWS) -> list[Estimate]:
    """The mean of each column of paired differences, shape (n, k), and its bootstrap interval over the n requests.

    Most requests do not change. The number of changed requests in a sample is binomial, and which they are is uniform;
    so only these are drawn, which gives the same distribution as drawing all requests.
    """
    n, rng = len(delta), np.random.default_rng(seed)
    changed = delta[(delta != 0.0).any(axis=1)]
    if not len(changed):
        return [Estimate(0.0, 0.0, 0.0) for _ in delta.T]
    means = np.empty((draws, delta.shape[1]))
    for i, size in enumerate(rng.binomial(n, len(changed) / n, draws)):
        means[i] = np.bincount(rng.integers(0, len(changed), size), minlength=len(changed)) @ changed / n
    bounds = map(interval, means.T)
    return [Estimate(float(mean), low, high) for mean, (low, high) in zip(delta.mean(axis=0), bounds, strict=True)]


def least_loss(lost: int, won: int, n: int, together: int = 1) -> float:
    """The lower end of the bootstrap interval of (lost − won) / n; −1 where no more requests were lost than won.

    `together` such intervals hold at once with 95 % (Bonferroni). A request's difference is −1, 0 or 1, so that a
    bootstrap sample is one multinomial draw of the three counts. It is drawn from one more request, on which nothing
    changed; otherwise a single lost request of a single one would be certain.
    """
    if lost <= won:
        return -1.0
    shares = np.array([lost, won, n - lost - won + 1]) / (n + 1)
    drawn = np.random.default_rng(0).multinomial(n, shares, _LOSS_DRAWS)
    return float(np.quantile((drawn[:, 0] - drawn[:, 1]) / n, 0.025 / together))


def normal_mean(values: Floats) -> Estimate:
    """The mean of non-negative values with its normal interval; infinitely wide for a single value."""
    n, mean = len(values), float(values.mean())
    half = _Z * float(values.std(ddof=1)) / math.sqrt(n) if n > 1 else math.inf
    return Estimate(mean, max(0.0, mean - half), mean + half)


def wilson(values: Floats) -> Estimate:
    """The share of ones with its Wilson interval, which stays in [0, 1] however few values there are."""
    n, share = len(values), float(values.mean())
    middle = (share + _Z * _Z / (2 * n)) / (1 + _Z * _Z / n)
    half = _Z / (1 + _Z * _Z / n) * math.sqrt(share * (1 - share) / n + _Z * _Z / (4 * n * n))
    return Estimate(share, max(0.0, middle - half), min(1.0, middle + half))
