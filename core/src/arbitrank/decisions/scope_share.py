"""Share of out-of-scope requests in unlabelled traffic, by expectation maximisation for "no domain" alone.

Saerens, Latinne and Decaestecker (2002) re-estimate all classes; here the domains keep their shares among each other,
as re-estimating them too can collapse where domains resemble each other.
"""

from __future__ import annotations

import math
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq

from arbitrank.probability import CLIP, Floats, sigmoid

_ROUNDS = 500
_Z = 1.96
_DRAWS = 200  # of the histograms, for the interval
_RULE = 0.5  # added to each count, as a range that no labelled request is in is not impossible
_OUTER, _INNER = np.linspace(0.0, 1.0, 7)[1:-1], (0.5, 0.8, 0.9)


class ScopeShare(msgspec.Struct, frozen=True):
    """The share of requests that no domain owns, its 95 % interval, and the number of requests it is estimated from."""

    share: float
    low: float
    high: float
    n: int


def estimate_share(none: Floats, before: float, weight: Floats | None = None, *, rounds: int = _ROUNDS) -> ScopeShare:
    """The most likely share of out-of-scope requests, from P(no domain) of each under the share `before`, in (0, 1).

    `weight` says how many requests each stands for, None counts each once.
    """
    odds = np.clip(none, CLIP, 1.0 - CLIP)
    odds = odds / (1.0 - odds) * (1.0 - before) / before  # the likelihood ratio of out of scope against in scope
    share = before
    for _ in range(rounds):
        chance = share * odds / (share * odds + 1.0 - share)
        new = float(np.clip(np.average(chance, weights=weight), CLIP, 1.0 - CLIP))
        if abs(new - share) < 1e-9:
            break
        share = new
    slopes = (odds - 1.0) / (share * odds + 1.0 - share)
    w = np.ones(len(slopes)) if weight is None else weight
    information = float((w * slopes**2).sum())
    error = _Z * math.sqrt(float(((w * slopes) ** 2).sum())) / information if information > 0.0 else 1.0
    return ScopeShare(share, max(0.0, share - error), min(1.0, share + error), len(none))


def labelled_share(
    known: Floats, out_of_scope: NDArray[np.bool_], none: Floats, weight: Floats | None = None, *, seed: int = 0
) -> ScopeShare:
    """The most likely share of out-of-scope requests, from P(no domain) of each and of labelled requests.

    `known` are those of the labelled ones, of which `out_of_scope` marks some. How much more frequent P(no domain) in a
    range is where a request is out of scope is counted in these, so that it need not be calibrated, in particular where
    few requests are out of scope. The interval holds for the chance in both; `weight` is that of `estimate_share`.
    """
    ranges = np.quantile(known[out_of_scope], _OUTER), np.quantile(known[~out_of_scope], _INNER)
    edges = np.unique(np.concatenate(ranges))
    counts = [
        _counts(known[~out_of_scope], edges),
        _counts(known[out_of_scope], edges),
        _counts(none, edges, weight),
    ]
    effective = len(none) if weight is None else float(weight.sum() ** 2 / (weight**2).sum())
    sizes = int((~out_of_scope).sum()), int(out_of_scope.sum()), max(1, int(effective))
    rng = np.random.default_rng(seed)
    drawn = [rng.multinomial(n, each / each.sum(), _DRAWS) for n, each in zip(sizes, counts, strict=True)]
    share, draws = float(_mixed(*counts)), _mixed(*drawn)
    low, high = map(float, np.quantile(draws, [0.025, 0.975]))
    return ScopeShare(share, min(low, share), max(high, share), len(none))


def _counts(none: Floats, edges: Floats, weight: Floats | None = None) -> Floats:
    return np.bincount(np.digitize(none, edges), weight, minlength=len(edges) + 1).astype(np.float64)


def _mixed(inside: NDArray[Any], outside: NDArray[Any], traffic: NDArray[Any]) -> Floats:
    """The share of `outside` in the traffic, by expectation maximisation; histograms of shape (…, ranges)."""
    odds = _shares(outside + _RULE) / _shares(inside + _RULE)
    traffic = _shares(traffic)
    share = np.full((*odds.shape[:-1], 1), 0.1)
    for _ in range(_ROUNDS):
        chance = share * odds / (share * odds + 1.0 - share)
        share = np.clip((traffic * chance).sum(axis=-1, keepdims=True), CLIP, 1.0 - CLIP)
    return np.asarray(share[..., 0])


def _shares(counts: NDArray[Any]) -> Floats:
    return np.asarray(counts / counts.sum(axis=-1, keepdims=True), np.float64)


def matched(z: Floats, mean: float, weight: Floats) -> float:
    """The number that, added to the log-odds `z`, makes the weighted mean of their probabilities `mean`, in (0, 1)."""

    part = weight / weight.sum()

    def over(added: float) -> float:
        return float(part @ sigmoid(z + added)) - mean

    return float(brentq(over, -80.0, 80.0, xtol=1e-6))
