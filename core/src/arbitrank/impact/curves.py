"""Reliability curves of both sides of a replay, with the figures that its impact report has."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from arbitrank.evaluate.metrics import Calibration
from arbitrank.evaluate.reliability import ReliabilityCurve, reliability_bins
from arbitrank.impact.flips import SIDES, Rows, Side
from arbitrank.impact.replayed import Replayed
from arbitrank.impact.report import Impact

Curves = Mapping[Side, ReliabilityCurve]


def curves_of(impact: Impact, found: Replayed) -> dict[str, Curves]:
    """The curves of the answers under `calibration`, and those of the exchanged domain under `own`."""
    return {"calibration": answer_curves(impact, found), "own": own_curves(impact, found)}


def answer_curves(impact: Impact, found: Replayed) -> dict[Side, ReliabilityCurve]:
    """Curves of P(right) of the answers on all labelled requests, before and after; none without any."""
    pooled = impact.pooled
    figures = (None, None) if pooled is None else (pooled.calibration_before, pooled.calibration_after)
    rows = found.labelled
    return {
        side: _curve(one, rows[side]["probability"], rows[side]["right"])
        for side, one in zip(SIDES, figures, strict=True)
        if one is not None
    }


def own_curves(impact: Impact, found: Replayed) -> dict[Side, ReliabilityCurve]:
    """Curves of P(right) of the domain's best reading of every labelled request that it has one for."""
    rows = found.labelled
    return {
        side: _curve(one, *_own(rows[side]))
        for side, one in zip(SIDES, (impact.claims.before, impact.claims.after), strict=True)
        if one is not None
    }


def _own(side: Rows) -> tuple[Rows, Rows]:
    own = side[side["own_reading"]]
    return own["own_probability"], own["own_right"]


def _curve(figures: Calibration, p: Rows, right: Rows) -> ReliabilityCurve:
    return ReliabilityCurve(figures, reliability_bins(np.ascontiguousarray(p), right.astype(np.float64)))
