"""Parts of a data set on the workers of a cluster: a file's census, matrices, gradients and claims.

Each function runs on the worker that holds the file; sums over files are made by `arbitrank.training.distributed`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import msgspec
import numpy as np

from arbitrank.domain import Settings
from arbitrank.learn.boosted import matrix
from arbitrank.learn.census import Census
from arbitrank.learn.evidence import Evidence
from arbitrank.learn.feature_spec import Confidences, FeatureSpec
from arbitrank.learn.linear_training import BlockedLoss, LinearModel
from arbitrank.learn.reference import ReferenceDomain
from arbitrank.probability import Floats
from arbitrank.training.build import claims, held_out
from arbitrank.training.dask_backend import unpack
from arbitrank.training.datasets import Dataset, prepare
from arbitrank.training.example_file import ExampleFile, data_digest, select
from arbitrank.training.task import ARTIFACT, TrainingTask, domain_of
from arbitrank.training.workdir import working_folder
from arbitrank.values import Example


@dataclass(frozen=True)
class FileShard:
    """The part of a file that a worker holds: the evidence, and the held-out examples."""

    evidence: Evidence
    held: Sequence[Example]


class FileCounts(msgspec.Struct, frozen=True):
    """Counts of a file before training."""

    census: Any
    rows: int
    own: int
    given: int
    digest: str
    notes: tuple[str, ...]


def count(task: TrainingTask, part: str) -> FileCounts:
    """Read a file and count what determines the features."""
    training, _, digest, notes = _read(task, part)
    domain = cast(ReferenceDomain, domain_of(task)[0])
    census = Census(task.domain, domain.context_keys)
    own = given = 0
    for example in training:
        own += example.truth.domain == task.domain
        given += example.request.hypotheses is not None
        if example.request.hypotheses:
            census.count(example.request)
    return FileCounts(census, len(training), own, given, digest, notes)


def hold(task: TrainingTask, part: str, spec: FeatureSpec) -> FileShard:
    """Read a file into matrices."""
    training, held, _, _ = _read(task, part)
    useful = [example for example in training if example.request.hypotheses]
    weights = np.array([example.weight for example in useful])
    evidence = Evidence.of(spec, [one.request for one in useful], [one.truth for one in useful], weights)
    return FileShard(evidence, held)


def _read(task: TrainingTask, part: str) -> tuple[list[Example], list[Example], str, tuple[str, ...]]:
    """A file's training and held-out examples, the digest of both, and notes on the file."""
    assert isinstance(task.data, Dataset)
    with working_folder() as folder:
        path = folder / "examples"
        notes = prepare(Dataset(part, task.data.since), [task.domain], {task.domain: path}).notes(task.domain)
        examples = ExampleFile(path)
        held = held_out(task.domain, examples)
        return list(select(examples, ~held)), list(select(examples, held)), data_digest(examples), notes


def gradient(share: FileShard, model: LinearModel, settings: Settings, w: Floats) -> tuple[float, float, Floats]:
    """The weight of a file's requests, their mean loss at w, and its gradient."""
    rows, batch, loss = model.of(share.evidence, settings)
    if not len(batch.starts):
        return 0.0, 0.0, np.zeros_like(w)
    sums = BlockedLoss(loss, rows, batch)
    return (sums.weight, *sums(w))


def count_of(share: FileShard, model: LinearModel, settings: Settings) -> tuple[int, int, int, Floats]:
    """Number of a file's requests for a model, of its own among them, of feature rows, and the sums of features."""
    rows, batch, _ = model.of(share.evidence, settings)
    return len(batch.starts), int(np.count_nonzero(batch.mine)), len(rows), rows.sum(axis=0)


def judge(task: TrainingTask, share: FileShard, trained: dict[str, bytes], means: Confidences) -> Floats:
    """The rows of `claims` of the trained weights on the held-out examples."""
    with working_folder() as folder:
        unpack(trained, folder)
        model = domain_of(task)[0].load(folder / ARTIFACT)
    return claims(task.domain, model, share.held, means, float(task.settings.get("kept", 1.0)))


def columns(share: FileShard, settings: Settings) -> tuple[Floats, Floats, Floats]:
    """A file's features, labels and weights, as LightGBM takes them."""
    batch = share.evidence.batch
    weight = np.repeat(batch.counts(settings.kept), batch.sizes)
    return matrix(*share.evidence.factored, batch.starts), batch.right, weight
