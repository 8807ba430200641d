"""Explanations of a reading: a base and groups of features that add up to the log-odds of P(right), in nats.

A row maps groups to contributions; `base` is the log-odds of an average request. A key `GROUP.WORDS` details its group
by what a person understands, is part of that group's number, and does not count in the sum.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from arbitrank.probability import Floats

BASE = "base"

LEAST = 1e-12
"""Probabilities are kept this far from 0 and 1 before their log-odds are explained."""


def exact_log_odds(p: float) -> float:
    """log(p / (1 − p)) of one probability, clipped to [1e-12, 1 − 1e-12]: what an explanation adds up to."""
    p = min(max(p, LEAST), 1.0 - LEAST)
    return math.log(p / (1.0 - p))


def split(row: Mapping[str, float]) -> tuple[dict[str, float], dict[str, float] | None]:
    """The groups of a row, and its details, None where it has none."""
    groups = {key: value for key, value in row.items() if "." not in key}
    return groups, {key: value for key, value in row.items() if "." in key} or None


def completed(rows: Sequence[Mapping[str, float]], right: Floats) -> list[dict[str, float]]:
    """The rows with the base that makes their groups add up to the log-odds of P(right), shape (n,).

    What a plugin's explanation leaves out, or states beyond it, goes into the base.
    """
    found = []
    for row, p in zip(rows, right.tolist(), strict=True):
        others = sum(value for key, value in row.items() if "." not in key and key != BASE)
        found.append({BASE: exact_log_odds(p) - others, **{key: v for key, v in row.items() if key != BASE}})
    return found


def staged(row: Mapping[str, float], stage: str, before: float, after: float) -> dict[str, float]:
    """The row with a later stage, which took P(right) from `before` to `after`, as a group of its own."""
    change = exact_log_odds(after) - exact_log_odds(before)
    return {**row, stage: row.get(stage, 0.0) + change} if change else dict(row)


def all_staged(
    rows: Sequence[Mapping[str, float]] | None, stage: str, before: Floats, after: Floats
) -> Sequence[Mapping[str, float]] | None:
    """`staged` of every reading of a domain; None where nothing is explained."""
    if not rows:
        return rows
    return [staged(row, stage, p, q) for row, p, q in zip(rows, before.tolist(), after.tolist(), strict=True)]
