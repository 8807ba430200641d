"""Data of an evaluation's plots, as `plots.js` of its page reads them, and the images beside it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np

from arbitrank.evaluate.reliability import ReliabilityCurve, reliability_curve
from arbitrank.evaluate.results import SystemResults

MOST_DOMAINS = 24
"""Domains in the plot by domain; the figures of all are in `metrics.json`."""

_POINTS = 200  # of a line


def system_curves(results: Mapping[str, SystemResults]) -> dict[str, ReliabilityCurve]:
    """The reliability curve of each system."""
    return {system: reliability_curve(one.probability, one.right) for system, one in results.items()}


def domain_curves(one: SystemResults) -> dict[str, ReliabilityCurve]:
    """The reliability curves of the domains that win most requests, those first."""
    wins = Counter(hypothesis.domain for hypothesis in one.top if hypothesis)
    names = sorted(wins, key=lambda name: (-wins[name], name))[:MOST_DOMAINS]
    winner = np.array([hypothesis.domain if hypothesis else "" for hypothesis in one.top])
    return {name: reliability_curve(one.probability[winner == name], one.right[winner == name]) for name in names}


def calibration_data(curves: Mapping[str, ReliabilityCurve], highlight: str | None) -> dict[str, Any]:
    """A reliability plot with one curve highlighted; that of R0 is dotted."""
    drawn = [{"name": name, "curve": curve, "dotted": name == "R0"} for name, curve in curves.items()]
    return {"curves": drawn, "highlight": highlight, "y": "share that is entirely right"}


def coverage(results: Mapping[str, SystemResults]) -> dict[str, tuple[list[float], list[float]]]:
    """For each system shares of the requests, most confident first, and the share of each that is entirely right."""
    found = {}
    for system, one in results.items():
        right = one.right[np.argsort(-one.probability, kind="stable")]
        n = len(right)
        covered = np.unique(np.linspace(1, n, min(n, _POINTS)).round().astype(int)) if n else np.zeros(0, int)
        found[system] = (covered / max(n, 1)).tolist(), (np.cumsum(right)[covered - 1] / covered).tolist()
    return found


def coverage_data(lines: Mapping[str, tuple[list[float], list[float]]], highlight: str | None) -> dict[str, Any]:
    """A plot of accuracy by the share of the requests that are answered."""
    series = [
        {"name": name, "dotted": name == "R0", "points": [{"x": x, "y": y} for x, y in zip(*line, strict=True)]}
        for name, line in lines.items()
    ]
    return {
        "x": {"label": "share of requests answered, most confident first", "kind": "share", "range": (0, 1)},
        "y": {"label": "share of those entirely right", "kind": "share"},
        "series": series,
        "highlight": highlight,
    }
