"""The bound on risk that the decision settings have, on replayed requests with a truth."""

from __future__ import annotations

import msgspec

from arbitrank.arbitration.decide import ACTIONS, DecisionSettings
from arbitrank.decisions.binomial import least_wrong
from arbitrank.impact.flips import Rows, judged


class RiskKept(msgspec.Struct, frozen=True):
    """Answers that the settings accept with the candidate: of `accepted` so many are `wrong`.

    At least the share `least` is wrong, with the `confidence` of the bound, whose limit is `risk`.
    """

    risk: float
    confidence: float
    accepted: int
    wrong: int
    least: float

    @property
    def broken(self) -> bool:
        """True where surely more are wrong than the bound allows."""
        return self.least > self.risk


def risk_kept(labelled: Rows, decisions: DecisionSettings) -> RiskKept | None:
    """The bound of the settings as the answers with the candidate keep it; None without a bound or a truth."""
    bound = decisions.bound
    if bound is None or not len(labelled):
        return None
    after = judged(labelled, "after", decisions)
    accepted = (after.actions == ACTIONS.index("accept")) & ~after.fallback
    n, wrong = int(accepted.sum()), int((accepted & (after.right == 0.0)).sum())
    return RiskKept(bound.risk, bound.confidence, n, wrong, least_wrong(wrong, n, 1.0 - bound.confidence))
