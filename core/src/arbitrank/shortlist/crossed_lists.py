"""Shortlists of labelled requests, each made by a Shortlister that was not trained on it, to train on."""

from __future__ import annotations

from collections.abc import Sequence

from arbitrank.nlu.text import crc
from arbitrank.shortlist.build import LinearTrainer, SkillUtterance, build
from arbitrank.shortlist.calibration import account_profile
from arbitrank.shortlist.gathering import GatheredSkills, ListedSkills
from arbitrank.shortlist.hyprank_features import MOST
from arbitrank.shortlist.tool_order_training import ToolList

__all__ = ["crossed_lists"]

FOLDS = 3


def crossed_lists(
    lines: Sequence[SkillUtterance], skills: GatheredSkills, linear: LinearTrainer | None = None
) -> list[ToolList]:
    """The shortlist of each line, in a third of the lines by a Shortlister of the other two.

    Lines with the same words are in the same third; `skills` are those of the whole catalogue.
    """
    fold = [crc(line.utterance) % FOLDS for line in lines]
    lists: list[ToolList | None] = [None] * len(lines)
    for f in range(FOLDS):
        seen = [line for line, of in zip(lines, fold, strict=True) if of != f]
        if not seen or len(seen) == len(lines):
            continue
        listed = ListedSkills((f"skill {number}", one) for number, one in enumerate(skills.skills))
        shortlister = build(seen, listed=listed, linear=linear).shortlister
        for i, line in enumerate(lines):
            if fold[i] == f:
                found = shortlister.shortlist(line.utterance, MOST, profile=account_profile(line.request))
                lists[i] = ToolList(line.request, found, line.acceptable, group=crc(line.utterance))
    return [one for one in lists if one is not None]
