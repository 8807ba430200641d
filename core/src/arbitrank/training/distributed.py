"""One domain over a whole cluster, for data that are larger than a machine: only sums travel.

Each file of the domain's partition is read by a worker and stays with it as matrices of features. A linear model is
trained here, by L-BFGS on gradients that are summed over the files in their order; a boosted one by LightGBM's own Dask
integration. The weights differ from those of one machine by the rounding of sums (and LightGBM's by how it bins), so
the version is another; it is the same each time for the same files. What a worker held when it died is read again by
another. There is neither a choice among models nor a calibration map here: both would train many times.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, cast

import msgspec
import numpy as np
from numpy.typing import NDArray

from arbitrank.domain import Settings
from arbitrank.errors import ArbitrankError, DataError, InputError, describe
from arbitrank.learn import files as weights_files
from arbitrank.learn.boosted import Boosted, matrix
from arbitrank.learn.boosted_training import parameters
from arbitrank.learn.census import Census
from arbitrank.learn.features import Confidences, FeatureSpec
from arbitrank.learn.linear_training import Evidence, Linear, Sums, fit_linear, linear_models
from arbitrank.learn.losses import Floats
from arbitrank.learn.reference import RERANKER, ReferenceDomain
from arbitrank.learn.rerankers import Factored, LogLinear
from arbitrank.registry import Loaded
from arbitrank.store.artifact import Manifest
from arbitrank.training.build import Built, claims, kept_back, of_claims, sealed
from arbitrank.training.dask_backend import client_of, pack, unpack
from arbitrank.training.datasets import Reading, prepare
from arbitrank.training.example_file import ExampleFile, data_digest
from arbitrank.training.locations import files_for
from arbitrank.training.pool import Limits
from arbitrank.training.run import Tell
from arbitrank.training.task import ARTIFACT, Outcome, Task, found_domain, outcome_of
from arbitrank.training.workdir import scratch
from arbitrank.training.worker import Event
from arbitrank.values import Example

_ROUNDS = 150
"""Trees of a boosted model: there is no early stopping over machines."""

_NOTES = 10  # of all the files' that are told


def train_all(
    tasks: Sequence[Task], *, temporary: Path, limits: Limits, tell: Tell, scheduler: str, patience: float
) -> Generator[Outcome]:
    """The outcome of every task, one after another, each over all workers; tried again where a worker was lost."""
    with client_of(scheduler, patience) as client:
        for task in tasks:
            yield _tried(client, task, limits, tell)


def _tried(client: Any, task: Task, limits: Limits, tell: Tell) -> Outcome:
    outcome = Outcome(domain=task.domain, kind="failed")
    for attempt in range(1, limits.retries + 2):
        try:
            return msgspec.structs.replace(_train(client, task, tell), attempts=attempt)
        except ArbitrankError as error:
            return Outcome(domain=task.domain, kind="failed", reason=str(error), attempts=attempt)
        # What Dask and LightGBM raise where a worker is lost in mid-training has no class of its own.
        except Exception as error:
            outcome = Outcome(
                domain=task.domain, kind="killed", reason=f"on the cluster: {describe(error)}", attempts=attempt
            )
    return outcome


@dataclass(frozen=True)
class Share:
    """What a worker holds of one file: what is learned from, and the examples kept back."""

    evidence: Evidence
    held: Sequence[Example]


class Told(msgspec.Struct, frozen=True):
    """What a file says of itself before anything is trained."""

    census: Any
    rows: int
    own: int
    given: int
    digest: str
    notes: tuple[str, ...]


def _train(client: Any, task: Task, tell: Tell) -> Outcome:
    if not isinstance(task.data, Reading) or task.split != "words":
        raise InputError("--partitioned: promised --data with a folder or URL by domain=…, and --split-by words")
    found = found_domain(task)
    package = (found.source.distribution, found.source.version) if isinstance(found, Loaded) else ("", "")
    domain = found.domain if isinstance(found, Loaded) else found
    settings = Settings(**task.settings)
    if not isinstance(domain, ReferenceDomain) or settings.model not in ("factored", "loglinear", "boosted"):
        raise InputError(
            f"--partitioned: {domain.name} with --model {settings.model}; promised a domain of the toolkit's, and "
            "factored, loglinear or boosted"
        )
    parts = [one.where for one in files_for([task.domain], task.data.location)]
    tell(Event(domain=task.domain, stage="counting", total=len(parts)))
    about = [client.submit(count, task, part, pure=False) for part in parts]
    told = cast(list[Told], client.gather(about))
    _check(task, told)
    census = told[0].census
    for one in told[1:]:
        census.merge(one.census)
    spec = census.spec()
    tell(Event(domain=task.domain, stage="training", total=len(parts), figures={"rows": sum(one.rows for one in told)}))
    # Pinned by these futures; Dask makes those of a lost worker anew elsewhere.
    shares = [client.submit(hold, task, part, spec, pure=False) for part in parts]
    reranker: LogLinear | Factored | Boosted
    if settings.model == "boosted":
        reranker = _boosted(client, shares, spec, settings)
    else:
        reranker = linear_models(spec, settings, partial(_over_all, client, shares, settings, tell, task.domain))
    folder = Path(task.folder) / ARTIFACT
    weights_files.save(reranker, folder / RERANKER)
    base = Path(task.base) if task.base else domain.shipped
    if base and (base / "recogniser").is_dir():
        shutil.copytree(base / "recogniser", folder / "recogniser")
    trained = pack(folder, ARTIFACT)
    rows = client.gather([client.submit(judge, task, one, trained, spec.fill, pure=False) for one in shares])
    measured = of_claims(np.concatenate(rows))
    manifest = sealed(
        folder,
        Manifest(
            domain=task.domain,
            package=package[0],
            package_version=package[1],
            features=tuple(weights_files.feature_names(reranker)),
            model=settings.model,
            loss=settings.loss or "",
            seed=settings.seed,
            rows=sum(one.rows for one in told),
            data_digest=hashlib.sha256("".join(one.digest for one in told).encode()).hexdigest(),
        ),
        measured,
    )
    notes = tuple(note for one in told for note in one.notes)
    more = (f"{task.data.location}: and {len(notes) - _NOTES} notes more",) if len(notes) > _NOTES else ()
    return outcome_of(task, Built(manifest, measured, {}), notes[:_NOTES] + more)


def _check(task: Task, told: Sequence[Told]) -> None:
    rows, own, given = (sum(getattr(one, name) for one in told) for name in ("rows", "own", "given"))
    if given < rows:
        raise DataError(f"domain {task.domain}: {given} of {rows} examples bring hypotheses, promised all")
    if own in (0, rows):
        raise DataError(
            f"domain {task.domain}: {own} of {rows} examples are its own; it learns from its own and others'"
        )


# ------------------------------------------------------------------------------------------- on the cluster's workers


def count(task: Task, part: str) -> Told:
    """Read a file and count what decides which features there are."""
    training, _, digest, notes = _read(task, part)
    domain = cast(ReferenceDomain, _domain(task))
    census = Census(task.domain, domain.context_keys)
    own = given = 0
    for example in training:
        own += example.truth.domain == task.domain
        given += example.request.hypotheses is not None
        if example.request.hypotheses:
            census.count(example.request)
    return Told(census, len(training), own, given, digest, notes)


def hold(task: Task, part: str, spec: FeatureSpec) -> Share:
    """Read a file and keep it as matrices."""
    training, held, _, _ = _read(task, part)
    useful = [example for example in training if example.request.hypotheses]
    weights = np.array([example.weight for example in useful])
    evidence = Evidence.of(spec, [one.request for one in useful], [one.truth for one in useful], weights)
    return Share(evidence, held)


def _read(task: Task, part: str) -> tuple[list[Example], list[Example], str, tuple[str, ...]]:
    """A file's examples to learn from and to measure on, the digest of both, and what there is to say of the file."""
    assert isinstance(task.data, Reading)
    with scratch() as folder:
        path = folder / "examples"
        notes = prepare(Reading(part, task.data.since), [task.domain], {task.domain: path}).notes(task.domain)
        examples = ExampleFile(path)
        back = kept_back(task.domain, examples)
        both = list(examples)
        digest = data_digest(examples)
    sides = [[one for one, held in zip(both, back.tolist(), strict=True) if held == side] for side in (False, True)]
    return sides[0], sides[1], digest, notes


def gradient(share: Share, model: Linear, settings: Settings, w: Floats) -> tuple[float, float, Floats]:
    """The weight of a file's requests, their mean loss at w, and its gradient."""
    rows, batch, loss = model.of(share.evidence, settings)
    if not len(batch.starts):
        return 0.0, 0.0, np.zeros_like(w)
    sums = Sums(loss, rows, batch)
    return (sums.weight, *sums(w))


def count_of(share: Share, model: Linear, settings: Settings) -> tuple[int, int, int, Floats]:
    """How many requests a model learns from in a file, how many are its own, and the rows and sums of its features."""
    rows, batch, _ = model.of(share.evidence, settings)
    return len(batch.starts), int(np.count_nonzero(batch.mine)), len(rows), rows.sum(axis=0)


def judge(task: Task, share: Share, trained: dict[str, bytes], means: Confidences) -> Floats:
    """What the weights claim of the examples kept back."""
    with scratch() as folder:
        unpack(trained, folder)
        model = _domain(task).load(folder / ARTIFACT)
    return claims(task.domain, model, share.held, means, float(task.settings.get("kept", 1.0)))


def _domain(task: Task) -> Any:
    found = found_domain(task)
    return found.domain if isinstance(found, Loaded) else found


# ---------------------------------------------------------------------------------------------------------- together


def _over_all(
    client: Any, shares: Sequence[Any], settings: Settings, tell: Tell, domain: str, model: Linear, names: Sequence[str]
) -> tuple[NDArray[np.float64], Floats]:
    """The weights of one linear model, and the means of its features."""
    counts = client.gather([client.submit(count_of, one, model, settings, pure=False) for one in shares])
    requests, own, rows = (sum(one[k] for one in counts) for k in range(3))

    def told(figures: Mapping[str, float]) -> None:
        tell(Event(domain=domain, stage="training", figures=dict(figures)))

    def loss(w: Floats) -> tuple[float, Floats]:
        found = client.gather([client.submit(gradient, one, model, settings, w, pure=False) for one in shares])
        weight = sum(one[0] for one in found)
        return sum(one[0] * one[1] for one in found) / weight, sum(one[0] * one[2] for one in found) / weight

    watched = Settings(**{**_plain(settings), "figures": told})
    return fit_linear(loss, model, names, requests, own, watched), sum(one[3] for one in counts) / max(rows, 1)


def _plain(settings: Settings) -> dict[str, Any]:
    return {name: getattr(settings, name) for name in Settings.__dataclass_fields__}


def _boosted(client: Any, shares: Sequence[Any], spec: FeatureSpec, settings: Settings) -> Boosted:
    """LightGBM's trees over all workers."""
    import dask.array as da
    from dask.delayed import delayed
    from lightgbm.dask import DaskLGBMClassifier

    if settings.loss in ("r1", "r3"):
        raise InputError("--partitioned: a boosted model over machines has LightGBM's own loss; leave --loss out")
    parts = [client.submit(columns, one, settings, pure=False) for one in shares]
    sizes = client.gather([client.submit(shape, one, pure=False) for one in parts])
    width = sizes[0][1]
    whole, right, weight = (
        da.concatenate(
            [
                da.from_delayed(delayed(_nth)(part, k), (n, width) if k == 0 else (n,), np.float64)
                for part, (n, _) in zip(parts, sizes, strict=True)
            ]
        )
        for k in range(3)
    )
    chosen = {
        name: value for name, value in parameters(spec, settings).items() if name not in ("metric", "num_threads")
    }
    model = DaskLGBMClassifier(client=client, n_estimators=_ROUNDS, **chosen)
    model.fit(whole, right, sample_weight=weight)
    return Boosted(spec, None, model.booster_.model_to_string())


def columns(share: Share, settings: Settings) -> tuple[Floats, Floats, Floats]:
    """A file's features, labels and weights, as LightGBM takes them."""
    batch = share.evidence.batch
    weight = np.repeat(batch.weight * np.where(batch.mine > 0, 1.0, 1.0 / settings.kept), batch.sizes)
    return matrix(*share.evidence.factored, batch.starts), batch.right, weight


def shape(part: tuple[Floats, Floats, Floats]) -> tuple[int, int]:
    """Rows and columns of a file's features."""
    rows, width = part[0].shape
    return rows, width


def _nth(part: Sequence[Any], k: int) -> Any:
    return part[k]
