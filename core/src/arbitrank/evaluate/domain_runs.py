"""Runs of the domains: every system's re-ranker of each domain, trained and scored in a task of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from arbitrank.arbitration.merge import BestReadings
from arbitrank.decisions.scope import LEAST
from arbitrank.domain import Progress
from arbitrank.evaluate.changed_requests import ChangedRequests
from arbitrank.evaluate.corpus import Corpus
from arbitrank.evaluate.hypotheses import Readings, Recognised, load
from arbitrank.evaluate.joint import JointParts, joint_rows, taught_joint
from arbitrank.evaluate.labelled import LabelledReadings, label, labelled
from arbitrank.evaluate.runs import Clock, DomainRun, SharedCorpus, in_processes, peak, splits
from arbitrank.evaluate.shifts import RequestChange
from arbitrank.evaluate.systems import available, fit_all, score, score_unseen, shared_times
from arbitrank.learn.evidence import Evidence, gather, own_request
from arbitrank.learn.features import CORE_KEYS
from arbitrank.values import Example, Request


def run(
    corpus: Corpus,
    paths: Mapping[str, Path],
    *,
    seed: int,
    jobs: int,
    progress: Progress,
    changed: Sequence[RequestChange] = (),
    systems: Sequence[str] | None = None,
) -> list[DomainRun]:
    """Train and score every system of every domain, each domain in a task of its own; in the order of their names.

    The held-out requests are scored again as each of the changes makes them. `systems` are those wanted, None for all.
    """
    tasks = [(path, seed, changed, systems) for path in paths.values()]
    runs = in_processes(_run, corpus, tasks, jobs=jobs, stage="re-rankers", progress=progress)
    return sorted(runs, key=lambda one: one.domain)


def _run(
    shared: SharedCorpus,
    path: Path,
    seed: int,
    changed: Sequence[RequestChange],
    systems: Sequence[str] | None = None,
) -> DomainRun:
    """Run of one domain alone: every system's re-ranker from the domain's own hypotheses, and its held-out scores."""
    corpus, recognised = shared.value, load(path)
    learning, learned = _with_hypotheses(corpus.train, recognised.train)
    clock = Clock()
    keys = (*CORE_KEYS, *corpus.named.get(recognised.domain, ()))
    readings = {system: BestReadings.empty(len(corpus.held)) for system in systems or available()}
    tuning: dict[str, LabelledReadings] = {}
    with threadpool_limits(1):
        truths, silent = [corpus.train[i].truth for i in learned], _silent(corpus.train, recognised)
        training = gather(recognised.domain, learning, truths, keys=keys, silent=silent)
        scoring, scored = training, learned
        if not corpus.cross_fitted:
            scoring, scored = _evidence(training, corpus.held, recognised.held)
        shifted = ChangedRequests(changed, scoring, scored, len(corpus.held))
        choosing = _evidence(training, corpus.tuning, recognised.tuning) if corpus.tuning else None
        unseen = choosing is None and not corpus.cross_fitted and len(corpus.train) >= LEAST
        for rest, chosen in splits(corpus, seed):
            evidence, held = training.only(rest[learned]), scoring.only(chosen[scored])
            places = scored[chosen[scored]].tolist()
            for fitted in fit_all(evidence, seed=seed, unseen=unseen, systems=systems):
                readings[fitted.system].put(places, score(fitted.reranker, held))
                shifted.score(fitted, chosen[scored])
                if choosing is not None:
                    of_tuning = score(fitted.reranker, choosing[0])
                    tuning[fitted.system] = label(len(corpus.tuning), choosing[1], of_tuning, choosing[0])
                elif unseen:
                    of_training = score_unseen(fitted, evidence)
                    tuning[fitted.system] = label(len(corpus.train), learned, of_training, evidence)
                else:  # too few to tune on
                    tuning[fitted.system] = LabelledReadings.none(len(corpus.train))
                clock.lap(fitted.system)
        if recognised.domain in corpus.grouped:
            readings, tuning = _keyed(corpus, recognised, readings, tuning)
        if corpus.cross_fitted:
            tuning = {system: labelled(one, scored, scoring) for system, one in readings.items()}
        kept = taught_joint(corpus)[learned]
        rows = JointParts(
            joint_rows(training.only(kept), learned[kept]),
            None if choosing is None else joint_rows(*choosing),
            joint_rows(scoring, scored),
            shifted.joint(),
        )
    return DomainRun(
        recognised.domain, path, readings, shared_times(clock.laps), tuning, peak(), rows, changed=shifted.readings
    )


def _keyed(
    corpus: Corpus,
    recognised: Recognised,
    readings: Mapping[str, BestReadings],
    tuning: Mapping[str, LabelledReadings],
) -> tuple[dict[str, BestReadings], dict[str, LabelledReadings]]:
    """The readings with their keys, by which those of domains that mean the same are compared."""
    held, other = recognised.held or recognised.train, recognised.tuning if corpus.tuning else recognised.train
    return (
        {system: one.keyed(held) for system, one in readings.items()},
        {system: one._replace(readings=one.readings.keyed(other)) for system, one in tuning.items()},
    )


def _silent(examples: Sequence[Example], recognised: Recognised) -> int:
    """Number of other domains' requests that the domain has no reading of."""
    each = zip(examples, recognised.train, strict=True)
    name = recognised.domain
    return sum(
        not own and not example.truth.owned_by(name) and name not in example.request.refused for example, own in each
    )


def _evidence(like: Evidence, examples: Sequence[Example], readings: Readings) -> tuple[Evidence, NDArray[np.int64]]:
    """The requests that the domain has a reading of, as evidence with the features of `like`, and their places."""
    requests, places = _with_hypotheses(examples, readings)
    return Evidence.of(like.spec, requests, [examples[i].truth for i in places]), places


def _with_hypotheses(examples: Sequence[Example], readings: Readings) -> tuple[list[Request], NDArray[np.int64]]:
    """The requests that the domain has a reading of, holding it, and their places among all."""
    places = [i for i, own in enumerate(readings) if own]
    return [own_request(examples[i].request, readings[i]) for i in places], np.array(places, np.int64)
