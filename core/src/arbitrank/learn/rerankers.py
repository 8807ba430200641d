"""Linear re-rankers and the baseline: R0, log-linear and factored. Trained in `arbitrank.learn.linear_training`.

Each scores a request that holds one domain's hypotheses, at least one: `rerank` gives P(mine) and P(right), `explain`
the contribution of each group of features to each hypothesis's log-odds, in nats. They are frozen;
`arbitrank.learn.files` writes and reads them. The boosted one is in `arbitrank.learn.boosted`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property

import msgspec
import numpy as np

from arbitrank.domain import Scores
from arbitrank.learn.census import fit_features
from arbitrank.learn.feature_spec import FeatureSpec
from arbitrank.learn.features import parts, rows
from arbitrank.learn.losses import Form
from arbitrank.learn.matrices import plain_matrix
from arbitrank.learn.scoring import FactoredScorer, LogLinearScorer
from arbitrank.probability import ALL, CLIP, Floats, Starts, bounded, null_softmax, sigmoid
from arbitrank.values import Request


def add_by_group(groups: dict[str, float], names: Iterable[str], values: Iterable[float]) -> dict[str, float]:
    """The same contributions by group, with those of the named features added; the bias has none."""
    for name, value in zip(names, values, strict=True):
        group = name.partition("@")[0].partition(".")[0]
        if group != "bias":
            groups[group] = groups.get(group, 0.0) + value
    return groups


class Weights(msgspec.Struct, frozen=True):
    """One linear model: a weight for each named feature, and the feature's mean in training, for explanations."""

    names: tuple[str, ...]
    values: tuple[float, ...]
    means: tuple[float, ...]

    def __repr__(self) -> str:
        return f"<weights of {len(self.names)} features>"

    def contributions(self, row: Sequence[float]) -> dict[str, float]:
        """Contribution of each group, relative to the average of the training data."""
        products = (weight * (x - mean) for weight, mean, x in zip(self.values, self.means, row, strict=True))
        return add_by_group({}, self.names, products)


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


def baseline(domain: str, requests: Sequence[Request] = ()) -> R0:
    """R0 of a domain, missing confidences being replaced by the means of these requests, 0.5 without any."""
    return R0(fit_features(domain, [r for r in requests if r.hypotheses], context=False))


class LogLinear(msgspec.Struct, frozen=True, tag="loglinear", tag_field="kind", dict=True):
    """The article's re-ranker: one weighted sum of the log-confidences, in one of three forms of probability."""

    spec: FeatureSpec
    form: Form
    weights: Weights

    @cached_property
    def rerank(self) -> LogLinearScorer:
        """Scorer of one request, built once."""
        return LogLinearScorer(self.spec, self.form, self.weights.values)

    def explain(self, request: Request) -> list[Mapping[str, float]]:
        return [self.weights.contributions(row) for row in plain_matrix(self.spec, [request], ALL).tolist()]


class Factored(msgspec.Struct, frozen=True, tag="factored", tag_field="kind", dict=True):
    """The default: q, "is this request mine?", times r, "given it is, which reading?".

    q is the sigmoid of a weighted sum of the request's features, r the softmax with a null option of a weighted sum of
    each reading's. With R0's weights q is the domain confidence and r the product of intent and slots confidence.
    """

    spec: FeatureSpec
    mine: Weights
    right: Weights

    def score(self, of_requests: Floats, of_readings: Floats, starts: Starts) -> tuple[Floats, Floats]:
        """P(mine) of R requests and P(right) of their N readings, from matrices of features."""
        mine = sigmoid(of_requests @ np.array(self.mine.values))
        right = null_softmax(of_readings @ np.array(self.right.values), starts)
        return mine, right * np.repeat(mine, np.diff(np.append(starts, len(right))))

    @cached_property
    def rerank(self) -> FactoredScorer:
        """Scorer of one request, built once."""
        return FactoredScorer(self.spec, self.mine.values, self.right.values)

    def explain(self, request: Request) -> list[Mapping[str, float]]:
        """Contribution of each group to q's log-odds; `reading` is log r, the cost of this reading."""
        of_request, of_readings = rows(self.spec, request)
        whole = self.mine.contributions(of_request)
        r = null_softmax(np.array(of_readings) @ np.array(self.right.values), ALL)
        return [{**whole, "reading": float(np.log(max(p, CLIP)))} for p in r]
