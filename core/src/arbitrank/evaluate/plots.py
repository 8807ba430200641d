"""Pictures of calibration, as the article draws them, and of what confidence buys."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt
import numpy as np

from arbitrank.evaluate.metrics import Floats, reliability
from arbitrank.evaluate.results import Outcome

MOST_DOMAINS = 24
"""Domains that a page can show; the figures of all are in `metrics.json`."""


def calibration_plot(outcomes: Mapping[str, Outcome], path: Path) -> None:
    """Write a picture of how often each system is right when it says p; the dotted line is perfect."""
    figure, axes = plt.subplots(figsize=(6.4, 5.6), layout="constrained")
    for system, one in outcomes.items():
        curve = reliability(one.probability, one.right)
        axes.plot([x for x, _, _ in curve], [y for _, y, _ in curve], marker="o", markersize=3, label=system)
    _finish(axes, "probability the system claims", "share that is entirely right")
    axes.legend()
    _write(figure, path)


def domains_plot(one: Outcome, path: Path) -> None:
    """Write small reliability pictures of the domains that win most requests, with the count of each bin."""
    wins = Counter(hypothesis.domain for hypothesis in one.top if hypothesis)
    names = sorted(sorted(wins, key=lambda name: (-wins[name], name))[:MOST_DOMAINS])
    winner = np.array([hypothesis.domain if hypothesis else "" for hypothesis in one.top])
    columns = min(4, max(1, len(names)))
    rows = -(-len(names) // columns) or 1
    figure, grid = plt.subplots(rows, columns, figsize=(3 * columns, 2.8 * rows), squeeze=False, layout="constrained")
    for axes in grid.flat[len(names) :]:
        axes.set_visible(False)
    for axes, name in zip(grid.flat, names, strict=False):
        _reliability(axes, one.probability[winner == name], one.right[winner == name])
        axes.set_title(f"{name} ({int((winner == name).sum())} won)", fontsize=9)
    _write(figure, path)


def coverage_plot(outcomes: Mapping[str, Outcome], path: Path) -> None:
    """Write a picture of the share of right answers when only the most certain requests are answered."""
    figure, axes = plt.subplots(figsize=(6.4, 4.4), layout="constrained")
    for system, one in outcomes.items():
        right = one.right[np.argsort(-one.probability, kind="stable")]
        covered = np.arange(1, len(right) + 1)
        axes.plot(covered / len(right), np.cumsum(right) / covered, label=system)
    axes.set(
        xlabel="share of requests answered, most certain first", ylabel="share of those entirely right", xlim=(0, 1)
    )
    axes.grid(alpha=0.3)
    axes.legend()
    _write(figure, path)


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


def _write(figure: Any, path: Path) -> None:
    # Without a date or a version in it, the same figures give the same file.
    figure.savefig(path, dpi=110, metadata={"Software": None})
    plt.close(figure)
