"""Flips: the requests whose answer changes when one domain's version is exchanged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from arbitrank.arbitration.claims import group_numbers
from arbitrank.arbitration.competition import Served
from arbitrank.arbitration.decide import DecisionSettings
from arbitrank.arbitration.merge import MergedHeads, merge_heads, terms_of
from arbitrank.arbitration.risk_bound import accept_thresholds
from arbitrank.evaluate.results import SystemResults, decided, text
from arbitrank.impact.batch_scores import DomainReadings, Reading
from arbitrank.wire.requests import Logged

FLIPS = 20
"""Flips of which the texts are kept."""

Kind = Literal["right to wrong", "wrong to right", "other", "no truth"]
KINDS: tuple[Kind, ...] = ("right to wrong", "wrong to right", "other", "no truth")

Side = Literal["before", "after"]
SIDES: tuple[Side, Side] = ("before", "after")

_SIDE = np.dtype(
    [
        ("head", "i4"),  # the domain of the best reading, a number in `names`, -1 where there is none
        ("probability", "f8"),
        ("right", "?"),
        ("domain_right", "?"),
        ("semer", "f8"),
        ("out_of_scope", "f8"),
        ("closest", "f8"),
        ("fallback", "?"),
        ("accept", "f8"),  # the threshold of the list, where there are several
        # The exchanged domain: has it a reading, P(mine), P(right) of its best reading, is that reading right?
        ("own_reading", "?"),
        ("own_mine", "f8"),
        ("own_probability", "f8"),
        ("own_right", "?"),
        # Beside a logged reaction: is the action the one that was served, and might it have been?
        ("served", "?"),
        ("possible", "?"),
    ]
)
ROW = np.dtype(
    [
        ("line", "i8"),
        ("labelled", "?"),
        ("owners", "i4"),  # a number in `Replayed.owners`, the sets of domains that own a request
        ("unowned", "?"),  # out of scope is right
        ("device", "i4"),  # a number in `devices`, -1 where it is not known
        (
            "situation",
            "i4",
        ),  # a number in `Replayed.situations`, -1 where none is known
        ("moved", "?"),  # another reading heads the list
        ("reaction", "i1"),  # 1 accepted, 0 rejected, -1 unknown or not used, for a reason in `Replayed.left_out`
        ("propensity", "f8"),  # the probability with which the served action was drawn
        ("session", "u4"),  # a hash
        ("client", "u4"),  # a hash, 0 of all that name neither account nor session
        ("before", _SIDE),
        ("after", _SIDE),
    ]
)
"""One replayed request: its line, its truth, and its results before and after the exchange."""

Rows = NDArray[Any]


def fill_side(
    side: Rows,
    name: str,
    readings: Mapping[str, DomainReadings],
    lines: Sequence[Logged],
    numbers: Mapping[str, int],
    decisions: DecisionSettings,
    served: Mapping[str, Served] = MappingProxyType({}),
) -> list[Reading | None]:
    """Fill in one side of the rows from the domains' readings; the reading that heads each list.

    `name` is the exchanged domain; `numbers` gives the domains their numbers, `served` are their versions.
    """
    side["head"], side["out_of_scope"], side["closest"] = -1, 1.0, np.inf
    if not readings:
        return [None] * len(lines)
    order = [readings[domain] for domain in sorted(readings)]
    acting = [number for number, domain in enumerate(sorted(readings)) if domain == decisions.fallback]
    terms = terms_of(decisions, sorted(readings), served)
    groups = group_numbers(decisions.groups)
    best = [readings[domain].compared(domain, groups) for domain in sorted(readings)]
    merged = merge_heads(best, decisions, acting[0] if acting else None, terms)
    for field in ("probability", "out_of_scope", "closest", "fallback"):
        side[field] = getattr(merged, field)
    contexts = [line.context for line in lines]
    thresholds = accept_thresholds(decisions.accept_by, decisions.accept, sorted(readings), merged.domain, contexts)
    side["accept"] = decisions.accept if thresholds is None else thresholds
    heads = [order[d].head(i) if d >= 0 else None for i, d in enumerate(merged.domain.tolist())]
    for i, (head, line) in enumerate(zip(heads, lines, strict=True)):
        if head:
            side["head"][i] = numbers[head.domain]
        if head and line.truth:
            rate = order[merged.domain[i]].semer(i, line.truth)
            side["right"][i], side["semer"][i] = rate == 0.0, rate
            side["domain_right"][i] = line.truth.owned_by(head.domain)
    own = readings.get(name)
    if own:
        has = own.best.best >= 0
        side["own_reading"], side["own_mine"], side["own_probability"] = has, own.best.mine, own.best.right
        side["own_right"] = [
            bool(has[i] and line.truth and own.semer(i, line.truth) == 0.0) for i, line in enumerate(lines)
        ]
    return heads


class FlipSide(msgspec.Struct, frozen=True):
    """The answer to a request as text; no domain where it is out of scope."""

    domain: str | None
    reading: str
    probability: float


class Flip(msgspec.Struct, frozen=True):
    """A request that is answered differently: its line, utterance, both answers and its truth."""

    line: int
    id: str | None
    utterance: str | None
    device: str | None
    kind: Kind
    before: FlipSide
    after: FlipSide
    truth: str | None


def judged(rows: Rows, side: Side, decisions: DecisionSettings | None) -> SystemResults:
    """The results of one side, as in an evaluation; with `decisions` the decision "none" counts as an answer."""
    one = rows[side]
    several = decisions is not None and decisions.accept_by is not None
    heads = MergedHeads(
        one["head"], np.zeros(0, np.int32), one["probability"], one["out_of_scope"], one["closest"], one["fallback"],
        one["accept"] if several else None,
    )  # fmt: skip
    right, domain_right = one["right"].astype(np.float64), one["domain_right"].astype(np.float64)
    return decided(heads, right, domain_right, one["semer"], rows["unowned"], decisions)


def flips(rows: Rows, decisions: DecisionSettings | None) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    """The mask of the requests that are answered differently, and each one's kind of change, a number in `KINDS`."""
    before, after = (judged(rows, side, decisions) for side in SIDES)
    flipped = (before.none != after.none) | (rows["moved"] & ~before.none & ~after.none)
    gain = after.answer_right - before.answer_right
    return flipped, np.where(rows["labelled"], np.where(gain < 0.0, 0, np.where(gain > 0.0, 1, 2)), 3)


def worst_flips(
    rows: Rows,
    lines: Sequence[Logged],
    heads: Sequence[Sequence[Reading | None]],
    decisions: DecisionSettings | None,
) -> list[Flip]:
    """The flips among the requests of `lines` that matter most; `heads` are their best readings before and after."""
    flipped, kind = flips(rows, decisions)
    at = np.flatnonzero(flipped)
    chosen = at[np.lexsort((rows["line"][at], -rows["after"]["probability"][at], kind[at]))][:FLIPS]
    none = [judged(rows, side, decisions).none for side in SIDES]

    def answered(side: int, i: int) -> FlipSide:
        head = None if none[side][i] else heads[side][i]
        return FlipSide(
            head.domain if head else None, text(head), float(rows[SIDES[side]]["probability"][i]) if head else 0.0
        )

    def flip(i: int) -> Flip:
        line, device = lines[i], lines[i].context.get("device")
        return Flip(
            line=int(rows["line"][i]),
            id=line.id,
            utterance=line.utterance,
            device=device if isinstance(device, str) else None,
            kind=KINDS[kind[i]],
            before=answered(0, i),
            after=answered(1, i),
            truth=text(line.truth) if line.truth else None,
        )

    return [flip(i) for i in chosen.tolist()]


def worst(found: Sequence[Flip]) -> list[Flip]:
    """The flips that matter most: right to wrong first, and the most confident ones of each kind."""
    return sorted(found, key=lambda flip: (KINDS.index(flip.kind), -flip.after.probability, flip.line))[:FLIPS]
