"""Answers of all systems: each decides on its merged lists by its decision settings, as a service does."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from arbitrank.arbitration.decide import DecisionSettings
from arbitrank.arbitration.fallback import NO_FALLBACK
from arbitrank.arbitration.merge import BestReadings, merge_heads, terms_of
from arbitrank.evaluate.corpus import Corpus
from arbitrank.evaluate.hypotheses import load
from arbitrank.evaluate.joint import joint_readings
from arbitrank.evaluate.merge_tuning import (
    AfterWinning,
    LabelledReadings,
    NoneChoice,
    choose,
    choose_none,
    contending,
)
from arbitrank.evaluate.plugins import PLUGINS
from arbitrank.evaluate.results import SystemResults, judge
from arbitrank.evaluate.runs import DomainRun, splits
from arbitrank.evaluate.systems import DEFAULT
from arbitrank.learn.lightgbm import missing
from arbitrank.probability import Floats
from arbitrank.semer import truths_found
from arbitrank.values import Example, Hypothesis, Truth

JOINT = "joint"
"""Name of the system that is one model over all domains."""


def acting_fallback(corpus: Corpus, decisions: Mapping[str, Any]) -> tuple[Corpus, Mapping[str, Any]]:
    """The corpus and the decisions; a fallback that is no domain of the corpus cannot act: it is noted and dropped."""
    name = decisions.get("fallback")
    if name in (None, *NO_FALLBACK, *corpus.domains):
        return corpus, decisions
    note = f"fallback {name!r}: {corpus.name} has no such domain, so none acts (it has {', '.join(corpus.domains)})"
    return dataclasses.replace(corpus, notes=(*corpus.notes, note)), {**decisions, "fallback": None}


def after_winning(corpus: Corpus, runs: Sequence[DomainRun], given: Mapping[str, Any] = {}) -> AfterWinning | None:
    """The choice of after-winning calibration for the default system.

    None where it is given, where no data are left to choose by, and where requests may be out of scope: then not every
    request is owned by exactly one domain.
    """
    if "normalise" in given or corpus.has_out_of_scope:
        return None
    unreported = _unreported([one for one in runs if one.domain != given.get("fallback")])
    return choose(unreported) if unreported else None


Served = tuple[dict[str, DecisionSettings], dict[str, NoneChoice], dict[str, list[BestReadings]]]


def served(
    corpus: Corpus,
    runs: Sequence[DomainRun],
    *,
    seed: int,
    winning: AfterWinning | None = None,
    given: Mapping[str, Any] = {},
) -> Served:
    """Each system's decision settings and readings, the joint model last where LightGBM is installed.

    `winning` is for the default system, or the plugins. Also, where requests may be out of scope and it is not given,
    the threshold of P(out of scope) of these and of the joint model, chosen on requests that the report is not on.
    """
    nones: dict[str, NoneChoice] = {}
    unreported = _unreported(runs)
    acting = _number(corpus, given.get("fallback"))
    choosing = corpus.has_out_of_scope and "none" not in given
    if choosing and unreported:
        owners = _owners(corpus, corpus.tuning or corpus.train)
        nones[DEFAULT] = nones[PLUGINS] = choose_none([one.readings for one in unreported], owners, acting)
    readings = {system: [one.readings[system] for one in runs] for system in runs[0].readings}
    rows = [one.joint for one in runs if one.joint is not None]
    if rows and missing() is None:
        train, held = zip(*rows, strict=True)
        readings[JOINT], stopping, places = joint_readings(train, held, splits(corpus, seed), seed=seed)
        if choosing and not corpus.cross_fitted:
            nones[JOINT] = choose_none(stopping, _owners(corpus, corpus.train)[places], acting)
    settings = {}
    for system in readings:
        own = winning.decisions if winning and system in (DEFAULT, PLUGINS) else DecisionSettings()
        chosen = {"none": nones[system].threshold} if system in nones else {}
        settings[system] = replace(own, **{**chosen, **given})
    return settings, {system: one for system, one in nones.items() if system in readings}, readings


def judged(
    corpus: Corpus,
    runs: Sequence[DomainRun],
    settings: Mapping[str, DecisionSettings],
    readings: Mapping[str, Sequence[BestReadings]],
    *,
    none_counts: bool = True,
) -> dict[str, SystemResults]:
    """Each system's results on the held-out requests, by its decision settings: what a service would answer.

    Without `none_counts` the head of each list is the answer, whatever is decided.
    """
    acting = {system: _number(corpus, own.fallback) for system, own in settings.items()}
    terms = {system: terms_of(own, corpus.domains) for system, own in settings.items()}
    lists = {
        system: merge_heads(domains, settings[system], acting[system], terms[system])
        for system, domains in readings.items()
    }
    # One domain's hypotheses at a time, as those of all domains may not fit in memory.
    top: dict[str, list[Hypothesis | None]] = {system: [None] * len(corpus.held) for system in lists}
    several = [i for i, example in enumerate(corpus.held) if example.truth.also]
    contenders = {
        system: {
            i: contending(readings[system], heads, i, settings[system], acting[system], terms[system]) for i in several
        }
        for system, heads in lists.items()
    }
    hits: dict[str, dict[int, list[Hypothesis]]] = {system: {i: [] for i in several} for system in lists}
    for d, one in enumerate(runs):
        recognised = load(one.hypotheses)
        own = recognised.held or recognised.train  # kept once where these are the training requests
        for system, heads in lists.items():
            for i in np.flatnonzero(heads.domain == d).tolist():
                top[system][i] = own[i][heads.reading[i]]
            for i in several:
                if d in contenders[system][i]:
                    hits[system][i].append(own[i][readings[system][d].best[i]])
    truths = [example.truth for example in corpus.held]
    results = {}
    for system, heads in lists.items():
        result = judge(heads, top[system], truths, settings[system] if none_counts else None)
        found = _found(result, hits[system], truths) if several else None
        results[system] = dataclasses.replace(result, found=found)
    return results


def _found(one: SystemResults, hits: Mapping[int, Sequence[Hypothesis]], truths: Sequence[Truth]) -> Floats:
    """The share of each utterance's truths among the contenders; NaN where it has one truth."""
    found = np.full(len(truths), np.nan)
    for i, readings in hits.items():
        found[i] = truths_found(readings, truths[i], none=bool(one.none[i]))
    return found


def _unreported(runs: Sequence[DomainRun]) -> list[LabelledReadings]:
    return [one.unreported for one in runs if one.unreported is not None]


def _number(corpus: Corpus, name: str | None) -> int | None:
    """The number of a domain, None where there is none of the name."""
    return corpus.domains.index(name) if name in corpus.domains else None


def _owners(corpus: Corpus, examples: Sequence[Example]) -> NDArray[np.bool_]:
    """Marks of each example's domains, and in the last column of those out of scope; shape (n, domains + 1)."""
    truths = [example.truth for example in examples]
    return np.array([[*map(truth.owned_by, corpus.domains), truth.out_of_scope] for truth in truths], bool)
