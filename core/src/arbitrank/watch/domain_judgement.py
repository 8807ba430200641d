"""Judgement of one domain in a period: drift, claims against outcomes and the card, losses, features."""

from __future__ import annotations

from collections.abc import Iterator

from arbitrank.evaluate.segment_report import SegmentCalibration
from arbitrank.watch.columns import STREAMS
from arbitrank.watch.drift import LEAST, Drift, drift
from arbitrank.watch.losses import losses, won
from arbitrank.watch.outcomes import FEW, Claims, claims, segmented, served_rows, slots_known
from arbitrank.watch.period import Known, Period
from arbitrank.watch.report import CardCheck, DomainWatch, Wins
from arbitrank.watch.unknown import lost_features, new_features


def judged(name: str, period: Period, level: float, known: Known | None) -> DomainWatch:
    """The judgement of a domain, before it is known what alarms; `level` is that of each of its tests, in nats."""
    serving = period.serving[name]
    labelled = [served_rows(name, serving, rows) for rows in period.labelled]
    mine = claims("mine", name, labelled, level)
    right = claims("right", name, labelled, level) if slots_known(labelled[0]) else None
    segments = None if right is None else segmented(name, labelled[0])
    same = known is not None and serving.split(" ")[0] == known.version
    drifts = tuple(_drifts(name, period, level))
    both = (period.served_before, period.served_now[0])
    counts = [len(one.domains[name].places) if name in one.domains else 0 for one in both]
    of_before, of_now = (sum(slot.n for slot in slots) for slots in (period.past, period.present))
    return DomainWatch(
        status="quiet",
        serving=serving,
        since=period.since(name),
        requests=counts[1],
        requests_before=counts[0],
        labelled=len(labelled[0]),
        wins=Wins(won(name, period.past), of_before, won(name, period.present), of_now),
        mine=mine,
        right=right,
        card=_card(serving, right, known),
        drifts=drifts,
        takes_from=losses(name, period.past, period.present) if period.past else {},
        lost_features=tuple(one for one in lost_features(name, period.past, period.present) if one.evidence >= level),
        new_features=tuple(new_features(name, period.past, period.present)),
        notes=(*_notes(counts[0], counts[1], len(labelled[0]), mine, right), *_of_segments(segments)),
        segments=segments,
        undo=known.undo if known is not None and same else None,
    )


def _of_segments(segments: SegmentCalibration | None) -> Iterator[str]:
    """The segment in which P(right) is wrong by more than chance explains."""
    if segments is not None and segments.worst is not None and segments.found:
        chance = f"by chance in {100 * segments.p_value:.2g} % of such looks, over {segments.segments} segments"
        yield f"P(right) is wrong in a segment: {segments.worst.text}; {chance}"


def _drifts(name: str, period: Period, level: float) -> Iterator[Drift]:
    """The drift of each of a domain's numbers."""
    for stream in STREAMS if period.past else ():
        found = drift(stream, name, period.served_before, period.served_now, period.owners, level)
        if found is not None:
            yield found


def _card(serving: str, right: Claims | None, known: Known | None) -> CardCheck | None:
    """P(right) against the card of the weights that serve, as promote's gate compares them."""
    if right is None or known is None or known.card is None or not known.card.n or known.version != serving:
        return None
    seen, card = right.calibration, known.card
    admitted = max(0.0, card.ece_interval[1] - card.ece_floor)
    worse = seen.n >= FEW and seen.ece > seen.ece_band[1] + admitted
    return CardCheck(seen.ece, seen.n, card.ece, card.ece_interval[1], card.n, worse)


def _notes(before: int, now: int, labelled: int, mine: Claims | None, right: Claims | None) -> Iterator[str]:
    if before < LEAST:
        yield f"its version answered {before} requests before, fewer than {LEAST}: no drift is measured"
    elif now < LEAST:
        yield f"it answered {now} requests, fewer than {LEAST}: no drift is measured"
    if not labelled:
        yield "no request of known truth: its claims are not judged"
    elif labelled < FEW:
        yield f"only {labelled} requests of known truth: its figures say next to nothing"
    if mine is not None and right is None:
        yield "no truth names its intent and slots: P(right) is not judged"
    if mine is not None and not mine.own:
        yield "the log has no claims of its own, only those of the answers, which depend on the other domains"
