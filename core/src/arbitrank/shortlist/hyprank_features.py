"""Features by which HypRank sorts: of the list, of the account and of the dialogue."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from arbitrank.probability import CLIP, clipped, logit
from arbitrank.values import Ranked, Request

__all__ = ["FEATURES", "MOST", "SCORE", "best_of_skills", "features", "skill_of"]

Floats = NDArray[np.float64]

FEATURES = (
    *("mine", "right", "score", "behind_best", "ahead_of_next", "rank", "share", "candidates"),
    *("shortlist", "enabled", "used", "preferred"),
    *("previous_skill", "previous_domain", "previous_intent", "failed_before", "has_previous", "failed", "turn"),
)
"""The columns of `features` that every HypRank has, in order; those named by its training data follow."""

MOST = 16
"""Skills of a list that are sorted; the rest keep their order behind them."""

SCORE = FEATURES.index("score")
"""The column of the logarithm of the score, from which the trees start."""

_NAN = math.nan
_LEAST = CLIP * CLIP  # lower bound of a score before its logarithm is taken


def skill_of(reading: Ranked) -> str:
    """The skill of a reading: the one that it names, else its domain."""
    return reading.skill or reading.domain


def best_of_skills(ranked: Sequence[Ranked], most: int = MOST) -> list[int]:
    """The indices of each skill's best reading in a merged list, best first, at most so many."""
    seen: dict[str, int] = {}
    for index, reading in enumerate(ranked):
        seen.setdefault(skill_of(reading), index)
    return list(seen.values())[:most]


def features(
    request: Request,
    candidates: Sequence[Ranked],
    shortlist: Mapping[str, float],
    acts: Sequence[str] = (),
    settings: Sequence[str] = (),
) -> Floats:
    """The features of each candidate: shape (n, `FEATURES` + acts + settings), NaN where unknown.

    Read from the request are `account` ("enabled" and "used": lists of skills; "used" may be a map to counts; each name
    in `settings`: a number or a Boolean), `dialogue` ("previous_skill", "previous_domain", "previous_intent", "acts":
    the system's last actions, "failed": true where they failed, "turn": a number) and the context: its preferences and,
    where the dialogue lacks them, `previous_domain` and `previous_intent`. Values of other types count as absent.
    """
    account = request.account or {}
    dialogue = request.dialogue if isinstance(request.dialogue, dict) else {}
    context = request.context
    enabled, used = account.get("enabled"), account.get("used")
    enabled = enabled if isinstance(enabled, list | tuple) else None
    skill = dialogue.get("previous_skill")
    domain = dialogue.get("previous_domain", context.get("previous_domain"))
    intent = dialogue.get("previous_intent", context.get("previous_intent"))
    before = skill if skill is not None else domain
    failed = _number(dialogue.get("failed"))
    done = dialogue.get("acts")
    done = done if isinstance(done, list | tuple) else ()
    common = [float(before is not None), failed, _number(dialogue.get("turn"))]
    common += [float(act in done) for act in acts]
    common += [_number(account.get(name)) for name in settings]
    products = [reading.score or 0.0 for reading in candidates]
    scores = [math.log(max(product, _LEAST)) for product in products]
    total = sum(products) or 1.0
    n = len(candidates)
    rows = []
    for rank, (reading, score) in enumerate(zip(candidates, scores, strict=True)):
        name = skill_of(reading)
        same = _same(name, before)
        rows += [
            logit(clipped(reading.domain_probability or 0.0)),
            logit(clipped(reading.probability or 0.0)),
            score,
            scores[0] - score,
            score - scores[rank + 1] if rank + 1 < n else _NAN,
            rank,
            products[rank] / total,
            n,
            logit(clipped(shortlist[name])) if name in shortlist else _NAN,
            _NAN if enabled is None else float(name in enabled),
            _NAN if used is None else _times(name, used),
            _number(context.get("preference." + reading.domain)) if context else _NAN,
            same,
            _same(reading.domain, domain),
            _same(reading.intent, intent),
            same * failed,
            *common,
        ]
    return np.array(rows, np.float64).reshape(n, len(FEATURES) + len(acts) + len(settings))


def _number(value: Any) -> float:
    return float(value) if isinstance(value, bool | int | float) else _NAN


def _same(name: str, other: Any) -> float:
    return float(name == other) if isinstance(other, str) else _NAN


def _times(name: str, used: Any) -> float:
    if isinstance(used, dict):
        return _number(used.get(name, 0))
    return float(name in used) if isinstance(used, list | tuple) else _NAN
