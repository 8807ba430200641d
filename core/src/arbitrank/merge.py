"""One list of all domains' readings, best first."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from arbitrank.domain import Scores
from arbitrank.learn.probability import CLIP
from arbitrank.values import Hypothesis, Ranked


class Voice(NamedTuple):
    """What one domain says to a request: its readings, their scores, and the version that scored them."""

    domain: str
    hypotheses: Sequence[Hypothesis]
    scores: Scores
    version: str | None = None
    why: Sequence[Mapping[str, float]] | None = None


INDEPENDENCE = 0.5
"""How independent the domains' evidence is taken to be where nobody measured it: halfway."""


def nobody(scores: Iterable[Scores]) -> float:
    """P(no domain owns the request), Π(1 − P(mine)), from the scores as the domains gave them."""
    return math.prod(1.0 - one.mine for one in scores)


def after_winning(scores: Sequence[Scores], independence: float = INDEPENDENCE) -> list[Scores]:
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


def merge(voices: Iterable[Voice]) -> tuple[Ranked, ...]:
    """All readings by score = P(mine) · P(right), first whose request it is, then which reading.

    Equal scores fall by the domain's name, then by the order in which the domain gave its readings, so that the list
    does not depend on the order in which plugins were found.
    """
    entries = [(voice, i, voice.scores.mine * float(voice.scores.right[i])) for voice in voices for i in _places(voice)]
    entries.sort(key=lambda entry: (-entry[2], entry[0].domain, entry[1]))
    return tuple(_ranked(voice, i, score) for voice, i, score in entries)


def _places(voice: Voice) -> range:
    return range(len(voice.hypotheses))


def _ranked(voice: Voice, i: int, score: float) -> Ranked:
    hypothesis = voice.hypotheses[i]
    return Ranked(
        domain=voice.domain,
        intent=hypothesis.intent,
        slots=hypothesis.slots,
        score=score,
        domain_probability=voice.scores.mine,
        probability=float(voice.scores.right[i]),
        version=voice.version,
        skill=hypothesis.skill,
        why=dict(voice.why[i]) if voice.why is not None else None,
    )
