"""The experiment: every domain built apart from a corpus, every system trained apart, one merged list measured."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from joblib import Parallel, delayed
from threadpoolctl import threadpool_limits

from arbitrank.domain import Progress, Scores
from arbitrank.evaluate import joint
from arbitrank.evaluate.corpus import Corpus, read_corpus
from arbitrank.evaluate.outcome import Outcome, outcome
from arbitrank.evaluate.recognised import Readings, load, recognise_corpus
from arbitrank.evaluate.summary import summarise
from arbitrank.evaluate.systems import SYSTEMS, fit_all, score
from arbitrank.learn.features import FeatureSpec
from arbitrank.learn.fitting import Evidence, gather, own_request
from arbitrank.values import Example

JOINT = "joint"


class DomainRun(NamedTuple):
    """What one domain contributes: its hypotheses of the held-out requests, each system's scores of them, its rows for
    the joint model in training and held out, and the seconds it took."""

    domain: str
    hypotheses: Readings
    scores: Mapping[str, list[Scores | None]]
    train_part: joint.Part
    held_part: joint.Part
    seconds: Mapping[str, float]


def evaluate(
    path: Path, *, seed: int = 0, jobs: int = 1, progress: Progress
) -> tuple[dict[str, Any], dict[str, Outcome], Corpus]:
    """The metrics of all systems on the corpus in `path`, how each fared, and what was measured on."""
    clock = Clock()
    corpus = read_corpus(path)
    clock.lap("read")
    with tempfile.TemporaryDirectory(prefix="arbitrank-") as folder:
        paths = recognise_corpus(corpus, Path(folder), seed=seed, jobs=jobs, progress=progress)
        clock.lap("recognise")
        runs = run(corpus, paths, seed=seed, jobs=jobs, progress=progress)
    clock.lap("re-rankers")
    outcomes = judged(corpus, runs, seed=seed, jobs=jobs)
    clock.lap("joint and merge")
    metrics = {
        "corpus": corpus.name,
        "split": corpus.split,
        "n": len(corpus.held),
        "domains": list(corpus.domains),
        "out_of_scope": corpus.has_out_of_scope,
        "seed": seed,
        "notes": list(corpus.notes),
        "systems": summarise(outcomes, corpus.held, against=("R0", JOINT), seed=seed),
    }
    clock.lap("figures")
    metrics["seconds"] = {**clock.laps, "by system, all domains": _total([one.seconds for one in runs])}
    return metrics, outcomes, corpus


def judged(corpus: Corpus, runs: Sequence[DomainRun], *, seed: int, jobs: int) -> dict[str, Outcome]:
    """How each system fares on the held-out requests, the joint model last."""
    hypotheses = [one.hypotheses for one in runs]
    truths = [example.truth for example in corpus.held]
    scores = {system: [one.scores[system] for one in runs] for system in SYSTEMS}
    scores[JOINT] = joint.joint_scores(
        [one.train_part for one in runs],
        [one.held_part for one in runs],
        len(corpus.train),
        len(corpus.held),
        seed=seed,
        threads=jobs,
    )
    return {
        system: outcome(hypotheses, scored, truths, none_counts=corpus.has_out_of_scope)
        for system, scored in scores.items()
    }


def run(
    corpus: Corpus, paths: Mapping[str, Path], *, seed: int = 0, jobs: int = 1, progress: Progress
) -> list[DomainRun]:
    """Train and score every system of every domain, each domain in a task of its own; in the order of their names."""
    tasks = (delayed(run_domain)(corpus.train, corpus.held, path, seed) for path in paths.values())
    runs: list[DomainRun] = []
    for one in Parallel(n_jobs=jobs, return_as="generator_unordered")(tasks):
        runs.append(one)
        progress("re-rankers", len(runs), len(paths))
    return sorted(runs, key=lambda one: one.domain)


def run_domain(train: Sequence[Example], held: Sequence[Example], path: Path, seed: int) -> DomainRun:
    """One domain by itself: every system's re-ranker from its own hypotheses, and its scores of the held-out requests."""
    clock = Clock()
    recognised = load(path)
    domain = recognised.domain
    learning = [own_request(e.request, found) for e, found in zip(train, recognised.train, strict=True)]
    asking = [own_request(e.request, found) for e, found in zip(held, recognised.held, strict=True)]
    scores = {}
    with threadpool_limits(1):
        whole = gather(domain, learning, [e.truth for e in train])
        judged_on = evidence_of(whole.spec, asking, held)
        for system, reranker in fit_all(whole, seed=seed):
            found = iter(score(reranker, judged_on))
            scores[system] = [next(found) if request.hypotheses else None for request in asking]
            clock.lap(system)
    return DomainRun(
        domain,
        recognised.held,
        scores,
        joint.part(whole.spec, whole, [i for i, request in enumerate(learning) if request.hypotheses]),
        joint.part(whole.spec, judged_on, [i for i, request in enumerate(asking) if request.hypotheses]),
        clock.laps,
    )


def evidence_of(spec: FeatureSpec, requests: Sequence[Any], examples: Sequence[Example]) -> Evidence:
    """The requests that have a hypothesis, as evidence with features that were chosen in training."""
    kept = [(r, e.truth) for r, e in zip(requests, examples, strict=True) if r.hypotheses]
    return Evidence.of(spec, [r for r, _ in kept], [truth for _, truth in kept])


def _total(laps: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """The seconds of each stage, summed over the domains."""
    return {stage: round(sum(one[stage] for one in laps), 2) for stage in laps[0]}


class Clock:
    """Laps of wall time in seconds, by name."""

    def __init__(self) -> None:
        self.laps: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, name: str) -> None:
        """End the present lap under this name."""
        now = time.perf_counter()
        self.laps[name] = round(now - self._last, 3)
        self._last = now
