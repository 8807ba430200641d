"""Merge of all domains' readings into one list, best first, and conditioning of their probabilities on one another."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import repeat
from operator import attrgetter
from typing import NamedTuple

import numpy as np

from arbitrank.domain import Scores
from arbitrank.probability import CLIP, log_odds, sigmoid
from arbitrank.values import Hypothesis, Ranked


class Contribution(NamedTuple):
    """One domain's part of the merged list: its readings, their scores and the version that scored them."""

    domain: str
    hypotheses: Sequence[Hypothesis]
    scores: Scores
    version: str | None = None
    why: Sequence[Mapping[str, float]] | None = None


def out_of_scope(scores: Iterable[Scores]) -> float:
    """P(no domain owns the request) = Π(1 − P(mine)), from the scores before conditioning."""
    return math.prod(1.0 - one.mine for one in scores)


def after_winning(scores: Sequence[Scores], independence: float = 0.5) -> list[Scores]:
    """The scores conditioned on exactly one of these domains owning the request.

    Domains that could all serve a request each leave room for the others, so the winner is under-confident. Its P(mine)
    becomes w / Σ w with w = P(mine) / (1 − P(mine))^independence. At 1 these are odds: right where each domain has
    evidence of its own, while evidence that all of them saw counts several times. At 0 they are the probabilities:
    right where all saw the same. P(right | mine) stays. A single domain, and several whose P(mine) are all 0, are
    returned as they are.
    """
    if len(scores) < 2:
        return list(scores)
    weights = [one.mine / max(1.0 - one.mine, CLIP) ** independence for one in scores]
    total = sum(weights)
    if total == 0.0:
        return list(scores)
    return [_with_mine(one, weight / total) for one, weight in zip(scores, weights, strict=True)]


def _with_mine(scores: Scores, mine: float) -> Scores:
    """The scores with another P(mine), and each reading's share of it as before."""
    whole = max(scores.mine, float(scores.right.sum()))
    return Scores(mine, scores.right / whole * mine if whole > 0.0 else np.zeros_like(scores.right))


def temperature_scaled(scores: Scores, temperature: float) -> Scores:
    """The scores of an over-confident domain: log-odds of P(mine) and of each P(right) divided by `temperature` ≥ 1.

    The readings still sum to at most P(mine): where the division gives more, they are scaled down together.
    """
    if temperature == 1.0 or not len(scores.right):
        return scores
    scaled = sigmoid(log_odds(np.append(scores.mine, scores.right)) / temperature)
    mine, right = float(scaled[0]), scaled[1:]
    return Scores(mine, right * min(1.0, mine / float(right.sum())))


def merge(contributions: Iterable[Contribution]) -> tuple[Ranked, ...]:
    """All readings by score = P(mine) · P(right): first whose request it is, then which reading.

    Equal scores are ordered by the domain's name, then by the domain's own order, so that the list does not depend on
    the order in which plugins were found.
    """
    with_readings = sorted((one for one in contributions if len(one.hypotheses)), key=_domain)
    if not with_readings:
        return ()
    ranked: list[Ranked] = []
    scores: list[float] = []
    for domain, hypotheses, of_domain, version, why in with_readings:
        mine, right = of_domain.mine, of_domain.right.tolist()
        scores += [mine * p for p in right]
        ranked += [
            Ranked(domain, h.intent, h.slots, mine * p, mine, p, version, h.skill, None if one is None else dict(one))
            for h, p, one in zip(hypotheses, right, why or repeat(None), strict=False)
        ]
    # A stable sort leaves equal scores in the order of domains and readings.
    order = np.argsort(np.negative(scores), kind="stable").tolist()
    return tuple([ranked[i] for i in order])


_domain = attrgetter("domain")
