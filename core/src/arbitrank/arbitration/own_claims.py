"""Claims of the domains on one request before their competition, which an answer leaves out: for a log."""

from __future__ import annotations

from arbitrank.arbitration.arbitrator import Arbitration
from arbitrank.arbitration.lineup import rounded
from arbitrank.arbitration.outcomes import Answered
from arbitrank.arbitration.recalibration import as_reported, recalibrated


def own_claims(arbitration: Arbitration) -> dict[str, tuple[float, float]]:
    """P(mine) and the greatest P(right) of each domain with a reading, recalibrated, to six digits."""
    found = {}
    reports = arbitration.answer.domains
    for name, one in arbitration.outcomes.items():
        if isinstance(one, Answered) and len(one.scores.right):
            scores = recalibrated(one.scores, as_reported(reports[name]) if name in reports else None)
            found[name] = rounded(float(scores.mine), 1e6), rounded(max(scores.right.tolist()), 1e6)
    return found
