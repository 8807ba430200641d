"""The gate of decision settings: reasons why others may not decide, by what they change on the audit set.

Settings that were tuned are judged on requests that they were not tuned on. Where the audit set has too few of these,
as where it is what they were tuned on, they are judged fold by fold, each by settings fitted on the other folds.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from msgspec.structs import replace

from arbitrank.arbitration.competition import Competition, fitted_on
from arbitrank.arbitration.decide import ACTIONS, DecisionSettings
from arbitrank.arbitration.merge import terms_of
from arbitrank.arbitration.risk_bound import accept_thresholds
from arbitrank.decisions.binomial import least_wrong
from arbitrank.decisions.candidates import UNKNOWN, Samples, candidates
from arbitrank.decisions.observed import Heads, Observed, heads_of
from arbitrank.decisions.scope import LEAST
from arbitrank.evaluate.intervals import differences, least_loss
from arbitrank.evaluate.metrics import band_text, calibration
from arbitrank.impact.gate import GateLimits, GateReason
from arbitrank.impact.observation import Observation
from arbitrank.store.decision_settings import TuningRecord


def settings_reasons(
    observation: Observation,
    before: DecisionSettings,
    after: DecisionSettings,
    limits: GateLimits = GateLimits(),
    tuning: TuningRecord | None = None,
    note: Callable[[str], None] = lambda text: None,
) -> list[GateReason]:
    """The reasons against decision settings in place of those `before`; none where they may decide, or without truths.

    They are refused where IRER increases by surely more than the tolerance, of all requests or of those that one domain
    owns, where the head of the list becomes worse calibrated than the limit allows and chance explains, and where a
    bound on risk that they have surely does not hold. `tuning` is the record of that of `after`; `note` receives on
    which requests they are judged.
    """
    observed, now = _judged(observation, after, tuning, note)
    served, n = observation.served, len(observed.right)
    if not n:
        return []
    none = observed.on_none.right if observed.out_of_scope.any() else None
    heads = [heads_of(observed, before, terms_of(before, observed.domains, served)), now]
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
    was, is_ = (calibration(head.probability, head.right.astype(np.float64)) for head in heads)
    if is_.ece > max(limits.max_ece, is_.ece_band[1], was.ece):
        text = (
            f"the best reading becomes worse calibrated: {band_text(is_.ece, is_.ece_band)}, in place of "
            f"{100 * was.ece:.1f} %, on {n} requests; at most {100 * limits.max_ece:.1f} is allowed"
        )
        reasons.append(GateReason("limit", text))
    if before.bound is not None and after.bound is None:
        note(f"these settings have no bound on risk, those that serve have one: {100 * before.bound.risk:g} %")
    return [*reasons, *_beyond_risk(observation, after)]


def _beyond_risk(observation: Observation, after: DecisionSettings) -> list[GateReason]:
    """The reason against settings whose bound on risk does not hold: surely more of what they accept is wrong."""
    bound, observed = after.bound, observation.observed
    if bound is None:
        return []
    heads = heads_of(observed, after, terms_of(after, observed.domains, observation.served))
    names, contexts = observed.domains, observation.contexts
    thresholds = accept_thresholds(after.accept_by, after.accept, names, heads.domain, contexts)
    accepted = heads.actions(after, thresholds) == ACTIONS.index("accept")
    n, wrong = int(accepted.sum()), int((accepted & ~heads.right).sum())
    least = least_wrong(wrong, n, 1.0 - bound.confidence)
    if least <= bound.risk:
        return []
    text = (
        f"more than {100 * bound.risk:g} % of the answers that it accepts are wrong: {wrong} of {n}, at least "
        f"{100 * least:.2f} % with {100 * bound.confidence:g} % confidence"
    )
    return [GateReason("risk", text)]


def _judged(
    observation: Observation, after: DecisionSettings, tuning: TuningRecord | None, note: Callable[[str], None]
) -> tuple[Observed, Heads]:
    """The requests that settings are judged on, and their heads by settings that were not fitted on them."""
    observed, served = observation.observed, observation.served
    n = len(observed.right)
    if tuning is not None and tuning.requests is not None:
        fresh = ~np.isin(observation.fingerprints, np.frombuffer(tuning.requests, "<u4"))
        if n > fresh.sum() >= LEAST:
            note(f"judged on those {fresh.sum()} of the audit set's {n} requests that it was not tuned on")
            observed = observed.at(np.flatnonzero(fresh))
        elif fresh.sum() < LEAST <= n and tuning.setting is not None:
            heads = _by_folds(observation, after, tuning.seed, tuning.setting)
            if heads is not None:
                seen = f"it was tuned on {n - fresh.sum()} of the audit set's {n} requests"
                note(f"judged fold by fold, by what is fitted on the other folds: {seen}")
                return observed, heads
            note(f"judged on requests that it was tuned on: {tuning.setting!r} cannot be fitted again")
    return observed, heads_of(observed, after, terms_of(after, observed.domains, served))


def _by_folds(observation: Observation, after: DecisionSettings, seed: int, setting: str) -> Heads | None:
    """The heads of each fold by the setting fitted on the others; None where there is no such setting."""
    samples = Samples(observation.observed, seed, after.groups)
    share = None if after.competition is None else after.competition.share
    open_ = replace(after, stated=())
    shares = (UNKNOWN, *([] if share is None else [(share,)]))
    found = (one for each in shares for one in candidates(open_, samples, each) if one.name == setting)
    chosen = next(found, None)
    if chosen is None:
        return None
    parts = []
    for k, held in enumerate(samples.held):
        settings = chosen.settings(k)
        if settings.competition is not None and after.competition is not None:
            settings = replace(settings, competition=_valid_as(settings.competition, after.competition))
        parts.append(heads_of(held, settings, terms_of(settings, held.domains, observation.served)))
    return Heads.together(parts, samples.places)


def _valid_as(fitted: Competition, after: Competition) -> Competition:
    """The competition with its terms valid for the versions that those of `after` are valid for."""
    terms = {
        name: fitted_on(term, after.terms[name].fitted_on) for name, term in fitted.terms.items() if name in after.terms
    }
    return replace(fitted, terms=terms)
