"""Data of a report: which requests a domain is measured on, by which weights, and whether these have seen them."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from arbitrank.arbitration.lineup import Broken, Serving
from arbitrank.domain import Domain, Progress, Settings
from arbitrank.errors import ArbitrankError, DataError, InputError, message
from arbitrank.guard import Fault, guarded
from arbitrank.learn.reference import ReferenceDomain
from arbitrank.nlu.data_faults import DataFilesWarning
from arbitrank.nlu.patterns import generate, is_drawn
from arbitrank.registry import Found, domain_named, loaded
from arbitrank.report.measured import Mask, MeasuredDomain
from arbitrank.report.requests import LabelledRequests, check_requests, read_requests_with_truth
from arbitrank.report.scoring import DomainTraining, TrainedPoint, cross_fitted, fold_count, scored
from arbitrank.store.loading import load_domains, present
from arbitrank.store.store import Store
from arbitrank.training.build import held_out
from arbitrank.training.example_file import data_digest
from arbitrank.training.plugin_calls import own_examples
from arbitrank.training.shared_negatives import added_negatives
from arbitrank.values import Example
from arbitrank.wire.offsets import Offsets

Source = Literal["held-out", "cross-fitted", "requests"]

_ENOUGH, _ENOUGH_OWN = 200, 50  # held-out requests, and own ones, below which a report cross-fits


@dataclass(frozen=True)
class ReportSettings:
    """Settings of a report: the store of weights, stated scales by domain, context keys to learn from, the seed.

    `curve`: `quick` trains on at most 600 examples, or the half where these are few; `full` on up to a half of them.
    """

    store: Store
    scales: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    context_keys: tuple[str, ...] = ()
    seed: int = 0
    curve: Literal["quick", "full", "none"] = "quick"
    offsets: Offsets = "characters"


class OwnData(NamedTuple):
    """The data that the domain trains on by itself: its examples, and shared negatives where `train` adds some.

    `drawn` are own requests from its patterns. `unseen` marks the examples that the weights have not seen in training;
    None where they were not trained on these, or there are none.
    """

    examples: Sequence[Example]
    drawn: Sequence[Example]
    unseen: Mask | None


class MeasuredData(NamedTuple):
    """The domain as it was measured, with the requests' own truths, and what the rest of the report needs.

    `points` are those of a learning curve that a cross-fitting gave. `weights` are None where it was cross-fitted.
    """

    measured: MeasuredDomain
    examples: Sequence[Example]
    source: Source
    weights: Serving | None
    training: DomainTraining
    own: OwnData | None
    points: Sequence[TrainedPoint]
    warnings: list[str]
    notes: list[str]
    bad_lines: int = 0


def measure_own(name: str, found: Sequence[Found], settings: ReportSettings, progress: Progress) -> MeasuredData:
    """The domain on its own examples that its weights have not seen, cross-fitted where these are few.

    Raises `InputError` where it is not installed, `DataError` where its examples do not suffice.
    """
    domain = domain_named(name, loaded(found), found)
    given, remarks = own_examples(domain)
    check_requests(f"domain {name}: examples()", name, given)
    training = _training(domain, settings)
    serving, notes = _serving(name, domain, settings), list[str]()
    if remarks:
        notes.append(f"{len(remarks)} remarks on its data files; run: arbitrank check {name}")
    own, added = own_data(training, given, domain, settings.store)
    notes += added
    examples = own.examples
    if isinstance(serving, Broken):
        notes.append(f"no weights answer: {serving.reason}")
    elif own.unseen is not None and _enough(name, examples, own.unseen):
        tested = [examples[i] for i in np.flatnonzero(own.unseen).tolist()]
        measured = scored(name, serving.model, tested, serving.recalibration, progress=progress)
        return MeasuredData(measured, tested, "held-out", serving, training, own, (), [], notes)
    elif own.unseen is None:
        notes.append(
            f"the weights {serving.version} were trained on other data than examples() gives now, so others were "
            "trained to be measured"
        )
    again, on, points, warning = _trained_again(training, examples, settings, progress)
    return MeasuredData(again, on, "cross-fitted", None, training, own, points, [warning], notes)


def measure_on(
    name: str, path: Path, found: Sequence[Found], settings: ReportSettings, progress: Progress
) -> MeasuredData:
    """The domain on the labelled requests of a file or a log.

    By the weights that it answers with; of a domain that is not installed, by the toolkit's re-ranker, cross-fitted on
    the hypotheses that the requests bring. Raises as `read_requests_with_truth`, and `InputError` without either.
    """
    read = read_requests_with_truth(path, name, settings.offsets)
    domains = loaded(found)
    if name not in domains:
        return _cross_fitted_on(name, read, found, settings, progress)
    domain = domains[name]
    serving = _serving(name, domain, settings)
    if isinstance(serving, Broken):
        raise InputError(f"domain {name}: {serving.reason}")
    training = _training(domain, settings)
    given = guarded(own_examples, domain)
    own = None if isinstance(given, Fault) else own_data(training, given[0], domain, settings.store)[0]
    notes = list(read.notes)
    if isinstance(given, Fault):
        notes.append(f"its own examples cannot be read: {message(given)}")
    measured = scored(name, serving.model, read.examples, serving.recalibration, progress=progress)
    seen = _seen_before(serving, own, read.examples)
    return MeasuredData(measured, read.examples, "requests", serving, training, own, (), seen, notes, read.bad_lines)


def own_data(
    training: DomainTraining, given: Sequence[Example], domain: Domain, store: Store
) -> tuple[OwnData, Sequence[str]]:
    """The data that the domain trains on, with what the weights have seen of them, and remarks on shared negatives."""
    added = added_negatives(domain, training.read(given))
    examples = [*given, *added.examples]
    weights = guarded(present, domain.name, domain, store)
    unseen = None
    if not isinstance(weights, Fault) and weights.manifest.data_digest == data_digest(training.read(given)):
        held = held_out(domain.name, examples)
        unseen = held if int((~held).sum()) == weights.manifest.rows else None
    notes = [*added.notes, *(f"others' requests are {used}" for used in added.used)]
    return OwnData(examples, _drawn(domain, given), unseen), notes


def _drawn(domain: Domain, examples: Sequence[Example]) -> list[Example]:
    """The domain's own requests from its patterns: those among its examples, else from `data` beside its module."""
    found = [example for example in examples if is_drawn(example, domain.name)]
    module = sys.modules.get(type(domain).__module__)
    folder = Path(getattr(module, "__file__", None) or "").parent / "data"
    if not found and (folder / "patterns.toml").is_file():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DataFilesWarning)
            given = guarded(generate, folder, domain.name)
        found = [] if isinstance(given, Fault) else given
    return [example for example in found if example.truth.owned_by(domain.name)]


def _training(domain: Domain, settings: ReportSettings) -> DomainTraining:
    stated = settings.scales.get(domain.name, {})
    return DomainTraining.of(domain, stated, Settings(seed=settings.seed, context_keys=settings.context_keys))


def _serving(name: str, domain: Domain, settings: ReportSettings) -> Serving | Broken:
    return load_domains({name: domain}, settings.store, settings.scales)[name]


def _enough(name: str, examples: Sequence[Example], unseen: Mask) -> bool:
    own = sum(examples[i].truth.owned_by(name) for i in np.flatnonzero(unseen).tolist())
    return int(unseen.sum()) >= _ENOUGH and own >= _ENOUGH_OWN


def _trained_again(
    training: DomainTraining, examples: Sequence[Example], settings: ReportSettings, progress: Progress
) -> tuple[MeasuredDomain, Sequence[Example], Sequence[TrainedPoint], str]:
    """The domain on examples by weights that have not seen them, and the warning that says which."""
    name = training.domain.name
    if folds := fold_count(examples):
        curve = settings.curve != "none"
        measured, points = cross_fitted(training, examples, folds, curve=curve, progress=progress)
        rest = "half" if folds == 2 else f"{folds - 1} of {folds} parts"
        how = f"each request by weights trained on the other {rest} of the data"
        return measured, examples, points, f"measured with weights trained for this, not those that answer: {how}"
    held = held_out(name, examples)
    tested = [examples[i] for i in np.flatnonzero(held).tolist()]
    progress("training", 0, 1)
    model = training.model(training.read([examples[i] for i in np.flatnonzero(~held).tolist()]))
    progress("training", 1, 1)
    measured = scored(name, model, training.read(tested), progress=progress)
    return measured, tested, (), "measured with weights trained for this, on nine tenths of the data"


def _cross_fitted_on(
    name: str, read: LabelledRequests, found: Sequence[Found], settings: ReportSettings, progress: Progress
) -> MeasuredData:
    """A domain that is not installed, on the hypotheses that requests bring."""
    if not any(h.domain == name for example in read.examples for h in example.request.hypotheses or ()):
        domain_named(name, loaded(found), found)
    kept = [example for example in read.examples if example.request.hypotheses is not None]
    notes = list(read.notes)
    if len(kept) < len(read.examples):
        notes.append(f"{len(read.examples) - len(kept)} requests bring no hypotheses and are left out")
    training = _training(ReferenceDomain(name), settings)
    measured, points = cross_fitted(
        training, kept, fold_count(kept) or 2, curve=settings.curve != "none", progress=progress
    )
    warning = (
        f"{name} is not installed: its probabilities are those of the toolkit's re-ranker, trained on the hypotheses "
        "of these requests, each scored by one that has not seen it"
    )
    return MeasuredData(measured, kept, "cross-fitted", None, training, None, points, [warning], notes, read.bad_lines)


def _seen_before(serving: Serving, own: OwnData | None, examples: Sequence[Example]) -> list[str]:
    """Warnings on requests that the weights may have been trained on."""
    if own is None or own.unseen is None:
        return [
            f"the weights {serving.version} were trained on other data than its own examples: where these requests "
            "were among them, expect worse on new ones"
        ]
    known = {
        (example.request.utterance or "").casefold()
        for example, unseen in zip(own.examples, own.unseen.tolist(), strict=True)
        if not unseen
    } - {""}
    again = sum((example.request.utterance or "").casefold() in known for example in examples)
    if not again:
        return []
    return [f"{again} of {len(examples)} requests are word for word in the data that the weights were trained on"]


def neighbours(
    name: str, data: MeasuredData, found: Sequence[Found], settings: ReportSettings, progress: Progress
) -> dict[str, MeasuredDomain]:
    """The neighbours on the same requests: those that have hypotheses in them or, where there are none, own some.

    Installed ones by the weights that they answer with; others by the toolkit's re-ranker, cross-fitted. One that
    cannot be scored is left out with a note.
    """
    if data.source != "requests" and data.own is not None:
        return {}
    brought = {h.domain for e in data.examples for h in e.request.hypotheses or ()}
    domains, owners = loaded(found), {owner for e in data.examples for owner in e.truth.owners}
    names = brought or owners & domains.keys()
    result = {}
    for other in sorted(names - {name}):
        one = guarded(_neighbour, other, domains.get(other), data, settings, progress)
        if isinstance(one, Fault):
            if not isinstance(one.error, ArbitrankError):
                raise one.error
            data.notes.append(f"neighbour {other} is left out: {message(one)}")
        else:
            result[other] = one
    return result


def _neighbour(
    name: str, domain: Domain | None, data: MeasuredData, settings: ReportSettings, progress: Progress
) -> MeasuredDomain:
    if domain is None:
        training = _training(ReferenceDomain(name), settings)
        if any(example.request.hypotheses is None for example in data.examples):
            raise DataError("some requests do not bring hypotheses, and it is not installed")
        folds = fold_count(data.examples) or 2
        return cross_fitted(training, data.examples, folds, curve=False, progress=progress)[0]
    serving = _serving(name, domain, settings)
    if isinstance(serving, Broken):
        raise InputError(serving.reason)
    stage = f"neighbour {name}"
    return scored(name, serving.model, data.examples, serving.recalibration, stage=stage, progress=progress)
