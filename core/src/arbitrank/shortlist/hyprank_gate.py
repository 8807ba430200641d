"""Gate of a HypRank: the merged lists that it sorts, compared with those before, on the audit set's requests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from msgspec import UNSET

from arbitrank.impact.gate import GateLimits, GateReason
from arbitrank.semer import entirely_right
from arbitrank.shortlist.hyprank import HypRank
from arbitrank.shortlist.recall_gate import audited, losses
from arbitrank.values import Answer, Ranked, Request, Truth

__all__ = ["order_reasons"]


def order_reasons(
    before: HypRank | None,
    after: HypRank,
    audit: Path,
    answer: Callable[[Request], Answer],
    limits: GateLimits = GateLimits(),
) -> tuple[GateReason, ...]:
    """The reasons against the HypRank `after` in the place of `before`, the stable one if any; none where it passes.

    `answer` gives the service's answer to a request without HypRank. Refused is a candidate that surely loses, by more
    than the tolerance, requests whose first reading was entirely right before: in the order of the stable HypRank, or
    in that of the merged list where none is stable. Judged are all requests, and each domain's (intervals hold jointly
    with 95 %).
    """
    return tuple(
        GateReason(
            "irer" if name is None else "neighbour",
            f"its order is wrong where the one before was right: {seen}; surely {100 * low:.2f} points more errors",
            () if name is None else (name,),
        )
        for name, seen, low in losses(_changes(audit, answer, before, after), limits.tolerance)
    )


def _changes(
    audit: Path, answer: Callable[[Request], Answer], before: HypRank | None, after: HypRank
) -> Iterator[tuple[str, bool, bool]]:
    """Each request's domain, and 1 where its first reading is right, before and after."""
    for domain, example in audited(audit):
        merged = answer(example.request)
        shortlist = {} if merged.shortlist is UNSET else {one.skill: one.score for one in merged.shortlist.candidates}
        first, then = (
            merged.ranked if hyprank is None else hyprank.sort(example.request, merged.ranked, shortlist)
            for hyprank in (before, after)
        )
        yield domain, _right(first, example.truth), _right(then, example.truth)


def _right(ranked: tuple[Ranked, ...], truth: Truth) -> bool:
    return bool(ranked) and entirely_right(ranked[0], truth)
