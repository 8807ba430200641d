"""Figures of a trained domain on held-out requests: its calibration, over all and over segments, beside R0's."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from arbitrank.arbitration import dispatch
from arbitrank.arbitration.outcomes import Failed
from arbitrank.arbitration.scaled_model import scales_of
from arbitrank.domain import Model
from arbitrank.errors import DataError
from arbitrank.evaluate.metrics import Calibration, calibration
from arbitrank.evaluate.segment_calibration import segment_calibration
from arbitrank.evaluate.segments import SegmentTable, Situation, situation
from arbitrank.learn.feature_spec import Confidences, FeatureSpec
from arbitrank.learn.gains import Gain
from arbitrank.learn.kind_choice import KindChoice
from arbitrank.learn.rerankers import R0
from arbitrank.probability import log_loss
from arbitrank.scores import distinct_hypotheses
from arbitrank.semer import entirely_right
from arbitrank.values import Example, Hypothesis

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


def measure(
    name: str, model: Model, examples: Iterable[Example], means: Confidences = Confidences(), kept: float = 1.0
) -> HeldOutFigures:
    """Figures of a model's best readings over requests, other domains' included, beside those of R0.

    `means` replace missing confidences in R0. Others' requests weigh 1 / `kept`. Raises `DataError` where the model
    fails on an example.
    """
    return figures_of(claims(name, model, examples, means, kept))


class ClaimRows(NamedTuple):
    """Claims of a model on n requests that it has readings of, and what is known of each request.

    `rows`, shape (n, 5): P(right) of the model's best reading and its outcome, the same of R0, and the weight.
    """

    rows: Floats
    situations: list[Situation]

    @classmethod
    def together(cls, parts: Sequence[ClaimRows]) -> ClaimRows:
        """Those of several parts of the requests."""
        return cls(np.concatenate([one.rows for one in parts]), [each for one in parts for each in one.situations])


def figures_of(claimed: ClaimRows) -> HeldOutFigures:
    """The figures of a model from its claims."""
    p, y, p0, y0, weight = claimed.rows.T
    sampled = weight if (weight != 1.0).any() else None
    of_model, of_r0 = log_loss(p, y), log_loss(p0, y0)
    worse = bool(len(p)) and Gain.of(of_r0 - of_model, weight).below(_LIKELY)
    card = calibration(p, y, sampled)
    if len(p):
        segments = segment_calibration(p, y, SegmentTable.of(claimed.situations))
        card = card if segments.worst is None else msgspec.structs.replace(card, segments=segments)
    return HeldOutFigures(card, _nll(of_model, weight), _nll(of_r0, weight), worse)


def claims(name: str, model: Model, examples: Iterable[Example], means: Confidences, kept: float) -> ClaimRows:
    """The claims of a model's best readings; requests without a reading are left out."""
    baseline = R0(FeatureSpec(name, fill=means))
    rows, situations = [], []
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
            intent = outcome.hypotheses[int(np.argmax(outcome.scores.right))].intent
            situations.append(situation(example.request.context, example.request.length, intent))
    return ClaimRows(np.array(rows, np.float64).reshape(-1, 5), situations)


def _named(example: Example) -> str:
    """The id of an example, else its words, so that its author finds it."""
    return repr(example.request.id or example.request.utterance or "without an id")


def _best(right: Floats, hypotheses: Sequence[Hypothesis], example: Example) -> tuple[float, float]:
    best = int(np.argmax(right))
    return float(right[best]), float(entirely_right(hypotheses[best], example.truth))


def _nll(losses: Floats, weight: Floats) -> float:
    return float(np.average(losses, weights=weight)) if len(losses) else 0.0
