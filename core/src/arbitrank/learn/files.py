"""Re-rankers as files, names beside numbers, so that a person can read what a domain ships.

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
from arbitrank.learn.calibration import Affine, Calibrated, Isotonic
from arbitrank.learn.feature_spec import FeatureSpec
from arbitrank.learn.rerankers import R0, Factored, LogLinear, Weights

WEIGHTS = "weights.json"
TREES = "trees.txt"
CALIBRATION = "calibration.json"

Plain = R0 | LogLinear | Factored | Boosted
"""The kinds of re-ranker that are written."""


def save(reranker: Plain | Calibrated, folder: Path) -> None:
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


def load(folder: Path) -> Plain | Calibrated:
    """Read what `save` wrote. Raises `ArtifactError` where it is damaged or its features are not this toolkit's."""
    try:
        model = msgspec.json.decode((folder / WEIGHTS).read_bytes(), type=Plain)
        if isinstance(model, Boosted):
            model = msgspec.structs.replace(model, text=(folder / TREES).read_text(encoding="utf-8"))
        calibrator = None
        if (folder / CALIBRATION).is_file():
            calibrator = msgspec.json.decode((folder / CALIBRATION).read_bytes(), type=Affine | Isotonic)
    except (OSError, ValueError, RecursionError) as error:
        raise ArtifactError(f"{folder}: not a re-ranker that can be read: {error}") from error
    if isinstance(model, LogLinear):
        _check(folder, model.weights, model.spec.plain_names)
    elif isinstance(model, Factored):
        _check_factored(folder, model)
    elif isinstance(model, Boosted):
        model.check(folder)
        if model.base:
            _check_factored(folder, model.base)
    return model if calibrator is None else Calibrated(model, calibrator)


def spec_of(reranker: Plain | Calibrated) -> FeatureSpec:
    """The features that a re-ranker was trained with."""
    return reranker.reranker.spec if isinstance(reranker, Calibrated) else reranker.spec


def linear_of(reranker: Plain | Calibrated) -> tuple[Weights, ...]:
    """The linear models that a re-ranker is made of, or that it corrects; none where it is no such."""
    match reranker:
        case Calibrated():
            return linear_of(reranker.reranker)
        case Boosted():
            return linear_of(reranker.base) if reranker.base else ()
        case Factored():
            return reranker.mine, reranker.right
        case LogLinear():
            return (reranker.weights,)
        case _:
            return ()


def feature_names(reranker: Plain | Calibrated) -> list[str]:
    """The features a re-ranker weighs, in order; those of a factored one's P(mine) first."""
    match reranker:
        case Calibrated():
            return feature_names(reranker.reranker)
        case Factored():
            return [*reranker.mine.names, *reranker.right.names]
        case LogLinear():
            return list(reranker.weights.names)
        case Boosted():
            return list(boosted_names(reranker.spec))
        case _:
            return []


def _check_factored(folder: Path, model: Factored) -> None:
    _check(folder, model.mine, model.spec.request_names)
    _check(folder, model.right, model.spec.reading_names)


def _check(folder: Path, weights: Weights, promised: tuple[str, ...]) -> None:
    if weights.names != promised or not len(weights.values) == len(weights.means) == len(promised):
        unknown = sorted(set(weights.names) ^ set(promised))
        raise ArtifactError(
            f"{folder / WEIGHTS}: its features are not those of this arbitrank (they differ in {unknown or 'order'}); "
            "train again"
        )


def _json(value: Plain | Affine | Isotonic) -> bytes:
    return msgspec.json.format(msgspec.json.encode(value), indent=1)
