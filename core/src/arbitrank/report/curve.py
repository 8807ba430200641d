"""Learning curve of a domain: errors after training on parts of its data, and the gain to expect from more data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import msgspec
import numpy as np

from arbitrank.evaluate.intervals import Estimate, bootstrap_means, interval, wilson
from arbitrank.report.scoring import TrainedPoint

Verdict = Literal["yes", "no", "cannot tell"]

WORTH = 0.005
"""Gain of twice the data, in errors per request, from which on more data are worth it."""

_FEW, _FEW_OWN = 100, 30  # requests, and own ones, below which nothing can be told
_APART = 4.5  # times as many examples, beyond which two points say too little of the end of the curve
_LEAST = 1e-4  # errors per request that count as none


class CurvePoint(msgspec.Struct, frozen=True):
    """Errors per request after training on `examples`, with the 95 % interval over the requests."""

    examples: int
    errors: Estimate


class LearningCurve(msgspec.Struct, frozen=True):
    """Errors by the number of training examples, on the same `n` requests, and whether more data are worth it.

    `gain` is what twice the data are expected to take off: of a power law through the last two points, with its
    bootstrap interval over the requests. It is an upper estimate where some errors cannot be learned away.
    """

    n: int
    points: list[CurvePoint]
    gain: Estimate | None
    more_data: Verdict
    reason: str


def learning_curve(
    points: Sequence[TrainedPoint], own: int, *, seed: int = 0, remark: str = ""
) -> LearningCurve | None:
    """The curve through points, the fewest examples first; None for fewer than two.

    `own` of the requests are the domain's own. `remark` is added to the reason of a verdict.
    """
    if len(points) < 2:
        return None
    n = len(points[0].wrong)
    shown = [CurvePoint(round(one.examples), wilson(one.wrong)) for one in points]
    before, after = points[-2:]
    ratio = after.examples / before.examples
    means = bootstrap_means(np.column_stack([before.wrong, after.wrong]), seed)
    low, high = interval(_gains(means[:, 0], means[:, 1], ratio))
    (mean,) = _gains(before.wrong.mean(keepdims=True), after.wrong.mean(keepdims=True), ratio)
    gain = Estimate(float(mean), low, high)
    verdict, reason = _judged(gain, n, own, ratio)
    if remark and verdict != "cannot tell":
        reason += f"; {remark}"
    return LearningCurve(n, shown, gain, verdict, reason)


def _gains(before: np.ndarray, after: np.ndarray, ratio: float) -> np.ndarray:
    """The fall of the error rate at twice the data by the power law through two points, `ratio` times apart."""
    b = np.log(np.maximum(before, _LEAST) / np.maximum(after, _LEAST)) / np.log(ratio)
    return np.asarray(after * (1.0 - 2.0**-b))


def _judged(gain: Estimate, n: int, own: int, ratio: float) -> tuple[Verdict, str]:
    points = f"{100 * gain.mean:+.1f} points [{100 * gain.low:+.1f}, {100 * gain.high:+.1f}]"
    said = f"twice the data are expected to take {points} off the errors"
    if n < _FEW or own < _FEW_OWN:
        few = f"{n} requests, {own} of them its own, are too few, expected at least {_FEW} and {_FEW_OWN}"
        return "cannot tell", few
    if gain.high < WORTH:
        return "no", f"{said}, less than {100 * WORTH:g}"
    if ratio > _APART:
        return "cannot tell", f"{said}, but by points {ratio:.0f} times apart; measure nearer ones with --curve full"
    if gain.low > 0.0 and gain.mean >= WORTH:
        return "yes", said
    return "cannot tell", f"{said}, of which {100 * WORTH:g} would be worth it"
