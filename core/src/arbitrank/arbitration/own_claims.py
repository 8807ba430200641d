"""Claims of the domains on one request before the competition, which an answer leaves out: for a log."""

from __future__ import annotations

from arbitrank.arbitration.arbitrator import Arbitration
from arbitrank.arbitration.outcomes import Answered


def own_claims(arbitration: Arbitration) -> dict[str, tuple[float, float]]:
    """P(mine) and the greatest P(right) of each domain with a reading, to six digits."""
    return {
        name: (round(float(one.scores.mine), 6), round(float(one.scores.right.max()), 6))
        for name, one in arbitration.outcomes.items()
        if isinstance(one, Answered) and len(one.scores.right)
    }
