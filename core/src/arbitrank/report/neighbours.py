"""Requests lost to neighbours and taken from them: whose reading heads the merged list of all domains."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import msgspec
import numpy as np

from arbitrank.arbitration.decide import ACTIONS, DecisionSettings
from arbitrank.arbitration.merge import merge_heads, terms_of
from arbitrank.report.measured import CountedShare, MeasuredDomain, neighbour_of
from arbitrank.values import Truth

NONE = "none (decided out of scope)"


class MergedOutcome(msgspec.Struct, frozen=True):
    """The domain beside its neighbours, merged and decided as a service does.

    `won`: own requests that it answers; `lost`: those that a neighbour answers which may not, by its name; `shared`
    counts those that one answers which may. `taken`: the share of others' requests that it answers, and `taken_from`
    their number by owner.
    """

    neighbours: list[str]
    won: CountedShare | None
    shared: int
    lost: dict[str, int]
    taken: CountedShare | None
    taken_from: dict[str, int]


def merged(
    one: MeasuredDomain, others: Mapping[str, MeasuredDomain], truths: Sequence[Truth], settings: DecisionSettings
) -> MergedOutcome | None:
    """The outcome beside `others`, each on the same requests with these truths; None without any."""
    if not others:
        return None
    names = sorted([one.name, *others])
    parts = [(one if name == one.name else others[name]).best for name in names]
    heads = merge_heads(parts, settings, terms=terms_of(settings, names))
    none = heads.actions(settings) == ACTIONS.index("none")
    answering = [NONE if out else names[d] for out, d in zip(none.tolist(), heads.domain.tolist(), strict=True)]
    mine = np.array([name == one.name for name in answering])
    rest = np.flatnonzero(one.own & ~mine).tolist()
    lost = Counter(answering[i] for i in rest if not truths[i].owned_by(answering[i]))
    taken = Counter(neighbour_of(one.examples[i]) for i in np.flatnonzero(~one.own & mine).tolist())
    return MergedOutcome(
        neighbours=sorted(others),
        won=CountedShare.in_mask(mine[one.own]),
        shared=len(rest) - lost.total(),
        lost=dict(lost.most_common()),
        taken=CountedShare.in_mask(mine[~one.own]),
        taken_from=dict(taken.most_common()),
    )
