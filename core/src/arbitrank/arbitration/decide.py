"""What to do with the ranked list: accept its head, ask the user, or say that it is nobody's."""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec

from arbitrank.values import Confidence, Decision, Ranked


class Thresholds(msgspec.Struct, frozen=True):
    """When to act, both in [0, 1].

    `none`: when the chance that nobody owns the request exceeds it, nobody is asked to act. `clarify`: when the best
    two domains' P(mine) differ by less than it, the user is asked which was meant; 0 never asks.
    """

    none: Confidence = 0.5
    clarify: Confidence = 0.1


def decide(ranked: Sequence[Ranked], thresholds: Thresholds = Thresholds(), *, nobody: float | None = None) -> Decision:
    """`none` where the chance that no domain owns the request is above its threshold, else `clarify` or `accept`.

    That chance is `nobody`, or Π(1 − P(mine)) over the list's domains where it isn't given: it has to be, once the
    list's P(mine) were measured against one another (`arbitrank.arbitration.merge.after_winning`).

    Contenders are indices into `ranked`: the best reading of every domain whose P(mine) is close to the best domain's
    for `clarify`, the head of the list for `accept`, nothing for `none`.
    """
    last = len(ranked) - 1
    heads = {entry.domain: last - i for i, entry in enumerate(reversed(ranked))}  # the first of each is what stays
    chances = {i: ranked[i].domain_probability for i in sorted(heads.values())}
    if nobody is None:
        nobody = math.prod(1.0 - p for p in chances.values())
    if not ranked or nobody > thresholds.none:
        return Decision("none")
    best = max(chances.values())
    close = tuple(i for i, p in chances.items() if best - p < thresholds.clarify)
    return Decision("clarify", close) if len(close) > 1 else Decision("accept", (0,))
