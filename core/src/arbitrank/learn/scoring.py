"""Quick scoring of one request by a linear model, in plain Python: for a few readings, calling numpy costs more.

The scores are those of the weighted features of `arbitrank.learn.features`, to rounding: weights of what is linear in
the same logarithm are added up once, and the context is looked up by what it holds.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import exp, isnan, log, log1p, log2, tanh
from operator import mul

import numpy as np

from arbitrank.domain import Scores
from arbitrank.learn.feature_spec import Confidences, FeatureSpec
from arbitrank.learn.features import intent_contexts
from arbitrank.learn.losses import Form
from arbitrank.learn.weighted_sums import ContextSums, OwnWeights, beyond
from arbitrank.probability import CLIP, clipped, logit
from arbitrank.values import Hypothesis, Request

_TOP = 1.0 - CLIP
_READING, _REQUEST, _PLAIN = 12, 13, 7  # features that every reading, request and row of a log-linear model has
_PLACES = 32  # readings whose terms by rank are computed beforehand
_LN2 = log(2.0)  # `math.log` also takes integers of any size, and takes three times as long as `log2` for it


def _filled(fill: Confidences, d: float | None, i: float | None, s: float | None) -> tuple[float, float, float]:
    """The confidences, those of the training data in the place of missing ones."""
    return fill.domain if d is None else d, fill.intent if i is None else i, fill.slots if s is None else s


def _entropy(chances: Iterable[float]) -> float:
    entropy = 0.0
    for p in chances:
        entropy -= p * log2(p)
    return entropy


def _shared_out(sums: Sequence[float], shared: float, z: float, checksum: float) -> Scores:
    """Scores of readings whose log-odds against "none" are `sums` + `shared`, given the log-odds z of P(mine)."""
    top = max(shared + max(sums), 0.0)
    shared -= top
    e = [exp(shared + x) for x in sums]
    mine = 0.5 * (1.0 + tanh(0.5 * z))
    share = mine / (sum(e) + exp(-top))
    if isnan(share + checksum):
        raise ValueError("a score is not a number")
    return Scores(mine, np.array([x * share for x in e]))


class FactoredScorer:
    """Scores of a factored re-ranker."""

    def __init__(self, spec: FeatureSpec, mine: Sequence[float], right: Sequence[float]) -> None:
        """`mine` and `right` are the weights by `spec.request_names` and `spec.reading_names`."""
        width = len(spec.context_names)
        self._spec, self._fill = spec, spec.fill
        null, log_i, log_s, logit_i, logit_s, no_i, no_s, by_entropy, gap, by_rank, by_count, bias = right[:_READING]
        # The null odds and the gap both hold the log of the product, and a logit holds a log.
        of_i, of_s = _LN2 * (log_i + logit_i + null - gap), _LN2 * (log_s + logit_s + null - gap)
        self._reading = of_i, of_s, logit_i, logit_s, no_i, no_s, by_count
        self._shared = _LN2 * gap, _LN2 * null, _LN2 * by_entropy
        self._of_reading, self._of_request = OwnWeights(spec, right), OwnWeights(spec, mine)
        bias += self._of_reading.absent
        self._by_rank, self._bias = by_rank, bias
        self._of_place = tuple(bias + by_rank * log(place) for place in range(1, _PLACES + 1))
        d, no_d, log_i, logit_i, by_entropy, no_i, log_s, logit_s, *rest = mine[:_REQUEST]
        of_i, of_s, by_entropy = _LN2 * (log_i + logit_i), _LN2 * (log_s + logit_s), _LN2 * by_entropy
        *rest, mine_bias = rest
        rest.append(mine_bias + self._of_request.absent)
        self._request = d, no_d, of_i, logit_i, by_entropy, no_i, of_s, logit_s, *rest
        self._own = right[_READING : len(right) - len(spec.own_names)]
        self._context = ContextSums(
            spec, [mine[_REQUEST : _REQUEST + width], mine[_REQUEST + width : _REQUEST + 2 * width]]
        )

    def __call__(self, request: Request) -> Scores:  # noqa: PLR0912, PLR0915 - a call a reading would cost too much
        """P(mine) and P(right) of the request's hypotheses, at least one. Raises `ValueError` where one is NaN."""
        by_i, by_s, logit_i, logit_s, no_i, no_s, by_count = self._reading
        hypotheses, by_feature, fill = request.hypotheses or (), self._of_reading.known, self._fill
        zeros = self._of_reading.zeros
        of_place = self._of_place if len(hypotheses) <= _PLACES else self._places(len(hypotheses))
        products: list[float] = []
        sums: list[float] = []
        best: dict[str, float] = {}
        domain = intent = slots = checksum = whole = entropy = 0.0
        least, ordered = 1.0, True
        for h, constant in zip(hypotheses, of_place, strict=False):
            d, i, s, count = h.domain_confidence, h.intent_confidence, h.slots_confidence, len(h.slots)
            total = constant + by_count * count
            if d is None or i is None or s is None:
                if s is None and count:
                    s = h.reading_confidence
                total += no_i * (i is None) + no_s * (s is None)
                d, i, s = _filled(fill, d, i, s)
            if not CLIP <= i <= _TOP:
                i = min(max(i, CLIP), _TOP)
            if not CLIP <= s <= _TOP:
                s = min(max(s, CLIP), _TOP)
            log_i = log2(i)
            total += by_i * log_i + by_s * log2(s) - logit_i * log1p(-i) - logit_s * log1p(-s)
            if by_feature and (features := h.features):
                for name, x in features.items():
                    if (x or zeros) and (own := by_feature.get(name)) is not None:
                        low, high, weight, offset, _, _ = own
                        total += weight * x + offset if low <= x <= high else beyond(x, own)
            product = i * s
            if product > least:
                ordered = False
            least = product
            whole += product
            products.append(product)
            sums.append(total)
            if d != domain:  # NaN is never equal
                checksum += d
                if d > domain:  # noqa: PLR1730 - a call of `max` takes several times as long
                    domain = d
            if s > slots:  # noqa: PLR1730 - as above
                slots = s
            if i > best.get(h.intent, 0.0):
                best[h.intent] = i
                entropy -= i * log_i
                if i > intent:  # noqa: PLR1730 - as above
                    intent = i
        first = 0 if ordered else self._reorder(products, sums, of_place)
        (by_context, crossed), personal = self._context(request.context)
        if personal and self._own:
            by_intent = intent_contexts(self._spec, request.context, best)
            sums = [x + sum(map(mul, self._own, by_intent[h.intent])) for x, h in zip(sums, hypotheses, strict=True)]
        if len(best) < len(hypotheses):  # an intent of several readings counts once
            entropy = _entropy(best.values())
        by_gap, by_null, by_entropy = self._shared
        left = 1.0 - whole
        shared = by_gap * log2(products[first]) - by_null * log2(left if left > CLIP else CLIP) + by_entropy * entropy
        z = by_context + self._log_odds(request, hypotheses[first], domain, slots, intent, entropy, crossed)
        return _shared_out(sums, shared, z, checksum)

    def _places(self, n: int) -> list[float]:
        return [self._bias + self._by_rank * log(place) for place in range(1, n + 1)]

    def _reorder(self, products: Sequence[float], sums: list[float], of_place: Sequence[float]) -> int:
        """Give the sums of readings that do not come best first the terms of their ranks; which of them is the best."""
        order = sorted(range(len(products)), key=products.__getitem__, reverse=True)
        for place, k in enumerate(order):
            sums[k] += of_place[place] - of_place[k]
        return order[0]

    def _log_odds(
        self,
        request: Request,
        head: Hypothesis,
        domain: float,
        slots: float,
        intent: float,
        entropy: float,
        crossed: float,
    ) -> float:
        """The log-odds of P(mine) but for the context's own; `head` is the best reading, `domain`, `slots` and `intent`
        are the greatest confidences."""
        by_d, no_d, by_i, logit_i, by_entropy, no_i, by_s, logit_s, no_s, by_count, by_length, no_length, bias = (
            self._request
        )
        if domain < CLIP or domain > _TOP:
            domain = clipped(domain)
        z = bias + (by_d + crossed) * (log(domain) - log1p(-domain)) + by_entropy * entropy + by_count * len(head.slots)
        z += by_i * log2(intent) - logit_i * log1p(-intent) + by_s * log2(slots) - logit_s * log1p(-slots)
        length = request.length
        z += no_length if length is None else by_length * log1p(length)
        if head.domain_confidence is None:
            z += no_d
        if head.intent_confidence is None:
            z += no_i
        if head.slots_confidence is None and head.reading_confidence is None:
            z += no_s
        return z + self._of_request(head.features) if self._of_request.known else z


class LogLinearScorer:
    """Scores of a log-linear re-ranker, in any of its forms."""

    def __init__(self, spec: FeatureSpec, form: Form, values: Sequence[float]) -> None:
        """`values` are the weights by `spec.plain_names`."""
        width = len(spec.context_names)
        crossed = values[_PLAIN + width : _PLAIN + 4 * width]
        self._own = OwnWeights(spec, values)
        *weights, bias = values[:_PLAIN]
        self._fill, self._form, self._plain = spec.fill, form, (*weights, bias + self._own.absent)
        self._context = ContextSums(spec, [values[_PLAIN : _PLAIN + width], *(crossed[k::3] for k in range(3))])

    def __call__(self, request: Request) -> Scores:
        """P(mine) and P(right) of the request's hypotheses, at least one. Raises `ValueError` where one is NaN."""
        by_d, by_i, by_s, no_d, no_i, no_s, bias = self._plain
        (by_context, crossed_d, crossed_i, crossed_s), _ = self._context(request.context)
        by_d, by_i, by_s, bias = by_d + crossed_d, by_i + crossed_i, by_s + crossed_s, bias + by_context
        own, fill = self._own, self._fill
        sums = []
        for h in request.hypotheses or ():
            d, i, s, z = h.domain_confidence, h.intent_confidence, h.reading_confidence, bias
            if d is None or i is None or s is None:
                z += no_d * (d is None) + no_i * (i is None) + no_s * (s is None)
                d, i, s = _filled(fill, d, i, s)
            z += by_d * logit(clipped(d)) + by_i * log(clipped(i)) + by_s * log(clipped(s))
            if own.known:
                z += own(h.features)
            sums.append(z)
        right = self._shares(sums)
        total = sum(right)
        if isnan(total):
            raise ValueError("a score is not a number")
        if total > 1.0:
            return Scores(1.0, np.array(right) / total)
        return Scores(total, np.array(right))

    def _shares(self, sums: Sequence[float]) -> list[float]:
        if self._form == "sigmoid":
            return [0.5 * (1.0 + tanh(0.5 * z)) for z in sums]
        null = self._form == "null"
        top = max(*sums, 0.0) if null else max(sums)
        e = [exp(z - top) for z in sums]
        total = sum(e) + (exp(-top) if null else 0.0)
        return [g / total for g in e]
