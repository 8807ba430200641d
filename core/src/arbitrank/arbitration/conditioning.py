"""Conditioning of the domains' probabilities on each other: of one request's scores, before they are merged.

`arbitrank.arbitration.merge.conditioned_readings` does the same for many requests.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from arbitrank.arbitration.competition import Terms, WinnerMap, compete
from arbitrank.domain import Scores
from arbitrank.probability import CLIP

TINY = float(np.finfo(np.float64).tiny)
"""The least number that a probability is divided by."""


def after_winning(
    scores: Sequence[Scores], independence: float = 0.5, claims: Sequence[int] | None = None
) -> list[Scores]:
    """The scores conditioned on exactly one of these domains owning the request.

    Domains trained separately each reserve probability for the others, so the winner is under-confident. Its P(mine)
    becomes w / Σ w with w = P(mine) / (1 − P(mine))^independence. At 1 these are odds: right where each domain has
    evidence of its own, while evidence that all of them saw counts several times. At 0 they are the probabilities:
    right where all saw the same. P(right | mine) stays. A single domain, and several whose P(mine) are all 0, are
    returned as they are. Domains with the same one of `claims` count once in the sum, by the greatest w of them, and
    have one P(mine).
    """
    if len(scores) < 2:
        return list(scores)
    # On few numbers Python is quicker than NumPy; `_after_winning` does the same for many requests.
    weights = [one.mine / max(1.0 - one.mine, CLIP) ** independence for one in scores]
    if claims is None:
        total = sum(weights)
    else:
        most: dict[int, float] = {}
        for claim, weight in zip(claims, weights, strict=True):
            most[claim] = max(weight, most.get(claim, 0.0))
        weights, total = [most[claim] for claim in claims], sum(most.values())
    if total == 0.0:
        return list(scores)
    return [
        Scores(weight / total, one.right / _given(one) * (weight / total))
        for one, weight in zip(scores, weights, strict=True)
    ]


def competing(
    scores: Sequence[Scores],
    terms: Terms,
    null: float | None,
    claims: Sequence[int] | None = None,
    *,
    overlapping: bool = False,
    winner: WinnerMap | None = None,
) -> tuple[list[Scores], float]:
    """The scores after the domains' competition, and P(no domain); the arguments are those of `compete`.

    P(mine) becomes P(domain), P(right | mine) stays; domains with the same claim have the greatest one of it.
    """
    # On few numbers Python is quicker than NumPy; `_competing` does the same for many requests.
    mine = [one.mine for one in scores]
    chances, none = compete(mine, terms, null, claims=claims, overlapping=overlapping, winner=winner)
    if claims is None:
        return [Scores(p, one.right * (p / _given(one))) for p, one in zip(chances, scores, strict=True)], none
    return [_agreed(*each) for each in zip(scores, chances, _shared(scores, claims), strict=True)], none


def _shared(scores: Sequence[Scores], claims: Sequence[int]) -> list[float]:
    """P(right | mine) of each claim's reading: the greatest of the domains that state it."""
    most: dict[int, float] = {}
    given = [float(one.right.max(initial=0.0)) / _given(one) for one in scores]
    for claim, value in zip(claims, given, strict=True):
        most[claim] = max(value, most.get(claim, 0.0))
    return [most[claim] for claim in claims]


def _agreed(scores: Scores, chance: float, best: float) -> Scores:
    """The scores with P(mine) `chance`, and P(right | mine) `best` of the most probable reading."""
    right = scores.right / _given(scores)
    if len(right):
        top = int(np.argmax(right))
        right = right * rest_factor(best, float(right[top]))
        right[top] = best
    return Scores(chance, right * chance)


def rest_factor(best: Any, own: Any) -> Any:
    """The factor of the other readings where the best one's P(right | mine) becomes `best`: the sum stays at most 1."""
    return np.where(best > own, (1.0 - best) / np.maximum(1.0 - own, TINY), 1.0)


def _given(scores: Scores) -> float:
    """The probability that P(right) is divided by to give P(right | mine)."""
    return max(scores.mine, float(scores.right.sum()), TINY)
