"""Held-out requests as changes make them, scored again by the systems that are measured under shift."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from arbitrank.arbitration.merge import BestReadings
from arbitrank.decisions.observed import Observed
from arbitrank.evaluate.answers import number
from arbitrank.evaluate.corpus import Corpus
from arbitrank.evaluate.hypotheses import load
from arbitrank.evaluate.joint import JointRows, joint_rows
from arbitrank.evaluate.labelled import LabelledReadings, observed
from arbitrank.evaluate.runs import DomainRun
from arbitrank.evaluate.shift import ShiftedSystem, under_shift
from arbitrank.evaluate.shifts import RequestChange, shifts
from arbitrank.evaluate.systems import AUTO, DEFAULT, Fitted, score
from arbitrank.evaluate.tuning import Deciding, SystemReadings, tuned, tuned_for
from arbitrank.learn.evidence import Evidence
from arbitrank.semer import entirely_right

BASELINE = "R0"
"""The system that all others are compared with under shift, with the settings that it has untuned."""

SYSTEMS = (BASELINE, DEFAULT, AUTO)
"""The systems whose domains score changed requests; the joint model does so too."""


_UNCHANGED = ""


class ChangedRequests:
    """One domain's held-out requests as each of the changes makes them, and each system's best readings of them."""

    def __init__(self, changed: Sequence[RequestChange], scoring: Evidence, places: NDArray[np.int64], n: int) -> None:
        """`scoring` holds the requests that the domain has a reading of, at `places` among n."""
        self._places, self._n = places, n
        self._evidence = {
            one.name: Evidence(scoring.spec, [one(request) for request in scoring.requests], scoring.batch)
            for one in changed
            if one.concerns(scoring.spec.domain)
        }
        self.readings: dict[str, dict[str, BestReadings]] = {name: {} for name in self._evidence}

    def score(self, fitted: Fitted, chosen: NDArray[np.bool_]) -> None:
        """Score the chosen requests, a mask over those of the domain, by a system's re-ranker."""
        if fitted.system in SYSTEMS:
            for name, evidence in self._evidence.items():
                readings = self.readings[name].setdefault(fitted.system, BestReadings.empty(self._n))
                readings.put(self._places[chosen].tolist(), score(fitted.reranker, evidence.only(chosen)))

    def joint(self) -> dict[str, JointRows]:
        """The rows for the joint model, by the name of the change."""
        return {name: joint_rows(evidence, self._places) for name, evidence in self._evidence.items()}


def measured_under_shift(
    corpus: Corpus,
    runs: Sequence[DomainRun],
    readings: SystemReadings,
    deciding: Mapping[str, Deciding],
    changed: Sequence[RequestChange],
    systems: Sequence[str],
    *,
    seed: int = 0,
) -> list[dict[str, Any]]:
    """The figures of the systems under each shift: R0 untuned, and all of `systems` as tuned.

    `deciding` are the systems by their names in the report.
    """
    tuned_names = {tuned(system): system for system in systems}
    names = {name: system for name, system in {BASELINE: BASELINE, **tuned_names}.items() if name in deciding}
    every = {_UNCHANGED: readings.held, **readings.changed}
    seen = _observed(corpus, runs, every, frozenset(names.values()))
    shifted = {}
    for name, system in names.items():
        again = {change: own[system] for change, own in seen.items() if system in own}
        parts = deciding[name].parts
        retune = None
        if name != BASELINE and system in readings.tuning:
            retune = partial(tuned_for, data=readings.tuning[system], base=deciding[system].settings, seed=seed)
        fallback = number(corpus, parts[0][1].fallback)
        shifted[name] = ShiftedSystem(again.pop(_UNCHANGED), parts, again, fallback, retune)
    first = seen[_UNCHANGED][BASELINE]
    return under_shift(shifted, shifts(first, corpus, changed, seed=seed), BASELINE, seed=seed)


_Readings = Mapping[str, Mapping[str, Sequence[BestReadings]]]


def _observed(
    corpus: Corpus, runs: Sequence[DomainRun], readings: _Readings, systems: frozenset[str]
) -> dict[str, dict[str, Observed]]:
    """The readings of the held-out requests with their labels, by change and system."""
    parts: dict[str, dict[str, list[LabelledReadings]]] = {
        change: {system: [] for system in own if system in systems} for change, own in readings.items()
    }
    truths = [example.truth for example in corpus.held]
    for d, one in enumerate(runs):  # one domain's hypotheses at a time
        recognised = load(one.hypotheses)
        own = recognised.held or recognised.train
        owned = [i for i, truth in enumerate(truths) if truth.owned_by(one.domain) and own[i]]
        judged = [[entirely_right(h, truths[i]) for h in own[i]] for i in owned]
        for change, of_systems in parts.items():
            for system, labelled in of_systems.items():
                best, right = readings[change][system][d], np.zeros(len(truths))
                places = best.best[owned].tolist()
                right[owned] = [k >= 0 and of_each[k] for k, of_each in zip(places, judged, strict=True)]
                labelled.append(LabelledReadings(best.keyed(own) if one.domain in corpus.grouped else best, right))
    return {
        change: {system: observed(corpus.domains, labelled, corpus.held) for system, labelled in of_systems.items()}
        for change, of_systems in parts.items()
    }
