"""Files of a quality report: report.json, and a page with plots that needs no file beside it."""

from __future__ import annotations

from pathlib import Path

import msgspec

from arbitrank.errors import InputError, os_errors
from arbitrank.evaluate.metrics import band_mark
from arbitrank.pages import render
from arbitrank.report import words
from arbitrank.report.plots import learning_data, reliability_data
from arbitrank.report.report import QualityReport

_ROWS = 40
_CONFUSIONS = 15


def check_places(out: Path | None, page: Path | None) -> None:
    """Create the folder `out`. Raises `InputError` where it, or the folder of `page`, cannot be written to."""
    if out is not None:
        with os_errors(InputError, f"{out}: cannot be created", "; expected a folder for the report"):
            out.mkdir(parents=True, exist_ok=True)
    if page is not None and (page.is_dir() or not page.parent.is_dir()):
        seen = "is a folder" if page.is_dir() else f"is in {page.parent}, which is no folder"
        raise InputError(f"--page {page}: {seen}, expected a file, as in report.html")


def write_page(one: QualityReport, path: Path) -> None:
    """Write the report as a page. Raises `InputError` where it cannot be written."""
    with os_errors(InputError, f"{path}: cannot be written"):
        path.write_text(page(one), encoding="utf-8")


def write_report(one: QualityReport, out: Path) -> None:
    """Write `report.json` and `report.html` into the folder `out`. Raises `InputError` where they cannot be written."""
    write_page(one, out / "report.html")
    with os_errors(InputError, f"{out / 'report.json'}: cannot be written"):
        (out / "report.json").write_bytes(msgspec.json.format(msgspec.json.encode(one), indent=1))


def page(one: QualityReport) -> str:
    """The report as a page."""
    plots = {}
    if any(each.figures.n for each in one.calibration.values()):
        plots["reliability"] = reliability_data(one.calibration)
    if one.curve is not None:
        plots["curve"] = learning_data(one.curve)
    return render(
        "quality.html",
        report=one,
        words=words,
        plots=plots,
        band_mark=band_mark,
        labels={
            "Intents of own requests": (one.intents[:_ROWS], one.intent_confusions[:_CONFUSIONS]),
            "Slots of own requests": (one.slots[:_ROWS], one.slot_confusions[:_CONFUSIONS]),
        },
    )
