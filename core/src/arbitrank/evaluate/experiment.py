"""The experiment: every domain built apart from a corpus, every system trained apart, one merged list measured."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from joblib import Parallel, delayed
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from arbitrank.domain import Progress, Scores
from arbitrank.evaluate import joint
from arbitrank.evaluate.corpus import Corpus, read_corpus, read_hypotheses
from arbitrank.evaluate.outcome import Outcome, outcome
from arbitrank.evaluate.recognised import Readings, Recognised, load, recognise_corpus, split_hypotheses
from arbitrank.evaluate.summary import summarise
from arbitrank.evaluate.systems import DEFAULT, SYSTEMS, Fitted, fit_all, score, score_unseen
from arbitrank.evaluate.winning import AfterWinning, Heads, choose, heads
from arbitrank.learn.fitting import Evidence, gather, own_request
from arbitrank.values import Example, Request

JOINT = "joint"
_FOLDS = 5  # of the re-rankers, where one file of hypotheses is all there is


class DomainRun(NamedTuple):
    """What one domain contributes: its hypotheses of the held-out requests, each system's scores of them, its rows for
    the joint model in training and held out, the seconds it took, and what the default system says to requests that the
    report isn't on: those of the tuning split, else training requests, cross-fitted."""

    domain: str
    hypotheses: Readings
    scores: Mapping[str, list[Scores | None]]
    train_part: joint.Part
    held_part: joint.Part
    seconds: Mapping[str, float]
    unreported: Heads | None


def evaluate(
    path: Path, *, seed: int = 0, jobs: int = 1, progress: Progress
) -> tuple[dict[str, Any], dict[str, Outcome], Corpus]:
    """The metrics of all systems on the corpus in `path`, how each fared, and what was measured on."""
    clock = Clock()
    corpus = read_corpus(path) if path.is_dir() else read_hypotheses(path)
    clock.lap("read")
    with tempfile.TemporaryDirectory(prefix="arbitrank-") as folder:
        if corpus.cross_fitted:
            paths = split_hypotheses(corpus, Path(folder))
        else:
            paths = recognise_corpus(corpus, Path(folder), seed=seed, jobs=jobs, progress=progress)
        clock.lap("recognise")
        runs = run(corpus, paths, seed=seed, jobs=jobs, progress=progress)
    clock.lap("re-rankers")
    winning = after_winning(runs)
    outcomes = judged(corpus, runs, seed=seed, jobs=jobs, winning=winning)
    clock.lap("joint and merge")
    metrics = {
        "corpus": corpus.name,
        "split": corpus.split,
        "n": len(corpus.held),
        "domains": list(corpus.domains),
        "out_of_scope": corpus.has_out_of_scope,
        "seed": seed,
        "notes": list(corpus.notes),
        "after_winning": winning is not None and winning.independence is not None,
        "after_winning_choice": winning,
        "systems": summarise(outcomes, corpus.held, against=("R0", JOINT), seed=seed),
    }
    clock.lap("figures")
    metrics["seconds"] = {**clock.laps, "by system, all domains": _total([one.seconds for one in runs])}
    return metrics, outcomes, corpus


def after_winning(runs: Sequence[DomainRun]) -> AfterWinning | None:
    """Whether the default system's claims are measured against one another; None where no data are left to say."""
    unreported = [one.unreported for one in runs if one.unreported is not None]
    return choose(unreported) if unreported else None


def judged(
    corpus: Corpus, runs: Sequence[DomainRun], *, seed: int, jobs: int, winning: AfterWinning | None = None
) -> dict[str, Outcome]:
    """How each system fares on the held-out requests, the joint model last; `winning` is for the default one."""
    hypotheses = [one.hypotheses for one in runs]
    truths = [example.truth for example in corpus.held]
    scores = {system: [one.scores[system] for one in runs] for system in SYSTEMS}
    scores[JOINT] = joint.joint_scores(
        [one.train_part for one in runs],
        [one.held_part for one in runs],
        splits(corpus, seed),
        seed=seed,
        threads=jobs,
    )
    return {
        system: outcome(
            hypotheses,
            scored,
            truths,
            none_counts=corpus.has_out_of_scope,
            normalise=winning.independence if winning and system == DEFAULT else None,
        )
        for system, scored in scores.items()
    }


def run(
    corpus: Corpus, paths: Mapping[str, Path], *, seed: int = 0, jobs: int = 1, progress: Progress
) -> list[DomainRun]:
    """Train and score every system of every domain, each domain in a task of its own; in the order of their names."""
    tasks = (delayed(run_domain)(corpus, path, seed) for path in paths.values())
    runs: list[DomainRun] = []
    for one in Parallel(n_jobs=jobs, return_as="generator_unordered")(tasks):
        runs.append(one)
        progress("re-rankers", len(runs), len(paths))
    return sorted(runs, key=lambda one: one.domain)


def run_domain(corpus: Corpus, path: Path, seed: int) -> DomainRun:
    """One domain by itself: every system's re-ranker from its own hypotheses, and how it scores the held-out ones."""
    recognised = load(path)
    learning, learned = _with_hypotheses(corpus.train, recognised.train)
    asking, asked = _with_hypotheses(corpus.held, recognised.held)
    unreported: Heads | None = None
    clock = Clock()
    scores: dict[str, list[Scores | None]] = {system: [None] * len(corpus.held) for system in SYSTEMS}
    with threadpool_limits(1):
        whole = gather(recognised.domain, learning, [corpus.train[i].truth for i in learned])
        judged_on = Evidence.of(whole.spec, asking, [corpus.held[i].truth for i in asked])
        for rest, part in splits(corpus, seed):
            evidence, held = whole.only(rest[learned]), judged_on.only(part[asked])
            places = asked[part[asked]]
            for fitted in fit_all(evidence, seed=seed):
                for i, one in zip(places, score(fitted.reranker, held), strict=True):
                    scores[fitted.system][i] = one
                clock.lap(fitted.system)
                if fitted.system == DEFAULT and not corpus.cross_fitted:
                    unreported = _unreported(corpus, recognised, fitted, evidence, learned)
    parts = (joint.part(whole, learned), joint.part(judged_on, asked))
    return DomainRun(recognised.domain, recognised.held, scores, *parts, clock.laps, unreported)


def _unreported(
    corpus: Corpus, recognised: Recognised, fitted: Fitted, whole: Evidence, learned: NDArray[np.int64]
) -> Heads:
    if not corpus.tuning:
        return heads(len(corpus.train), learned, score_unseen(fitted, whole), whole)
    asking, asked = _with_hypotheses(corpus.tuning, recognised.tuning)
    tuning = Evidence.of(whole.spec, asking, [corpus.tuning[i].truth for i in asked])
    return heads(len(corpus.tuning), asked, score(fitted.reranker, tuning), tuning)


def splits(corpus: Corpus, seed: int) -> list[tuple[NDArray[np.bool_], NDArray[np.bool_]]]:
    """Which training requests teach and which held-out ones are then scored: everything once, or fold by fold."""
    if not corpus.cross_fitted:
        return [(np.ones(len(corpus.train), bool), np.ones(len(corpus.held), bool))]
    fold = np.random.default_rng(seed).permutation(len(corpus.held)) % _FOLDS
    return [(fold != f, fold == f) for f in range(_FOLDS)]


def _with_hypotheses(examples: Sequence[Example], readings: Readings) -> tuple[list[Request], NDArray[np.int64]]:
    """The requests that the domain has a reading of, holding it, and their places among all."""
    places = [i for i, found in enumerate(readings) if found]
    return [own_request(examples[i].request, readings[i]) for i in places], np.array(places, np.int64)


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
        self.laps[name] = round(self.laps.get(name, 0.0) + now - self._last, 3)
        self._last = now
