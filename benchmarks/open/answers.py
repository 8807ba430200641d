"""Answers of systems to the requests of a contest: ours, from domains that were trained alone, and what they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from arbitrank.arbitration.decide import DecisionSettings
from arbitrank.cli.progress import shown
from arbitrank.evaluate.answers import JOINT, folds, judged, system_readings
from arbitrank.evaluate.corpus import with_groups
from arbitrank.evaluate.domain_runs import run
from arbitrank.evaluate.experiment import base
from arbitrank.evaluate.results import SystemResults
from arbitrank.evaluate.systems import AUTO, DEFAULT
from arbitrank.evaluate.tuning import SystemReadings, tune_all, tuned
from arbitrank.probability import Floats
from arbitrank.values import Hypothesis, Ranked
from benchmarks.common import Bench
from benchmarks.open.contests import Contest
from benchmarks.overlap import Mask

_ALONE = ("R0", DEFAULT, AUTO)
_SYSTEMS = (*_ALONE, JOINT)

OURS = tuned(AUTO)
"""Our system that all others are compared with: what a domain would ship, with tuned decision settings."""

ROWS = ("R0", tuned(DEFAULT), OURS, tuned(JOINT))
"""Our systems, in the order in which they are reported."""


class Answers(NamedTuple):
    """Answers of one system to the requests of a contest, in their order.

    `top` is the best reading, None where there is none; `none` marks requests that are declared out of scope.
    `probability` is P(the best reading is right), None where the system tells none. `missing` is the number of requests
    that it did not answer.
    """

    top: Sequence[Hypothesis | Ranked | None]
    none: Mask
    probability: Floats | None
    missing: int = 0


def our_answers(contest: Contest, cache: Path, *, seed: int = 0, jobs: int = 1) -> dict[str, Answers]:
    """The answers of each of our systems."""
    found: dict[str, list[SystemResults]] = {name: [] for name in ROWS}
    places = []
    for at, bench in contest.benches(cache, jobs):
        places.append(at)
        for name, results in _results(contest, bench, seed, jobs).items():
            found[name].append(results)
    together = {name: SystemResults.together(parts, places) for name, parts in found.items() if parts}
    return {name: Answers(one.top, one.none, one.probability) for name, one in together.items()}


def _results(contest: Contest, bench: Bench, seed: int, jobs: int) -> Mapping[str, SystemResults]:
    """The results of each of our systems on the held-out requests of a bench."""
    corpus = with_groups(bench.corpus, contest.groups)
    with shown(corpus.name) as progress:
        runs = run(corpus, bench.paths, seed=seed, jobs=jobs, progress=progress, systems=_ALONE)
        readings = system_readings(corpus, runs, seed=seed)
        kept = SystemReadings(
            {name: readings.held[name] for name in _SYSTEMS if name in readings.held},
            {name: readings.tuning[name] for name in _SYSTEMS[1:] if name in readings.tuning},
        )
        stated = {"groups": contest.groups} if contest.groups else {}
        bases = {name: base(name, stated) for name in kept.held} | {"R0": DecisionSettings()}
        deciding, _ = tune_all(kept, bases, folds(corpus, seed), seed=seed, jobs=jobs, progress=progress)
    chosen = {name: deciding[name] for name in ROWS if name in deciding}
    return judged(corpus, runs, chosen, none_counts=contest.none_counts)
