"""From examples to a sealed artifact: the core holds some out, the domain trains, the core measures and seals."""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np
from msgspec import UNSET, UnsetType
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from arbitrank.arbitration import dispatch
from arbitrank.arbitration.hosted_domain import HostedDomain
from arbitrank.arbitration.outcomes import Failed
from arbitrank.arbitration.scaled_model import scaled, scales_of
from arbitrank.domain import Domain, Model, Settings
from arbitrank.errors import DataError, PluginError
from arbitrank.evaluate.metrics import Calibration, calibration
from arbitrank.learn.census import Census
from arbitrank.learn.evidence import Each, own_request
from arbitrank.learn.feature_spec import Confidences, FeatureSpec
from arbitrank.learn.gains import Gain
from arbitrank.learn.kind_choice import KindChoice
from arbitrank.learn.rerankers import R0
from arbitrank.nlu.text import crc
from arbitrank.outcomes.lessons import is_lesson
from arbitrank.plugin_hooks import stated
from arbitrank.probability import log_loss
from arbitrank.scales import NO_SCALES
from arbitrank.scores import distinct_hypotheses
from arbitrank.semer import entirely_right
from arbitrank.store.artifact import CARD, Manifest, NegativesUsed, replacing, seal, write_durably
from arbitrank.training.example_file import data_digest, select
from arbitrank.training.plugin_calls import loaded, trained
from arbitrank.training.scored_examples import DomainScales
from arbitrank.training_environment import FILE, TrainingEnvironment, present_environment
from arbitrank.values import Example, Hypothesis

Split = Literal["words", "time"]

_HELD_OUT = 10  # one example in so many is held out
_LIKELY = 1.0  # standard errors by which R0 has to be better for weights to count as worse

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class HeldOutFigures:
    """A model on held-out requests: its calibration, and its weighted NLL beside that of R0 on the same readings.

    `worse`: R0, the product of the confidences, has the lower NLL by more than the standard error of the difference.
    """

    card: Calibration
    nll: float
    baseline: float
    worse: bool = False

    def of_others(self, others: int, silent: int) -> HeldOutFigures:
        """The figures with the numbers of other domains' requests in training, with and without a hypothesis."""
        return replace(self, card=msgspec.structs.replace(self.card, others=others, silent=silent))

    def by(self, choice: KindChoice | None) -> HeldOutFigures:
        """The figures with the choice of the re-ranker's kind, where there was one."""
        return self if choice is None else replace(self, card=msgspec.structs.replace(self.card, choice=choice))


@dataclass(frozen=True)
class BuiltArtifact:
    """A sealed artifact: its manifest and its held-out figures."""

    manifest: Manifest
    measured: HeldOutFigures


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
    scales: DomainScales | None = None,
    negatives: Sequence[NegativesUsed] = (),
) -> BuiltArtifact:
    """Train `domain` and write a sealed artifact into `folder`, which is new, empty or an artifact to replace.

    `package` is the distribution's name and version. `base` is the artifact whose recogniser is kept where training
    gives none. `split` chooses the held-out examples. `made_of` goes into the manifest as it is. `scales` are those by
    which the examples were read, by default the domain's. `negatives` says which shared ones are at the examples' end.
    Nothing is measured on lessons of outcomes, and nothing is learned from those that are held out by their words.
    Nothing is left in `folder` where training fails.
    """
    scales = scales or DomainScales.of(domain, {})
    held = held_out(domain.name, examples, split)
    lesson = np.fromiter((is_lesson(example) for example in examples), bool, len(examples))
    training, test = select(examples, ~held), select(examples, held & ~lesson)
    if not training:
        raise DataError(f"domain {domain.name}: {len(examples)} examples are too few to train on and measure")
    with replacing(folder) as work:
        # One thread: sums in another order would give other weights. The limit applies to loaded libraries, so the
        # toolkit's are loaded first.
        import arbitrank.learn.model_selection
        import arbitrank.nlu.training  # noqa: F401

        with threadpool_limits(1):
            report = trained(domain, Each(training, lambda example: example.seen_by(domain.name)), work, settings)
        if base and not (work / "recogniser").exists() and (base / "recogniser").is_dir():
            shutil.copytree(base / "recogniser", work / "recogniser")
        settings.progress("measuring", 0, 1)
        means, others = _seen(domain.name, training)
        model = scaled(loaded(domain, work), NO_SCALES, scales.recognised)  # those of examples have been read
        figures = measure(domain.name, model, test, means, settings.kept)
        settings.progress("measuring", 1, 1)
        others, silent = (_count(report, key, n) for key, n in (("others", others), ("silent", settings.silent)))
        choice = _choice(report)
        return sealed(
            work,
            domain.name,
            package,
            settings if choice is None else replace(settings, model=choice.model),
            figures.of_others(others, silent).by(choice),
            environment_of(domain, package),
            features=tuple(report.get("features", ())),
            rows=len(training),
            data_digest=data_digest(examples[: len(examples) - sum(one.requests for one in negatives)]),
            negatives=tuple(negatives) or UNSET,
            made_of=made_of,
            scales=scales.recorded(examples),
        )


def environment_of(domain: Domain, package: tuple[str, str]) -> TrainingEnvironment | None:
    """The environment that a domain trains in; None for one that is in no package."""
    if isinstance(domain, HostedDomain):
        return domain.environment
    return present_environment(*package, stated(domain, "loadable_by")) if package[0] else None


def sealed(
    folder: Path,
    domain: str,
    package: tuple[str, str],
    settings: Settings,
    measured: HeldOutFigures,
    environment: TrainingEnvironment | None = None,
    **more: Any,
) -> BuiltArtifact:
    """Write the card, the environment and the manifest into a folder with trained weights.

    `more` are further fields of the manifest. Raises `PluginError` where training wrote a file of the environment's
    name.
    """
    if (folder / FILE).exists():
        raise PluginError(f"domain {domain}: train wrote {FILE}, which core writes; expected files in reranker/")
    if environment is not None:
        write_durably(folder / FILE, environment.encoded())
    write_durably(folder / CARD, msgspec.json.format(msgspec.json.encode(measured.card), indent=1))
    about = Manifest(
        domain=domain,
        package=package[0],
        package_version=package[1],
        model=settings.model,
        loss=settings.loss or "",
        seed=settings.seed,
        **more,
    )
    return BuiltArtifact(seal(folder, about), measured)


def held_out(domain: str, examples: Iterable[Example], split: Split = "words") -> NDArray[np.bool_]:
    """Mask of the held-out examples, shape (n,): about one in ten.

    `words`: by a hash of the utterance, so that equal utterances are on one side. `time`: the latest. Raises
    `DataError` where an example has no time then.
    """
    if split == "words":
        texts = (e.request.utterance or e.extra.get("utterance_hash") or e.request.id or "" for e in examples)
        return np.array([crc(str(text).casefold()) % _HELD_OUT == 0 for text in texts], bool)
    times = [time_of(example) for example in examples]
    if None in times:
        raise DataError(
            f"domain {domain}: example {times.index(None) + 1} of {len(times)} has no time, expected one for each with "
            "--split-by time: seconds since 1970 as `time`"
        )
    if not times:
        return np.zeros(0, bool)
    ordered = np.array(times, np.float64)
    # Strictly later: requests of the same moment stay on one side.
    return np.asarray(ordered > np.quantile(ordered, 1.0 - 1.0 / _HELD_OUT, method="lower"))


def time_of(example: Example) -> float | None:
    """Time of the request in seconds since 1970, from the line's `time`; None where that is absent or no number."""
    time = example.extra.get("time")
    if isinstance(time, bool) or not isinstance(time, int | float) or not math.isfinite(time):
        return None
    return float(time)


def measure(
    name: str, model: Model, examples: Iterable[Example], means: Confidences = Confidences(), kept: float = 1.0
) -> HeldOutFigures:
    """Figures of a model's best readings over requests, other domains' included, beside those of R0.

    `means` replace missing confidences in R0. Others' requests weigh 1 / `kept`. Raises `DataError` where the model
    fails on an example.
    """
    return figures_of(claims(name, model, examples, means, kept))


def figures_of(rows: Floats) -> HeldOutFigures:
    """The figures of a model from its rows of `claims`."""
    p, y, p0, y0, weight = rows.T
    sampled = weight if (weight != 1.0).any() else None
    of_model, of_r0 = log_loss(p, y), log_loss(p0, y0)
    worse = bool(len(p)) and Gain.of(of_r0 - of_model, weight).below(_LIKELY)
    return HeldOutFigures(calibration(p, y, sampled), _nll(of_model, weight), _nll(of_r0, weight), worse)


def claims(name: str, model: Model, examples: Iterable[Example], means: Confidences, kept: float) -> Floats:
    """P(right) of the model's best reading and its outcome, the same of R0, and the request's weight: shape (n, 5).

    Requests without a reading are left out.
    """
    baseline = R0(FeatureSpec(name, fill=means))
    rows = []
    for example in examples:
        given = example.request.hypotheses
        own = None if given is None else [h for h in given if h.domain == name]
        outcome = dispatch.query(name, model, example.request, own)
        if isinstance(outcome, Failed):
            raise DataError(
                f"domain {name}: fails on example {_named(example)}: {outcome.placed}; run: arbitrank check {name}"
            )
        if outcome.hypotheses:
            read = distinct_hypotheses(outcome.hypotheses, scales_of(model, recognised=own is None))
            recognised = msgspec.structs.replace(example.request, hypotheses=read)
            r0 = baseline.rerank(recognised).right
            weight = example.weight * (1.0 if example.truth.owned_by(name) else 1.0 / kept)
            of_both = (_best(right, outcome.hypotheses, example) for right in (outcome.scores.right, r0))
            rows.append((*next(of_both), *next(of_both), weight))
    return np.array(rows, np.float64).reshape(-1, 5)


def _named(example: Example) -> str:
    """The id of an example, else its words, so that its author finds it."""
    return repr(example.request.id or example.request.utterance or "without an id")


def _best(right: Floats, hypotheses: Sequence[Hypothesis], example: Example) -> tuple[float, float]:
    best = int(np.argmax(right))
    return float(right[best]), float(entirely_right(hypotheses[best], example.truth))


def _nll(losses: Floats, weight: Floats) -> float:
    return float(np.average(losses, weights=weight)) if len(losses) else 0.0


def _seen(name: str, examples: Sequence[Example]) -> tuple[Confidences, int]:
    """The domain's mean confidences in its training data, where that brings hypotheses, and the number of other
    domains' requests in it: of those with a hypothesis of the domain, where it brings any."""
    census, others = Census(name, ()), 0
    for example in examples:
        given = example.request.hypotheses
        own = [h for h in given or () if h.domain == name]
        if own:
            census.count(own_request(example.request, own), example.truth)
        others += not example.truth.owned_by(name) and (given is None or bool(own))
    return census.spec(context=False).fill, others


def _choice(report: Mapping[str, Any]) -> KindChoice | None:
    """The choice of a kind of re-ranker that a domain's training reported, None where it reported none."""
    try:
        return msgspec.convert(report["choice"], KindChoice)
    except (KeyError, msgspec.ValidationError):
        return None


def _count(report: Mapping[str, Any], key: str, otherwise: int) -> int:
    """A count that a domain's training reported, else what the core counted."""
    value = report.get(key)
    return value if type(value) is int else otherwise
