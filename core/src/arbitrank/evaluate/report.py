"""Files of an evaluation: metrics, predictions, plots, and a page for readers who do not know the code."""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt
import msgspec
import numpy as np

from arbitrank.arbitration.decide import ACTIONS
from arbitrank.evaluate.intervals import Estimate
from arbitrank.evaluate.metrics import band_mark, reliability
from arbitrank.evaluate.results import SystemResults, cost, text
from arbitrank.evaluate.shift import distinct_systems, remarks
from arbitrank.evaluate.tuning import tuned, tuning_rows, unchanged
from arbitrank.pages import render
from arbitrank.probability import Floats
from arbitrank.values import Example

MOST_DOMAINS = 24
"""Domains in the per-domain plot; the figures of all are in `metrics.json`."""

_MISTAKES = 15


def write_report(
    metrics: Mapping[str, Any], results: Mapping[str, SystemResults], held: Sequence[Example], best: str, out: Path
) -> None:
    """Write `metrics.json`, `predictions.jsonl`, the plots and `report.html` into the folder `out`.

    The per-domain plot and the mistakes are those of the system `best`.
    """
    out.mkdir(parents=True, exist_ok=True)
    (out / "metrics.json").write_bytes(msgspec.json.format(msgspec.json.encode(metrics), indent=1))
    with (out / "predictions.jsonl").open("wb") as file:
        file.writelines(msgspec.json.encode(line) + b"\n" for line in predictions(results, held))
    plots = {name: out / f"{name}.png" for name in ("calibration", "domains", "coverage")}
    drawn = {name: one for name, one in results.items() if name in compared(metrics)}
    calibration_plot(drawn, plots["calibration"])
    domains_plot(results[best], plots["domains"])
    coverage_plot(drawn, plots["coverage"])
    shift = metrics.get("shift", [])
    page = render(
        "evaluation.html",
        metrics=metrics,
        best=best,
        tuning=tuning_rows(metrics["tuning"]),
        same=unchanged(metrics["tuning"]),
        most_domains=MOST_DOMAINS,
        plots={name: data_uri(path) for name, path in plots.items()},
        mistakes=list(_mistakes(results[best], held)),
        cost=cost(metrics),
        band_mark=band_mark,
        shift=shift,
        shift_systems=[name for name, same in distinct_systems(shift).items() if name == same] if shift else [],
        shift_remarks=list(remarks(shift)) if shift else [],
    )
    (out / "report.html").write_text(page, encoding="utf-8")


def compared(metrics: Mapping[str, Any]) -> frozenset[str]:
    """The systems that are drawn: R0, and all as tuned on labelled requests."""
    return frozenset(["R0", *(tuned(one.system) for one in metrics["tuning"].values())])


def predictions(results: Mapping[str, SystemResults], held: Sequence[Example]) -> Iterator[dict[str, Any]]:
    """The merged top hypothesis of each request for each system, with its decision."""
    for system, one in results.items():
        for i, (example, top) in enumerate(zip(held, one.top, strict=True)):
            yield {
                "system": system,
                "id": example.request.id,
                "domain": top.domain if top else None,
                "intent": top.intent if top else None,
                "slots": [{"name": slot.name, "value": slot.value} for slot in top.slots] if top else [],
                "probability": float(one.probability[i]),
                "decision": ACTIONS[one.actions[i]],
                **({"reason": "fallback"} if one.fallback[i] else {}),
            }


def _mistakes(one: SystemResults, held: Sequence[Example]) -> Iterator[tuple[str, float, str, str]]:
    """The utterance, the probability, the system's reading and the truth of the most confident mistakes."""
    wrong = np.flatnonzero(one.right == 0.0)
    for i in wrong[np.argsort(-one.probability[wrong], kind="stable")][:_MISTAKES].tolist():
        example = held[i]
        yield example.request.utterance or "", float(one.probability[i]), text(one.top[i]), text(example.truth)


def calibration_plot(results: Mapping[str, SystemResults], path: Path) -> None:
    """Write a reliability plot of all systems; the dotted line is perfect calibration."""
    figure, axes = plt.subplots(layout="constrained", figsize=(6.4, 5.6))
    for system, one in results.items():
        curve = reliability(one.probability, one.right)
        axes.plot([x for x, _, _ in curve], [y for _, y, _ in curve], marker="o", markersize=3, label=system)
    finish(axes, "predicted probability", "share that is entirely right")
    axes.legend()
    save(figure, path)


def domains_plot(one: SystemResults, path: Path) -> None:
    """Write small reliability plots of the domains that win most requests, with the count of each bin."""
    wins = Counter(hypothesis.domain for hypothesis in one.top if hypothesis)
    names = sorted(sorted(wins, key=lambda name: (-wins[name], name))[:MOST_DOMAINS])
    winner = np.array([hypothesis.domain if hypothesis else "" for hypothesis in one.top])
    columns = min(4, max(1, len(names)))
    rows = -(-len(names) // columns) or 1
    size = 3 * columns, 2.8 * rows
    figure, grid = plt.subplots(rows, columns, layout="constrained", figsize=size, squeeze=False)
    for axes in grid.flat[len(names) :]:
        axes.set_visible(False)
    for axes, name in zip(grid.flat, names, strict=False):
        _reliability(axes, one.probability[winner == name], one.right[winner == name])
        axes.set_title(f"{name} ({int((winner == name).sum())} won)", fontsize=9)
    save(figure, path)


def coverage_plot(results: Mapping[str, SystemResults], path: Path) -> None:
    """Write a plot of the share of right answers when only the most confident ones are given."""
    figure, axes = plt.subplots(layout="constrained", figsize=(6.4, 4.4))
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


def differences_plot(differences: Mapping[str, Estimate], measure: str, path: Path) -> None:
    """Write a plot of a rate's differences with their intervals: to the right of the line it increased."""
    figure, axes = plt.subplots(layout="constrained", figsize=(6.4, 1.0 + 0.28 * len(differences)))
    names = list(differences)[::-1]
    for place, one in enumerate(differences[name] for name in names):
        colour = "#a40000" if one.low > 0 else "#14691b" if one.high < 0 else "#555555"
        axes.plot([100 * one.low, 100 * one.high], [place, place], color=colour)
        axes.plot([100 * one.mean], [place], marker="o", markersize=4, color=colour)
    axes.axvline(0.0, linestyle=":", color="black", linewidth=1)
    axes.set_yticks(range(len(names)), names)
    axes.set_xlabel(f"change of {measure}, points")
    axes.grid(alpha=0.3, axis="x")
    save(figure, path)


def _reliability(axes: Any, p: Floats, y: Floats) -> None:
    curve = reliability(p, y, bins=min(10, max(1, len(p) // 10)))
    counts = axes.twinx()
    counts.bar([x for x, _, _ in curve], [n for _, _, n in curve], width=0.03, alpha=0.2, color="grey")
    counts.tick_params(labelsize=6)
    axes.plot([x for x, _, _ in curve], [share for _, share, _ in curve], marker="o", markersize=3)
    finish(axes, "", "")
    axes.tick_params(labelsize=7)


def finish(axes: Any, x: str, y: str) -> None:
    """Add the line of perfect calibration, the labels and the grid to a reliability plot."""
    axes.plot([0, 1], [0, 1], linestyle=":", color="black", linewidth=1)
    axes.set(xlabel=x, ylabel=y, xlim=(0, 1), ylim=(0, 1))
    axes.grid(alpha=0.3)


def save(figure: Any, path: Path) -> None:
    """Write a figure; without a date or a version in it, so that the same figures give the same file."""
    figure.savefig(path, dpi=110, metadata={"Software": None})
    plt.close(figure)


def data_uri(path: Path) -> str:
    """A PNG file as a URI, so that a page needs no file beside it."""
    return f"data:image/png;base64,{base64.b64encode(path.read_bytes()).decode()}"
