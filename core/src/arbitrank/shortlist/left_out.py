"""Held-out requests, as kernels see them that were trained without the requests of every second skill.

Requests of the skills left out fit none of the others; and they show how skills without requests compete with those
that have some. The kernels are let go of when this is known: of very many skills, two indexes are not in memory at
once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from arbitrank.nlu.text import crc
from arbitrank.shortlist.calibration_fitting import HeldRequest
from arbitrank.shortlist.cold_fitting import FITTED, ColdRequests, cold_request, cold_requests
from arbitrank.shortlist.shortlister import Shortlister

if TYPE_CHECKING:
    from arbitrank.shortlist.build import SkillUtterance

__all__ = ["HalfView", "left_out"]

_LEAST = 40  # held-out requests to train a second time for


@dataclass(frozen=True, eq=False)
class HalfView:
    """The signs of held-out requests, in their order, to kernels with the requests of the skills `kept` alone.

    `shared`: the candidates of requests of other skills that a kept one serves as well, by their places. `cold`: the
    requests as the kernels of skills without requests see them, where there are such kernels.
    """

    kept: frozenset[str]
    signs: Sequence[NDArray[np.float64]]
    shared: Mapping[int, HeldRequest]
    cold: ColdRequests | None


def left_out(
    train: Callable[[Sequence[SkillUtterance]], Shortlister],
    lines: Sequence[SkillUtterance],
    held: Sequence[SkillUtterance],
) -> HalfView | None:
    """The held-out requests to kernels trained on half of the skills of `lines`; None where there are too few."""
    skills = {line.skill for line in lines}
    if len(held) < _LEAST or len(skills) <= 3:
        return None
    kept = _half(skills)
    half = train([line for line in lines if line.skill in kept])
    plain = replace(half, cold=None)  # its weights are not fitted yet
    signs, shared, cold = [], {}, []
    every = 1 + len(held) // FITTED
    for place, line in enumerate(held):
        numbers, own, scores = half.candidate_scores(line.utterance)
        signs.append(own)
        if half.cold is not None and place % every == 0:
            cold.append(cold_request(half, half.cold, line, numbers, own, scores))
        if line.skill not in kept and not kept.isdisjoint(line.acceptable):
            numbers, x, _ = plain.first_stage(line.utterance)
            right = [half.catalogue[number][0] in line.acceptable for number in numbers.tolist()]
            shared[place] = HeldRequest(x, np.array(right, np.bool_), own)
    return HalfView(kept, signs, shared, cold_requests(half.cold, cold) if half.cold is not None else None)


def _half(skills: Iterable[str]) -> frozenset[str]:
    """Every second skill, in an order that does not depend on the others."""
    return frozenset(sorted(skills, key=lambda name: (crc(name), name))[::2])
