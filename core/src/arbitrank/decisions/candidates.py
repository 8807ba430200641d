"""Decision settings that are tried in tuning, each fitted on all folds of the labelled requests but one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
from msgspec.structs import replace

from arbitrank.arbitration.competition import Competition, Term
from arbitrank.arbitration.decide import DecisionSettings
from arbitrank.arbitration.merge import terms_of
from arbitrank.decisions.competition_fitting import FORMS, LEAST_OUT_OF_SCOPE, Form, Parameters, fit_competition
from arbitrank.decisions.observed import Heads, Observed, heads_of
from arbitrank.decisions.scope_share import shift

FOLDS = 5
"""Folds of the labelled requests."""

ALL = -1
"""Stands for the fit on all folds."""

UNKNOWN: tuple[float | None, ...] = (None,)
"""Shares of out-of-scope requests to tune for where it is not known how these look."""

ASSUMED = (None, 0.05, 0.08, 0.12, 0.18, 0.25)
"""Shares of out-of-scope requests to tune for where those of the traffic are not known; None is as many as observed."""

BALANCED = 0.25
"""The share of out-of-scope requests in fitting, from which it is then corrected."""

_INDEPENDENCES = (0.0, 0.25, 0.5, 0.75, 1.0)


class Samples:
    """The observed requests in folds: those to fit on and those held out, and what was fitted on them."""

    def __init__(self, observed: Observed, seed: int) -> None:
        fold = np.random.default_rng(seed).permutation(len(observed.right)) % FOLDS
        self.places = [np.flatnonzero(fold == k) for k in range(FOLDS)]
        self.held = [observed.at(places) for places in self.places]
        self.all = observed
        self._rest = [*(observed.at(np.flatnonzero(fold != k)) for k in range(FOLDS)), observed]
        self._fitted: dict[tuple[Form, int], Parameters] = {}

    def fitted(self, form: Form, k: int) -> tuple[Parameters, Observed]:
        """The parameters of a form, fitted on all folds but the k-th, or with `ALL` on all; and those requests."""
        rest = self._rest[k]
        if (form, k) not in self._fitted:
            self._fitted[form, k] = fitted_parameters(rest, form)
        return self._fitted[form, k], rest


class TriedSettings(NamedTuple):
    """A way to set the settings: `settings(k)` are fitted on all folds but the k-th, with `ALL` on all requests."""

    name: str
    size: int
    settings: Callable[[int], DecisionSettings]


def candidates(base: DecisionSettings, samples: Samples, shares: Sequence[float | None]) -> Iterator[TriedSettings]:
    """Competitions for each share of out-of-scope requests; after-winning ones, too, where these are unknown."""
    plain = replace(base, competition=None, normalise=False, version=None)
    if "competition" not in base.stated:
        for size, form in enumerate(FORMS):
            for share in shares:
                name = form.name if share is None else f"{form.name}, {100 * share:.3g} % out of scope"
                yield TriedSettings(name, size, partial(_competition, samples, plain, form, share))
    if shares == UNKNOWN and not {"normalise", "independence"} & {*base.stated}:
        for value in _INDEPENDENCES:
            winning = replace(plain, normalise=True, independence=value)
            yield TriedSettings(f"after winning, independence {value:g}", 0, partial(_constant, winning))


def _constant(settings: DecisionSettings, k: int) -> DecisionSettings:
    return settings


def _competition(
    samples: Samples, plain: DecisionSettings, form: Form, share: float | None, k: int
) -> DecisionSettings:
    """The settings with a competition for requests of which `share` are out of scope, None for as many as observed."""
    fitted, observed = samples.fitted(form, k)
    terms = {name: Term(*term) for name, term in zip(observed.domains, fitted.terms, strict=True)}
    none = observed.out_of_scope
    known = none.sum() >= LEAST_OUT_OF_SCOPE
    assumed = (float(none.mean()) if share is None else share) if known else None
    if fitted.null is None or assumed is None:
        return replace(plain, competition=Competition(terms))
    null = float(np.clip(fitted.null + shift(BALANCED, assumed), -30.0, 30.0))
    return replace(plain, competition=Competition(terms, null, assumed))


def fitted_parameters(observed: Observed, form: Form) -> Parameters:
    """The parameters of a form, as though a quarter of the requests were out of scope, where such are known.

    With as few as there mostly are, the ratio that tells them apart would be wrong for any other share.
    """
    none = observed.out_of_scope
    if none.sum() < LEAST_OUT_OF_SCOPE:
        return fit_competition(observed.mine, observed.has, observed.owners, form)
    return fit_competition(observed.mine, observed.has, observed.owners, form, observed.shares(BALANCED))


def held_out(samples: Samples, candidate: TriedSettings) -> Heads:
    """The heads of each fold's lists by the settings fitted on the others."""
    parts = []
    for k, held in enumerate(samples.held):
        settings = candidate.settings(k)
        parts.append(heads_of(held, settings, terms_of(settings, held.domains)))
    return Heads.together(parts, samples.places)
