"""The re-rankers that serve: R0, log-linear and factored. Trained in `arbitrank.learn.fitting`.

Each scores a request that holds one domain's hypotheses, at least one, and explains its scores. They are frozen and
written as `weights.json`, names beside numbers, so that a person can read what a domain ships.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

from arbitrank.domain import LinearForm, Scores
from arbitrank.errors import ArtifactError
from arbitrank.learn.features import CLIP, FeatureSpec, parts, plain_rows, rows
from arbitrank.learn.losses import Form, probabilities, sigmoid
from arbitrank.values import Request

Floats = NDArray[np.float64]
_ONE = np.zeros(1, np.int64)

WEIGHTS = "weights.json"


class Reranker(Protocol):
    """What every re-ranker does."""

    def rerank(self, request: Request) -> Scores:
        """P(mine) and P(right) of the request's hypotheses."""

    def explain(self, request: Request) -> list[Mapping[str, float]]:
        """What each group of features added to each hypothesis's log-odds, in nats."""

    def linear(self) -> LinearForm | None:
        """The weights, where the re-ranker is linear in the toolkit's features."""


class Weights(msgspec.Struct, frozen=True):
    """One linear model: a weight for each named feature, and the feature's mean in training, for explanations."""

    names: tuple[str, ...]
    values: tuple[float, ...]
    means: tuple[float, ...]

    def contributions(self, row: Sequence[float]) -> dict[str, float]:
        """What each group adds against the average of the training data."""
        groups: dict[str, float] = {}
        for name, weight, mean, x in zip(self.names, self.values, self.means, row, strict=True):
            group = name.partition(".")[0]
            if group != "bias":
                groups[group] = groups.get(group, 0.0) + weight * (x - mean)
        return groups


class R0(msgspec.Struct, frozen=True, tag="r0", tag_field="kind"):
    """The baseline: the product of the three confidences, no weights. Its P(mine) is the sum of its readings'."""

    spec: FeatureSpec

    def rerank(self, request: Request) -> Scores:
        domain, intent, slots, _ = parts(request, self.spec.fill)
        return _summed(np.array(domain) * np.array(intent) * np.array(slots))

    def explain(self, request: Request) -> list[Mapping[str, float]]:
        domain, intent, slots, _ = parts(request, self.spec.fill)
        logs = np.log([domain, intent, slots]) - np.log(np.array(self.spec.fill))[:, None]
        return [dict(zip(("domain", "intent", "slots"), map(float, column), strict=True)) for column in logs.T]

    def linear(self) -> LinearForm | None:
        return None


class LogLinear(msgspec.Struct, frozen=True, tag="loglinear", tag_field="kind"):
    """The article's re-ranker: one weighted sum of the log-confidences, in one of three forms of probability."""

    spec: FeatureSpec
    form: Form
    weights: Weights

    def rerank(self, request: Request) -> Scores:
        z = np.array(plain_rows(self.spec, request)) @ np.array(self.weights.values)
        return _summed(probabilities(z, _ONE, self.form))

    def explain(self, request: Request) -> list[Mapping[str, float]]:
        return [self.weights.contributions(row) for row in plain_rows(self.spec, request)]

    def linear(self) -> LinearForm | None:
        return LinearForm(self.form, self.spec, None, np.array(self.weights.values))


class Factored(msgspec.Struct, frozen=True, tag="factored", tag_field="kind"):
    """The default: q, "is this request mine?", times r, "given it is, which reading?".

    q is the sigmoid of a weighted sum of the request's features, r the softmax with a null option of a weighted sum of
    each reading's. With R0's weights q is the domain confidence and r the product of intent and slots confidence.
    """

    spec: FeatureSpec
    mine: Weights
    right: Weights

    def rerank(self, request: Request) -> Scores:
        of_request, of_readings = rows(self.spec, request)
        q = float(sigmoid(np.array(of_request) @ np.array(self.mine.values)))
        r = probabilities(np.array(of_readings) @ np.array(self.right.values), _ONE, "null")
        return Scores(q, q * r)

    def explain(self, request: Request) -> list[Mapping[str, float]]:
        """What each group added to q's log-odds; `reading` is the log of r, what this reading costs the score."""
        of_request, of_readings = rows(self.spec, request)
        whole = self.mine.contributions(of_request)
        r = probabilities(np.array(of_readings) @ np.array(self.right.values), _ONE, "null")
        return [{**whole, "reading": float(np.log(max(p, CLIP)))} for p in r]

    def linear(self) -> LinearForm | None:
        return LinearForm("factored", self.spec, np.array(self.mine.values), np.array(self.right.values))


def save(reranker: R0 | LogLinear | Factored, folder: Path) -> None:
    """Write `weights.json` into the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / WEIGHTS).write_bytes(msgspec.json.format(msgspec.json.encode(reranker), indent=1))


def load(folder: Path) -> R0 | LogLinear | Factored:
    """Read what `save` wrote. Raises `ArtifactError` where it is damaged or its features are not this toolkit's."""
    try:
        model = msgspec.json.decode((folder / WEIGHTS).read_bytes(), type=R0 | LogLinear | Factored)
    except (OSError, ValueError, RecursionError) as error:
        raise ArtifactError(f"{folder / WEIGHTS}: not weights that can be read: {error}") from error
    if isinstance(model, LogLinear):
        _check(folder, model.weights, model.spec.plain_names)
    elif isinstance(model, Factored):
        _check(folder, model.mine, model.spec.request_names)
        _check(folder, model.right, model.spec.reading_names)
    return model


def feature_names(reranker: R0 | LogLinear | Factored) -> list[str]:
    """The features a re-ranker weighs, in order; those of a factored one's P(mine) first."""
    if isinstance(reranker, Factored):
        return [*reranker.mine.names, *reranker.right.names]
    return list(reranker.weights.names) if isinstance(reranker, LogLinear) else []


def _check(folder: Path, weights: Weights, promised: tuple[str, ...]) -> None:
    if weights.names != promised or not len(weights.values) == len(weights.means) == len(promised):
        unknown = sorted(set(weights.names) ^ set(promised))
        raise ArtifactError(
            f"{folder / WEIGHTS}: its features are not those of this arbitrank (they differ in {unknown or 'order'}); "
            "train again"
        )


def _summed(right: Floats) -> Scores:
    """Scores of a re-ranker without a q of its own: P(mine) is the sum, brought down to 1 where it is more."""
    total = float(right.sum())
    return Scores(min(1.0, total), right / max(1.0, total))
