"""The experiment: every domain built apart from a corpus, every system trained apart, one merged list measured."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from joblib import Parallel, delayed
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from arbitrank.answerlog.segments import is_log
from arbitrank.arbitration.decide import DecisionSettings
from arbitrank.domain import Progress
from arbitrank.evaluate import joint
from arbitrank.evaluate.corpus import Corpus, read_corpus, read_hypotheses, without_hypotheses
from arbitrank.evaluate.hypotheses import Readings, Recognised, load, recognise_corpus, split_hypotheses
from arbitrank.evaluate.merge_tuning import AfterWinning, Heads, NoneChoice, choose, choose_none, heads
from arbitrank.evaluate.plugins import PLUGINS, run_plugins
from arbitrank.evaluate.results import Claims, Outcome, judge, merged
from arbitrank.evaluate.runs import Clock, DomainRun, splits
from arbitrank.evaluate.shared_corpus import Peak, Shared, peak, share, total
from arbitrank.evaluate.summary import summarise
from arbitrank.evaluate.systems import BOOSTED, DEFAULT, Fitted, available, fit_all, score, score_unseen
from arbitrank.learn.lightgbm import missing
from arbitrank.learn.linear_training import Evidence, gather, own_request
from arbitrank.nlu.recogniser import N_BEST
from arbitrank.values import Example, Hypothesis, Request

JOINT = "joint"


def evaluate(
    path: Path, *, seed: int = 0, jobs: int = 1, plugins: bool = False, progress: Progress
) -> tuple[dict[str, Any], dict[str, Outcome], Corpus]:
    """The metrics of all systems on the corpus in `path`, how each fared, and what was measured on.

    With `plugins`, the systems are the installed plugins and R0 on their hypotheses.
    """
    clock, peaks = Clock(), list[Peak | None]()
    corpus = read_corpus(path) if path.is_dir() and not is_log(path) else read_hypotheses(path)
    clock.lap("read")
    with tempfile.TemporaryDirectory(prefix="arbitrank-") as name:
        folder = Path(name)
        if plugins:
            runs = run_plugins(corpus, folder, seed=seed, jobs=jobs, progress=progress)
            corpus = without_hypotheses(corpus)
            clock.lap("plugins")
        else:
            if corpus.cross_fitted:
                paths = split_hypotheses(corpus, folder)
                corpus = without_hypotheses(corpus)
            else:
                paths = recognise_corpus(corpus, folder, seed=seed, jobs=jobs, progress=progress, peaks=peaks)
            clock.lap("recognise")
            runs = run(corpus, paths, seed=seed, jobs=jobs, progress=progress)
            clock.lap("re-rankers")
        winning = after_winning(corpus, runs)
        outcomes, nones = judged(corpus, runs, seed=seed, winning=winning)
    clock.lap("merge" if plugins else "joint and merge")
    systems = summarise(outcomes, corpus.held, against=("R0", JOINT), seed=seed)
    clock.lap("figures")
    metrics = {
        "corpus": corpus.name,
        "split": corpus.split,
        "n": len(corpus.held),
        "domains": list(corpus.domains),
        "out_of_scope": corpus.has_out_of_scope,
        "seed": seed,
        "notes": [*corpus.notes, *_left_out(corpus, runs), *(note for one in runs for note in one.notes)],
        "after_winning": winning is not None and winning.independence is not None,
        "after_winning_choice": winning,
        "none_choice": nones,
        "systems": systems,
        "seconds": {**clock.laps, "by system, all domains": _total([one.seconds for one in runs])},
        "peak_memory_bytes": total([peak(), *peaks, *(one.peak for one in runs)]),
    }
    return metrics, outcomes, corpus


def after_winning(corpus: Corpus, runs: Sequence[DomainRun]) -> AfterWinning | None:
    """Whether the default system's claims are measured against one another.

    None where no data are left to say, and where requests may be nobody's: then it isn't so that one domain owns each.
    """
    if corpus.has_out_of_scope:
        return None
    unreported = [one.unreported for one in runs if one.unreported is not None]
    return choose(unreported) if unreported else None


def judged(
    corpus: Corpus, runs: Sequence[DomainRun], *, seed: int, winning: AfterWinning | None = None
) -> tuple[dict[str, Outcome], dict[str, NoneChoice]]:
    """How each system fares on the held-out requests, the joint model last, where LightGBM lets there be one.

    `winning` is for the default system, or the plugins. Also, where requests may be nobody's, above which P(nobody)
    these and the joint model decide so, chosen by requests that the report isn't on.
    """
    nones: dict[str, NoneChoice] = {}
    unreported = [one.unreported for one in runs if one.unreported is not None]
    if corpus.has_out_of_scope and unreported:
        owners = _owners(corpus, corpus.tuning or corpus.train)
        nones[DEFAULT] = nones[PLUGINS] = choose_none([one.claims for one in unreported], owners)
    claims: dict[str, list[Claims]] = {system: [one.claims[system] for one in runs] for system in runs[0].claims}
    parts = [one.parts for one in runs if one.parts is not None]
    if parts and missing() is None:
        train, held = zip(*parts, strict=True)
        claims[JOINT], unseen = joint.joint_scores(train, held, splits(corpus, seed), seed=seed)
        if corpus.has_out_of_scope and not corpus.cross_fitted:
            nones[JOINT] = choose_none(unseen.claims, _owners(corpus, corpus.train)[unseen.places])
    lists = {
        system: merged(said, winning.decisions if winning and system in (DEFAULT, PLUGINS) else DecisionSettings())
        for system, said in claims.items()
    }
    # One domain's hypotheses at a time, as all of them together may not fit in memory.
    top: dict[str, list[Hypothesis | None]] = {system: [None] * len(corpus.held) for system in lists}
    for d, one in enumerate(runs):
        readings = _held(corpus, load(one.hypotheses))
        for system, list_ in lists.items():
            for i in np.flatnonzero(list_.domain == d).tolist():
                top[system][i] = readings[i][list_.reading[i]]
    truths = [example.truth for example in corpus.held]
    counts = corpus.has_out_of_scope
    outcomes = {}
    for system, list_ in lists.items():
        decisions = DecisionSettings(none=nones[system].threshold) if system in nones else DecisionSettings()
        outcomes[system] = judge(list_, top[system], truths, none_counts=counts, decisions=decisions)
    return outcomes, {system: one for system, one in nones.items() if system in lists}


def _owners(corpus: Corpus, examples: Sequence[Example]) -> NDArray[np.int64]:
    """The number of each example's domain, −1 for nobody's, −2 for one that isn't measured."""
    places = {name: number for number, name in enumerate(corpus.domains)}
    return np.array([-1 if e.truth.domain is None else places.get(e.truth.domain, -2) for e in examples], np.int64)


def run(
    corpus: Corpus, paths: Mapping[str, Path], *, seed: int = 0, jobs: int = 1, progress: Progress
) -> list[DomainRun]:
    """Train and score every system of every domain, each domain in a task of its own; in the order of their names."""
    runs: list[DomainRun] = []
    with tempfile.TemporaryDirectory(prefix="arbitrank-") as scratch:
        shared = share(corpus, Path(scratch) / "corpus")
        tasks = (delayed(_run_shared)(shared, path, seed) for path in paths.values())
        for one in Parallel(n_jobs=jobs, return_as="generator_unordered")(tasks):
            runs.append(one)
            progress("re-rankers", len(runs), len(paths))
    return sorted(runs, key=lambda one: one.domain)


def _run_shared(corpus: Shared, path: Path, seed: int) -> DomainRun:
    return run_domain(corpus.value, path, seed)


def run_domain(corpus: Corpus, path: Path, seed: int) -> DomainRun:
    """One domain by itself: every system's re-ranker from its own hypotheses, and how it scores the held-out ones."""
    recognised = load(path)
    learning, learned = _with_hypotheses(corpus.train, recognised.train)
    unreported: Heads | None = None
    clock = Clock()
    claims = {system: Claims.none(len(corpus.held)) for system in available()}
    with threadpool_limits(1):
        whole = gather(recognised.domain, learning, [corpus.train[i].truth for i in learned])
        judged_on, asked = whole, learned
        if not corpus.cross_fitted:
            asking, asked = _with_hypotheses(corpus.held, recognised.held)
            judged_on = Evidence.of(whole.spec, asking, [corpus.held[i].truth for i in asked])
        for rest, part in splits(corpus, seed):
            evidence, held = whole.only(rest[learned]), judged_on.only(part[asked])
            places = asked[part[asked]].tolist()
            for fitted in fit_all(evidence, seed=seed):
                claims[fitted.system].put(places, score(fitted.reranker, held))
                clock.lap(fitted.system)
                if fitted.system == DEFAULT and not corpus.cross_fitted:
                    unreported = _unreported(corpus, recognised, fitted, evidence, learned)
        kept = taught_joint(corpus)[learned]
        parts = joint.part(whole.only(kept), learned[kept]), joint.part(judged_on, asked)
    return DomainRun(recognised.domain, path, claims, parts, clock.laps, unreported, (), peak())


def taught_joint(corpus: Corpus) -> NDArray[np.bool_]:
    """Which training requests the joint model learns from."""
    if corpus.cross_fitted:  # how many hypotheses a file may hold is limited already
        return np.ones(len(corpus.train), bool)
    return joint.sampled(len(corpus.train), len(corpus.domains), N_BEST)


def _left_out(corpus: Corpus, runs: Sequence[DomainRun]) -> list[str]:
    """What was not measured, or not as it should be, in words."""
    if any(one.parts is None for one in runs):
        return []
    lack = missing()
    if lack is not None:
        return [f"left out: {', '.join((*BOOSTED, JOINT))}: {lack}"]
    taught = int(taught_joint(corpus).sum())
    if taught < len(corpus.train):
        return [f"joint: learns from {taught} of {len(corpus.train)} training requests; more would not fit in memory"]
    return []


def _unreported(
    corpus: Corpus, recognised: Recognised, fitted: Fitted, whole: Evidence, learned: NDArray[np.int64]
) -> Heads:
    if not corpus.tuning:
        return heads(len(corpus.train), learned, score_unseen(fitted, whole), whole)
    asking, asked = _with_hypotheses(corpus.tuning, recognised.tuning)
    tuning = Evidence.of(whole.spec, asking, [corpus.tuning[i].truth for i in asked])
    return heads(len(corpus.tuning), asked, score(fitted.reranker, tuning), tuning)


def _held(corpus: Corpus, recognised: Recognised) -> Readings:
    """The readings of the held-out requests; where these are the training requests, they are kept once."""
    return recognised.held or (recognised.train if corpus.cross_fitted else recognised.held)


def _with_hypotheses(examples: Sequence[Example], readings: Readings) -> tuple[list[Request], NDArray[np.int64]]:
    """The requests that the domain has a reading of, holding it, and their places among all."""
    places = [i for i, found in enumerate(readings) if found]
    return [own_request(examples[i].request, readings[i]) for i in places], np.array(places, np.int64)


def _total(laps: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """The seconds of each stage, summed over the domains."""
    return {stage: round(sum(one.get(stage, 0.0) for one in laps), 2) for stage in laps[0]}
