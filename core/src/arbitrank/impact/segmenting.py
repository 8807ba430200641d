"""Segments of a replay: what is known of each request, and the exchanged domain's calibration over them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
import numpy as np

from arbitrank.evaluate.segment_calibration import broken_segments, segment_calibration
from arbitrank.evaluate.segment_report import BrokenSegment, SegmentCalibration
from arbitrank.evaluate.segments import SegmentTable, Situation, situation
from arbitrank.impact.batch_scores import DomainReadings
from arbitrank.impact.flips import SIDES, Rows
from arbitrank.wire.requests import Logged


class SegmentImpact(msgspec.Struct, frozen=True):
    """Calibration of the exchanged domain over segments, of the requests that both versions have a reading of.

    `broken` are the segments that are surely worse calibrated after than before.
    """

    before: SegmentCalibration
    after: SegmentCalibration
    broken: tuple[BrokenSegment, ...] = ()


def situations(
    lines: Sequence[Logged],
    before: DomainReadings | None,
    after: DomainReadings,
    numbers: Mapping[Situation, int],
) -> list[int]:
    """The number of each request's situation, with the intent that the exchanged domain reads; -1 without a truth."""
    found = []
    for i, line in enumerate(lines):
        one = before if before is not None and before.best.best[i] >= 0 else after
        known = line.truth is not None and one.best.best[i] >= 0
        found.append(numbers[situation(line.context, line.length, one.head(i).intent)] if known else -1)
    return found


def segment_impact(labelled: Rows, known: Sequence[Situation], seed: int = 0) -> SegmentImpact | None:
    """The calibration over segments of rows with a truth, of those situations; None where no segment can be judged."""
    both = labelled[labelled["before"]["own_reading"] & labelled["after"]["own_reading"]]
    if not len(both):
        return None
    table = SegmentTable(known, both["situation"].astype(np.int64))
    (p, y), (p_after, y_after) = (
        (np.ascontiguousarray(both[side]["own_probability"]), both[side]["own_right"].astype(np.float64))
        for side in SIDES
    )
    before, after = segment_calibration(p, y, table, seed), segment_calibration(p_after, y_after, table, seed)
    if after.worst is None:
        return None
    return SegmentImpact(before, after, tuple(broken_segments(p, y, p_after, y_after, table, seed)))
