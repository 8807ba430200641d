"""From examples to a sealed artifact: the core keeps some back, the domain trains, the core measures and seals."""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np
from msgspec import UNSET, UnsetType
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from arbitrank.arbitration import dispatch
from arbitrank.domain import Domain, Model, Settings
from arbitrank.errors import DataError
from arbitrank.evaluate.metrics import Calibration, calibration
from arbitrank.learn.features import Confidences, FeatureSpec
from arbitrank.learn.rerankers import R0
from arbitrank.nlu.text import crc
from arbitrank.probability import log_loss
from arbitrank.semer import entirely_right
from arbitrank.store.artifact import CARD, Manifest, replacing, seal, write_durably
from arbitrank.training.example_file import data_digest, only
from arbitrank.values import Example, Hypothesis

__all__ = [
    "Built",
    "Measured",
    "Split",
    "build",
    "claims",
    "data_digest",
    "kept_back",
    "measure",
    "measured",
    "of_claims",
    "sealed",
    "time_of",
]

Split = Literal["words", "time"]

_KEPT_BACK = 10  # one in so many examples is kept back to measure on

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Measured:
    """What held-back requests say of a model: its calibration, and its NLL beside R0's on the same readings, weighed as
    the requests are."""

    card: Calibration
    nll: float
    baseline: float

    @property
    def worse(self) -> bool:
        """Whether the product of the bare confidences would have been the better claim."""
        return self.nll > self.baseline + 1e-9


@dataclass(frozen=True)
class Built:
    """An artifact that was made: its manifest, what was measured, and what the domain's training reported."""

    manifest: Manifest
    measured: Measured
    report: Mapping[str, Any]

    @property
    def card(self) -> Calibration:
        """The calibration card."""
        return self.measured.card


def build(
    domain: Domain,
    package: tuple[str, str],
    examples: Sequence[Example],
    folder: Path,
    settings: Settings,
    *,
    base: Path | None = None,
    split: Split = "words",
    made_of: str | UnsetType = UNSET,
) -> Built:
    """Train `domain` and write a sealed artifact into `folder`, which is new, empty or an artifact to replace.

    `package` is the distribution's name and version. `base` is the artifact whose recogniser is kept where training
    gives none. `split` says how the examples that are kept back are chosen. `made_of` goes into the manifest as it is.
    Nothing is left in `folder` where training fails.
    """
    held = kept_back(domain.name, examples, split)
    training, asked = only(examples, ~held), only(examples, held)
    if not training:
        raise DataError(f"domain {domain.name}: {len(examples)} examples are too few to train on and measure")
    with replacing(folder) as work:
        # One thread: sums in another order would be other weights. The limit holds for what is loaded by now, so the
        # toolkit's libraries are loaded first.
        import arbitrank.learn.model_selection
        import arbitrank.nlu.training  # noqa: F401

        with threadpool_limits(1):
            report = domain.train(training, work, settings)
        if base and not (work / "recogniser").exists() and (base / "recogniser").is_dir():
            shutil.copytree(base / "recogniser", work / "recogniser")
        settings.progress("measuring", 0, 1)
        found = measured(domain.name, domain.load(work), asked, _means(domain.name, training), settings.kept)
        settings.progress("measuring", 1, 1)
        about = Manifest(
            domain=domain.name,
            package=package[0],
            package_version=package[1],
            features=tuple(report.get("features", ())),
            model=settings.model,
            loss=settings.loss or "",
            seed=settings.seed,
            rows=len(training),
            data_digest=data_digest(examples),
            made_of=made_of,
        )
        manifest = sealed(work, about, found)
    return Built(manifest, found, report)


def sealed(folder: Path, about: Manifest, found: Measured) -> Manifest:
    """Write the card, then the manifest, of what was trained into the folder."""
    write_durably(folder / CARD, msgspec.json.format(msgspec.json.encode(found.card), indent=1))
    return seal(folder, about)


def kept_back(domain: str, examples: Iterable[Example], split: Split = "words") -> NDArray[np.bool_]:
    """Which examples are kept back to measure on, a mask of shape (n,): about one in ten.

    By their words, so that the same utterance is never on both sides; or by their time, the latest of them, so that
    what is measured is later than all that was learned. Raises `DataError` where one has no time.
    """
    if split == "words":
        return np.array([crc(_identity(e)) % _KEPT_BACK == 0 for e in examples], bool)
    times = [time_of(example) for example in examples]
    if None in times:
        raise DataError(
            f"domain {domain}: example {times.index(None) + 1} of {len(times)} has no time, promised one for each with "
            "--split-by time: seconds since 1970 as `time`"
        )
    if not times:
        return np.zeros(0, bool)
    ordered = np.array(times, np.float64)
    # Strictly later: what was said at the same moment stays on one side.
    return np.asarray(ordered > np.quantile(ordered, 1.0 - 1.0 / _KEPT_BACK, method="lower"))


def time_of(example: Example) -> float | None:
    """When the request was made, seconds since 1970, by the line's `time`; None where that is absent or no number."""
    time = example.extra.get("time")
    if isinstance(time, bool) or not isinstance(time, int | float) or not math.isfinite(time):
        return None
    return float(time)


def measure(name: str, model: Model, examples: Iterable[Example]) -> Calibration:
    """The calibration of a domain's best reading over requests, those that are not its own included."""
    return measured(name, model, examples).card


def measured(
    name: str, model: Model, examples: Iterable[Example], means: Confidences = Confidences(), kept: float = 1.0
) -> Measured:
    """A domain's best readings over requests, against the outcomes and against R0's best of the same readings.

    `means` stand for R0's missing confidences. Others' requests weigh 1 / `kept`. Raises `DataError` where the model
    fails on an example.
    """
    return of_claims(claims(name, model, examples, means, kept))


def of_claims(rows: Floats) -> Measured:
    """What claims, as `claims` gives them, say of the model that made them."""
    p, y, p0, y0, weight = rows.T
    return Measured(calibration(p, y), _nll(p, y, weight), _nll(p0, y0, weight))


def claims(name: str, model: Model, examples: Iterable[Example], means: Confidences, kept: float) -> Floats:
    """P(right) of the model's best reading of each request and its outcome, R0's and its, and the weight: shape (n, 5).

    Requests without a reading are left out.
    """
    baseline = R0(FeatureSpec(name, fill=means))
    rows = []
    for example in examples:
        given = example.request.hypotheses
        own = None if given is None else [h for h in given if h.domain == name]
        outcome = dispatch.query(name, model, example.request, own)
        if isinstance(outcome, dispatch.Failed):
            raise DataError(f"domain {name}: fails on example {example.request.id!r}: {outcome.reason}")
        if outcome.hypotheses:
            heard = msgspec.structs.replace(example.request, hypotheses=tuple(outcome.hypotheses))
            r0 = baseline.rerank(heard).right
            worth = example.weight * (1.0 if example.truth.domain == name else 1.0 / kept)
            of_both = (_best(right, outcome.hypotheses, example) for right in (outcome.scores.right, r0))
            rows.append((*next(of_both), *next(of_both), worth))
    return np.array(rows, np.float64).reshape(-1, 5)


def _best(right: Floats, hypotheses: Sequence[Hypothesis], example: Example) -> tuple[float, float]:
    best = int(np.argmax(right))
    return float(right[best]), float(entirely_right(hypotheses[best], example.truth))


def _nll(p: Floats, y: Floats, weight: Floats) -> float:
    return float(np.average(log_loss(p, y), weights=weight)) if len(p) else 0.0


def _means(name: str, examples: Sequence[Example]) -> Confidences:
    """The domain's mean confidences in what it trains on, where its hypotheses were given."""
    sums, counts = np.zeros(3), np.zeros(3)
    for example in examples:
        for h in example.request.hypotheses or ():
            if h.domain == name:
                for i, c in enumerate((h.domain_confidence, h.intent_confidence, h.reading_confidence)):
                    if c is not None:
                        sums[i] += c
                        counts[i] += 1
        if example.request.hypotheses is None:
            break
    return Confidences(*(float(s / n) if n else 0.5 for s, n in zip(sums, counts, strict=True)))


def _identity(example: Example) -> str:
    words = example.request.utterance or example.extra.get("utterance_hash")
    return str(words or example.request.id or "").casefold()
