"""The experiment: every domain built apart from a corpus, every system trained apart, one merged list measured."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from joblib import Parallel, delayed
from threadpoolctl import threadpool_limits

from arbitrank.domain import Progress, Scores
from arbitrank.evaluate.corpus import Corpus, read_corpus
from arbitrank.evaluate.outcome import Outcome, outcome
from arbitrank.evaluate.summary import summarise
from arbitrank.evaluate.systems import SYSTEMS, fit_all, score
from arbitrank.learn.fitting import own_request
from arbitrank.nlu.recogniser import N_BEST
from arbitrank.nlu.seen import Seen
from arbitrank.nlu.training import cross_fit, look_at, train_recogniser
from arbitrank.values import Example, Hypothesis


class DomainRun(NamedTuple):
    """What one domain contributes: its hypotheses of the held-out requests, and each system's scores of them."""

    domain: str
    hypotheses: list[tuple[Hypothesis, ...]]
    scores: Mapping[str, list[Scores | None]]
    seconds: Mapping[str, float]


def evaluate(
    path: Path, *, seed: int = 0, jobs: int = 1, progress: Progress
) -> tuple[dict[str, Any], dict[str, Outcome], Corpus]:
    """The metrics of all systems on the corpus in `path`, how each fared, and what was measured on."""
    corpus = read_corpus(path)
    runs = run(corpus, seed=seed, jobs=jobs, progress=progress)
    hypotheses = [one.hypotheses for one in runs]
    truths = [example.truth for example in corpus.held]
    outcomes = {
        system: outcome(hypotheses, [one.scores[system] for one in runs], truths, none_counts=corpus.has_out_of_scope)
        for system in SYSTEMS
    }
    metrics = {
        "corpus": corpus.name,
        "split": corpus.split,
        "n": len(corpus.held),
        "domains": list(corpus.domains),
        "out_of_scope": corpus.has_out_of_scope,
        "seed": seed,
        "notes": list(corpus.notes),
        "systems": summarise(outcomes, corpus.held, against=("R0",), seed=seed),
        "seconds": _total([one.seconds for one in runs]),
    }
    return metrics, outcomes, corpus


def _total(laps: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """The seconds of each stage, summed over the domains."""
    return {stage: round(sum(one[stage] for one in laps), 2) for stage in laps[0]}


def run(corpus: Corpus, *, seed: int = 0, jobs: int = 1, progress: Progress) -> list[DomainRun]:
    """Build, train and score every domain of the corpus, each in a task of its own; in the order of their names."""
    sizes = {name: sum(e.truth.domain == name for e in corpus.train) for name in corpus.domains}
    # The largest domains first, so that no core is left alone with one at the end.
    order = sorted(corpus.domains, key=lambda name: (-sizes[name], name))
    seen, held_seen = look_at(corpus.train), look_at(corpus.held)
    tasks = (delayed(run_domain)(name, corpus.train, corpus.held, seen, held_seen, seed) for name in order)
    runs: list[DomainRun] = []
    for one in Parallel(n_jobs=jobs, return_as="generator_unordered")(tasks):
        runs.append(one)
        progress("domains", len(runs), len(order))
    return sorted(runs, key=lambda one: one.domain)


def run_domain(
    domain: str,
    train: Sequence[Example],
    held: Sequence[Example],
    seen: Sequence[Seen],
    held_seen: Sequence[Seen],
    seed: int,
) -> DomainRun:
    """One domain by itself: recogniser, cross-fitted hypotheses, every system's re-ranker, scores of `held`."""
    clock = _Clock()
    with threadpool_limits(1):
        fitted = cross_fit(domain, train, seed=seed, seen=seen)
        clock.lap("cross-fit")
        recogniser = train_recogniser(domain, train, seed, seen=seen)
        found = recogniser.recognise_many(held_seen, N_BEST)
        clock.lap("recognise")
        learning = [own_request(e.request, n_best) for e, n_best in zip(train, fitted, strict=True)]
        requests = [own_request(e.request, n_best) for e, n_best in zip(held, found, strict=True)]
        scores = {}
        for system, reranker in fit_all(domain, learning, [e.truth for e in train], seed=seed):
            scores[system] = score(reranker, requests)
            clock.lap(system)
    return DomainRun(domain, found, scores, clock.laps)


class _Clock:
    def __init__(self) -> None:
        self.laps: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, name: str) -> None:
        now = time.perf_counter()
        self.laps[name] = now - self._last
        self._last = now
