"""Files of an impact report: impact.json, and a page with plots that needs no file beside it."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from arbitrank.arbitration.decide import DecisionSettings
from arbitrank.errors import InputError
from arbitrank.evaluate.plots import calibration_plot, data_uri, save, subplots
from arbitrank.evaluate.results import SystemResults
from arbitrank.impact.gate import GateReason
from arbitrank.impact.replay import Replayed
from arbitrank.impact.report import Impact, Slice, results
from arbitrank.pages import render

_PAIRS = 20


def report_folder(out: Path) -> None:
    """Create the folder for a report. Raises `InputError`."""
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{out}: cannot be created: {error.strerror}; expected a folder for the report") from error


def write_impact(
    impact: Impact,
    found: Replayed,
    decisions: DecisionSettings,
    out: Path,
    reasons: Sequence[GateReason] | None = None,
) -> None:
    """Write `impact.json` and `impact.html` into the folder `out`; with the gate's reasons where it has judged.

    Raises `InputError` where they can't be written.
    """
    report_folder(out)
    claims = impact.claims
    page = render(
        "impact.html",
        impact=impact,
        reasons=reasons,
        pairs=impact.pairs[:_PAIRS],
        own={
            "on held-out training data, by its card": impact.card,
            "now": claims.before,
            "as a candidate": claims.after,
        },
        plots=_plots(impact, results(found, decisions)) if impact.labelled else {},
    )
    try:
        (out / "impact.json").write_bytes(msgspec.json.format(msgspec.json.encode(impact), indent=1))
        (out / "impact.html").write_text(page, encoding="utf-8")
    except OSError as error:
        raise InputError(f"{error.filename or out}: cannot be written: {error.strerror}") from error


def _plots(impact: Impact, sides: Mapping[str, SystemResults]) -> dict[str, str]:
    with tempfile.TemporaryDirectory(prefix="arbitrank-") as folder:
        irer, reliability = Path(folder) / "irer.png", Path(folder) / "calibration.png"
        irer_plot({"all": impact.pooled, **impact.per_domain} if impact.pooled else {}, irer)
        calibration_plot(sides, reliability)
        return {"irer": data_uri(irer), "calibration": data_uri(reliability)}


def irer_plot(slices: Mapping[str, Slice], path: Path) -> None:
    """Write a plot of the IRER's differences with their intervals: to the right of the line it increased."""
    names = list(slices)[::-1]
    figure, axes = subplots(figsize=(6.4, 1.0 + 0.28 * len(names)))
    for place, one in enumerate(slices[name].difference["irer"] for name in names):
        colour = "#a40000" if one.low > 0 else "#14691b" if one.high < 0 else "#555555"
        axes.plot([100 * one.low, 100 * one.high], [place, place], color=colour)
        axes.plot([100 * one.mean], [place], marker="o", markersize=4, color=colour)
    axes.axvline(0.0, linestyle=":", color="black", linewidth=1)
    axes.set_yticks(range(len(names)), names)
    axes.set_xlabel("change of IRER, points")
    axes.grid(alpha=0.3, axis="x")
    save(figure, path)
