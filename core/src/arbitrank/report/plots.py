"""Data of the plots of a quality report, as `plots.js` of its page reads them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from arbitrank.evaluate.reliability import ReliabilityCurve
from arbitrank.report.curve import LearningCurve

_TITLES = {"mine": "P(mine)", "right": "P(right) of the best reading"}


def reliability_data(found: Mapping[str, ReliabilityCurve]) -> dict[str, Any]:
    """A reliability plot of each probability."""
    curves = [{"name": _TITLES[name], "curve": one} for name, one in found.items()]
    return {"curves": curves, "highlight": _TITLES["right"], "y": "share that is its own, or entirely right"}


def learning_data(one: LearningCurve) -> dict[str, Any]:
    """The learning curve, with the 95 % interval of each point."""
    points = [
        {"x": each.examples, "y": each.errors.mean, "low": each.errors.low, "high": each.errors.high}
        for each in one.points
    ]
    return {
        "x": {"label": "examples learned from"},
        "y": {"label": "errors", "kind": "share"},
        "series": [{"name": "errors", "points": points}],
        "highlight": "errors",
    }
