"""The decision on a merged list: accept its head, ask the user to choose, or declare it out of scope."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from arbitrank.values import Confidence, Decision, Ranked


class DecisionSettings(msgspec.Struct, frozen=True):
    """Settings by which a merged list is ordered and decided; one value for every command, service and measurement.

    `none`, in [0, 1]: decide `none` where P(out of scope) exceeds it. `clarify`, in [0, 1]: decide `clarify` where the
    best two domains' P(mine) differ by less; 0 never does. `normalise`: condition the domains' P(mine) on exactly one
    of them owning the request before they order the list (`arbitrank.arbitration.merge.after_winning`), with
    `independence`, in [0, 1], of the domains' evidence. `rank_unserved`: rank hypotheses of domains that are not
    installed by R0 instead of only reporting them. `accept`, in [0, 1]: never accept a head whose P(right) is below it.
    `fallback`: the domain that acts where no other should. `scales`: by domain and field, the scales of scores that are
    not probabilities (`arbitrank.scales`).
    """

    none: Confidence = 0.5
    clarify: Confidence = 0.1
    normalise: bool = False
    independence: Confidence = 0.5
    rank_unserved: bool = False
    accept: Confidence = 0.3
    fallback: str | None = None
    scales: dict[str, dict[str, str]] = {}


def p_out_of_scope(mine: Iterable[Any]) -> Any:
    """P(out of scope), Π(1 − P(mine)), of the domains' P(mine) of a request, or arrays of them of many requests.

    P(mine) is as the domains returned it, before `arbitrank.arbitration.merge.after_winning`.
    """
    return math.prod(1.0 - p for p in mine)


def decides_none(out_of_scope: Any, empty: Any, settings: DecisionSettings) -> Any:
    """Test for the decision `none`: P(out of scope) is above its threshold, or the list is `empty`; works elementwise
    on arrays."""
    return (out_of_scope > settings.none) | empty


def decide(
    ranked: Sequence[Ranked], settings: DecisionSettings = DecisionSettings(), *, out_of_scope: float | None = None
) -> Decision:
    """`none` where P(out of scope) is above its threshold, else `clarify` or `accept`.

    `out_of_scope` is that probability; None computes Π(1 − P(mine)) over the list's domains, which is wrong once their
    P(mine) have been conditioned on one another (`arbitrank.arbitration.merge.after_winning`).

    Contenders are indices into `ranked`: for `clarify` the best reading of every domain whose P(mine) is close to the
    best domain's, for `accept` the head of the list, for `none` nothing.
    """
    last = len(ranked) - 1
    heads = {entry.domain: last - i for i, entry in enumerate(reversed(ranked))}  # the first of each domain stays
    chances = {i: ranked[i].domain_probability for i in sorted(heads.values())}
    if out_of_scope is None:
        out_of_scope = p_out_of_scope(chances.values())
    if decides_none(out_of_scope, not ranked, settings):
        return Decision("none")
    best = max(chances.values())
    close = tuple(i for i, p in chances.items() if best - p < settings.clarify)
    return Decision("clarify", close) if len(close) > 1 else Decision("accept", (0,))
