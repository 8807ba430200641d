"""Tuning of every system's decision settings, each on readings of its own of requests that the report is not on.

Those are the dev split where a test split is reported on, else training requests that were read and scored out of fold.
Where one file of hypotheses is all there is, the settings of each fold are tuned on the other folds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import msgspec
import numpy as np
from joblib import Parallel, delayed
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from arbitrank.arbitration.decide import DecisionSettings
from arbitrank.arbitration.merge import BestReadings
from arbitrank.decisions.observed import Observed
from arbitrank.decisions.scope_share import ScopeShare
from arbitrank.decisions.tuning import SettingsChoice, Tuned, tune
from arbitrank.domain import Progress
from arbitrank.errors import DataError
from arbitrank.learn.gains import Gain

OTHER_FOLDS = "the other folds"
"""Requests that the settings of a fold are tuned on, where one file of hypotheses is all there is."""

Places = NDArray[np.int64]


def tuned(system: str, *, traffic: bool = False) -> str:
    """The name under which a system with tuned settings is reported; `traffic`: also by traffic without truths."""
    return f"{system} tuned on traffic" if traffic else f"{system} tuned"


class TuningData(NamedTuple):
    """Labelled readings by one system that its settings are tuned on, and which requests these are."""

    observed: Observed
    on: str


class SystemReadings(NamedTuple):
    """Each system's readings of the held-out requests, by domain, and those that its settings are tuned on.

    `changed` are some systems' readings of held-out requests that were changed, by the name of the change.
    """

    held: Mapping[str, Sequence[BestReadings]]
    tuning: Mapping[str, TuningData]
    changed: Mapping[str, Mapping[str, Sequence[BestReadings]]] = MappingProxyType({})


class Deciding(NamedTuple):
    """Readings of the held-out requests by each domain, and the settings that decide on them, by places."""

    readings: Sequence[BestReadings]
    parts: Sequence[tuple[Places, DecisionSettings]]

    @property
    def settings(self) -> DecisionSettings:
        """The settings of the first part: all have the same, unless they are tuned fold by fold."""
        return self.parts[0][1]


class SystemTuning(msgspec.Struct, frozen=True, kw_only=True):
    """Tuning of one system on `n` requests: `tuned_on` says which, `refusal` why the settings stay as they were.

    `settings` are those tuned on all these requests. Where the system's settings are tuned fold by fold, `folds` are
    those of each fold, by which it is reported. `unlabelled` counts the requests without truths from which the share of
    out-of-scope requests, `share`, is estimated.
    """

    system: str
    tuned_on: str
    n: int
    out_of_scope: int
    unlabelled: int = 0
    refusal: str | None = None
    settings: DecisionSettings
    folds: tuple[DecisionSettings, ...] = ()
    choices: tuple[SettingsChoice, ...] = ()
    gain: SettingsChoice | None = None
    share: ScopeShare | None = None
    notes: tuple[str, ...] = ()

    @property
    def changed(self) -> list[bool]:
        """True for each fold whose settings are not those that were tuned on all requests."""
        return [one != self.settings for one in self.folds]


def tune_all(
    readings: SystemReadings,
    bases: Mapping[str, DecisionSettings],
    folds: Sequence[Places],
    traffic: Sequence[str] = (),
    *,
    seed: int,
    jobs: int = 1,
    progress: Progress,
) -> tuple[dict[str, Deciding], dict[str, SystemTuning]]:
    """Every system untuned and tuned, by its name in the report, and the reports of the latter.

    `bases` are the settings of the untuned systems, `folds` the places of each fold of the held-out requests: one with
    all of them, or those of a cross-fitted file. Systems named in `traffic` are tuned once more, with the held-out
    requests as traffic without truths, where out-of-scope requests are known.
    """
    held, data = readings.held, readings.tuning
    calls = [(system, False) for system in data] + [(system, True) for system in traffic if system in data]
    tasks = (
        delayed(_tuned)(system, data[system], bases[system], held[system] if unlabelled else None, folds, seed)
        for system, unlabelled in calls
    )
    reports: dict[tuple[str, bool], SystemTuning] = {}
    for call, report in zip(calls, Parallel(n_jobs=jobs, return_as="generator")(tasks), strict=True):
        reports[call] = report
        progress("tuning", len(reports), len(calls))
    deciding: dict[str, Deciding] = {}
    found: dict[str, SystemTuning] = {}
    for system, own in held.items():
        deciding[system] = Deciding(own, [(places, bases[system]) for places in folds])
        for unlabelled in (False, True):
            report = reports.get((system, unlabelled))
            if report is None or (unlabelled and report.share is None):
                continue
            name = tuned(system, traffic=unlabelled)
            settings = report.folds or (report.settings,)
            deciding[name], found[name] = Deciding(own, list(zip(folds, settings, strict=True))), report
    return deciding, found


def tuned_for(
    traffic: Sequence[BestReadings], data: TuningData, base: DecisionSettings, seed: int = 0
) -> tuple[DecisionSettings, float] | None:
    """The settings tuned with traffic without truths, and its share of out-of-scope requests; None where none are."""
    report = _tuned("", data, base, traffic, (), seed)
    return None if report.share is None or report.refusal else (report.settings, report.share.share)


def _tuned(
    system: str,
    data: TuningData,
    base: DecisionSettings,
    unlabelled: Sequence[BestReadings] | None,
    folds: Sequence[Places],
    seed: int,
) -> SystemTuning:
    observed, n = data.observed, len(data.observed.right)
    kept = [k for k, name in enumerate(observed.domains) if name != base.fallback]
    observed = observed.with_fallback(base.fallback)
    unlabelled = None if unlabelled is None else [unlabelled[k] for k in kept]
    with threadpool_limits(1):
        whole = _tune(observed, base, unlabelled, seed)
        rest = (np.delete(np.arange(n), places) for places in folds) if len(folds) > 1 else ()
        of_folds = tuple(_tune(observed.at(places), base, unlabelled, seed) for places in rest)
    report = SystemTuning(
        system=system,
        tuned_on=data.on,
        n=n,
        out_of_scope=int(observed.out_of_scope.sum()),
        unlabelled=len(unlabelled[0].best) if unlabelled else 0,
        settings=base if isinstance(whole, str) else whole.settings,
        refusal=whole if isinstance(whole, str) else whole.refusal,
        folds=tuple(base if isinstance(one, str) else one.settings for one in of_folds),
    )
    if isinstance(whole, str):
        return report
    return msgspec.structs.replace(report, choices=whole.choices, gain=whole.gain, share=whole.share, notes=whole.notes)


def _tune(
    observed: Observed, base: DecisionSettings, unlabelled: Sequence[BestReadings] | None, seed: int
) -> Tuned | str:
    """Result of `tune`, or the reason why it cannot be tried."""
    try:
        return tune(observed, base, unlabelled=unlabelled, seed=seed)
    except DataError as error:
        return str(error)


def choices_of(reports: Mapping[str, SystemTuning]) -> dict[str, Any]:
    """The choice of after-winning calibration and of the threshold of `none`, as reports of version 0.1 have them."""
    default = [one for one in reports.values() if one.system in ("factored", "plugins") and not one.unlabelled]
    one = default[0] if default else None
    winning = one is not None and one.settings.normalise
    nones = {
        each.system: _choice("threshold", each.settings.none, each.gain.domain_gain if each.gain else None, each.n)
        for each in reports.values()
        if each.choices and each.out_of_scope and not each.unlabelled
    }
    choice = None
    if one is not None and one.choices and not one.out_of_scope:
        independence = one.settings.independence if winning else None
        choice = _choice("independence", independence, one.gain.nll_gain if one.gain else None, one.n, "nll_gain")
    return {"after_winning": winning, "after_winning_choice": choice, "none_choice": nones}


def _choice(setting: str, value: float | None, gain: Gain | None, n: int, name: str = "gain") -> dict[str, Any]:
    """A setting with the gain of all that was tuned, its standard error, and the number of requests."""
    mean, error = (0.0, 0.0) if gain is None else (gain.mean, gain.error)
    return {setting: value, name: mean, "error": error, "n": n}


class TuningRow(NamedTuple):
    """Tuning of a system for readers: on which requests, and which settings were chosen, or why none were."""

    system: str
    on: str
    chosen: str


def tuning_rows(reports: Mapping[str, SystemTuning]) -> list[TuningRow]:
    """A row for each tuned system."""
    return [TuningRow(name, _requests(one), _chosen(one)) for name, one in reports.items()]


def unchanged(reports: Mapping[str, SystemTuning]) -> frozenset[str]:
    """The tuned systems that decide as they do untuned, as no setting was surely better."""
    return frozenset(name for name, one in reports.items() if one.refusal and not any(one.changed))


def _requests(one: SystemTuning) -> str:
    return f"{one.tuned_on}: {one.n:,} requests, {one.out_of_scope:,} out of scope"


def _chosen(one: SystemTuning) -> str:
    share = ""
    if one.share is not None:
        text = f"{100 * one.share.share:.1f} % [{100 * one.share.low:.1f}, {100 * one.share.high:.1f}]"
        share = f"; {text} of {one.unlabelled:,} held-out requests without truths are out of scope"
    if one.refusal and any(one.changed):
        return f"{sum(one.changed)} of {len(one.folds)} folds; on all requests as untuned: {one.refusal}{share}"
    if one.refusal:
        return f"as untuned: {one.refusal}{share}"
    default = DecisionSettings()
    thresholds = [
        f"{name} {getattr(one.settings, name):g}"
        for name in ("none", "accept", "clarify")
        if name not in one.settings.stated and getattr(one.settings, name) != getattr(default, name)
    ]
    return ", ".join([*(choice.setting for choice in one.choices if choice.taken), *thresholds]) + share
