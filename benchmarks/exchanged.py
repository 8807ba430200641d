"""Synthetic domains to exchange: artifacts, requests with their truth, and one that is over-confident."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
from msgspec.structs import replace

from arbitrank.domain import Model, Scores, Settings
from arbitrank.evaluate.hypotheses import Readings, load
from arbitrank.learn.reference import ReferenceDomain, ReferenceModel
from arbitrank.probability import log_odds, sigmoid
from arbitrank.store.artifact import MANIFEST, read_manifest, seal
from arbitrank.store.store import Store
from arbitrank.training.build import build
from arbitrank.values import Example, Request
from arbitrank.wire.requests import Logged
from benchmarks.synthetic import synthetic_corpus

PACKAGE = ("synthetic", "1")
DOUBLED = "reranker/doubled"


class Synthetic(ReferenceDomain):
    """A domain of the toolkit, whose model doubles its log-odds where the artifact holds a mark."""

    def load(self, folder: Path) -> Model:
        model = super().load(folder)
        assert isinstance(model, ReferenceModel)
        return Twice(model.domain, model.recogniser, model.reranker) if (folder / DOUBLED).exists() else model


class Twice(ReferenceModel):
    """Model that doubles the log-odds of P(mine) and P(right)."""

    def rerank(self, request: Request) -> Scores:
        scores = super().rerank(request)
        mine, right = sigmoid(2.0 * log_odds(np.array([scores.mine]))), sigmoid(2.0 * log_odds(scores.right))
        return Scores(float(mine[0]), right * min(1.0, float(mine[0]) / float(right.sum())))


def doubled(artifact: Path, to: Path) -> Path:
    """A copy of the artifact whose log-odds are doubled, unlike those on its card."""
    shutil.copytree(artifact, to)
    (to / DOUBLED).touch()
    return sealed(to)


def sealed(folder: Path) -> Path:
    """The folder, its manifest written again."""
    manifest = read_manifest(folder)
    (folder / MANIFEST).unlink()
    seal(folder, manifest)
    return folder


@dataclass(frozen=True)
class World:
    """Domains with their artifacts, examples to train on, and a file of requests with their truth."""

    domains: Mapping[str, Synthetic]
    artifacts: Mapping[str, Path]
    training: Sequence[Example]
    held: Sequence[Example]
    audit: Path

    def build(self, name: str, folder: Path, n: int | None = None, seed: int = 0) -> Path:
        """Train a domain on the first n examples."""
        build(self.domains[name], PACKAGE, self.training[:n], folder, Settings(seed=seed))
        return folder

    def fill(self, store: Store) -> Store:
        """A store in which every domain has its artifact as stable, and the audit set is set."""
        for folder in self.artifacts.values():
            store.publish(folder, promote=True)
        store.set_audit_set(self.audit)
        return store


def world(folder: Path, *, domains: int = 4, train: int = 2_000, held: int = 4_000) -> World:
    """Domains that were trained on `train` requests, and `held` others."""
    folder.mkdir(parents=True, exist_ok=True)
    corpus, paths = synthetic_corpus(folder, domains=domains, train=train, held=held)
    readings = [load(paths[name]) for name in corpus.domains]
    training = _together(corpus.train, [one.train for one in readings])
    requests = _together(corpus.held, [one.held for one in readings])
    named = {name: Synthetic(name) for name in corpus.domains}
    artifacts = {name: folder / "artifacts" / name for name in named}
    made = World(named, artifacts, training, requests, folder / "audit.jsonl")
    for name, artifact in artifacts.items():
        made.build(name, artifact)
    write(made.audit, requests)
    return made


def _together(examples: Sequence[Example], readings: Sequence[Readings]) -> list[Example]:
    """The examples, each with all domains' hypotheses and on a device."""
    found = []
    for i, (e, *several) in enumerate(zip(examples, *readings, strict=True)):
        hypotheses = tuple(h for own in several for h in own)
        request = replace(e.request, hypotheses=hypotheses, context={"device": ("tv", "phone")[i % 2]})
        found.append(Example(request, e.truth))
    return found


def write(path: Path, examples: Sequence[Example], *, n: int | None = None, truth: bool = True) -> None:
    """Write a file of n requests, the examples repeated, with their truth or without."""
    lines = []
    for e in examples:
        fields = {name: getattr(e.request, name) for name in Request.__struct_fields__}
        lines.append(msgspec.json.encode(Logged(**fields, truth=e.truth if truth else None)))
    with path.open("wb") as file:
        for i in range(len(lines) if n is None else n):
            file.write(lines[i % len(lines)] + b"\n")
