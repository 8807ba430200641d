"""Tuning of the decision settings on labelled requests, chosen by cross-validation against the settings in force.

A setting is taken where its held-out gain is sure: the 95 % interval is above 0, of the log loss of P(right), of the
share of right answers or of that of right domains, and none of the three is worse. Where requests out of scope are
known, and their share of the traffic is not, answers and domains may not seem worse at any share from 1 to 20 % either,
as labelled requests seldom have the share of the traffic. The setting is then chosen for the least of its gains over
these shares: that of the labelled requests alone would promise most, and lose where more are out of scope.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

import msgspec
from msgspec.structs import replace

from arbitrank.arbitration.claims import Groups
from arbitrank.arbitration.competition import Served, fitted_on
from arbitrank.arbitration.decide import DecisionSettings, unbounded
from arbitrank.arbitration.merge import BestReadings, terms_of
from arbitrank.decisions.candidates import (
    ALL,
    Samples,
    TriedSettings,
    candidates,
    held_out,
)
from arbitrank.decisions.competition_fitting import LEAST_OUT_OF_SCOPE
from arbitrank.decisions.observed import DecidedNone, Heads, Observed, heads_of
from arbitrank.decisions.scope import LEAST, Scope, scope_of
from arbitrank.decisions.scope_share import ScopeShare
from arbitrank.decisions.thresholds import ShareGuard, chosen_thresholds
from arbitrank.errors import DataError
from arbitrank.learn.gains import Gain
from arbitrank.probability import Floats

_ONE_SIDED = 1.645  # standard errors
_NEARLY = 0.3  # share of the greatest least gain by which one may fall short, so that the log loss decides


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
    A bound on risk that those have is left out: it is of no other settings. Raises `DataError` where the labelled
    requests are too few, or of one domain.
    """
    check(observed)
    base = unbounded(base)
    samples = Samples(observed, seed, base.groups)
    notes = [*_remarks(observed), *_silent_groups(observed, base.groups)]
    scope, share = scope_of(samples, base, unlabelled, notes)
    before = heads_of(observed, base, terms_of(base, observed.domains, served)), base
    choices: list[SettingsChoice] = []
    tried: list[_Tried] = []
    for candidate in candidates(base, samples, scope.shares):
        after = held_out(samples, candidate), candidate.settings(ALL)
        gains = _Gains.of(before, after, scope.none)
        choices.append(_compared(candidate.name, gains, scope))
        if choices[-1].reason is None:
            tried.append(_Tried(candidate, *after, gains))
    heads, settings = before
    if tried:
        kept, heads, settings, _ = _best(tried, scope)
        choices = [replace(one, taken=one.setting == kept.name) for one in choices]
    if scope.none is not None:
        names = tuple(name for name in ("none", "accept", "clarify") if name not in base.stated)
        found = chosen_thresholds(heads, settings, scope.none, scope.weight, scope.guards, names)
        for name, value, gain in found:
            settings = replace(settings, **{name: value})
            notes.append(f"{name} {value}: worth {gain.mean:+.4f} [{gain.low:+.4f}, {gain.high:+.4f}] a request")
    refusal = _refusal(choices) if settings == base else None
    whole = None
    if not refusal:
        whole = replace(_compared("tuned", _Gains.of(before, (heads, settings), scope.none), scope), taken=True)
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


# ------------------------------------------------------------------------------------------------------------ choices

Decided = tuple[Heads, DecisionSettings]


class _Gains(NamedTuple):
    """Gains of each request by other settings: in log loss of the head, right answers and right domains."""

    nll: Floats
    answers: Floats
    domains: Floats

    @classmethod
    def of(cls, before: Decided, after: Decided, none: DecidedNone | None) -> _Gains:
        """The gains of the settings of `after` over those of `before`."""
        (was, old), (now, new) = before, after
        right, domain = none or (None, None)
        return cls(
            was.losses - now.losses,
            now.answers(new, right) - was.answers(old, right),
            now.domains(new, domain) - was.domains(old, domain),
        )

    def least(self, guards: Sequence[ShareGuard]) -> float:
        """The mean gain in answers and domains at the guards' share at which it is least."""
        return min(Gain.of(self.answers + self.domains, guard.weight).mean for guard in guards)


class _Tried(NamedTuple):
    """A setting that may be taken, with its held-out heads and gains, and its settings fitted on all requests."""

    candidate: TriedSettings
    heads: Heads
    settings: DecisionSettings
    gains: _Gains

    def loss(self, scope: Scope) -> float:
        """The mean log loss of the heads."""
        return Gain.of(self.heads.losses, scope.weight).mean


def _compared(name: str, gains: _Gains, scope: Scope) -> SettingsChoice:
    """The mean gains of settings, and the reason why they are not sure."""
    found = nll, answers, domains = tuple(Gain.of(each, scope.weight) for each in gains)
    reason = None
    if not any(gain.low > 0.0 for gain in found):
        reason = "no sure gain"
    elif any(gain.below(_ONE_SIDED) for gain in found):
        reason = "a loss, too"
    for guard in scope.guards:
        if guard.refuses(gains.answers) or guard.refuses(gains.domains):
            share = f"{100 * guard.share:.3g} %"
            reason = reason or f"perhaps more wrong answers where {share} of the requests are out of scope"
    return SettingsChoice(name, nll, answers, domains, reason=reason)


def _best(tried: Sequence[_Tried], scope: Scope) -> _Tried:
    """The candidate with the least held-out log loss, or a smaller one that is within a standard error of it.

    Where the share of the traffic is not known, it is one of those whose gain is nearly the greatest at the share at
    which they gain least.
    """
    if scope.unknown:
        near_greatest = nearly_greatest([one.gains.least(scope.guards) for one in tried])
        tried = [one for one, kept in zip(tried, near_greatest, strict=True) if kept]
    best = min(tried, key=lambda one: one.loss(scope))
    near = [one for one in tried if not Gain.of(best.heads.losses - one.heads.losses, scope.weight).below(1.0)]
    return min(near, key=lambda one: (one.candidate.size, one.loss(scope)))


def nearly_greatest(gains: Sequence[float]) -> list[bool]:
    """Marks of the gains that fall little short of the greatest, which may be a loss."""
    greatest = max(gains)
    return [greatest - gain <= _NEARLY * abs(greatest) for gain in gains]


def _with_versions(settings: DecisionSettings, served: Mapping[str, Served]) -> DecisionSettings:
    """The settings with each domain's terms valid for what it answers with now."""
    if settings.competition is None:
        return settings
    terms = {
        name: fitted_on(term, served[name]) if name in served else term
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
            yield f"{name}: owns no request with a truth; it has the shared slope, and no bias"


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
