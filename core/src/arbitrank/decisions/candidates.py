"""Decision settings that are tried in tuning, each fitted on all folds of the labelled requests but one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import product
from typing import NamedTuple

import numpy as np
from msgspec.structs import replace

from arbitrank.arbitration.claims import Groups
from arbitrank.arbitration.competition import Competition, Term, WinnerMap
from arbitrank.arbitration.decide import DecisionSettings
from arbitrank.arbitration.merge import conditioned_readings, merge_heads, terms_of
from arbitrank.decisions.competition_fitting import (
    FORMS,
    LEAST_FITTED,
    LEAST_OUT_OF_SCOPE,
    Form,
    Parameters,
    fit_competition,
    fit_winner,
)
from arbitrank.decisions.observed import Heads, Observed, heads_of
from arbitrank.decisions.scope_share import matched
from arbitrank.probability import CLIP, Floats, log_odds

FOLDS = 5
"""Folds of the labelled requests."""

ALL = -1
"""Stands for the fit on all folds."""

UNKNOWN: tuple[float | None, ...] = (None,)
"""Shares of out-of-scope requests to tune for where it is not known how these look."""

ASSUMED = (None, 0.05, 0.08, 0.12, 0.15, 0.18, 0.22, 0.26, 0.3, 0.35, 0.4)
"""Shares of out-of-scope requests to tune for where those of the traffic are not known; None is as many as observed."""

BALANCED = 0.25
"""The share of out-of-scope requests in fitting, from which it is then corrected."""

LEAST_OVERLAPPING = 20
"""Requests of several owners below which claims exclude each other."""

_INDEPENDENCES = (0.0, 0.25, 0.5, 0.75, 1.0)


class Samples:
    """The observed requests in folds: those to fit on and those held out, and what was fitted on them.

    `groups` are those of the settings in force.
    """

    def __init__(self, observed: Observed, seed: int, groups: Groups = ()) -> None:
        fold = np.random.default_rng(seed).permutation(len(observed.right)) % FOLDS
        self.places = [np.flatnonzero(fold == k) for k in range(FOLDS)]
        self.held = [observed.at(places) for places in self.places]
        self.all, self.groups = observed, groups
        self._rest = [*(observed.at(np.flatnonzero(fold != k)) for k in range(FOLDS)), observed]
        if LEAST_FITTED <= observed.out_of_scope.sum() < LEAST_OUT_OF_SCOPE:  # as in every fold there are none, then
            self._rest = [one.at(np.flatnonzero(~one.out_of_scope)) for one in self._rest]
        self._fitted: dict[tuple[Form, int], Parameters] = {}
        self._none: dict[tuple[Form, int], Floats] = {}

    def fitted(self, form: Form, k: int) -> tuple[Parameters, Observed]:
        """The parameters of a form, fitted on all folds but the k-th, or with `ALL` on all; and those requests."""
        rest = self._rest[k]
        if (form, k) not in self._fitted:
            self._fitted[form, k] = fitted_parameters(rest, form, self.groups)
        return self._fitted[form, k], rest

    def moved(self, form: Form, k: int, share: float, settings: DecisionSettings) -> float:
        """The change of the term for "no domain" by which its probability is right for a share out of scope.

        With it P(no domain) is on average this share of the requests that were fitted on, weighted to it. The change of
        its log-odds alone would be right if the odds of the domains' claims were, far from where they were fitted.
        """
        observed = self._rest[k]
        if (form, k) not in self._none:
            _, none = conditioned_readings(observed.readings, settings, terms_of(settings, observed.domains))
            self._none[form, k] = log_odds(none)
        return matched(self._none[form, k], share, observed.shares(share))

    @property
    def overlapping(self) -> bool:
        """True where enough requests have owners that state different claims."""
        claims = self.all.claims(self.groups)
        columns = np.ones((len(self.all.right), len(self.all.domains)))
        for one in claims:
            columns[:, one.domains] = 1.0 / one.size.T
        several = (self.all.owners[:, :-1] & self.all.has.T) * columns
        return int((several.sum(axis=1) > 1.5).sum()) >= LEAST_OVERLAPPING


class TriedSettings(NamedTuple):
    """A way to set the settings: `settings(k)` are fitted on all folds but the k-th, with `ALL` on all requests."""

    name: str
    size: int
    settings: Callable[[int], DecisionSettings]


def candidates(base: DecisionSettings, samples: Samples, shares: Sequence[float | None]) -> Iterator[TriedSettings]:
    """Competitions for each share of out-of-scope requests; after-winning ones, too, where these are unknown."""
    plain = replace(base, competition=None, normalise=False, version=None)
    if "competition" not in base.stated:
        overlap = (False, True) if samples.overlapping else (False,)
        # The claim that wins is corrected where owners overlap: elsewhere the claims' competition has done so.
        winners = (False, True) if samples.groups or samples.overlapping else (False,)
        # In a group each domain's agreement has a weight of its own: some are right and wrong together.
        forms = tuple(enumerate(FORMS))[1 if samples.groups else 0 :]
        for overlapping, winner, (size, form), share in product(overlap, winners, forms, shares):
            name = f"{form.name}{', overlapping' * overlapping}{', winner corrected' * winner}"
            name = name if share is None else f"{name}, {100 * share:.3g} % out of scope"
            tried = partial(competition_for, samples, plain, form._replace(overlapping=overlapping), share, winner)
            yield TriedSettings(name, size, tried)
    if shares == UNKNOWN and not {"normalise", "independence"} & {*base.stated}:
        for value in _INDEPENDENCES:
            winning = replace(plain, normalise=True, independence=value)
            yield TriedSettings(f"after winning, independence {value:g}", 0, partial(_constant, winning))


def _constant(settings: DecisionSettings, k: int) -> DecisionSettings:
    return settings


def competition_for(
    samples: Samples, plain: DecisionSettings, form: Form, share: float | None, winner: bool, k: int
) -> DecisionSettings:
    """The settings with a competition for requests of which `share` are out of scope, None for as many as observed."""
    fitted, observed = samples.fitted(form, k)
    competition = _balanced(observed, fitted, form)
    settings = replace(plain, competition=competition)
    if competition.null is not None:
        assumed = float(observed.out_of_scope.mean()) if share is None else share
        null = float(np.clip(competition.null + samples.moved(form, k, assumed, settings), -30.0, 30.0))
        settings = replace(plain, competition=replace(competition, null=null, share=assumed))
    if winner:
        assert settings.competition is not None
        weight = None if share is None or settings.competition.null is None else observed.shares(share)
        map_ = winner_map(observed, settings, weight)
        settings = replace(settings, competition=replace(settings.competition, winner=map_))
    return settings


def _balanced(observed: Observed, fitted: Parameters, form: Form) -> Competition:
    """The competition as fitted, for requests of which the share `BALANCED` is out of scope, where such are known."""
    each = zip(observed.domains, fitted.terms, fitted.agreements.tolist(), strict=True)
    terms = {name: Term(*term, agreement=agreement) for name, term, agreement in each}
    return Competition(terms, fitted.null, None if fitted.null is None else BALANCED, form.overlapping)


def winner_map(observed: Observed, settings: DecisionSettings, weight: Floats | None) -> WinnerMap:
    """The correction of the claims that win under the settings."""
    terms = terms_of(settings, observed.domains)
    domain = merge_heads(observed.readings, settings, None, terms).domain
    conditioned, _ = conditioned_readings(observed.readings, settings, terms)
    at = np.flatnonzero(domain >= 0)
    rows = domain[at]
    mine, right = (np.array([getattr(one, side) for one in conditioned])[rows, at] for side in ("mine", "right"))
    given = np.minimum(right / np.maximum(mine, CLIP), 1.0)
    return fit_winner(mine, given, observed.right[at, rows], None if weight is None else weight[at])


def fitted_parameters(observed: Observed, form: Form, groups: Groups = ()) -> Parameters:
    """The parameters of a form, as though a quarter of the requests were out of scope, where such are known.

    With as few as there mostly are, the ratio that tells them apart would be wrong for any other share.
    """
    claims = observed.claims(groups)
    known = observed.out_of_scope.sum() >= LEAST_FITTED
    weight = observed.shares(BALANCED) if known else None
    return fit_competition(observed.mine, observed.has, observed.claimants(claims), form, weight, claims)


def held_out(samples: Samples, candidate: TriedSettings) -> Heads:
    """The heads of each fold's lists by the settings fitted on the others."""
    parts = []
    for k, held in enumerate(samples.held):
        settings = candidate.settings(k)
        parts.append(heads_of(held, settings, terms_of(settings, held.domains)))
    return Heads.together(parts, samples.places)
