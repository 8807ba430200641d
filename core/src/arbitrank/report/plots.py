"""Plots of a quality report: reliability with its intervals, and the learning curve."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from matplotlib import pyplot as plt

from arbitrank.evaluate.report import finish, save  # which has matplotlib draw without a screen
from arbitrank.report.claims import ClaimedProbability
from arbitrank.report.curve import LearningCurve

_TITLES = {"mine": "P(mine)", "right": "P(right) of the best reading"}
_OUTCOMES = {"mine": "share that is its own", "right": "share that is entirely right"}


def reliability_plot(found: Mapping[str, ClaimedProbability], path: Path) -> None:
    """Write a reliability plot of each probability; bars are 95 % intervals of each bin's share."""
    figure, grid = plt.subplots(1, len(found), layout="constrained", figsize=(5 * len(found), 4.4), squeeze=False)
    for axes, (name, one) in zip(grid.flat, found.items(), strict=True):
        x, y = [each.probability for each in one.bins], [each.share for each in one.bins]
        below = [max(0.0, each.share - each.low) for each in one.bins]  # rounding
        above = [max(0.0, each.high - each.share) for each in one.bins]
        axes.errorbar(x, y, yerr=[below, above], marker="o", markersize=4, capsize=2, linewidth=1)
        finish(axes, _TITLES[name], _OUTCOMES[name])
        axes.set_title(f"{_TITLES[name]}, n = {one.figures.n}", fontsize=10)
    save(figure, path)


def curve_plot(one: LearningCurve, path: Path) -> None:
    """Write the learning curve, with the 95 % interval of each point."""
    figure, axes = plt.subplots(layout="constrained", figsize=(6.4, 3.8))
    x, y = [each.examples for each in one.points], [100 * each.errors.mean for each in one.points]
    below = [100 * max(0.0, each.errors.mean - each.errors.low) for each in one.points]
    above = [100 * max(0.0, each.errors.high - each.errors.mean) for each in one.points]
    axes.errorbar(x, y, yerr=[below, above], marker="o", capsize=3)
    axes.set(xscale="log", xlabel="examples learned from", ylabel="errors, %", ylim=(0, None))
    axes.set_xticks(x, [str(each) for each in x])
    axes.minorticks_off()
    axes.grid(alpha=0.3)
    save(figure, path)
