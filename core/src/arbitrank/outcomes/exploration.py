"""Exploration: now and then, act on another reading close to the head, so that a log shows what users make of it.

Off unless a domain has a budget: the greatest share of the answers that it heads which may go to another reading. It is
spent on requests with a reading whose P(right) is close to the head's, by sessions: those whose draw lies below a rate
are answered by one of the others, in proportion to their probability. After a request that might have been explored,
the session's next one never is. The rate follows the budget that is left, and is logged with each answer as its
propensity.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated

import msgspec
from msgspec.structs import replace

from arbitrank.outcomes.draws import draw
from arbitrank.selections import ExplorationDraw
from arbitrank.values import Answer, Confidence, Decision, Name, Ranked

EXPLORED = "explored"
"""The reason of a decision to act on another reading than the head."""

_CHOICE = "explored reading"


MOST = 0.2
"""The greatest budget of a domain."""


class ExplorationSettings(msgspec.Struct, frozen=True):
    """Budgets by domain, shares of the answers that a domain heads; none explores nothing.

    `within` is the greatest distance of a reading's P(right) from the head's.
    """

    budgets: dict[Name, Annotated[float, msgspec.Meta(gt=0.0, le=MOST)]] = {}
    within: Confidence = 0.2


def alternatives(answer: Answer, within: float, least: float, allowed: Callable[[int], bool]) -> tuple[int, ...]:
    """Places of the readings that may be acted on instead of the accepted one: close to it, and `allowed`.

    `least` is the P(right) below which the settings ask. None where the decision is another, or has a reason.
    """
    decision, ranked = answer.decision, answer.ranked
    if decision.action != "accept" or decision.reason is not msgspec.UNSET:
        return ()
    head = decision.contenders[0]
    bar = max((ranked[head].probability or 0.0) - within, least, 1e-9)
    close = [i for i, one in enumerate(ranked) if i != head and one.score is not None and _right(one) >= bar]
    return tuple(i for i in close if allowed(i)) if close and allowed(head) else ()


def explored(answer: Answer, others: Sequence[int], key: str, rate: float) -> tuple[Answer, ExplorationDraw]:
    """The answer by a session's draw, which explores at a rate, and how its reading was drawn."""
    head = answer.decision.contenders[0]
    domain = answer.ranked[head].domain
    place, probability = drawn_reading(answer.ranked, head, others, key, rate)
    how = ExplorationDraw(domain, rate, head, tuple(others), probability)
    if place == head:
        return answer, how
    return replace(answer, decision=Decision("accept", (place,), EXPLORED)), how


def session_draw(domain: str, key: str) -> float:
    """The draw of a session, below the rate where it explores the answers that a domain heads."""
    return draw(EXPLORED, domain, key)


def drawn_reading(
    ranked: Sequence[Ranked], head: int, others: Sequence[int], key: str, rate: float
) -> tuple[int, float]:
    """The place that is acted on, and the probability of that."""
    domain = ranked[head].domain
    if session_draw(domain, key) >= rate:
        return head, 1.0 - rate
    rights = [_right(ranked[i]) for i in others]
    total, left = sum(rights), draw(_CHOICE, domain, key)
    for place, right in zip(others, rights, strict=True):
        left -= right / total
        if left < 0.0:
            return place, rate * right / total
    return others[-1], rate * rights[-1] / total


def _right(one: Ranked) -> float:
    return one.probability or 0.0
