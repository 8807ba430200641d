"""Stages of the domains `lights` and `shades`, made in a moment: a Shortlister and a HypRank."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from msgspec.structs import replace

from arbitrank.shortlist.build import SkillUtterance, build, write
from arbitrank.shortlist.hyprank import HypRank
from arbitrank.shortlist.hyprank_training import LabelledList, train_hyprank
from arbitrank.shortlist.tool_order import ToolOrder
from arbitrank.shortlist.tool_outcomes import OutcomeTally
from arbitrank.store.store import Store
from arbitrank.values import Ranked, Request


def shortlister(store: Store, folder: Path, n: int) -> str:
    """The version of a published Shortlister of the domains lights and shades, stable where it has two utterances."""
    utterances = [
        SkillUtterance(text, name, name, frozenset([name]), Request(utterance=text))
        for name, text in (("lights", "the lamp"), ("shades", "the window"), ("lights", "more light"))
    ]
    write(build(utterances[:n]), folder)
    return store.publish(folder, promote=n == 2).version


def hyprank(seed: int) -> HypRank:
    """A HypRank of the readings and the skills of lights and shades."""
    rng, names = np.random.default_rng(seed), ("lights", "shades")
    lists = []
    for group in range(80):
        scores = sorted(((float(rng.uniform(0.2, 0.8)), name) for name in names), reverse=True)
        ranked = tuple(Ranked(name, "i", score=p * p, domain_probability=p, probability=p) for p, name in scores)
        lists.append(LabelledList(Request(), ranked, frozenset([names[group % 2]]), {}, group))
    tally = OutcomeTally()
    for _ in range(seed + 1):
        tally = tally.after("lights", failed=True)
    return replace(train_hyprank(lists, rounds=3), tools=ToolOrder(tally))
