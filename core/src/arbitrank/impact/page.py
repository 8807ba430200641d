"""Files of an impact report: impact.json, and a page with plots that needs no file beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from arbitrank.errors import InputError, os_errors
from arbitrank.evaluate.metrics import band_mark
from arbitrank.impact.curves import Curves
from arbitrank.impact.gate import GateReason
from arbitrank.impact.report import Impact
from arbitrank.outcomes.suite_runs import SuiteRun
from arbitrank.pages import render

_PAIRS = 20


def report_folder(out: Path) -> None:
    """Create the folder for a report. Raises `InputError`."""
    with os_errors(InputError, f"{out}: cannot be created", "; expected a folder for the report"):
        out.mkdir(parents=True, exist_ok=True)


def write_impact(
    impact: Impact,
    curves: Mapping[str, Curves],
    out: Path,
    reasons: Sequence[GateReason] | None = None,
) -> None:
    """Write `impact.json` and `impact.html` into the folder `out`; with the gate's reasons where it has judged.

    `curves` are those of the answers, `calibration`, and of the domain, `own`, before and after. Raises `InputError`
    where they can't be written.
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
        suites=SuiteRun(impact.suites),
        band_mark=band_mark,
        plots=_plots(impact, curves),
    )
    for name, content in (
        ("impact.json", msgspec.json.format(msgspec.json.encode(impact), indent=1)),
        ("impact.html", page.encode()),
    ):
        with os_errors(InputError, f"{out / name}: cannot be written"):
            (out / name).write_bytes(content)


def _plots(impact: Impact, curves: Mapping[str, Curves]) -> dict[str, dict[str, Any]]:
    """The plots of the page, by name, as `plots.js` reads them."""
    plots: dict[str, dict[str, Any]] = {}
    if impact.pairs:
        plots["flips"] = {"flips": impact.pairs[:_PAIRS]}
    if impact.pooled is not None:
        slices = {"all requests": impact.pooled, **impact.per_domain}
        rows = [
            {"name": name, "n": one.n, **msgspec.structs.asdict(one.difference["irer"])} for name, one in slices.items()
        ]
        plots["irer"] = {"x": "change of IRER, points: less is better", "rows": rows}
    for name, sides in curves.items():
        if sides:
            drawn = [{"name": side, "curve": one, "dotted": side == "before"} for side, one in sides.items()]
            plots[name] = {"curves": drawn, "highlight": "after"}
    return plots
