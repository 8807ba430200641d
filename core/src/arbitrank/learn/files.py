"""Files of re-rankers, names beside numbers, so that a person can read what a domain ships.

weights.json       the kind of re-ranker, its features, and its weights
trees.txt          LightGBM's text, of a boosted one
calibration.json   the map from claimed to calibrated probability, where one is used
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from arbitrank.errors import ArtifactError
from arbitrank.learn.boosted import Boosted
from arbitrank.learn.boosted import feature_names as boosted_names
from arbitrank.learn.calibration import Calibrated, Calibrator
from arbitrank.learn.feature_spec import FeatureSpec
from arbitrank.learn.rerankers import R0, Factored, LogLinear, Weights

WEIGHTS = "weights.json"
TREES = "trees.txt"
CALIBRATION = "calibration.json"

Plain = R0 | LogLinear | Factored | Boosted
"""The kinds of re-ranker that are written."""

Saved = Plain | Calibrated
"""The re-rankers that a file may hold."""


def save(reranker: Saved, folder: Path) -> None:
    """Write a re-ranker's files into the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    if isinstance(reranker, Calibrated):
        (folder / CALIBRATION).write_bytes(_json(reranker.calibrator))
        save(reranker.reranker, folder)
        return
    if isinstance(reranker, Boosted):
        (folder / TREES).write_text(reranker.text, encoding="utf-8")
        reranker = msgspec.structs.replace(reranker, text="")
    (folder / WEIGHTS).write_bytes(_json(reranker))


def load(folder: Path) -> Saved:
    """Read what `save` wrote. Raises `ArtifactError` where it is damaged or its features are not this toolkit's."""
    try:
        model = msgspec.json.decode((folder / WEIGHTS).read_bytes(), type=Plain)
        if isinstance(model, Boosted):
            model = msgspec.structs.replace(model, text=(folder / TREES).read_text(encoding="utf-8"))
        calibrator = None
        if (folder / CALIBRATION).is_file():
            calibrator = msgspec.json.decode((folder / CALIBRATION).read_bytes(), type=Calibrator)
    except (OSError, ValueError, RecursionError) as error:
        raise ArtifactError(f"{folder}: not a re-ranker that can be read: {error}") from error
    if isinstance(model, Boosted):
        model.check(folder)
    base = model.base if isinstance(model, Boosted) and model.base else model
    names = (
        [base.spec.plain_names] if isinstance(base, LogLinear) else [base.spec.request_names, base.spec.reading_names]
    )
    for weights, expected in zip(linear_of(base), names, strict=False):
        _check(folder, weights, expected)
    return model if calibrator is None else Calibrated(model, calibrator)


def spec_of(reranker: Saved) -> FeatureSpec:
    """The features that a re-ranker was trained with."""
    return _uncalibrated(reranker).spec


def linear_of(reranker: Saved) -> tuple[Weights, ...]:
    """The linear models that a re-ranker consists of or corrects, P(mine) first; none of R0 and of trees alone."""
    plain = _uncalibrated(reranker)
    base = plain.base if isinstance(plain, Boosted) else plain
    if isinstance(base, Factored):
        return base.mine, base.right
    return (base.weights,) if isinstance(base, LogLinear) else ()


def feature_names(reranker: Saved) -> list[str]:
    """Names of a re-ranker's features, in order; those of a factored one's P(mine) first."""
    plain = _uncalibrated(reranker)
    if isinstance(plain, Boosted):
        return list(boosted_names(plain.spec))
    return [name for weights in linear_of(plain) for name in weights.names]


def _uncalibrated(reranker: Saved) -> Plain:
    plain: Plain = reranker.reranker if isinstance(reranker, Calibrated) else reranker
    return plain


def _check(folder: Path, weights: Weights, expected: tuple[str, ...]) -> None:
    if weights.names != expected or not len(weights.values) == len(weights.means) == len(expected):
        unknown = sorted(set(weights.names) ^ set(expected))
        raise ArtifactError(
            f"{folder / WEIGHTS}: its features are not those of this arbitrank (they differ in {unknown or 'order'}); "
            "train again"
        )


def _json(value: Plain | Calibrator) -> bytes:
    return msgspec.json.format(msgspec.json.encode(value), indent=1)
