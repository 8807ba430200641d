"""The gate of decision settings: reasons why others may not decide, by what they change on the audit set."""

from __future__ import annotations

import numpy as np

from arbitrank.arbitration.decide import DecisionSettings
from arbitrank.arbitration.merge import terms_of
from arbitrank.decisions.observed import heads_of
from arbitrank.evaluate.intervals import differences, least_loss
from arbitrank.evaluate.metrics import band_text, calibration
from arbitrank.impact.gate import GateLimits, GateReason
from arbitrank.impact.observation import Observation


def settings_reasons(
    observation: Observation, before: DecisionSettings, after: DecisionSettings, limits: GateLimits = GateLimits()
) -> list[GateReason]:
    """The reasons against decision settings in place of those `before`; none where they may decide, or without truths.

    They are refused where IRER increases by surely more than the tolerance, of all requests or of those that one domain
    owns, and where the head of the list becomes worse calibrated than the limit allows and chance explains.
    """
    observed, served = observation.observed, observation.served
    n = len(observed.right)
    if not n:
        return []
    none = observed.on_none.right if observed.out_of_scope.any() else None
    heads = [heads_of(observed, one, terms_of(one, observed.domains, served)) for one in (before, after)]
    right = [head.answers(one, none) for head, one in zip(heads, (before, after), strict=True)]
    lost, won = right[0] > right[1], right[1] > right[0]
    reasons = []
    (worse,) = differences((right[0] - right[1])[:, None])
    if worse.low > limits.tolerance:
        errors = f"from {100 * (1 - right[0].mean()):.2f} to {100 * (1 - right[1].mean()):.2f} %"
        text = (
            f"IRER of all {n} requests increases {errors}: by {100 * worse.mean:+.2f} points [{100 * worse.low:+.2f}, "
            f"{100 * worse.high:+.2f}], at most {100 * limits.tolerance:.2f} is tolerated"
        )
        reasons.append(GateReason("irer", text))
    for name, own in zip(observed.domains, observed.owners.T, strict=False):
        minus, plus, of = int((lost & own).sum()), int((won & own).sum()), int(own.sum())
        low = least_loss(minus, plus, of, len(observed.domains)) if of else -1.0
        if low > limits.tolerance:
            text = (
                f"IRER of {name} increases on its {of} requests: by at least {100 * low:+.2f} points, at most "
                f"{100 * limits.tolerance:.2f} is tolerated; it loses {minus} right answers and gains {plus}"
            )
            reasons.append(GateReason("neighbour", text, (name,)))
    was, now = (calibration(head.probability, head.right.astype(np.float64)) for head in heads)
    if now.ece > max(limits.max_ece, now.ece_band[1], was.ece):
        text = (
            f"the best reading becomes worse calibrated: {band_text(now.ece, now.ece_band)}, in place of "
            f"{100 * was.ece:.1f} %, on {n} requests; at most {100 * limits.max_ece:.1f} is allowed"
        )
        reasons.append(GateReason("limit", text))
    return reasons
