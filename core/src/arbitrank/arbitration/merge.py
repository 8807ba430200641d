"""One list of all domains' readings, best first."""

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


class Voice(NamedTuple):
    """What one domain says to a request: its readings, their scores, and the version that scored them."""

    domain: str
    hypotheses: Sequence[Hypothesis]
    scores: Scores
    version: str | None = None
    why: Sequence[Mapping[str, float]] | None = None


def out_of_scope(scores: Iterable[Scores]) -> float:
    """P(no domain owns the request), Π(1 − P(mine)), from the scores as the domains gave them."""
    return math.prod(1.0 - one.mine for one in scores)


def after_winning(scores: Sequence[Scores], independence: float = 0.5) -> list[Scores]:
    """The scores, given that exactly one of these domains owns the request: each P(mine) against all others'.

    Domains that could all serve a request each leave room for the others, so the winner claims too little. Its claim
    becomes w / Σ w with w = P(mine) / (1 − P(mine))^independence. At 1 these are odds: right where each domain knows
    something of its own (an evidence that others lack), while what all of them saw counts several times. At 0 they are
    the probabilities: right where all saw the same. P(right | mine) stays. One domain alone, and several that all say
    0, are as they were.
    """
    if len(scores) < 2:
        return list(scores)
    weights = [one.mine / max(1.0 - one.mine, CLIP) ** independence for one in scores]
    total = sum(weights)
    if total == 0.0:
        return list(scores)
    return [_claiming(one, weight / total) for one, weight in zip(scores, weights, strict=True)]


def _claiming(scores: Scores, mine: float) -> Scores:
    """The scores with another P(mine), and each reading's share of it as before."""
    whole = max(scores.mine, float(scores.right.sum()))
    return Scores(mine, scores.right / whole * mine if whole > 0.0 else np.zeros_like(scores.right))


def shrunk(scores: Scores, temperature: float) -> Scores:
    """The scores of a domain that claims too much: log-odds of P(mine) and of each P(right) divided by `temperature`.

    `temperature` is at least 1. The readings still sum to at most P(mine): where the division says more, they are
    brought down together.
    """
    if temperature == 1.0 or not len(scores.right):
        return scores
    claims = sigmoid(log_odds(np.append(scores.mine, scores.right)) / temperature)
    mine, right = float(claims[0]), claims[1:]
    return Scores(mine, right * min(1.0, mine / float(right.sum())))


def merge(voices: Iterable[Voice]) -> tuple[Ranked, ...]:
    """All readings by score = P(mine) · P(right), first whose request it is, then which reading.

    Equal scores fall by the domain's name, then by the order in which the domain gave its readings, so that the list
    does not depend on the order in which plugins were found.
    """
    spoken = sorted((voice for voice in voices if len(voice.hypotheses)), key=_domain)
    if not spoken:
        return ()
    ranked: list[Ranked] = []
    scores: list[float] = []
    for domain, hypotheses, said, version, why in spoken:
        mine, right = said.mine, said.right.tolist()
        scores += [mine * p for p in right]
        ranked += [
            Ranked(domain, h.intent, h.slots, mine * p, mine, p, version, h.skill, None if one is None else dict(one))
            for h, p, one in zip(hypotheses, right, why or repeat(None), strict=False)
        ]
    # A stable sort leaves equal scores in the order of domains and readings.
    order = np.argsort(np.negative(scores), kind="stable").tolist()
    return tuple([ranked[i] for i in order])


_domain = attrgetter("domain")
