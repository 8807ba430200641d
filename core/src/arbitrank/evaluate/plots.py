"""Plots of calibration, as the article draws them, and of accuracy against coverage."""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt
import numpy as np

from arbitrank.evaluate.metrics import reliability
from arbitrank.evaluate.results import SystemResults
from arbitrank.probability import Floats

MOST_DOMAINS = 24
"""Domains in the per-domain plot; the figures of all are in `metrics.json`."""


def calibration_plot(results: Mapping[str, SystemResults], path: Path) -> None:
    """Write a reliability plot of all systems; the dotted line is perfect calibration."""
    figure, axes = subplots(figsize=(6.4, 5.6))
    for system, one in results.items():
        curve = reliability(one.probability, one.right)
        axes.plot([x for x, _, _ in curve], [y for _, y, _ in curve], marker="o", markersize=3, label=system)
    _finish(axes, "predicted probability", "share that is entirely right")
    axes.legend()
    save(figure, path)


def domains_plot(one: SystemResults, path: Path) -> None:
    """Write small reliability plots of the domains that win most requests, with the count of each bin."""
    wins = Counter(hypothesis.domain for hypothesis in one.top if hypothesis)
    names = sorted(sorted(wins, key=lambda name: (-wins[name], name))[:MOST_DOMAINS])
    winner = np.array([hypothesis.domain if hypothesis else "" for hypothesis in one.top])
    columns = min(4, max(1, len(names)))
    rows = -(-len(names) // columns) or 1
    figure, grid = subplots(rows, columns, figsize=(3 * columns, 2.8 * rows), squeeze=False)
    for axes in grid.flat[len(names) :]:
        axes.set_visible(False)
    for axes, name in zip(grid.flat, names, strict=False):
        _reliability(axes, one.probability[winner == name], one.right[winner == name])
        axes.set_title(f"{name} ({int((winner == name).sum())} won)", fontsize=9)
    save(figure, path)


def coverage_plot(results: Mapping[str, SystemResults], path: Path) -> None:
    """Write a plot of the share of right answers when only the most confident ones are given."""
    figure, axes = subplots(figsize=(6.4, 4.4))
    for system, one in results.items():
        right = one.right[np.argsort(-one.probability, kind="stable")]
        covered = np.arange(1, len(right) + 1)
        axes.plot(covered / len(right), np.cumsum(right) / covered, label=system)
    axes.set(
        xlabel="share of requests answered, most confident first", ylabel="share of those entirely right", xlim=(0, 1)
    )
    axes.grid(alpha=0.3)
    axes.legend()
    save(figure, path)


def _reliability(axes: Any, p: Floats, y: Floats) -> None:
    curve = reliability(p, y, bins=min(10, max(1, len(p) // 10)))
    counts = axes.twinx()
    counts.bar([x for x, _, _ in curve], [n for _, _, n in curve], width=0.03, alpha=0.2, color="grey")
    counts.tick_params(labelsize=6)
    axes.plot([x for x, _, _ in curve], [share for _, share, _ in curve], marker="o", markersize=3)
    _finish(axes, "", "")
    axes.tick_params(labelsize=7)


def _finish(axes: Any, x: str, y: str) -> None:
    axes.plot([0, 1], [0, 1], linestyle=":", color="black", linewidth=1)
    axes.set(xlabel=x, ylabel=y, xlim=(0, 1), ylim=(0, 1))
    axes.grid(alpha=0.3)


def subplots(rows: int = 1, columns: int = 1, **settings: Any) -> tuple[Any, Any]:
    """A figure and its axes, as `matplotlib.pyplot.subplots` makes them."""
    return plt.subplots(rows, columns, layout="constrained", **settings)


def save(figure: Any, path: Path) -> None:
    """Write a figure; without a date or a version in it, so that the same figures give the same file."""
    figure.savefig(path, dpi=110, metadata={"Software": None})
    plt.close(figure)


def data_uri(path: Path) -> str:
    """A PNG file as a URI, so that a page needs no file beside it."""
    return f"data:image/png;base64,{base64.b64encode(path.read_bytes()).decode()}"
