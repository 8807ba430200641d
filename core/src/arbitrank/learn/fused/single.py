"""One factored re-ranker for a few readings, for which to call numpy costs more than to reckon."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from math import exp, log, tanh
from operator import mul

import numpy as np

from arbitrank.domain import Scores
from arbitrank.learn.features import intent_context, number
from arbitrank.learn.fused.extras import LARGE, extra_sum, named
from arbitrank.learn.fused.readings import TOP
from arbitrank.learn.fused.sums import READING, REQUEST
from arbitrank.learn.rerankers import Factored
from arbitrank.probability import CLIP
from arbitrank.values import Context, Hypothesis


class Single:
    """One factored re-ranker with its weights at hand, for a few readings: `arbitrank.learn.features.rows`, summed.

    The weights of what is linear in the same logarithms are one.
    """

    def __init__(self, reranker: Factored) -> None:
        spec = reranker.spec
        self.spec = spec
        self._reading = reranker.right.values[:READING]
        self._request = reranker.mine.values[:REQUEST]
        own = len(reranker.right.values) - len(spec.extras)
        self._own = reranker.right.values[READING:own]
        self._of_reading = named(spec.extras, np.array(reranker.right.values))
        self._of_request = named(spec.extras, np.array(reranker.mine.values))

    def scores(
        self,
        hypotheses: Sequence[Hypothesis],
        length: float | None,
        by_context: tuple[float, float],
        context: Context | None,
    ) -> Scores:
        """The scores; `length` is the log of it, `context` is given where it says something of the domain's intents."""
        null, log_i, log_s, logit_i, logit_s, no_i, no_s, _, gap, _, by_count, bias = self._reading
        log_i, log_s, named = log_i + null - gap, log_s + null - gap, self._of_reading
        products: list[float] = []
        sums: list[float] = []
        best: dict[str, float] = {}
        domain = slots = 0.0
        missing = False
        for h in hypotheses:
            d, i, s, count = h.domain_confidence, h.intent_confidence, h.slots_confidence, len(h.slots)
            if s is None and count:
                s = h.reading_confidence
            total = bias + by_count * count
            if d is None or i is None or s is None:
                missing = True
                total += no_i * (i is None) + no_s * (s is None)
                d, i, s = self._filled(d, i, s)
            if i < CLIP or i > TOP:
                i = min(max(i, CLIP), TOP)
            if s < CLIP or s > TOP:
                s = min(max(s, CLIP), TOP)
            of_i, of_s = log(i), log(s)
            total += log_i * of_i + log_s * of_s + logit_i * (of_i - log(1.0 - i)) + logit_s * (of_s - log(1.0 - s))
            if named:
                get = h.features.get
                for name, weight in named:
                    if x := get(name):
                        total += weight * (x if -LARGE <= x <= LARGE else number(x) or 0.0)
            products.append(i * s)
            sums.append(total)
            if d > domain:  # noqa: PLR1730 - a call of `max` takes several times as long
                domain = d
            if s > slots:  # noqa: PLR1730 - as above
                slots = s
            if i > best.get(h.intent, 0.0):
                best[h.intent] = i
        order = sorted(range(len(products)), key=products.__getitem__, reverse=True)
        entropy = -sum([p * log(p) for p in best.values()])
        asked = self._asked(hypotheses[order[0]], min(max(domain, CLIP), TOP), slots, best, entropy, missing)
        asked += self._request[11] if length is None else self._request[10] * length
        asked += by_context[0] + by_context[1] * _logit(min(max(domain, CLIP), TOP))
        if context is not None and self._own:
            by_intent = {name: intent_context(self.spec, context, name, best) for name in best}
            sums = [x + sum(map(mul, self._own, by_intent[h.intent])) for x, h in zip(sums, hypotheses, strict=True)]
        return self._shared(sums, products, order, entropy, asked)

    def _filled(self, d: float | None, i: float | None, s: float | None) -> tuple[float, float, float]:
        domain, intent, slots = self.spec.fill
        return domain if d is None else d, intent if i is None else i, slots if s is None else s

    def _shared(
        self, sums: list[float], products: list[float], order: list[int], entropy: float, asked: float
    ) -> Scores:
        """The scores, from what each reading has of its own, and the log-odds of P(mine)."""
        null, _, _, _, _, _, _, by_entropy, gap, by_rank, _, _ = self._reading
        for place, k in enumerate(order[1:], 2):
            sums[k] += by_rank * log(place)
        apart = gap * log(products[order[0]]) - null * log(max(CLIP, 1.0 - sum(products))) + by_entropy * entropy
        top = max(apart + max(sums), 0.0)
        grown = [exp(apart + x - top) for x in sums]
        mine = 0.5 * (1.0 + tanh(0.5 * asked))
        share = mine / (sum(grown) + exp(-top))
        if math.isnan(share):
            raise ValueError("a score is not a number")
        return Scores(mine, np.array([g * share for g in grown]))

    def _asked(
        self, head: Hypothesis, domain: float, slots: float, intents: Mapping[str, float], entropy: float, missing: bool
    ) -> float:
        """The log-odds of P(mine) without the context; `head` is the best reading, the others the greatest."""
        d, no_d, log_i, logit_i, by_entropy, no_i, log_s, logit_s, no_s, by_count, _, _, bias = self._request
        intent = max(intents.values())
        of_i, of_s = log(intent), log(slots)
        asked = bias + d * _logit(domain) + by_entropy * entropy + by_count * len(head.slots)
        asked += log_i * of_i + logit_i * (of_i - log(1.0 - intent))
        asked += log_s * of_s + logit_s * (of_s - log(1.0 - slots))
        if missing:
            asked += no_d * (head.domain_confidence is None) + no_i * (head.intent_confidence is None)
            asked += no_s * (head.reading_confidence is None)
        return asked + extra_sum(head.features, self._of_request) if self._of_request else asked


def _logit(p: float) -> float:
    return log(p / (1.0 - p))
