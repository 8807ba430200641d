"""The experiment: every domain built alone from a corpus, every system trained alone, the merged lists measured."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from arbitrank.answerlog.segments import is_log
from arbitrank.arbitration.decide import DecisionSettings
from arbitrank.arbitration.merge import BestReadings, merge_heads
from arbitrank.context_keys import NamedKeys
from arbitrank.domain import Progress
from arbitrank.errors import InputError
from arbitrank.evaluate.corpus import Corpus, read_corpus, read_hypotheses, with_keys, without_hypotheses
from arbitrank.evaluate.hypotheses import Readings, Recognised, load, recognise_corpus, split_hypotheses
from arbitrank.evaluate.joint import joint_readings, joint_rows, sampled
from arbitrank.evaluate.merge_tuning import (
    AfterWinning,
    LabelledReadings,
    NoneChoice,
    choose,
    choose_none,
    contending,
    label,
)
from arbitrank.evaluate.plugins import PLUGINS, installed, run_plugins
from arbitrank.evaluate.results import BY_SYSTEM, SystemResults, judge, summarise
from arbitrank.evaluate.runs import Clock, DomainRun, Peak, SharedCorpus, in_processes, peak, splits, total
from arbitrank.evaluate.systems import BOOSTED, DEFAULT, Fitted, available, fit_all, score, score_unseen
from arbitrank.learn.evidence import Evidence, gather, own_request
from arbitrank.learn.features import CORE_KEYS
from arbitrank.learn.lightgbm import missing
from arbitrank.nlu.recogniser import N_BEST
from arbitrank.probability import Floats
from arbitrank.semer import truths_found
from arbitrank.values import Example, Hypothesis, Request, Truth

JOINT = "joint"


def evaluate(
    path: Path,
    *,
    seed: int = 0,
    jobs: int = 1,
    plugins: bool = False,
    context_keys: NamedKeys = MappingProxyType({}),
    decisions: Mapping[str, Any] = {},
    progress: Progress,
) -> tuple[dict[str, Any], dict[str, SystemResults], Corpus]:
    """The metrics and the results of all systems on the corpus in `path`, and the corpus.

    With `plugins`, the systems are the installed plugins and R0 on their hypotheses. `context_keys` are read beside
    the domains' own. `decisions` are fields of the decision settings that are set; the others are chosen where there
    are data to choose by, else they are the defaults.
    """
    clock, peaks = Clock(), list[Peak | None]()
    corpus = read_corpus(path) if path.is_dir() and not is_log(path) else read_hypotheses(path)
    _check_fallback(corpus, decisions)
    corpus = with_keys(corpus, context_keys, installed(corpus).values() if plugins else None)
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
                paths, peaks = recognise_corpus(corpus, folder, seed=seed, jobs=jobs, progress=progress)
            clock.lap("recognise")
            runs = run(corpus, paths, seed=seed, jobs=jobs, progress=progress)
            clock.lap("re-rankers")
        winning = after_winning(corpus, runs, decisions)
        settings, nones, readings = served(corpus, runs, seed=seed, winning=winning, given=decisions)
        results = judged(corpus, runs, settings, readings)
    clock.lap("merge" if plugins else "joint and merge")
    systems = summarise(results, corpus.held, against=("R0", JOINT), seed=seed)
    clock.lap("figures")
    by_system = {key: round(sum(one.seconds.get(key, 0.0) for one in runs), 2) for key in runs[0].seconds}
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
        "settings": settings,
        "seconds": {**clock.laps, BY_SYSTEM: by_system},
        "peak_memory_bytes": total([peak(), *peaks, *(one.peak for one in runs)]),
    }
    return metrics, results, corpus


def _check_fallback(corpus: Corpus, decisions: Mapping[str, Any]) -> None:
    name = decisions.get("fallback")
    if name is not None and name not in corpus.domains:
        raise InputError(
            f"--fallback: {corpus.name} has no domain {name!r}, expected one of {', '.join(corpus.domains)}"
        )


def after_winning(corpus: Corpus, runs: Sequence[DomainRun], given: Mapping[str, Any] = {}) -> AfterWinning | None:
    """The choice of after-winning calibration for the default system.

    None where it is given, where no data are left to choose by, and where requests may be out of scope: then not every
    request is owned by exactly one domain.
    """
    if "normalise" in given or corpus.has_out_of_scope:
        return None
    unreported = [one.unreported for one in runs if one.domain != given.get("fallback")]
    labelled = [one for one in unreported if one is not None]
    return choose(labelled) if labelled else None


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
    lists = {system: merge_heads(domains, settings[system], acting[system]) for system, domains in readings.items()}
    # One domain's hypotheses at a time, as those of all domains may not fit in memory.
    top: dict[str, list[Hypothesis | None]] = {system: [None] * len(corpus.held) for system in lists}
    several = [i for i, example in enumerate(corpus.held) if example.truth.also]
    contenders = {
        system: {i: contending(readings[system], heads, i, settings[system], acting[system]) for i in several}
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
    return None if name is None else corpus.domains.index(name)


def _owners(corpus: Corpus, examples: Sequence[Example]) -> NDArray[np.bool_]:
    """Marks of each example's domains, and in the last column of those out of scope; shape (n, domains + 1)."""
    truths = [example.truth for example in examples]
    return np.array([[*map(truth.owned_by, corpus.domains), truth.out_of_scope] for truth in truths], bool)


def run(corpus: Corpus, paths: Mapping[str, Path], *, seed: int, jobs: int, progress: Progress) -> list[DomainRun]:
    """Train and score every system of every domain, each domain in a task of its own; in the order of their names."""
    tasks = [(path, seed) for path in paths.values()]
    runs = in_processes(_run, corpus, tasks, jobs=jobs, stage="re-rankers", progress=progress)
    return sorted(runs, key=lambda one: one.domain)


def _run(shared: SharedCorpus, path: Path, seed: int) -> DomainRun:
    """Run of one domain alone: every system's re-ranker from the domain's own hypotheses, and its held-out scores."""
    corpus, recognised = shared.value, load(path)
    learning, learned = _with_hypotheses(corpus.train, recognised.train)
    unreported: LabelledReadings | None = None
    clock = Clock()
    keys = (*CORE_KEYS, *corpus.named.get(recognised.domain, ()))
    readings = {system: BestReadings.empty(len(corpus.held)) for system in available()}
    with threadpool_limits(1):
        truths, silent = [corpus.train[i].truth for i in learned], _silent(corpus.train, recognised)
        training = gather(recognised.domain, learning, truths, keys=keys, silent=silent)
        scoring, scored = training, learned
        if not corpus.cross_fitted:
            scoring, scored = _evidence(training, corpus.held, recognised.held)
        for rest, chosen in splits(corpus, seed):
            evidence, held = training.only(rest[learned]), scoring.only(chosen[scored])
            places = scored[chosen[scored]].tolist()
            for fitted in fit_all(evidence, seed=seed):
                readings[fitted.system].put(places, score(fitted.reranker, held))
                clock.lap(fitted.system)
                if fitted.system == DEFAULT and not corpus.cross_fitted:
                    unreported = _labelled(corpus, recognised, fitted, evidence, learned)
        kept = taught_joint(corpus)[learned]
        rows = joint_rows(training.only(kept), learned[kept]), joint_rows(scoring, scored)
    return DomainRun(recognised.domain, path, readings, clock.laps, unreported, peak(), rows)


def taught_joint(corpus: Corpus) -> NDArray[np.bool_]:
    """Mask of the training requests that the joint model learns from."""
    if corpus.cross_fitted:  # the number of hypotheses in a file is limited already
        return np.ones(len(corpus.train), bool)
    return sampled(len(corpus.train), len(corpus.domains), N_BEST)


def _left_out(corpus: Corpus, runs: Sequence[DomainRun]) -> list[str]:
    """Notes on systems that were not measured, or not on all data."""
    if any(one.joint is None for one in runs):
        return []
    if lack := missing():
        return [f"left out: {', '.join((*BOOSTED, JOINT))}: {lack}"]
    taught, n = int(taught_joint(corpus).sum()), len(corpus.train)
    note = f"joint: learns from {taught} of {n} training requests; more would not fit in memory"
    return [note] if taught < n else []


def _labelled(
    corpus: Corpus, recognised: Recognised, fitted: Fitted, evidence: Evidence, learned: NDArray[np.int64]
) -> LabelledReadings:
    if not corpus.tuning:
        return label(len(corpus.train), learned, score_unseen(fitted, evidence), evidence)
    tuning, places = _evidence(evidence, corpus.tuning, recognised.tuning)
    return label(len(corpus.tuning), places, score(fitted.reranker, tuning), tuning)


def _silent(examples: Sequence[Example], recognised: Recognised) -> int:
    """Number of other domains' requests that the domain has no reading of."""
    each = zip(examples, recognised.train, strict=True)
    return sum(not own and not example.truth.owned_by(recognised.domain) for example, own in each)


def _evidence(like: Evidence, examples: Sequence[Example], readings: Readings) -> tuple[Evidence, NDArray[np.int64]]:
    """The requests that the domain has a reading of, as evidence with the features of `like`, and their places."""
    requests, places = _with_hypotheses(examples, readings)
    return Evidence.of(like.spec, requests, [examples[i].truth for i in places]), places


def _with_hypotheses(examples: Sequence[Example], readings: Readings) -> tuple[list[Request], NDArray[np.int64]]:
    """The requests that the domain has a reading of, holding it, and their places among all."""
    places = [i for i, own in enumerate(readings) if own]
    return [own_request(examples[i].request, readings[i]) for i in places], np.array(places, np.int64)
