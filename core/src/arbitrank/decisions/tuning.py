"""Tuning of the decision settings on labelled requests, chosen by cross-validation against the settings in force.

A setting is taken where its held-out gain is sure: the 95 % interval is above 0, of the log loss of P(right), of the
share of right answers or of that of right domains, and none of the three is worse. Where requests out of scope are
known, answers and domains may not be worse at shares of 1, 5 and 20 % of them either, as labelled requests seldom have
the share of the traffic.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType

import msgspec
import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from arbitrank.arbitration.competition import Served, compete_all
from arbitrank.arbitration.decide import DecisionSettings
from arbitrank.arbitration.merge import BestReadings, terms_of
from arbitrank.decisions.candidates import ALL, Candidate, Samples, candidates, held_out
from arbitrank.decisions.competition_fitting import LEAST_OUT_OF_SCOPE
from arbitrank.decisions.observed import Heads, Observed, heads_of
from arbitrank.decisions.scope_share import ScopeShare, estimate_share, shift
from arbitrank.decisions.thresholds import Gain, chosen_thresholds
from arbitrank.errors import DataError
from arbitrank.probability import Floats

LEAST = 200
"""Labelled requests below which nothing is tuned, and unlabelled ones below which no share is estimated."""

SHARES = (0.01, 0.05, 0.2)
"""Shares of out-of-scope requests at which nothing may be worse."""


_ONE_SIDED = 1.645 / 1.96  # of half a 95 % interval


class Choice(msgspec.Struct, frozen=True):
    """A setting that was tried, its held-out gains, and whether it is taken: NLL (nats), right answers, right domains.

    The gains are [mean, low, high], with a 95 % interval; `reason` says why it is not taken.
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
    choices: tuple[Choice, ...]
    gain: Choice | None
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
    none = observed.out_of_scope if observed.out_of_scope.sum() >= LEAST_OUT_OF_SCOPE else None
    weights = [] if none is None else [observed.shares(share) for share in SHARES]
    samples = Samples(observed, seed)
    before = heads_of(observed, base, terms_of(base, observed.domains, served))
    choices: list[Choice] = []
    tried: list[tuple[Candidate, Heads, DecisionSettings]] = []
    for candidate in candidates(base, samples, none is not None):
        heads = held_out(samples, candidate)
        settings = candidate.settings(ALL)
        choice = _compared(candidate.name, (before, base), (heads, settings), none, weights)
        choices.append(choice)
        if choice.reason is None:
            tried.append((candidate, heads, settings))
    heads, settings, kept = before, base, None
    if tried:
        kept, heads, settings = _best(tried, before)
        choices = [replace(one, taken=one.setting == kept.name) for one in choices]
    notes = list(_remarks(observed, none is not None))
    if none is not None:
        for name, value, gain in chosen_thresholds(heads, settings, none, weights, ("none", "accept", "clarify")):
            settings = replace(settings, **{name: value})
            notes.append(f"{name} {value}: worth {gain.mean:+.4f} [{gain.low:+.4f}, {gain.high:+.4f}] a request")
    whole = _compared("all of them", (before, base), (heads, settings), none, weights)
    settings = _with_versions(settings, served)
    share = None
    if settings.competition is not None and unlabelled is not None:
        settings, share, remark = _followed(settings, observed.domains, unlabelled)
        notes.append(remark)
    refusal = None if settings != base else _refusal(choices)
    counted = int(observed.out_of_scope.sum())
    gain_ = None if refusal else replace(whole, taken=True)
    return Tuned(settings, len(observed.right), counted, tuple(choices), gain_, share, tuple(notes), refusal)


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


def _compared(
    name: str, before: Decided, after: Decided, none: NDArray[np.bool_] | None, weights: Sequence[Floats]
) -> Choice:
    """The gains of the settings of `after` over those of `before`, and the reason why they are not sure."""
    (was, old), (now, new) = before, after
    answers = now.answers(new, none) - was.answers(old, none)
    domains = now.domains(new, none) - was.domains(old, none)
    gains = Gain.of(was.losses - now.losses), Gain.of(answers), Gain.of(domains)
    reason = None
    if not any(gain.low > 0.0 for gain in gains):
        reason = "no sure gain"
    elif any(gain.high < 0.0 for gain in gains):
        reason = "a sure loss, too"
    for share, weight in zip(SHARES, weights, strict=False):
        if any(Gain.of(values, weight).high < 0.0 for values in (answers, domains)):
            reason = reason or f"more wrong answers where {100 * share:g} % of the requests are out of scope"
    if any(gain.mean + _ONE_SIDED * (gain.high - gain.mean) < 0.0 for gain in gains):
        reason = reason or "a loss, by a one-sided test"
    return Choice(name, *gains, reason=reason)


def _best(
    tried: Sequence[tuple[Candidate, Heads, DecisionSettings]], before: Heads
) -> tuple[Candidate, Heads, DecisionSettings]:
    """The candidate with the least held-out log loss, or a smaller one that is within a standard error of it."""
    best = min(tried, key=lambda one: float(one[1].losses.mean()))

    def near(heads: Heads) -> bool:
        more = heads.losses - best[1].losses
        return float(more.mean()) <= float(more.std() / np.sqrt(len(more)))

    return min((one for one in tried if near(one[1])), key=lambda one: (one[0].size, float(one[1].losses.mean())))


def _with_versions(settings: DecisionSettings, served: Mapping[str, Served]) -> DecisionSettings:
    """The settings with each domain's terms valid for what it answers with now."""
    if settings.competition is None:
        return settings
    terms = {
        name: replace(term, version=served[name][0], temperature=served[name][1]) if name in served else term
        for name, term in settings.competition.terms.items()
    }
    return replace(settings, competition=replace(settings.competition, terms=terms))


def _followed(
    settings: DecisionSettings, domains: Sequence[str], unlabelled: Sequence[BestReadings]
) -> tuple[DecisionSettings, ScopeShare | None, str]:
    """The settings for the share of out-of-scope requests in unlabelled traffic, that share, and a remark."""
    n = len(unlabelled[0].best)
    if n < LEAST:
        return settings, None, f"{n} requests without a truth, below {LEAST}: their share of out of scope is unknown"
    competition = settings.competition
    assert competition is not None
    if competition.share is None or competition.null is None:
        return settings, None, "the share of out-of-scope requests stays: no truth tells how such requests look"
    has = np.array([one.best >= 0 for one in unlabelled])
    terms = [(one.slope, one.bias) for one in (competition.terms[name] for name in domains)]
    _, chances = compete_all(np.array([one.mine for one in unlabelled]), has, terms, competition.null)
    found = estimate_share(chances, competition.share)
    text = f"{100 * found.share:.1f} % [{100 * found.low:.1f}, {100 * found.high:.1f}] of {n} requests without a truth"
    if found.low <= competition.share <= found.high:
        return settings, found, f"out of scope are {text}: as assumed"
    moved = float(np.clip(competition.null + shift(competition.share, found.share), -30.0, 30.0))
    competition = replace(competition, null=moved, share=found.share)
    return replace(settings, competition=competition), found, f"out of scope are {text}: assumed from now on"


def _remarks(observed: Observed, known: bool) -> Iterator[str]:
    if not known:
        n = int(observed.out_of_scope.sum())
        yield (
            f"{n} of the requests are out of scope, below {LEAST_OUT_OF_SCOPE}: P(no domain) and the thresholds "
            "stay as they are"
        )
    for name, own in zip(observed.domains, observed.owners.T, strict=False):
        if not own.any():
            yield f"{name}: owns no request with a truth; its slope is the shared one"


def _refusal(choices: Sequence[Choice]) -> str:
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
