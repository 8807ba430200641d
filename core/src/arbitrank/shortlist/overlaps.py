"""Overlapping skills: pairs of which one skill would have done for the requests of the other.

The rule is that of the pseudo-labels, on requests that the Shortlister was not trained on: a skill is acceptable too
where it scores above `ratio` times the labelled one and at least `score`, and the pair overlaps where that happens in
at least the share `together` of the labelled skill's requests, of which there are at least `least`.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING

from msgspec import Struct

from arbitrank.shortlist.calibration import account_profile
from arbitrank.shortlist.shortlister import Shortlister

if TYPE_CHECKING:
    from arbitrank.shortlist.build import SkillUtterance

__all__ = ["Overlap", "overlapping_skills"]

_RANK = 5  # candidates of a request that are compared with the labelled skill


class Overlap(Struct, frozen=True):
    """`other` scores nearly as high as `skill`, or higher, in `requests` of the `of` requests labelled with `skill`.

    `first` counts those in which it scores higher; `example` is the first of the requests.
    """

    skill: str
    other: str
    requests: int
    of: int
    first: int
    example: str


def overlapping_skills(
    shortlister: Shortlister,
    lines: Sequence[SkillUtterance],
    *,
    ratio: float = 0.5,
    score: float = 0.1,
    together: float = 0.2,
    least: int = 3,
) -> list[Overlap]:
    """The overlapping pairs, the most frequent first; a skill that a line names as acceptable is none."""
    labelled: Counter[str] = Counter()
    near: defaultdict[tuple[str, str], list[tuple[str, bool]]] = defaultdict(list)
    for line in lines:
        found = shortlister.shortlist(line.utterance, profile=account_profile(line.request))
        own = next((one.score for one in found if one.skill == line.skill), None)
        labelled[line.skill] += 1
        if own is None:
            continue
        for one in found[:_RANK]:
            if one.skill not in line.acceptable and one.score > max(ratio * own, score):
                near[line.skill, one.skill].append((line.utterance, one.score > own))
    pairs = [
        Overlap(skill, other, len(seen), labelled[skill], sum(first for _, first in seen), seen[0][0])
        for (skill, other), seen in near.items()
        if labelled[skill] >= least and len(seen) >= max(2, together * labelled[skill])
    ]
    return sorted(pairs, key=lambda pair: (-pair.requests, pair.skill, pair.other))
