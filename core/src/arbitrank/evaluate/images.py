"""Images of plots as PNG files, for papers and slides: one line highlighted, the others faint."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt
from matplotlib import font_manager

from arbitrank.evaluate.reliability import ReliabilityCurve

_FAINT, _BAND, _COUNTS = 0.35, 0.18, 0.25
_FONTS = 400  # files of fonts that are opened for a letter


def calibration_image(curves: Mapping[str, ReliabilityCurve], path: Path, highlight: str | None = None) -> None:
    """Write a reliability plot; the dotted line is perfect calibration, the band that of the highlighted curve."""
    with _readable(curves):
        figure, axes = plt.subplots(layout="constrained", figsize=(6.4, 5.6))
        for name, curve in curves.items():
            _reliability(axes, curve, name, highlight in (None, name), band=highlight == name)
        _finish(axes, "predicted probability", "share that is entirely right")
        axes.legend(fontsize=8)
        _save(figure, path)


def domains_image(curves: Mapping[str, ReliabilityCurve], path: Path) -> None:
    """Write small reliability plots, one a domain, with its band and the count of each bin."""
    names = sorted(curves)
    columns = min(4, max(1, len(names)))
    rows = -(-len(names) // columns) or 1
    with _readable(names):
        size = 3 * columns, 2.8 * rows
        figure, grid = plt.subplots(rows, columns, layout="constrained", figsize=size, squeeze=False)
        for axes in grid.flat[len(names) :]:
            axes.set_visible(False)
        for axes, name in zip(grid.flat, names, strict=False):
            curve = curves[name]
            counts = axes.twinx()
            counts.bar([one.probability for one in curve.bins], [one.n for one in curve.bins], width=0.03,
                       alpha=_COUNTS, color="grey")  # fmt: skip
            counts.tick_params(labelsize=6)
            counts.set_ylabel("requests of a bin", fontsize=6)
            _reliability(axes, curve, name, True, band=True)
            _finish(axes, "predicted probability", "share entirely right")
            axes.tick_params(labelsize=7)
            axes.xaxis.label.set_size(7)
            axes.yaxis.label.set_size(7)
            axes.set_title(f"{name} ({curve.figures.n} won)", fontsize=9)
        _save(figure, path)


def coverage_image(
    lines: Mapping[str, tuple[list[float], list[float]]], path: Path, highlight: str | None = None
) -> None:
    """Write a plot of the share of right answers when only the most confident ones are given."""
    with _readable(lines):
        figure, axes = plt.subplots(layout="constrained", figsize=(6.4, 4.4))
        for name, (x, y) in lines.items():
            axes.plot(x, y, label=name, alpha=1.0 if highlight in (None, name) else _FAINT)
        axes.set(
            xlabel="share of requests answered, most confident first", ylabel="share of those entirely right",
            xlim=(0, 1),
        )  # fmt: skip
        axes.grid(alpha=0.3)
        axes.legend(fontsize=8)
        _save(figure, path)


def _reliability(axes: Any, curve: ReliabilityCurve, name: str, strong: bool, *, band: bool) -> None:
    x = [one.probability for one in curve.bins]
    (line,) = axes.plot(
        x, [one.share for one in curve.bins], marker="o", markersize=3, alpha=1.0 if strong else _FAINT,
        label=f"{name} (n = {curve.figures.n})",
    )  # fmt: skip
    if band:
        low, high = [one.low for one in curve.bins], [one.high for one in curve.bins]
        axes.fill_between(x, low, high, alpha=_BAND, color=line.get_color(), linewidth=0)


def _finish(axes: Any, x: str, y: str) -> None:
    axes.plot([0, 1], [0, 1], linestyle=":", color="black", linewidth=1)
    axes.set(xlabel=x, ylabel=y, xlim=(0, 1), ylim=(0, 1))
    axes.grid(alpha=0.3)


def _save(figure: Any, path: Path) -> None:
    """Write a figure; without a date or a version in it, so that the same figures give the same file."""
    figure.savefig(path, dpi=110, metadata={"Software": None})
    plt.close(figure)


def _readable(texts: Iterable[str]) -> Any:
    """A context in which matplotlib has the letters of these texts, as far as an installed font has them.

    Dollar signs are letters in it, not the beginning of a formula.
    """
    letters = frozenset(letter for text in texts for letter in text if letter.isprintable() and not letter.isspace())
    return mpl.rc_context({"font.family": ["DejaVu Sans", *_fonts_of(letters)], "text.parse_math": False})


@cache
def _fonts_of(letters: frozenset[str]) -> tuple[str, ...]:
    """Installed fonts that have the letters which matplotlib's own has not."""
    own = font_manager.get_font(font_manager.findfont("DejaVu Sans")).get_charmap()
    missing, found = {ord(letter) for letter in letters} - own.keys(), []
    for entry in font_manager.fontManager.ttflist[:_FONTS] if missing else ():
        has = missing & font_manager.get_font(entry.fname).get_charmap().keys()
        if has:
            found.append(entry.name)
            missing -= has
        if not missing:
            break
    return tuple(found)
