"""Scores of one domain for a report: by the weights that it answers with, or cross-fitted by its own training."""

from __future__ import annotations

import dataclasses
import tempfile
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from arbitrank.arbitration.merge import BestReadings
from arbitrank.arbitration.recalibration import Recalibration
from arbitrank.arbitration.scaled_model import scaled, scales_of, unscaled
from arbitrank.domain import Domain, Model, Progress, Settings
from arbitrank.errors import DataError
from arbitrank.impact.batch_scores import score_batch
from arbitrank.probability import Floats
from arbitrank.report.measured import MeasuredDomain
from arbitrank.scales import NO_SCALES
from arbitrank.scores import ScoreError
from arbitrank.training.plugin_calls import loaded, trained
from arbitrank.training.scored_examples import DomainScales, read_example
from arbitrank.values import Example, Hypothesis, Request
from arbitrank.wire.requests import Logged

_BLOCK = 250  # requests between two reports of progress
_ROWS = 4_000  # rows that all trainings of a cross-fitting learn from, together, where they recognise the words
_GIVEN = 20  # rows that bring hypotheses count so much less

SHARES = (0.25, 0.5)
"""Shares of the training data at which a learning curve is measured, beside all of them."""


def scored(
    name: str,
    model: Model,
    examples: Sequence[Example],
    by: Recalibration | None = None,
    *,
    stage: str = "scoring",
    progress: Progress,
) -> MeasuredDomain:
    """The domain on the examples by one model, which reads the hypotheses that they bring, else the words."""
    parts, readings, failures = [BestReadings.empty(0)], [], list[str]()
    for first in range(0, len(examples), _BLOCK):
        progress(stage, first, len(examples))
        requests = [_request(example) for example in examples[first : first + _BLOCK]]
        brought = [None if r.hypotheses is None else [h for h in r.hypotheses if h.domain == name] for r in requests]
        found = score_batch(name, model, requests, brought, by)
        parts.append(found.best)
        readings += found.readings
        failures += found.failures
    progress(stage, len(examples), len(examples))
    seen = [example.seen_by(name) for example in examples]
    return MeasuredDomain(name, seen, BestReadings.together(parts), readings, failures)


def _request(example: Example) -> Request:
    """The request, which says where its hypotheses are known to be the recogniser's own."""
    if example.extra.get("recognised") is not True:
        return example.request
    return Logged(**msgspec.structs.asdict(example.request), recognised=True)


@dataclass(frozen=True)
class DomainTraining:
    """A domain's training by the contract, on examples that its scales have read."""

    domain: Domain
    scales: DomainScales
    settings: Settings

    @classmethod
    def of(cls, domain: Domain, stated: Mapping[str, str], settings: Settings) -> DomainTraining:
        """The training of a domain, `stated` being the scales of its scores by field."""
        return cls(domain, DomainScales.of(domain, stated), settings)

    def read(self, examples: Sequence[Example]) -> list[Example]:
        """The examples as training gets them: with the domain's own hypotheses, read; unreadable ones are left out."""
        found = []
        for example in examples:
            given, own = example.request.hypotheses, example
            if given is not None:
                own = _with(example, tuple(h for h in given if h.domain == self.domain.name))
            try:
                found.append(read_example(own, self.scales))
            except ScoreError:
                found.append(_with(example, ()))
        return found

    def model(self, examples: Sequence[Example]) -> Model:
        """The model that the domain trains on read examples, for hypotheses that have been read, too.

        Raises as `plugin_calls.trained` and `loaded` do.
        """
        # Limits hold for loaded libraries alone.
        import arbitrank.learn.model_selection
        import arbitrank.nlu.training  # noqa: F401

        name, kept = self.domain.name, []
        silent = 0
        for example in examples:
            useless = example.request.hypotheses == () and not example.truth.owned_by(name)
            silent += useless
            kept += [] if useless else [example.seen_by(name)]
        settings = dataclasses.replace(self.settings, silent=silent)
        with threadpool_limits(1), tempfile.TemporaryDirectory(prefix="arbitrank-report-") as folder:
            out = Path(folder) / "out"
            out.mkdir()
            trained(self.domain, kept, out, settings)
            model = scaled(loaded(self.domain, out), NO_SCALES, self.scales.recognised)
        return scaled(unscaled(model), NO_SCALES, scales_of(model, recognised=True))


def _with(example: Example, hypotheses: tuple[Hypothesis, ...]) -> Example:
    return replace(example, request=replace(example.request, hypotheses=hypotheses))


class TrainedPoint(NamedTuple):
    """A point of a learning curve: the mean number of examples learned from, and `MeasuredDomain.wrong` after it."""

    examples: float
    wrong: Floats


def fold_count(examples: Sequence[Example]) -> int:
    """Folds of a cross-fitting: 5, fewer where many examples would take long; 0 where even 2 would."""
    rows = float(sum(1.0 if e.request.hypotheses is None else 1.0 / _GIVEN for e in examples))
    return next((folds for folds in (5, 4, 3, 2) if rows * (folds - 1) * (1.0 + sum(SHARES)) <= _ROWS), 0)


def cross_fitted(
    training: DomainTraining,
    examples: Sequence[Example],
    folds: int,
    *,
    curve: bool = True,
    progress: Progress,
) -> tuple[MeasuredDomain, list[TrainedPoint]]:
    """The domain on examples, each by a model of those in the other folds, and its learning curve.

    Equal words share a fold, and each fold has its part of every owner and intent. Points of the curve whose data do
    not suffice to train on are left out. Raises as `DomainTraining.model` does.
    """
    name, shares = training.domain.name, (*SHARES, 1.0) if curve else (1.0,)
    read, fold = training.read(examples), _folds(examples, folds, training.settings.seed)
    parts: dict[float, list[MeasuredDomain]] = {share: [] for share in shares}
    sizes: dict[float, list[int]] = {share: [] for share in shares}
    for f in range(folds):
        rest = [read[i] for i in np.flatnonzero(fold != f).tolist()]
        held = [read[i] for i in np.flatnonzero(fold == f).tolist()]
        progress("cross-fitting", f, folds)
        for share in list(parts):
            learned = share_of(rest, share, training.settings.seed)
            try:
                model = training.model(learned)
            except DataError:
                if share == 1.0:
                    raise
                del parts[share]
                continue
            parts[share].append(scored(name, model, held, progress=_quiet))
            sizes[share].append(len(learned))
    progress("cross-fitting", folds, folds)
    order = np.argsort(np.argsort(fold, kind="stable"), kind="stable")
    whole = {share: _together(name, found, examples, order) for share, found in parts.items()}
    points = [TrainedPoint(float(np.mean(sizes[share])), one.wrong) for share, one in whole.items()]
    return whole[1.0], points


def trained_points(
    training: DomainTraining,
    examples: Sequence[Example],
    sizes: Sequence[int],
    on: Sequence[Example],
    *,
    progress: Progress,
) -> list[TrainedPoint]:
    """Points of a learning curve on other requests: the domain trained on so many of the examples.

    Sizes that do not suffice to train on are left out.
    """
    points, read = list[TrainedPoint](), training.read(examples)
    for k, size in enumerate(sizes):
        progress("learning curve", k, len(sizes))
        try:
            model = training.model(share_of(read, size / len(read), training.settings.seed))
        except DataError:
            continue
        points.append(TrainedPoint(size, scored(training.domain.name, model, on, progress=_quiet).wrong))
    progress("learning curve", len(sizes), len(sizes))
    return points


def share_of(examples: Sequence[Example], share: float, seed: int) -> list[Example]:
    """About a share of the examples, of every owner and intent, in their order; a greater share holds a smaller one."""
    if share >= 1.0:
        return list(examples)
    ranks = _ranks([_stratum(example) for example in examples], seed)
    return [example for example, rank in zip(examples, ranks.tolist(), strict=True) if rank < share]


def _folds(examples: Sequence[Example], folds: int, seed: int) -> NDArray[np.int64]:
    """The fold of each example: in turn through the distinct words of each owner and intent, in random order."""
    words = [(e.request.utterance or e.request.id or str(i)).casefold() for i, e in enumerate(examples)]
    first = {text: i for i, text in reversed(list(enumerate(words)))}
    strata = {text: _stratum(examples[i]) for text, i in first.items()}
    rank = _ranks(list(strata.values()), seed)
    order = sorted(zip(strata.values(), rank.tolist(), strata, strict=True))
    fold = {text: place % folds for place, (_, _, text) in enumerate(order)}
    return np.array([fold[text] for text in words], np.int64)


def _stratum(example: Example) -> tuple[str, str]:
    return next(iter(example.truth.owners), ""), example.truth.intent or ""


def _ranks(strata: Sequence[tuple[str, str]], seed: int) -> Floats:
    """A number in [0, 1) for each item, those of each stratum being spread evenly and in random order."""
    rng = np.random.default_rng(seed)
    places = defaultdict[tuple[str, str], list[int]](list)
    for i, stratum in enumerate(strata):
        places[stratum].append(i)
    ranks = np.empty(len(strata))
    for at in places.values():
        ranks[at] = (rng.permutation(len(at)) + rng.random()) / len(at)
    return ranks


def _together(
    name: str, parts: Sequence[MeasuredDomain], examples: Sequence[Example], order: NDArray[np.int64]
) -> MeasuredDomain:
    """The parts of all folds in the order of the examples."""
    best = BestReadings.together([one.best for one in parts]).at(order)
    readings = [own for one in parts for own in one.readings]
    failures = [text for one in parts for text in one.failures]
    seen = [example.seen_by(name) for example in examples]
    return MeasuredDomain(name, seen, best, [readings[i] for i in order.tolist()], failures)


def _quiet(stage: str, done: int, total: int) -> None:
    """Report no progress."""
