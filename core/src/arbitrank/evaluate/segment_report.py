"""Report of calibration over segments: the largest errors, their noise and p-values."""

from __future__ import annotations

import msgspec

LEVEL = 0.05
"""The probability of an error that chance alone explains, over all segments."""


class SegmentError(msgspec.Struct, frozen=True):
    """Calibration error of a segment of `n` requests: the error and its noise, rates; `p_value` is of it alone.

    `over` is the mean of p − y, above 0 where the segment is over-confident. `detectable` is the least error that would
    be found, with a power of 80 %, among as many segments.
    """

    segment: str
    n: int
    error: float
    noise: float
    over: float
    p_value: float
    detectable: float

    @property
    def text(self) -> str:
        """The segment and its error in words."""
        how = "over" if self.over > 0.0 else "under"
        return (
            f"{self.segment}: off by {100 * self.error:.1f} points, {self.error / self.noise:.1f} times its noise, "
            f"{how}-confident by {100 * abs(self.over):.1f} on average, on {self.n} requests"
        )


class SegmentCalibration(msgspec.Struct, frozen=True):
    """The segments with the largest errors in units of noise: of single labels, and of pairs, and their numbers.

    The p-values are those of the largest of so many segments. `worst` is None where no segment has enough requests.
    """

    segments: int
    worst: SegmentError | None
    p_value: float
    pairs: int = 0
    worst_pair: SegmentError | None = None
    pair_p_value: float = 1.0

    @property
    def found(self) -> bool:
        """True where the largest error of a segment is more than chance explains."""
        return self.worst is not None and self.p_value < LEVEL


class BrokenSegment(msgspec.Struct, frozen=True):
    """A segment whose error has surely increased: before and after, and the least increase, a rate."""

    before: SegmentError
    after: SegmentError
    least: float
