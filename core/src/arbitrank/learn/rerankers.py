"""Linear re-rankers and the baseline: R0, log-linear and factored. Trained in `arbitrank.learn.linear_training`.

Each scores a request that holds one domain's hypotheses, at least one: `rerank` gives P(mine) and P(right), `explain`
a base and the contribution of each group of features, which add up to the log-odds of P(right), in nats. They are
frozen; `arbitrank.learn.files` writes and reads them. The boosted one is in `arbitrank.learn.boosted`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import cached_property
from operator import mul

import msgspec
import numpy as np

from arbitrank.domain import Scores
from arbitrank.explanation import BASE, exact_log_odds
from arbitrank.learn.census import fit_features
from arbitrank.learn.contributions import adding_up, row_of
from arbitrank.learn.feature_spec import FeatureSpec
from arbitrank.learn.features import parts, rows
from arbitrank.learn.losses import Form
from arbitrank.learn.matrices import plain_matrix
from arbitrank.learn.scoring import FactoredScorer, LogLinearScorer
from arbitrank.probability import ALL, Floats, Starts, bounded, clipped, null_softmax, sigmoid
from arbitrank.values import Request, Truth

_SAME = 1e-12  # nats between two products that count as equal


class Weights(msgspec.Struct, frozen=True):
    """One linear model: a weight for each named feature, and the feature's mean in training, for explanations."""

    names: tuple[str, ...]
    values: tuple[float, ...]
    means: tuple[float, ...]

    def __repr__(self) -> str:
        return f"<weights of {len(self.names)} features>"

    def contributions(self, spec: FeatureSpec, row: Sequence[float]) -> dict[str, float]:
        """Contributions by group and detail to the weighted sum; the base is that of the averages in training."""
        products = (weight * (x - mean) for weight, mean, x in zip(self.values, self.means, row, strict=True))
        found = row_of(spec, self.names, products)
        found[BASE] += sum(map(mul, self.values, self.means))
        return found


class R0(msgspec.Struct, frozen=True, tag="r0", tag_field="kind"):
    """The baseline: the product of the three confidences, no weights. Its P(mine) is the sum of its readings'."""

    spec: FeatureSpec

    def rerank(self, request: Request) -> Scores:
        domain, intent, slots, _ = parts(request, self.spec.fill)
        return bounded(np.array(domain) * np.array(intent) * np.array(slots))

    def explain(self, request: Request) -> list[Mapping[str, float]]:
        """Shares of the three confidences; the base is the product of their means in training."""
        domain, intent, slots, _ = parts(request, self.spec.fill)
        means = [math.log(clipped(mean)) for mean in self.spec.fill]
        base = exact_log_odds(math.exp(sum(means)))
        found: list[Mapping[str, float]] = []
        for d, i, s, p in zip(domain, intent, slots, self.rerank(request).right.tolist(), strict=True):
            logs = [math.log(x) - mean for x, mean in zip((d, i, s), means, strict=True)]
            whole, change = sum(logs), exact_log_odds(d * i * s) - base
            scale = change / whole if abs(whole) > _SAME else 1.0
            row = {BASE: base, **dict(zip(("domain", "intent", "slots"), (scale * x for x in logs), strict=True))}
            found.append(adding_up(row, exact_log_odds(p)))
        return found


def baseline(domain: str, requests: Sequence[Request] = (), truths: Sequence[Truth] = ()) -> R0:
    """R0 of a domain, missing confidences being replaced by the means of these requests, 0.5 without any.

    With the requests' `truths`, one that is missing in all of them is replaced by what their readings are worth
    (`arbitrank.learn.census`).
    """
    read = [i for i, request in enumerate(requests) if request.hypotheses]
    seen = [requests[i] for i in read], [truths[i] for i in read] if truths else []
    return R0(fit_features(domain, *seen, context=False))


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
        each = plain_matrix(self.spec, [request], ALL).tolist()
        found: list[Mapping[str, float]] = []
        for features, p in zip(each, self.rerank(request).right.tolist(), strict=True):
            row, target = self.weights.contributions(self.spec, features), exact_log_odds(p)
            z = sum(value for key, value in row.items() if "." not in key)
            # A sigmoid is the reading's own; in the other forms the rest is what its rivals take.
            found.append(adding_up(row, target, 0.0 if self.form == "sigmoid" else target - z))
        return found


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
        """Contributions to the log-odds of P(right) = q · r.

        `reading` is what r takes from an average request, the other groups are those of q from there.
        """
        of_request, of_readings = rows(self.spec, request)
        row = self.mine.contributions(self.spec, of_request)
        row[BASE] = exact_log_odds(float(sigmoid(np.array(row[BASE]))))
        average = float(sigmoid(np.array(row[BASE])))
        r = null_softmax(np.array(of_readings) @ np.array(self.right.values), ALL).tolist()
        right = self.rerank(request).right.tolist()
        return [
            adding_up(row, exact_log_odds(p), exact_log_odds(average * share) - row[BASE])
            for share, p in zip(r, right, strict=True)
        ]
