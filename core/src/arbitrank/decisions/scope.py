"""Shares of out-of-scope requests that the decision settings are tuned for, and at which nothing may be worse."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from msgspec.structs import replace

from arbitrank.arbitration.decide import DecisionSettings
from arbitrank.arbitration.merge import BestReadings, conditioned_readings, terms_of
from arbitrank.decisions.candidates import ALL, ASSUMED, BALANCED, UNKNOWN, Samples, competition_for
from arbitrank.decisions.competition_fitting import FORMS, LEAST_OUT_OF_SCOPE
from arbitrank.decisions.observed import DecidedNone, Observed
from arbitrank.decisions.scope_share import ScopeShare, labelled_share
from arbitrank.decisions.thresholds import ShareGuard
from arbitrank.probability import Floats

LEAST = 200
"""Labelled requests below which nothing is tuned, and unlabelled ones below which no share is estimated."""

SHARES = (0.01, 0.05, 0.2)
"""Shares of out-of-scope requests at which nothing may be worse, where the share of the traffic is not known.

Gains are linear in the share, so that what is no worse at the first and the last is no worse between them.
"""

ORDINARY = SHARES[-1]
"""The share of out-of-scope requests above which that of labelled ones is taken for the traffic's.

Who labels so many hardly drew them from a traffic with a twentieth of it.
"""

_CAUTION = 1.645  # standard errors, 95 % one-sided, by which a gain has to be above `_LEAST` at each of `SHARES`
_LEAST = -0.0025  # answers a request, as a gain of nothing could hardly be shown
_TOLERANCE = 1.0  # standard errors by which a mean gain may be below 0 at either end of a known share's interval


class Scope(NamedTuple):
    """The requests on which deciding none is right, None where too few are out of scope, and the shares to tune for.

    `weight` counts the requests as in the traffic, None as they are; at the share of each of `guards` nothing may be
    worse. `unknown`: the share of the traffic is not known.
    """

    none: DecidedNone | None = None
    shares: Sequence[float | None] = UNKNOWN
    weight: Floats | None = None
    guards: tuple[ShareGuard, ...] = ()
    unknown: bool = False


def scope_of(
    samples: Samples, base: DecisionSettings, unlabelled: Sequence[BestReadings] | None, notes: list[str]
) -> tuple[Scope, ScopeShare | None]:
    """The shares to tune for, and the share of out-of-scope requests in the traffic where it can be told."""
    observed, n = samples.all, 0 if unlabelled is None else len(unlabelled[0].best)
    if observed.out_of_scope.sum() < LEAST_OUT_OF_SCOPE:
        return Scope(), None
    if unlabelled is None or n < LEAST:
        if n:
            notes.append(f"{n} requests without a truth, below {LEAST}: too few to tell the share of out of scope")
        own = float(observed.out_of_scope.mean())
        if own > ORDINARY:
            notes.append(
                f"{100 * own:.1f} % of the requests are out of scope, which is taken for the share of the traffic; "
                "where that has another, tune with --traffic"
            )
            return Scope(observed.on_none, UNKNOWN), None
        weight = observed.shares(max(own, sum(SHARES) / len(SHARES)))
        guards = _guards(observed, SHARES, _CAUTION, _LEAST)
        return Scope(observed.on_none, ASSUMED, weight, guards, unknown=True), None
    plain = replace(base, normalise=False)
    settings = competition_for(samples, plain, FORMS[1], BALANCED, False, ALL)
    _, chances = conditioned_readings(unlabelled, settings, terms_of(settings, observed.domains))
    found = labelled_share(_held_out_none(samples, plain), observed.out_of_scope, chances)
    notes.append(
        f"out of scope are {100 * found.share:.1f} % [{100 * found.low:.1f}, {100 * found.high:.1f}] of {n} requests "
        "without a truth"
    )
    likely, limits = _bounded(found.share), [_bounded(found.low), _bounded(found.high)]
    return Scope(observed.on_none, (likely,), observed.shares(likely), _guards(observed, limits, -_TOLERANCE)), found


def _held_out_none(samples: Samples, plain: DecisionSettings) -> Floats:
    """P(no domain) of each labelled request, under a competition fitted on the other folds."""
    none = np.zeros(len(samples.all.right))
    for k, (places, held) in enumerate(zip(samples.places, samples.held, strict=True)):
        settings = competition_for(samples, plain, FORMS[1], BALANCED, False, k)
        _, none[places] = conditioned_readings(held.readings, settings, terms_of(settings, held.domains))
    return none


def _guards(
    observed: Observed, limits: Sequence[float], errors: float = 0.0, least: float = 0.0
) -> tuple[ShareGuard, ...]:
    none = observed.out_of_scope
    return tuple(ShareGuard(share, observed.shares(share), none, errors, least) for share in limits)


def _bounded(share: float) -> float:
    """A share that leaves some requests in scope and some out of scope."""
    return min(max(share, 0.005), 0.9)
