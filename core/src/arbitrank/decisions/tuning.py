"""Tuning of the decision settings on labelled requests, chosen by cross-validation against the settings in force.

A setting is taken where its held-out gain is sure: the 95 % interval is above 0, of the log loss of P(right), of the
share of right answers or of that of right domains, and none of the three is worse. Where requests out of scope are
known, answers and domains may not be worse at shares of 1, 5 and 20 % of them either, as labelled requests seldom have
the share of the traffic.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

import msgspec
from msgspec.structs import replace

from arbitrank.arbitration.claims import Groups
from arbitrank.arbitration.competition import Served
from arbitrank.arbitration.decide import DecisionSettings
from arbitrank.arbitration.merge import BestReadings, conditioned_readings, terms_of
from arbitrank.decisions.candidates import (
    ALL,
    ASSUMED,
    BALANCED,
    UNKNOWN,
    Samples,
    TriedSettings,
    candidates,
    competition_for,
    held_out,
)
from arbitrank.decisions.competition_fitting import FORMS, LEAST_OUT_OF_SCOPE
from arbitrank.decisions.observed import Heads, Mask, Observed, heads_of
from arbitrank.decisions.scope_share import ScopeShare, estimate_share
from arbitrank.decisions.thresholds import chosen_thresholds
from arbitrank.errors import DataError
from arbitrank.learn.gains import Gain
from arbitrank.probability import Floats

LEAST = 200
"""Labelled requests below which nothing is tuned, and unlabelled ones below which no share is estimated."""

SHARES = (0.01, 0.05, 0.2)
"""Shares of out-of-scope requests at which nothing may be worse, where the share of the traffic is not known."""

ORDINARY = SHARES[-1]
"""The share of out-of-scope requests above which that of labelled ones is taken for the traffic's.

Who labels so many hardly drew them from a traffic with a twentieth of it.
"""

_ONE_SIDED = 1.645  # standard errors


class SettingsChoice(msgspec.Struct, frozen=True):
    """A setting that was tried, its held-out gains, and whether it is taken: NLL (nats), right answers, right domains.

    The gains are means over requests with their 95 % intervals; `reason` says why it is not taken.
    """

    setting: str
    nll_gain: Gain
    answer_gain: Gain
    domain_gain: Gain
    taken: bool = False
    reason: str | None = None


class Tuned(msgspec.Struct, frozen=True):
    """Result of tuning on `n` requests: the settings, the choices, and the remarks.

    `refusal` is the reason why nothing is better than the settings in force, None where something is. `gain` compares
    the tuned settings with those in force, held out.
    """

    settings: DecisionSettings
    n: int
    out_of_scope: int
    choices: tuple[SettingsChoice, ...]
    gain: SettingsChoice | None
    share: ScopeShare | None
    notes: tuple[str, ...]
    refusal: str | None


def tune(
    observed: Observed,
    base: DecisionSettings = DecisionSettings(),
    served: Mapping[str, Served] = MappingProxyType({}),
    unlabelled: Sequence[BestReadings] | None = None,
    *,
    seed: int = 0,
) -> Tuned:
    """The decision settings for what the domains in `served` answer; `base` are those in force.

    `unlabelled` are readings of traffic without truths, from which the share of out-of-scope requests is re-estimated.
    Raises `DataError` where the labelled requests are too few, or of one domain.
    """
    check(observed)
    samples = Samples(observed, seed, base.groups)
    notes = [*_remarks(observed), *_silent_groups(observed, base.groups)]
    scope, share = _scope(samples, base, unlabelled, notes)
    before = heads_of(observed, base, terms_of(base, observed.domains, served)), base
    choices: list[SettingsChoice] = []
    tried: list[tuple[TriedSettings, Heads, DecisionSettings]] = []
    for candidate in candidates(base, samples, scope.shares):
        after = held_out(samples, candidate), candidate.settings(ALL)
        choices.append(_compared(candidate.name, before, after, scope))
        if choices[-1].reason is None:
            tried.append((candidate, *after))
    heads, settings = before
    if tried:
        kept, heads, settings = _best(tried, scope)
        choices = [replace(one, taken=one.setting == kept.name) for one in choices]
    if scope.none is not None:
        names = tuple(name for name in ("none", "accept", "clarify") if name not in base.stated)
        for name, value, gain in chosen_thresholds(heads, settings, scope.none, scope.weight, scope.guards, names):
            settings = replace(settings, **{name: value})
            notes.append(f"{name} {value}: worth {gain.mean:+.4f} [{gain.low:+.4f}, {gain.high:+.4f}] a request")
    refusal = _refusal(choices) if settings == base else None
    whole = None if refusal else replace(_compared("tuned", before, (heads, settings), scope), taken=True)
    counted = int(observed.out_of_scope.sum())
    settings = base if refusal else _with_versions(settings, served)
    return Tuned(settings, len(observed.right), counted, tuple(choices), whole, share, tuple(notes), refusal)


def check(observed: Observed) -> None:
    """Raise `DataError` where the requests are too few to choose by, or those of one domain alone."""
    n = len(observed.right)
    if n < LEAST:
        raise DataError(f"{n} requests with a truth, expected at least {LEAST}: too few to tell settings apart")
    owned = [name for name, own in zip(observed.domains, observed.owners.T, strict=False) if own.any()]
    if len(owned) < 2:
        named = f"one domain, {owned[0]}" if owned else "no domain"
        raise DataError(f"the requests with a truth are of {named}, expected at least 2: nothing competes")


# ------------------------------------------------------------------------------------------------ out-of-scope requests


class _Scope(NamedTuple):
    """The requests out of scope, None where too few are known, and the shares of them to tune for.

    `weight` counts the requests as in the traffic, None as they are; `guards` do so for each of `limits`, shares at
    which nothing may be worse.
    """

    none: Mask | None = None
    shares: Sequence[float | None] = UNKNOWN
    weight: Floats | None = None
    limits: tuple[float, ...] = ()
    guards: tuple[Floats, ...] = ()


def _scope(
    samples: Samples, base: DecisionSettings, unlabelled: Sequence[BestReadings] | None, notes: list[str]
) -> tuple[_Scope, ScopeShare | None]:
    """The shares to tune for, and the share of out-of-scope requests in the traffic where it can be told."""
    observed, n = samples.all, 0 if unlabelled is None else len(unlabelled[0].best)
    if observed.out_of_scope.sum() < LEAST_OUT_OF_SCOPE:
        return _Scope(), None
    if unlabelled is None or n < LEAST:
        if n:
            notes.append(f"{n} requests without a truth, below {LEAST}: too few to tell the share of out of scope")
        own = float(observed.out_of_scope.mean())
        if own > ORDINARY:
            notes.append(
                f"{100 * own:.1f} % of the requests are out of scope, which is taken for the share of the traffic; "
                "where that has another, tune with --traffic"
            )
            return _Scope(observed.out_of_scope, UNKNOWN), None
        return _Scope(observed.out_of_scope, ASSUMED, None, SHARES, tuple(map(observed.shares, SHARES))), None
    settings = competition_for(samples, replace(base, normalise=False), FORMS[1], BALANCED, False, ALL)
    _, chances = conditioned_readings(unlabelled, settings, terms_of(settings, observed.domains))
    found = estimate_share(chances, BALANCED)
    notes.append(
        f"out of scope are {100 * found.share:.1f} % [{100 * found.low:.1f}, {100 * found.high:.1f}] of {n} requests "
        "without a truth"
    )
    likely, limits = (_bounded(found.share), (_bounded(found.low), _bounded(found.high)))
    guards = tuple(map(observed.shares, limits))
    return _Scope(observed.out_of_scope, (likely,), observed.shares(likely), limits, guards), found


def _bounded(share: float) -> float:
    """A share that leaves some requests in scope and some out of scope."""
    return min(max(share, 0.005), 0.9)


# ------------------------------------------------------------------------------------------------------------ choices

Decided = tuple[Heads, DecisionSettings]


def _compared(name: str, before: Decided, after: Decided, scope: _Scope) -> SettingsChoice:
    """The gains of the settings of `after` over those of `before`, and the reason why they are not sure."""
    (was, old), (now, new) = before, after
    answers = now.answers(new, scope.none) - was.answers(old, scope.none)
    domains = now.domains(new, scope.none) - was.domains(old, scope.none)
    nll, answer, domain = (Gain.of(values, scope.weight) for values in (was.losses - now.losses, answers, domains))
    gains = nll, answer, domain
    reason = None
    if not any(gain.low > 0.0 for gain in gains):
        reason = "no sure gain"
    elif any(gain.below(_ONE_SIDED) for gain in gains):
        reason = "a loss, too"
    for share, weight in zip(scope.limits, scope.guards, strict=True):
        if any(Gain.of(values, weight).below(1.0) for values in (answers, domains)):
            reason = reason or f"more wrong answers where {100 * share:.3g} % of the requests are out of scope"
    return SettingsChoice(name, nll, answer, domain, reason=reason)


def _best(
    tried: Sequence[tuple[TriedSettings, Heads, DecisionSettings]], scope: _Scope
) -> tuple[TriedSettings, Heads, DecisionSettings]:
    """The candidate with the least held-out log loss, or a smaller one that is within a standard error of it."""

    def loss(one: tuple[TriedSettings, Heads, DecisionSettings]) -> float:
        return Gain.of(one[1].losses, scope.weight).mean

    best = min(tried, key=loss)
    near = [one for one in tried if not Gain.of(best[1].losses - one[1].losses, scope.weight).below(1.0)]
    return min(near, key=lambda one: (one[0].size, loss(one)))


def _with_versions(settings: DecisionSettings, served: Mapping[str, Served]) -> DecisionSettings:
    """The settings with each domain's terms valid for what it answers with now."""
    if settings.competition is None:
        return settings
    terms = {
        name: replace(term, version=served[name][0], temperature=served[name][1]) if name in served else term
        for name, term in settings.competition.terms.items()
    }
    return replace(settings, competition=replace(settings.competition, terms=terms))


def _remarks(observed: Observed) -> Iterator[str]:
    n = int(observed.out_of_scope.sum())
    if n < LEAST_OUT_OF_SCOPE:
        yield (
            f"{n} of the requests are out of scope, below {LEAST_OUT_OF_SCOPE}: P(no domain) and the thresholds "
            "stay as they are"
        )
    for name, own in zip(observed.domains, observed.owners.T, strict=False):
        if not own.any():
            yield f"{name}: owns no request with a truth; its slope is the shared one"


def _silent_groups(observed: Observed, groups: Groups) -> Iterator[str]:
    """Remarks on groups whose domains have readings of the same requests and never the same one."""
    for one in observed.claims(groups):
        has = observed.has[one.domains]
        together = int((has.sum(axis=0) > 1).sum())
        if together and not (one.size > 1.0).any():
            names = ", ".join(observed.domains[d] for d in one.domains)
            yield f"{names}: a group, and no two of them name the same reading of {together} requests: none agree"


def _refusal(choices: Sequence[SettingsChoice]) -> str:
    """The reason why the settings in force stay, with the best of what was tried."""
    if not choices:
        return "every setting is stated by the operator: nothing is left to tune"
    best = max(choices, key=lambda one: one.nll_gain.mean)
    nll, answer = best.nll_gain, best.answer_gain
    return (
        f"no setting is surely better than those in force; the best, {best.setting}: NLL {-nll.mean:+.4f} "
        f"[{-nll.high:+.4f}, {-nll.low:+.4f}], right answers {100 * answer.mean:+.2f} [{100 * answer.low:+.2f}, "
        f"{100 * answer.high:+.2f}] points: {best.reason}"
    )
