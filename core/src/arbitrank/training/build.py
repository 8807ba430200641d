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

from arbitrank.arbitration.hosted_domain import HostedDomain
from arbitrank.arbitration.scaled_model import scaled
from arbitrank.domain import Domain, Settings
from arbitrank.errors import DataError, PluginError
from arbitrank.learn.census import Census
from arbitrank.learn.evidence import Each, own_request
from arbitrank.learn.feature_spec import Confidences
from arbitrank.learn.kind_choice import KindChoice
from arbitrank.nlu.text import crc
from arbitrank.outcomes.lessons import is_lesson
from arbitrank.plugin_hooks import stated
from arbitrank.scales import NO_SCALES
from arbitrank.store.artifact import CARD, Manifest, NegativesUsed, replacing, seal, write_durably
from arbitrank.training.example_file import data_digest, select
from arbitrank.training.figures import HeldOutFigures, measure
from arbitrank.training.plugin_calls import loaded, trained
from arbitrank.training.scored_examples import DomainScales
from arbitrank.training_environment import FILE, TrainingEnvironment, present_environment
from arbitrank.values import Example

Split = Literal["words", "time"]

_HELD_OUT = 10  # one example in so many is held out

Floats = NDArray[np.float64]


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
