"""What hypotheses' own features add to their scores."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from arbitrank.learn.features import number
from arbitrank.values import Hypothesis

LARGE = 1e9  # as in `arbitrank.learn.features`


def named(names: Sequence[str], weights: NDArray[np.float64]) -> list[tuple[str, float]]:
    """A hypothesis's own features, whose weights come last, with their weights."""
    last = weights[len(weights) - len(names) :].tolist()
    return [(name, weight) for name, weight in zip(names, last, strict=True) if weight]


def own_features(get: Callable[[str, float], float], names: Sequence[str]) -> list[float]:
    """As `arbitrank.learn.features.extras`."""
    return [x if -LARGE <= (x := get(name, 0.0)) <= LARGE else number(x) or 0.0 for name in names]


def extra_sums(
    found: Sequence[Hypothesis], sizes: Iterable[int], weights: Sequence[Sequence[tuple[str, float]]]
) -> list[float]:
    """What the hypotheses' own features add, of each."""
    sums: list[float] = []
    hypotheses = iter(found)
    for size, named in zip(sizes, weights, strict=False):
        sums += [extra_sum(h.features, named) for h in islice(hypotheses, size)]
    return sums


def extra_sum(features: Mapping[str, float], named: Sequence[tuple[str, float]]) -> float:
    """Σ weight · feature."""
    total, get = 0.0, features.get
    for name, weight in named:
        if x := get(name):
            total += weight * (x if -LARGE <= x <= LARGE else number(x) or 0.0)
    return total
