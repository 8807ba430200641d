"""Parts of corpora with few labelled requests and much traffic: what a young service has.

Recognisers learn from the labelled requests alone, so that they read the traffic as a young service's would, and in a
fraction of the time that the whole corpus takes.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from arbitrank.domain import Settings
from arbitrank.evaluate.corpus import Corpus, read_corpus
from arbitrank.evaluate.hypotheses import Readings, Recognised
from arbitrank.learn.evidence import gather, own_request
from arbitrank.learn.model_selection import learn
from arbitrank.values import Example
from benchmarks.common import recognised
from benchmarks.synthetic import synthetic_corpus

SHARE, TRAFFIC, HELD = 0.05, 4_000, 2_000


@dataclass(frozen=True)
class Part:
    """A corpus with few labelled requests, as `train`, and traffic, as `tuning`; and each domain's readings of it."""

    corpus: Corpus
    readings: Mapping[str, Recognised]

    @property
    def names(self) -> tuple[str, ...]:
        """The domains."""
        return self.corpus.domains


def parts(chosen: argparse.Namespace, seeds: Sequence[int]) -> Iterator[tuple[str, int, Part]]:
    """The chosen corpora's names, seeds and parts; with --quick one of a corpus that needs no data."""
    if chosen.quick:
        yield "synthetic", chosen.seed, made(SHARE, chosen.seed)
        return
    for name in chosen.corpora:
        corpus = read_corpus(Path(name) if Path(name).is_dir() else chosen.data / name)
        for seed in seeds:
            yield corpus.name, seed, few_labelled(corpus, seed, chosen.cache, chosen.jobs)


def few_labelled(corpus: Corpus, seed: int, cache: Path, jobs: int = 1) -> Part:
    """A twentieth of the corpus's training requests as labelled ones, and up to 4,000 of the others as traffic."""
    rng = np.random.default_rng([seed, round(1e6 * SHARE)])
    order = rng.permutation(len(corpus.train)).tolist()
    n = round(SHARE * len(order))
    known, others = ([corpus.train[i] for i in places] for places in (order[:n], order[n : n + TRAFFIC]))
    held = [corpus.held[i] for i in rng.permutation(len(corpus.held))[:HELD].tolist()]
    domains = sorted({name for example in known for name in example.truth.owners})
    part = replace(
        corpus, name=f"{corpus.name}-{SHARE:g}-{seed}", domains=tuple(domains), train=tuple(known),
        tuning=tuple(others), held=tuple(held),
    )  # fmt: skip
    bench = recognised(part, msgspec.msgpack.encode([known, others, held]), cache, jobs)
    return Part(part, {name: bench.readings(name) for name in domains})


def made(share: float, seed: int) -> Part:
    """The same of a corpus that needs no data, with a share of labelled requests."""
    with tempfile.TemporaryDirectory(prefix="arbitrank-") as folder:
        corpus, paths = synthetic_corpus(Path(folder), seed=seed)
        every = {name: msgspec.msgpack.decode(path.read_bytes(), type=Recognised) for name, path in paths.items()}
    n = round(share * len(corpus.train))
    readings = {name: Recognised(name, one.train[:n], one.train[n:], one.held) for name, one in every.items()}
    return Part(replace(corpus, train=corpus.train[:n], tuning=corpus.train[n:]), readings)


def trained(name: str, examples: Sequence[Example]) -> Any:
    """The re-ranker that a domain learns from examples with its own readings."""
    weights = np.array([example.weight for example in examples])
    evidence = gather(name, [e.request for e in examples], [e.truth for e in examples], weights=weights)
    return learn(evidence, Settings(model="factored"))


def own_examples(examples: Sequence[Example], readings: Readings) -> list[Example]:
    """The examples with a domain's readings alone, those without one left out."""
    return [
        msgspec.structs.replace(example, request=own_request(example.request, found))
        for example, found in zip(examples, readings, strict=True)
        if found
    ]
