"""Quality report of one domain: how good it is alone, how sure that is, and whether more data are worth it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
import numpy as np

from arbitrank.arbitration.decide import DecisionSettings
from arbitrank.arbitration.recalibration import Recalibration
from arbitrank.domain import Progress
from arbitrank.evaluate.metrics import Calibration
from arbitrank.evaluate.reliability import ReliabilityCurve
from arbitrank.nlu.patterns import is_drawn
from arbitrank.registry import Found, loaded
from arbitrank.report import claims, readings
from arbitrank.report.claims import ContextShares, NeighbourClaims, WorstRequest
from arbitrank.report.coverage import PatternCoverage, coverage
from arbitrank.report.curve import LearningCurve, learning_curve
from arbitrank.report.data import MeasuredData, ReportSettings, Source, measure_on, measure_own, neighbours
from arbitrank.report.measured import CountedShare, MeasuredDomain
from arbitrank.report.neighbours import MergedOutcome, merged
from arbitrank.report.readings import LabelConfusion, LabelScore, OwnReadings
from arbitrank.report.scoring import TrainedPoint, scored, trained_points
from arbitrank.store.artifact import read_card
from arbitrank.store.loading import present, settled
from arbitrank.values import Example

FEW = 100
"""Requests below which a report warns."""

_QUICK = (150, 300, 600)  # examples of a quick learning curve where half of all would take long
_HALVES = 3_000  # examples up to which it trains on halves
_GIVEN = 20  # times as many where they bring hypotheses
_CURVE_ON = 600  # requests on which points of a curve are measured
_DRAWN_ON = 600  # own drawn requests that real ones are compared with


class ReportedWeights(msgspec.Struct, frozen=True):
    """The weights that were measured: version, `store` or `package`, recalibration, and the card of their training."""

    version: str
    origin: str
    temperature: float
    card: Calibration | None
    shift: float = 0.0


class QualityReport(msgspec.Struct, frozen=True, kw_only=True):
    """Quality of `domain` alone on `n` requests: `own` ones, `others` of other domains, and `out_of_scope` ones.

    `source`: `held-out` are own examples that the weights have not seen, `cross-fitted` requests each scored by weights
    trained on others, `requests` those of `on`. `drawn` requests come from the domain's patterns. `warnings` say how
    far the figures can be trusted. `merged` is None where no neighbour was measured, `curve` and `patterns` where
    there is nothing to compare.
    """

    domain: str
    on: str
    source: Source
    weights: ReportedWeights | None
    n: int
    own: int
    others: int
    out_of_scope: int
    drawn: int
    bad_lines: int
    warnings: list[str]
    notes: list[str]
    readings: OwnReadings
    false_claim_rate: CountedShare | None
    intents: list[LabelScore]
    intent_confusions: list[LabelConfusion]
    slots: list[LabelScore]
    slot_confusions: list[LabelConfusion]
    calibration: dict[str, ReliabilityCurve]
    false_claims: list[NeighbourClaims]
    merged: MergedOutcome | None
    per_context: dict[str, ContextShares]
    curve: LearningCurve | None
    patterns: PatternCoverage | None
    worst: list[WorstRequest]


def quality(
    name: str, on: Path | None, found: Sequence[Found], settings: ReportSettings, progress: Progress
) -> QualityReport:
    """The report on the domain `name`: on its own examples, or on the labelled requests of the file or log `on`.

    Raises `InputError` where the domain cannot be measured, `DataError` where the data do not suffice.
    """
    data = (
        measure_own(name, found, settings, progress) if on is None else measure_on(name, on, found, settings, progress)
    )
    one = data.measured
    drawn = np.array([is_drawn(example, name) for example in data.examples], bool)
    others = neighbours(name, data, found, settings, progress)
    truths = [example.truth for example in data.examples]
    out_of_scope = int(sum(not own and truth.out_of_scope for own, truth in zip(one.own.tolist(), truths, strict=True)))
    of_intents, of_slots = readings.intents(one), readings.slots(one)
    by_neighbour = claims.false_claims(one)
    return QualityReport(
        domain=name,
        on="its own examples" if on is None else str(on),
        source=data.source,
        weights=_weights(name, data, found, settings),
        n=len(one),
        own=int(one.own.sum()),
        others=len(one) - int(one.own.sum()) - out_of_scope,
        out_of_scope=out_of_scope,
        drawn=int(drawn.sum()),
        bad_lines=data.bad_lines,
        warnings=[*_warnings(one, drawn), *data.warnings],
        notes=data.notes,
        readings=readings.own_readings(one),
        false_claim_rate=claims.summed(by_neighbour),
        intents=of_intents.scores,
        intent_confusions=of_intents.confusions,
        slots=of_slots.scores,
        slot_confusions=of_slots.confusions,
        calibration=claims.probabilities(one, settings.seed),
        false_claims=by_neighbour,
        merged=merged(one, others, truths, settled(DecisionSettings(), settings.store)),
        per_context=claims.by_context(one),
        curve=_curve(data, settings, drawn, progress),
        patterns=_patterns(data, drawn, progress),
        worst=claims.worst(one),
    )


def _weights(name: str, data: MeasuredData, found: Sequence[Found], settings: ReportSettings) -> ReportedWeights | None:
    if data.weights is None:
        return None
    folder, by = (
        present(name, loaded(found)[name], settings.store).folder,
        data.weights.recalibration or Recalibration(),
    )
    card = read_card(folder)
    return ReportedWeights(data.weights.version, data.weights.origin, by.temperature, card, by.shift)


def _warnings(one: MeasuredDomain, drawn: np.ndarray) -> Iterator[str]:
    """Warnings on how far the figures can be trusted."""
    n, own = len(one), int(one.own.sum())
    made = int(drawn[one.own].sum())
    if own and made == own:
        yield (
            "measured on its own patterns: every own request was drawn from them; on mixed traffic expect worse. Give "
            "--on a log, or labelled requests of real users"
        )
    elif made:
        yield f"{made} of {own} own requests were drawn from its own patterns; on mixed traffic expect worse"
    if own < FEW:
        yield f"only {own} of its own requests: intervals are wide, and figures of single intents or slots say little"
    if own == n:
        yield "no request of another domain or out of scope: its claims and P(mine) are not tested at all"
    elif n - own < FEW:
        yield f"only {n - own} requests of others: its false claims are hardly tested"
    elif not any(
        example.truth.owners and not mine for example, mine in zip(one.examples, one.own.tolist(), strict=True)
    ):
        yield "no request of another domain, only out-of-scope ones: what it claims of its neighbours' is not tested"
    if one.failures:
        yield f"it failed on {len(one.failures)} requests, which count as without a reading: {one.failures[0]}"


def _curve(data: MeasuredData, settings: ReportSettings, drawn: np.ndarray, progress: Progress) -> LearningCurve | None:
    """The learning curve: of the cross-fitting, or of parts of the domain's own examples on the measured requests."""
    remark = ""
    if drawn[data.measured.own].all():
        remark = "that is of requests like those that its patterns draw, and says nothing of what people say"
    elif data.source == "requests":
        remark = "that is of data like its own examples; of data like these requests it is not known"
    own = data.measured.own
    if data.points or settings.curve == "none":
        return learning_curve(data.points, int(own.sum()), seed=settings.seed, remark=remark)
    if data.own is None or data.own.unseen is None:
        data.notes.append("no learning curve: the weights were not trained on the domain's own examples")
        return None
    examples = [data.own.examples[i] for i in np.flatnonzero(~data.own.unseen).tolist()]
    n = len(data.examples)
    chosen = np.sort(np.random.default_rng(settings.seed).permutation(n)[:_CURVE_ON])
    on = [data.examples[i] for i in chosen.tolist()]
    if data.training.scales.given:
        on = data.training.read(on)
    points = trained_points(data.training, examples, _sizes(examples, settings), on, progress=progress)
    points.append(TrainedPoint(len(examples), data.measured.wrong[chosen]))
    return learning_curve(points, int(own[chosen].sum()), seed=settings.seed, remark=remark)


def _sizes(examples: Sequence[Example], settings: ReportSettings) -> tuple[int, ...]:
    """Numbers of examples to train on, beside all."""
    n = len(examples)
    if settings.curve == "full":
        return n // 8, n // 4, n // 2
    given = examples[0].request.hypotheses is not None
    return (n // 4, n // 2) if n <= _HALVES * (_GIVEN if given else 1) else _QUICK


def _patterns(data: MeasuredData, drawn: np.ndarray, progress: Progress) -> PatternCoverage | None:
    """The patterns against real requests, and the shares that are right of both, where there are both."""
    if data.own is None or not data.own.drawn:
        return None
    one = data.measured
    real = [e for e, own, made in zip(one.examples, one.own.tolist(), drawn.tolist(), strict=True) if own and not made]
    right = one.claimed & one.right
    return coverage(
        real,
        data.own.drawn,
        real_right=CountedShare.in_mask(right[one.own & ~drawn]),
        drawn_right=CountedShare.in_mask(right[one.own & drawn]) or _drawn_right(data, progress),
    )


def _drawn_right(data: MeasuredData, progress: Progress) -> CountedShare | None:
    """The share right of own drawn requests whose words the weights have not seen."""
    if data.weights is None or data.own is None or data.own.unseen is None:
        return None
    name = data.measured.name
    seen = {data.own.examples[i].request.utterance for i in np.flatnonzero(~data.own.unseen).tolist()}
    own = [example for example in data.own.drawn if example.request.utterance not in seen][:_DRAWN_ON]
    one = scored(name, data.weights.model, own, data.weights.recalibration, stage="drawn requests", progress=progress)
    return CountedShare.in_mask(one.claimed & one.right)
