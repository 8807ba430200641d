"""Files of an impact report: impact.json, and a page with plots that needs no file beside it."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from arbitrank.arbitration.decide import DecisionSettings
from arbitrank.errors import InputError, os_errors
from arbitrank.evaluate.metrics import band_mark
from arbitrank.evaluate.report import calibration_plot, data_uri, differences_plot
from arbitrank.evaluate.results import SystemResults
from arbitrank.impact.gate import GateReason
from arbitrank.impact.replayed import Replayed
from arbitrank.impact.report import Impact, results
from arbitrank.pages import render

_PAIRS = 20


def report_folder(out: Path) -> None:
    """Create the folder for a report. Raises `InputError`."""
    with os_errors(InputError, f"{out}: cannot be created", "; expected a folder for the report"):
        out.mkdir(parents=True, exist_ok=True)


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
        band_mark=band_mark,
        plots=_plots(impact, results(found, decisions)) if impact.labelled else {},
    )
    for name, content in (
        ("impact.json", msgspec.json.format(msgspec.json.encode(impact), indent=1)),
        ("impact.html", page.encode()),
    ):
        with os_errors(InputError, f"{out / name}: cannot be written"):
            (out / name).write_bytes(content)


def _plots(impact: Impact, sides: Mapping[str, SystemResults]) -> dict[str, str]:
    with tempfile.TemporaryDirectory(prefix="arbitrank-") as folder:
        irer, reliability = Path(folder) / "irer.png", Path(folder) / "calibration.png"
        slices = {"all": impact.pooled, **impact.per_domain} if impact.pooled else {}
        differences_plot({name: one.difference["irer"] for name, one in slices.items()}, "IRER", irer)
        calibration_plot(sides, reliability)
        return {"irer": data_uri(irer), "calibration": data_uri(reliability)}
