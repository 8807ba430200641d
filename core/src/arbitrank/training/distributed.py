"""Training of one domain over a whole cluster, for data larger than a machine: only sums travel.

Each file of the domain's partition is read by a worker and stays with it as matrices of features. A linear model is
trained here, by L-BFGS on gradients summed over the files in their order; a boosted one by LightGBM's Dask integration.
The weights differ from those of one machine by the rounding of sums (LightGBM's by its binning), and are the same each
time for the same files. The files of a lost worker are read again by another. `auto` is factored; no map calibrates it.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from operator import itemgetter
from pathlib import Path
from typing import Any, cast

import msgspec
import numpy as np
from numpy.typing import NDArray

from arbitrank.domain import Settings
from arbitrank.errors import ArbitrankError, DataError, InputError
from arbitrank.guard import Fault, guarded
from arbitrank.learn import files as weights_files
from arbitrank.learn.boosted import Boosted, matrix
from arbitrank.learn.boosted_training import parameters
from arbitrank.learn.census import Census
from arbitrank.learn.evidence import Evidence
from arbitrank.learn.feature_spec import Confidences, FeatureSpec
from arbitrank.learn.kind_choice import AUTO, DEFAULT, KindChoice
from arbitrank.learn.linear_training import BlockedLoss, LinearModel, RequestCounts, factored, fit_linear, loglinear
from arbitrank.learn.reference import RERANKER, ReferenceDomain
from arbitrank.learn.rerankers import Factored, LogLinear
from arbitrank.probability import Floats
from arbitrank.scales import recorded
from arbitrank.training.build import environment_of, held_out, sealed
from arbitrank.training.dask_backend import client_of, pack, unpack
from arbitrank.training.datasets import Dataset, prepare
from arbitrank.training.example_file import ExampleFile, data_digest, select
from arbitrank.training.figures import ClaimRows, claims, figures_of
from arbitrank.training.locations import files_for
from arbitrank.training.outcome import TrainingOutcome
from arbitrank.training.pool import TrainingLimits
from arbitrank.training.scored_examples import DomainScales, write_read
from arbitrank.training.task import ARTIFACT, TrainingTask, domain_of, outcome_of
from arbitrank.training.workdir import working_folder
from arbitrank.training.worker import Event, Tell
from arbitrank.values import Example

_ROUNDS = 150
"""Trees of a boosted model: there is no early stopping over machines."""

_NOTES = 10  # the most notes that are reported


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
    others: int
    silent: int
    digest: str
    notes: tuple[str, ...]


def train_all(
    tasks: Sequence[TrainingTask],
    *,
    temporary: Path,
    limits: TrainingLimits,
    tell: Tell,
    scheduler: str,
    patience: float,
) -> Generator[TrainingOutcome]:
    """The outcome of every task, one after another, each over all workers; tried again where a worker was lost."""
    with client_of(scheduler, patience) as client:
        for task in tasks:
            yield _tried(client, task, limits, tell)


def _tried(client: Any, task: TrainingTask, limits: TrainingLimits, tell: Tell) -> TrainingOutcome:
    outcome = TrainingOutcome(domain=task.domain, kind="failed")
    for attempt in range(1, limits.retries + 2):
        # Dask and LightGBM have no class of their own for a worker lost in mid-training.
        trained = guarded(_train, client, task, tell)
        if not isinstance(trained, Fault):
            return msgspec.structs.replace(trained, attempts=attempt)
        if isinstance(trained.error, ArbitrankError):
            return msgspec.structs.replace(outcome, reason=str(trained.error), attempts=attempt)
        reason = f"on the cluster: {trained.reason}"
        outcome = TrainingOutcome(domain=task.domain, kind="killed", reason=reason, attempts=attempt)
    return outcome


def _train(client: Any, task: TrainingTask, tell: Tell) -> TrainingOutcome:
    if not isinstance(task.data, Dataset) or task.data.outcomes or task.split != "words":
        raise InputError("--partitioned: expected --data with a folder or URL by domain=…, and --split-by words")
    domain, package = domain_of(task)
    settings = Settings(**task.settings)
    choice = None
    if settings.model == AUTO:
        settings = replace(settings, model=DEFAULT)
        choice = KindChoice(DEFAULT, reason="with --partitioned no other kind is tried")
    if not isinstance(domain, ReferenceDomain) or settings.model not in ("factored", "loglinear", "boosted"):
        raise InputError(
            f"--partitioned: {domain.name} with --model {settings.model}; expected a domain of the toolkit, and "
            "auto, factored, loglinear or boosted"
        )
    parts = [one.where for one in files_for([task.domain], task.data.location)]
    tell(Event(domain=task.domain, stage="counting", total=len(parts)))
    counting = [client.submit(count, task, part, pure=False) for part in parts]
    counts = cast(list[FileCounts], client.gather(counting))
    _check(task, counts)
    settings = replace(settings, silent=sum(one.silent for one in counts))
    census = counts[0].census
    for file in counts[1:]:
        census.merge(file.census)
    spec = census.spec()
    total = sum(one.rows for one in counts)
    tell(Event(domain=task.domain, stage="training", total=len(parts), figures={"rows": total}))
    # Pinned by these futures; Dask recomputes those of a lost worker elsewhere.
    shares = [client.submit(hold, task, part, spec, pure=False) for part in parts]
    reranker: LogLinear | Factored | Boosted
    if settings.model == "boosted":
        reranker = _boosted(client, shares, spec, settings)
    else:
        fit = partial(_over_all, client, shares, settings, tell, task.domain)
        reranker = loglinear(spec, settings, fit) if settings.model == "loglinear" else factored(spec, fit)
    folder = Path(task.folder) / ARTIFACT
    weights_files.save(reranker, folder / RERANKER)
    base = Path(task.base) if task.base else domain.shipped
    if base and (base / "recogniser").is_dir():
        shutil.copytree(base / "recogniser", folder / "recogniser")
    trained = pack(folder, ARTIFACT)
    rows = client.gather([client.submit(judge, task, one, trained, spec.fill, pure=False) for one in shares])
    built = sealed(
        folder,
        task.domain,
        package,
        settings,
        figures_of(ClaimRows.together(rows)).of_others(sum(one.others for one in counts), settings.silent).by(choice),
        environment_of(domain, package),
        features=tuple(weights_files.feature_names(reranker)),
        rows=total,
        data_digest=hashlib.sha256("".join(one.digest for one in counts).encode()).hexdigest(),
        scales=recorded(DomainScales.of(domain, task.scales).given),
    )
    notes = tuple(note for one in counts for note in one.notes)
    more = (f"{task.data.location}: and {len(notes) - _NOTES} notes more",) if len(notes) > _NOTES else ()
    return outcome_of(task, built, notes[:_NOTES] + more)


def _check(task: TrainingTask, counts: Sequence[FileCounts]) -> None:
    rows, own, given = (sum(getattr(one, name) for one in counts) for name in ("rows", "own", "given"))
    if given < rows:
        raise DataError(f"domain {task.domain}: {given} of {rows} examples bring hypotheses, expected all")
    if not own:
        raise DataError(f"domain {task.domain}: 0 of {rows} examples are its own; it learns from its own and others'")


def _over_all(
    client: Any,
    shares: Sequence[Any],
    settings: Settings,
    tell: Tell,
    domain: str,
    model: LinearModel,
    names: Sequence[str],
) -> tuple[NDArray[np.float64], Floats]:
    """The weights of one linear model, and the means of its features."""
    counts = client.gather([client.submit(count_of, one, model, settings, pure=False) for one in shares])
    requests, own, rows = (sum(one[k] for one in counts) for k in range(3))

    def loss(w: Floats) -> tuple[float, Floats]:
        found = client.gather([client.submit(gradient, one, model, settings, w, pure=False) for one in shares])
        weight = sum(one[0] for one in found)
        return sum(one[0] * one[1] for one in found) / weight, sum(one[0] * one[2] for one in found) / weight

    watched = replace(
        settings, figures=lambda figures: tell(Event(domain=domain, stage="training", figures=dict(figures)))
    )
    of_requests = RequestCounts(requests, own, settings.silent)
    return fit_linear(loss, model, names, of_requests, watched), sum(one[3] for one in counts) / max(rows, 1)


def _boosted(client: Any, shares: Sequence[Any], spec: FeatureSpec, settings: Settings) -> Boosted:
    """LightGBM's trees over all workers."""
    import dask.array as da
    from dask.delayed import delayed
    from lightgbm.dask import DaskLGBMClassifier

    if settings.loss in ("r1", "r3"):
        raise InputError("--partitioned: a boosted model over machines has LightGBM's own loss; leave --loss out")
    parts = [client.submit(columns, one, settings, pure=False) for one in shares]
    sizes = client.gather([client.submit(lambda part: part[0].shape, one, pure=False) for one in parts])
    width = sizes[0][1]
    whole, right, weight = (
        da.concatenate(
            [
                da.from_delayed(delayed(itemgetter(k))(part), (n, width) if k == 0 else (n,), np.float64)
                for part, (n, _) in zip(parts, sizes, strict=True)
            ]
        )
        for k in range(3)
    )
    chosen = {k: value for k, value in parameters(spec, settings).items() if k not in ("metric", "num_threads")}
    model = DaskLGBMClassifier(client=client, n_estimators=_ROUNDS, **chosen)
    model.fit(whole, right, sample_weight=weight)
    return Boosted(spec, None, model.booster_.model_to_string())


# The rest runs on the worker that holds a file.


def count(task: TrainingTask, part: str) -> FileCounts:
    """Read a file and count what determines the features."""
    training, _, digest, notes, silent = _read(task, part)
    domain = cast(ReferenceDomain, domain_of(task)[0])
    named = task.settings.get("context_keys", ())
    census = Census(task.domain, dict.fromkeys((*domain.context_keys, *named)))
    own = given = others = 0
    for example in training:
        mine = example.truth.owned_by(task.domain)
        own += mine
        given += example.request.hypotheses is not None
        if example.request.hypotheses:
            others += not mine
            census.count(example.request, example.truth)
    return FileCounts(census, len(training), own, given, others, silent, digest, notes)


def hold(task: TrainingTask, part: str, spec: FeatureSpec) -> FileShard:
    """Read a file into matrices."""
    training, held, *_ = _read(task, part)
    useful = [example for example in training if example.request.hypotheses]
    weights = np.array([example.weight for example in useful])
    evidence = Evidence.of(spec, [one.request for one in useful], [one.truth for one in useful], weights)
    return FileShard(evidence, held)


def _read(task: TrainingTask, part: str) -> tuple[list[Example], list[Example], str, tuple[str, ...], int]:
    """A file's training and held-out examples, the digest of both, notes on the file, and its silent requests."""
    assert isinstance(task.data, Dataset)
    with working_folder() as folder:
        path = folder / "examples"
        read = prepare(Dataset(part, task.data.since, task.data.offsets), [task.domain], {task.domain: path})
        notes, silent = read.notes(task.domain), read.silent[task.domain]
        scales = DomainScales.of(domain_of(task)[0], task.scales)
        examples, unread = write_read(folder / "read", task.domain, ExampleFile(path), scales)
        held = held_out(task.domain, examples)
        training, held_back = list(select(examples, ~held)), list(select(examples, held))
        return training, held_back, data_digest(examples), notes + unread, silent


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


def judge(task: TrainingTask, share: FileShard, trained: dict[str, bytes], means: Confidences) -> ClaimRows:
    """The claims of the trained weights on the held-out examples."""
    with working_folder() as folder:
        unpack(trained, folder)
        model = domain_of(task)[0].load(folder / ARTIFACT)
    return claims(task.domain, model, share.held, means, float(task.settings.get("kept", 1.0)))


def columns(share: FileShard, settings: Settings) -> tuple[Floats, Floats, Floats]:
    """A file's features, labels and weights, as LightGBM takes them."""
    batch = share.evidence.batch
    weight = np.repeat(batch.counts(settings.kept), batch.sizes)
    return matrix(*share.evidence.factored, batch.starts), batch.right, weight
