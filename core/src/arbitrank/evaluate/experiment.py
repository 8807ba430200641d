"""The experiment: every domain built alone from a corpus, every system trained alone, the merged lists measured."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from msgspec.structs import replace

from arbitrank.answerlog.segments import is_log
from arbitrank.arbitration.decide import DecisionSettings
from arbitrank.configuration import StatedScales
from arbitrank.context_keys import NamedKeys
from arbitrank.domain import Domain, Progress
from arbitrank.evaluate.answers import JOINT, acting_fallback, folds, judged, system_readings
from arbitrank.evaluate.changed_requests import measured_under_shift
from arbitrank.evaluate.corpus import Corpus, read_corpus, read_hypotheses, with_groups, with_keys, without_hypotheses
from arbitrank.evaluate.domain_runs import run
from arbitrank.evaluate.hypotheses import recognise_corpus, split_hypotheses
from arbitrank.evaluate.joint import taught_joint
from arbitrank.evaluate.plugins import PLUGINS, installed, kept_back, run_plugins, with_fallback, with_settings
from arbitrank.evaluate.results import BY_SYSTEM, SystemResults, summarise
from arbitrank.evaluate.runs import Clock, DomainRun, Peak, peak, total
from arbitrank.evaluate.scope_shares import at_shares
from arbitrank.evaluate.scored_corpus import with_scales
from arbitrank.evaluate.shifts import RequestChange, changes
from arbitrank.evaluate.systems import AUTO, BOOSTED, DEFAULT
from arbitrank.evaluate.tuning import Deciding, SystemReadings, SystemTuning, choices_of, tune_all, tuned
from arbitrank.learn.lightgbm import missing
from arbitrank.wire.offsets import Offsets

REFERENCES = ("R0", tuned("R0"), JOINT, tuned(JOINT))
"""The systems that all others are compared with."""

MAIN = ("R0", DEFAULT, AUTO, PLUGINS, JOINT)
"""The systems that are reported with traffic of other shares of out-of-scope requests as well."""


def evaluate(
    path: Path,
    *,
    seed: int = 0,
    jobs: int = 1,
    plugins: bool = False,
    context_keys: NamedKeys = MappingProxyType({}),
    decisions: Mapping[str, Any] = {},
    scales: StatedScales = MappingProxyType({}),
    offsets: Offsets = "characters",
    in_force: DecisionSettings | None = None,
    shift: bool = False,
    progress: Progress,
) -> tuple[dict[str, Any], dict[str, SystemResults], Corpus]:
    """The metrics and the results of all systems on the corpus in `path`, and the corpus.

    With `plugins`, the systems are the installed plugins and R0 on their hypotheses. `context_keys` are read beside
    the domains' own. `decisions` are fields of the decision settings that are stated. Each system is reported untuned,
    with the others at their defaults (the plugins: as the settings `in_force` have them), and with the others tuned.
    `scales` are stated for the domains' scores, `offsets` is the unit of a corpus's offsets. With `shift`, the metrics
    hold those of the main systems under shifts of the held-out traffic.
    """
    clock, peaks = Clock(), list[Peak | None]()
    corpus = read_corpus(path, offsets) if path.is_dir() and not is_log(path) else read_hypotheses(path)
    corpus, decisions = _stated(
        corpus, decisions, in_force, installed(corpus) if plugins else None, context_keys, scales
    )
    changed = changes(corpus) if shift and not plugins else []
    clock.lap("read")
    with tempfile.TemporaryDirectory(prefix="arbitrank-") as name:
        folder = Path(name)
        if plugins:
            runs = run_plugins(corpus, folder, seed=seed, jobs=jobs, progress=progress)
            runs, decisions = with_fallback(corpus, runs, decisions)
            corpus = without_hypotheses(corpus)
            clock.lap("plugins")
        else:
            corpus, runs, peaks = _recognised_runs(
                corpus, folder, clock, changed, seed=seed, jobs=jobs, progress=progress
            )
        merging = "merge" if plugins else "joint and merge"
        readings = system_readings(corpus, runs, seed=seed, kept=kept_back(corpus) if plugins else None)
        clock.lap(merging)
        deciding, tunings = untuned_and_tuned(
            corpus, readings, decisions, in_force, seed=seed, jobs=jobs, progress=progress
        )
        clock.lap("tuning")
        results = judged(corpus, runs, deciding)
        clock.lap(merging)
        under_shift = {}
        if shift:
            under_shift["shift"] = measured_under_shift(corpus, runs, readings, deciding, changed, MAIN, seed=seed)
            clock.lap("shift")
    figures = _figures(corpus, results, tunings, seed)
    clock.lap("figures")
    settings = {name: tunings[name].settings if name in tunings else one.settings for name, one in deciding.items()}
    chosen = {**choices_of(tunings), "tuning": tunings, "settings": settings}
    metrics = {**_described(corpus, runs, seed), **figures, **under_shift, **chosen, **_cost(clock, runs, peaks)}
    return metrics, results, corpus


def _cost(clock: Clock, runs: Sequence[DomainRun], peaks: Sequence[Peak | None]) -> dict[str, Any]:
    """The time by stage and by system, and the peak memory."""
    by_system = {key: round(sum(one.seconds.get(key, 0.0) for one in runs), 2) for key in runs[0].seconds}
    return {
        "seconds": {**clock.laps, BY_SYSTEM: by_system},
        "peak_memory_bytes": total([peak(), *peaks, *(one.peak for one in runs)]),
    }


def _recognised_runs(
    corpus: Corpus,
    folder: Path,
    clock: Clock,
    changed: Sequence[RequestChange],
    *,
    seed: int,
    jobs: int,
    progress: Progress,
) -> tuple[Corpus, list[DomainRun], list[Peak | None]]:
    """The corpus without the hypotheses that it brought, the runs of its domains, and the memory of recognising it."""
    peaks: list[Peak | None] = []
    if corpus.cross_fitted:
        paths = split_hypotheses(corpus, folder)
        corpus = without_hypotheses(corpus)
    else:
        paths, peaks = recognise_corpus(corpus, folder, seed=seed, jobs=jobs, progress=progress)
    clock.lap("recognise")
    runs = run(corpus, paths, seed=seed, jobs=jobs, progress=progress, changed=changed)
    clock.lap("re-rankers")
    return corpus, runs, peaks


def _figures(
    corpus: Corpus, results: Mapping[str, SystemResults], tunings: Mapping[str, SystemTuning], seed: int
) -> dict[str, Any]:
    """The metrics of all systems, and those of the main ones with other shares of out-of-scope requests."""
    untuned = {name: one.system for name, one in tunings.items()}
    main = [
        name
        for name in results
        if untuned.get(name, name) in MAIN and (name not in tunings or not tunings[name].unlabelled)
    ]
    return {
        "systems": summarise(results, corpus.held, against=REFERENCES, untuned=untuned, seed=seed),
        "out_of_scope_shares": at_shares(results, corpus.held, main, REFERENCES, seed=seed),
    }


def untuned_and_tuned(
    corpus: Corpus,
    readings: SystemReadings,
    stated: Mapping[str, Any] = MappingProxyType({}),
    in_force: DecisionSettings | None = None,
    *,
    seed: int = 0,
    jobs: int = 1,
    progress: Progress,
) -> tuple[dict[str, Deciding], dict[str, SystemTuning]]:
    """Every system untuned and tuned, by its name in the report, and the reports of the latter.

    The main ones are tuned once more with the held-out requests as traffic, where requests may be out of scope.
    """
    bases = {system: base(system, stated, in_force) for system in readings.held}
    traffic = MAIN if corpus.has_out_of_scope else ()
    return tune_all(readings, bases, folds(corpus, seed), traffic, seed=seed, jobs=jobs, progress=progress)


def base(system: str, stated: Mapping[str, Any], in_force: DecisionSettings | None = None) -> DecisionSettings:
    """The settings of an untuned system: the defaults and what the operator states, the plugins' those in force."""
    settings = DecisionSettings() if in_force is None or system != PLUGINS else in_force
    return replace(settings, **stated, stated=tuple(sorted({*settings.stated, *stated})))


def _described(corpus: Corpus, runs: Sequence[DomainRun], seed: int) -> dict[str, Any]:
    """The part of the metrics that tells what was measured."""
    return {
        "corpus": corpus.name,
        "split": corpus.split,
        "n": len(corpus.held),
        "domains": list(corpus.domains),
        "out_of_scope": corpus.has_out_of_scope,
        "seed": seed,
        "notes": [*corpus.notes, *_left_out(corpus, runs), *(note for one in runs for note in one.notes)],
    }


def _stated(
    corpus: Corpus,
    decisions: Mapping[str, Any],
    in_force: DecisionSettings | None,
    readers: Mapping[str, Domain] | None,
    context_keys: NamedKeys,
    scales: StatedScales,
) -> tuple[Corpus, Mapping[str, Any]]:
    """The corpus with what is stated for its domains, and the decision settings that are stated.

    `readers` are the plugins where these are measured.
    """
    if in_force is not None:
        corpus, decisions = with_settings(corpus, decisions, in_force)
    corpus, decisions = acting_fallback(corpus, decisions)
    corpus = with_groups(corpus, decisions.get("groups", ()))
    corpus = with_keys(corpus, context_keys, None if readers is None else readers.values())
    return with_scales(corpus, scales, readers), {**decisions, "scales": scales} if scales else decisions


def _left_out(corpus: Corpus, runs: Sequence[DomainRun]) -> list[str]:
    """Notes on systems that were not measured, or not on all data."""
    if any(one.joint is None for one in runs):
        return []
    if lack := missing():
        return [f"left out: {', '.join((*BOOSTED, JOINT))}: {lack}"]
    taught, n = int(taught_joint(corpus).sum()), len(corpus.train)
    note = f"joint: learns from {taught} of {n} training requests; more would not fit in memory"
    return [note] if taught < n else []
