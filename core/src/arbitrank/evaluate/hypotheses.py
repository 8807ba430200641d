"""First stage of the experiment: every domain's own recogniser reads every request, each domain alone.

Each domain's hypotheses are kept in a file of their own, because re-rankers are trained on them many times, and because
those of many domains would not fit in memory together.
"""

from __future__ import annotations

from pathlib import Path

import msgspec
from threadpoolctl import threadpool_limits

from arbitrank.domain import Progress
from arbitrank.evaluate.corpus import Corpus
from arbitrank.evaluate.runs import Peak, SharedCorpus, in_processes, peak
from arbitrank.nlu.training import cross_fit, tagger_help, train_recogniser
from arbitrank.packed import packed
from arbitrank.values import Hypothesis

Readings = list[tuple[Hypothesis, ...]]


class Recognised(msgspec.Struct, frozen=True):
    """Hypotheses of one domain: cross-fitted ones of the training requests, and those of all others."""

    domain: str
    train: Readings
    tuning: Readings
    held: Readings


def recognise_corpus(
    corpus: Corpus, folder: Path, *, seed: int = 0, jobs: int = 1, progress: Progress
) -> tuple[dict[str, Path], list[Peak | None]]:
    """Have every domain read the corpus, and write its hypotheses into the folder: a file for each, and peak memory."""
    sizes = {name: sum(e.truth.owned_by(name) for e in corpus.train) for name in corpus.domains}
    # The largest domains first, so that none of them runs alone at the end.
    order = sorted(corpus.domains, key=lambda name: (-sizes[name], name))
    paths = files(corpus, folder)
    tasks = [(name, paths[name], seed) for name in order]
    return paths, in_processes(_recognise, corpus, tasks, jobs=jobs, stage="recognisers", progress=progress)


def files(corpus: Corpus, folder: Path) -> dict[str, Path]:
    """The file of each domain's hypotheses in a folder."""
    return {name: folder / f"{number}.msgpack" for number, name in enumerate(corpus.domains)}


def load(path: Path) -> Recognised:
    """The hypotheses of one domain, as `recognise_corpus` wrote them."""
    return msgspec.msgpack.decode(path.read_bytes(), type=Recognised)


def save(recognised: Recognised, path: Path) -> None:
    """Write one domain's hypotheses for `load` to read."""
    path.write_bytes(packed(msgspec.msgpack.encode, recognised))


def split_hypotheses(corpus: Corpus, folder: Path) -> dict[str, Path]:
    """The files of `recognise_corpus` from requests that bring hypotheses: each domain gets its own."""
    paths = files(corpus, folder)
    own: dict[str, Readings] = {name: [()] * len(corpus.held) for name in corpus.domains}
    for i, example in enumerate(corpus.held):
        for h in example.request.hypotheses or ():
            own[h.domain][i] += (h,)
    for name, path in paths.items():
        # Training and held-out requests are the same, so are the readings.
        save(Recognised(name, own.pop(name), [], []), path)
    return paths


def _recognise(shared: SharedCorpus, domain: str, path: Path, seed: int) -> Peak | None:
    corpus, (of_train, of_tuning, of_held) = shared.value, shared.seen
    with threadpool_limits(1):
        aid = tagger_help(domain, corpus.train, seed, encoded=of_train)
        fitted = cross_fit(domain, corpus.train, seed=seed, encoded=of_train, aid=aid)
        recogniser = train_recogniser(domain, corpus.train, seed, encoded=of_train, aid=aid)
        tuning = recogniser.recognise_many(of_tuning)
        save(Recognised(domain, fitted, tuning, recogniser.recognise_many(of_held)), path)
    return peak()
