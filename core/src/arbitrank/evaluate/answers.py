"""Answers of all systems: each decides on its merged lists by its decision settings, as a service does."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from arbitrank.arbitration.competition import Terms
from arbitrank.arbitration.decide import DecisionSettings, decide
from arbitrank.arbitration.fallback import NO_FALLBACK
from arbitrank.arbitration.merge import BestReadings, MergedHeads, conditioned_readings, merge_heads, terms_of
from arbitrank.arbitration.risk_bound import accept_thresholds
from arbitrank.evaluate.corpus import Corpus
from arbitrank.evaluate.hypotheses import load
from arbitrank.evaluate.joint import JointReadings, joint_readings, taught_joint
from arbitrank.evaluate.labelled import LabelledReadings, observed
from arbitrank.evaluate.results import SystemResults, judge
from arbitrank.evaluate.runs import DomainRun, splits
from arbitrank.evaluate.tuning import OTHER_FOLDS, Deciding, Places, SystemReadings, TuningData
from arbitrank.learn.lightgbm import missing
from arbitrank.probability import Floats
from arbitrank.semer import truths_found
from arbitrank.values import Hypothesis, Ranked, Truth

JOINT = "joint"
"""Name of the system that is one model over all domains."""


def acting_fallback(corpus: Corpus, decisions: Mapping[str, Any]) -> tuple[Corpus, Mapping[str, Any]]:
    """The corpus and the decisions; a fallback that is no domain of the corpus cannot act: it is noted and dropped."""
    name = decisions.get("fallback")
    if name in (None, *NO_FALLBACK, *corpus.domains):
        return corpus, decisions
    note = f"fallback {name!r}: {corpus.name} has no such domain, so none acts (it has {', '.join(corpus.domains)})"
    return dataclasses.replace(corpus, notes=(*corpus.notes, note)), {**decisions, "fallback": None}


def system_readings(
    corpus: Corpus, runs: Sequence[DomainRun], *, seed: int, kept: Places | None = None
) -> SystemReadings:
    """The readings of all systems, the joint model last where LightGBM is installed.

    `kept` are the places of the training requests that were kept back to tune on, None for all.
    """
    held: dict[str, Sequence[BestReadings]] = {
        system: [one.readings[system] for one in runs] for system in runs[0].readings
    }
    tuning: dict[str, TuningData] = {}
    for system in runs[0].tuning:
        on = "train, cross-fitted" if kept is None else "a fifth of train, kept back"
        tuning[system] = _data(corpus, [one.tuning[system] for one in runs], kept, on)
    changed = _changed(runs)
    rows = [one.joint for one in runs if one.joint is not None]
    if rows and missing() is None:
        taught = taught_joint(corpus)
        joint = joint_readings(rows, len(corpus.tuning), splits(corpus, seed), taught, seed=seed)
        places = None if corpus.tuning or corpus.cross_fitted else np.flatnonzero(taught)
        if corpus.grouped:
            joint = _keyed(corpus, runs, joint, places)
        held[JOINT], tuning[JOINT] = joint.held, _data(corpus, joint.tuning, places, "train, cross-fitted")
        changed = {name: {**own, JOINT: joint.changed[name]} for name, own in changed.items()}
    return SystemReadings(held, tuning, changed)


def _changed(runs: Sequence[DomainRun]) -> dict[str, dict[str, Sequence[BestReadings]]]:
    """The readings of changed requests by change and system; of a domain that a change does not concern, as held."""
    found: dict[str, dict[str, Sequence[BestReadings]]] = {}
    for name in dict.fromkeys(name for one in runs for name in one.changed):
        systems = dict.fromkeys(system for one in runs for system in one.changed.get(name, ()))
        found[name] = {
            system: [one.changed.get(name, {}).get(system, one.readings[system]) for one in runs] for system in systems
        }
    return found


def _keyed(corpus: Corpus, runs: Sequence[DomainRun], joint: JointReadings, places: Places | None) -> JointReadings:
    """The joint model's readings with the keys of domains in groups."""
    held, tuning = list(joint.held), list(joint.tuning)
    for d, one in enumerate(runs):
        if one.domain in corpus.grouped:
            own = load(one.hypotheses)
            held[d] = held[d].keyed(own.held or own.train)
            other = own.tuning if corpus.tuning else own.train
            other = other if places is None else [other[i] for i in places.tolist()]
            tuning[d] = tuning[d]._replace(readings=tuning[d].readings.keyed(other))
    return joint._replace(held=held, tuning=tuning)


def _data(corpus: Corpus, parts: Sequence[LabelledReadings], places: Places | None, train: str) -> TuningData:
    """The readings with the owners of the requests; of training requests those at `places`, None for all.

    `train` says which these are.
    """
    examples, on = corpus.tuning or corpus.train, "dev" if corpus.tuning else train
    if places is not None:
        examples = tuple(corpus.train[i] for i in places.tolist())
    return TuningData(observed(corpus.domains, parts, examples), OTHER_FOLDS if corpus.cross_fitted else on)


def folds(corpus: Corpus, seed: int) -> list[Places]:
    """The places of the held-out requests whose decisions are by settings of their own: all, or those of each fold."""
    return [np.flatnonzero(chosen) for _, chosen in splits(corpus, seed)]


def judged(
    corpus: Corpus, runs: Sequence[DomainRun], systems: Mapping[str, Deciding], *, none_counts: bool = True
) -> dict[str, SystemResults]:
    """Each system's results on the held-out requests, by its decision settings: what a service would answer.

    Without `none_counts` the head of each list is the answer, whatever is decided.
    """
    same = {system: _first_like(own, systems) for system, own in systems.items()}
    lists = {
        system: [_DecidedPart.of(places, own.readings, settings, corpus) for places, settings in own.parts]
        for system, own in systems.items()
        if same[system] == system
    }
    # One domain's hypotheses at a time, as those of all domains may not fit in memory.
    top: dict[str, list[Hypothesis | None]] = {system: [None] * len(corpus.held) for system in lists}
    several = frozenset(i for i, example in enumerate(corpus.held) if example.truth.also)
    contenders = {system: dict(_contenders(parts, several)) for system, parts in lists.items()}
    hits: dict[str, dict[int, list[Hypothesis]]] = {system: {i: [] for i in several} for system in lists}
    for d, one in enumerate(runs):
        recognised = load(one.hypotheses)
        own = recognised.held or recognised.train  # kept once where these are the training requests
        for system, parts in lists.items():
            for part in parts:
                won = np.flatnonzero(part.heads.domain == d)
                for i, k in zip(part.places[won].tolist(), part.heads.reading[won].tolist(), strict=True):
                    top[system][i] = own[i][k]
            for i in several:
                if d in contenders[system][i]:
                    hits[system][i].append(own[i][systems[system].readings[d].best[i]])
    truths = [example.truth for example in corpus.held]
    results = {}
    for system, parts in lists.items():
        each = [part.judged(top[system], truths, none_counts=none_counts) for part in parts]
        result = SystemResults.together(each, [part.places for part in parts])
        found = _found(result, hits[system], truths) if several else None
        results[system] = dataclasses.replace(result, found=found)
    return {system: results[first] for system, first in same.items()}


def _first_like(own: Deciding, systems: Mapping[str, Deciding]) -> str:
    """The first system with these readings and settings."""
    settings = [one for _, one in own.parts]
    return next(
        name
        for name, other in systems.items()
        if other.readings is own.readings and [one for _, one in other.parts] == settings
    )


class _DecidedPart(NamedTuple):
    """Readings of the requests at `places` and the heads of their merged lists, decided by the same settings."""

    places: Places
    readings: Sequence[BestReadings]
    heads: MergedHeads
    settings: DecisionSettings
    fallback: int | None
    terms: Terms | None

    @classmethod
    def of(
        cls, places: Places, readings: Sequence[BestReadings], settings: DecisionSettings, corpus: Corpus
    ) -> _DecidedPart:
        own, fallback = [one.at(places) for one in readings], number(corpus, settings.fallback)
        terms = terms_of(settings, corpus.domains)
        heads = merge_heads(own, settings, fallback, terms)
        contexts = [corpus.held[i].request.context for i in places.tolist()] if settings.accept_by else ()
        accept = accept_thresholds(settings.accept_by, settings.accept, corpus.domains, heads.domain, contexts)
        return cls(places, own, heads._replace(accept=accept), settings, fallback, terms)

    def judged(self, top: Sequence[Hypothesis | None], truths: Sequence[Truth], *, none_counts: bool) -> SystemResults:
        at = self.places.tolist()
        return judge(self.heads, [top[i] for i in at], [truths[i] for i in at], self.settings if none_counts else None)


def _contenders(parts: Sequence[_DecidedPart], several: frozenset[int]) -> list[tuple[int, tuple[int, ...]]]:
    """The numbers of the domains that are contenders of the decision on each request with several truths."""
    return [
        (i, contending(part.readings, part.heads, k, part.settings, part.fallback, part.terms))
        for part in parts
        for k, i in enumerate(part.places.tolist())
        if i in several
    ]


def contending(
    domains: Sequence[BestReadings],
    heads: MergedHeads,
    i: int,
    settings: DecisionSettings,
    fallback: int | None = None,
    terms: Terms | None = None,
) -> tuple[int, ...]:
    """The numbers of the domains whose best readings of request i are the contenders of its decision."""
    if heads.fallback[i]:
        return (int(heads.domain[i]),)
    at = np.array([i])
    alone = [BestReadings.empty(1) if d == fallback else one.at(at) for d, one in enumerate(domains)]
    ranked = []
    for d, one in enumerate(conditioned_readings(alone, settings, terms)[0]):
        mine, right = float(one.mine[0]), float(one.right[0])
        if one.best[0] >= 0:
            ranked.append(Ranked(str(d), "", score=mine * right, domain_probability=mine, probability=right))
    ranked.sort(key=lambda entry: -(entry.score or 0.0))
    decision = decide(ranked, settings, out_of_scope=float(heads.out_of_scope[i]))
    return tuple(int(ranked[k].domain) for k in decision.contenders)


def _found(one: SystemResults, hits: Mapping[int, Sequence[Hypothesis]], truths: Sequence[Truth]) -> Floats:
    """The share of each utterance's truths among the contenders; NaN where it has one truth."""
    found = np.full(len(truths), np.nan)
    for i, readings in hits.items():
        found[i] = truths_found(readings, truths[i], none=bool(one.none[i]))
    return found


def number(corpus: Corpus, name: str | None) -> int | None:
    """The number of a domain, None where there is none of the name."""
    return corpus.domains.index(name) if name in corpus.domains else None
