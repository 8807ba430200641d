"""The re-rankers that serve: R0, log-linear and factored. Trained in `arbitrank.learn.linear_training`.

Each scores a request that holds one domain's hypotheses, at least one, and explains its scores. They are frozen;
`arbitrank.learn.files` writes and reads them. The boosted one is in `arbitrank.learn.boosted`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

from arbitrank.domain import Scores
from arbitrank.learn.features import FeatureSpec, parts, plain_rows, rows
from arbitrank.learn.losses import Form, probabilities
from arbitrank.learn.scoring import FactoredScorer, LogLinearScorer
from arbitrank.probability import CLIP, bounded, sigmoid
from arbitrank.values import Request

Floats = NDArray[np.float64]
ONE = np.zeros(1, np.int64)
"""Where the readings of the only request begin."""


class Reranker(Protocol):
    """What every re-ranker does."""

    def rerank(self, request: Request) -> Scores:
        """P(mine) and P(right) of the request's hypotheses."""

    def explain(self, request: Request) -> list[Mapping[str, float]]:
        """What each group of features added to each hypothesis's log-odds, in nats."""


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
        return bounded(np.array(domain) * np.array(intent) * np.array(slots))

    def explain(self, request: Request) -> list[Mapping[str, float]]:
        domain, intent, slots, _ = parts(request, self.spec.fill)
        logs = np.log([domain, intent, slots]) - np.log(np.array(self.spec.fill))[:, None]
        return [dict(zip(("domain", "intent", "slots"), map(float, column), strict=True)) for column in logs.T]


def baseline(domain: str) -> R0:
    """The baseline of a domain of which nothing is known."""
    return R0(FeatureSpec(domain))


class LogLinear(msgspec.Struct, frozen=True, tag="loglinear", tag_field="kind", dict=True):
    """The article's re-ranker: one weighted sum of the log-confidences, in one of three forms of probability."""

    spec: FeatureSpec
    form: Form
    weights: Weights

    @cached_property
    def rerank(self) -> LogLinearScorer:
        """A function that scores one request; made from the weights once."""
        return LogLinearScorer(self)

    def explain(self, request: Request) -> list[Mapping[str, float]]:
        return [self.weights.contributions(row) for row in plain_rows(self.spec, request)]


class Factored(msgspec.Struct, frozen=True, tag="factored", tag_field="kind", dict=True):
    """The default: q, "is this request mine?", times r, "given it is, which reading?".

    q is the sigmoid of a weighted sum of the request's features, r the softmax with a null option of a weighted sum of
    each reading's. With R0's weights q is the domain confidence and r the product of intent and slots confidence.
    """

    spec: FeatureSpec
    mine: Weights
    right: Weights

    def score(self, of_requests: Floats, of_readings: Floats, starts: NDArray[np.int64]) -> tuple[Floats, Floats]:
        """P(mine) of R requests and P(right) of their N readings, from matrices of features."""
        mine = sigmoid(of_requests @ np.array(self.mine.values))
        right = probabilities(of_readings @ np.array(self.right.values), starts, "null")
        return mine, right * np.repeat(mine, np.diff(np.append(starts, len(right))))

    @cached_property
    def rerank(self) -> FactoredScorer:
        """A function that scores one request; made from the weights once."""
        return FactoredScorer(self)

    def explain(self, request: Request) -> list[Mapping[str, float]]:
        """What each group added to q's log-odds; `reading` is the log of r, what this reading costs the score."""
        of_request, of_readings = rows(self.spec, request)
        whole = self.mine.contributions(of_request)
        r = probabilities(np.array(of_readings) @ np.array(self.right.values), ONE, "null")
        return [{**whole, "reading": float(np.log(max(p, CLIP)))} for p in r]
