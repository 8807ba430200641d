"""Readings of requests that no model has seen, by the factored re-rankers of a corpus, kept between runs.

They are those of the held-out requests, and of the ones to tune on; where there are none, of the training requests,
cross-fitted.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np

from arbitrank.arbitration.merge import BestReadings
from arbitrank.cli.progress import shown
from arbitrank.decisions.observed import Observed
from arbitrank.evaluate.domain_runs import run
from arbitrank.evaluate.hypotheses import load
from arbitrank.evaluate.labelled import LabelledReadings, observed
from arbitrank.semer import entirely_right
from benchmarks.common import Bench

SYSTEM = "factored"

_NAMES = ("mine", "right", "best", "total")


class Unseen(NamedTuple):
    """Requests as all domains read them, with their contexts, lengths, and the intent of each domain's best reading."""

    observed: Observed
    contexts: list[dict[str, object]]
    lengths: list[int | None]
    intents: list[list[str | None]]


def unseen(bench: Bench, *, seed: int = 0, jobs: int = 1) -> Unseen:
    """The readings of a corpus; they are kept beside its hypotheses."""
    folder = next(iter(bench.paths.values())).parent
    arrays, words = folder / "unseen.npz", folder / "unseen.json"
    if not (arrays.is_file() and words.is_file()):
        _keep(bench, arrays, words, seed, jobs)
    return _kept(bench, arrays, words)


def _keep(bench: Bench, arrays: Path, words: Path, seed: int, jobs: int) -> None:
    corpus = bench.corpus
    with shown(corpus.name) as progress:
        runs = run(corpus, bench.paths, seed=seed, jobs=jobs, progress=progress, systems=(SYSTEM,))
    other = corpus.tuning or corpus.train
    columns: dict[str, np.ndarray] = {}
    intents: list[list[str | None]] = []
    for d, one in enumerate(runs):
        known = load(bench.paths[one.domain])
        held, tuning = one.readings[SYSTEM], one.tuning[SYSTEM]
        right = [k >= 0 and entirely_right(own[k], e.truth) for own, k, e in zip(
            known.held, held.best.tolist(), corpus.held, strict=True)]  # fmt: skip
        whole = BestReadings.together([tuning.readings, held])
        for name in _NAMES:
            columns[f"{name}{d}"] = getattr(whole, name)
        columns[f"hit{d}"] = np.concatenate([tuning.right, np.array(right, np.float64)])
        readings = [*(known.tuning or known.train), *known.held]
        intents.append([None if k < 0 else own[k].intent for own, k in zip(readings, whole.best.tolist(), strict=True)])
    requests = [example.request for example in (*other, *corpus.held)]
    np.savez(arrays, **columns)
    words.write_bytes(msgspec.json.encode([[r.context for r in requests], [r.length for r in requests], intents]))


def _kept(bench: Bench, arrays: Path, words: Path) -> Unseen:
    corpus, stored = bench.corpus, np.load(arrays)
    contexts, lengths, intents = json.loads(words.read_bytes())
    readings = [BestReadings(*(stored[f"{name}{d}"] for name in _NAMES)) for d in range(len(corpus.domains))]
    parts = [LabelledReadings(one, stored[f"hit{d}"]) for d, one in enumerate(readings)]
    examples = (*(corpus.tuning or corpus.train), *corpus.held)
    return Unseen(observed(corpus.domains, parts, examples), contexts, lengths, intents)
