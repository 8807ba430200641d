"""Files of an evaluation: metrics, predictions, plots, and a page for readers who do not know the code."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from arbitrank.arbitration.decide import ACTIONS
from arbitrank.evaluate.images import calibration_image, coverage_image, domains_image
from arbitrank.evaluate.metrics import band_mark
from arbitrank.evaluate.plot_data import (
    MOST_DOMAINS,
    calibration_data,
    coverage,
    coverage_data,
    domain_curves,
    system_curves,
)
from arbitrank.evaluate.results import SystemResults, cost, text
from arbitrank.evaluate.shift import distinct_systems, remarks
from arbitrank.evaluate.tuning import tuned, tuning_rows, unchanged
from arbitrank.pages import render
from arbitrank.values import Example

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
    drawn = {name: one for name, one in results.items() if name in compared(metrics)}
    curves, by_domain, lines = system_curves(drawn), domain_curves(results[best]), coverage(drawn)
    shown = next((name for name in (best, tuned(best)) if name in drawn), None)
    calibration_image(curves, out / "calibration.png", shown)
    domains_image(by_domain, out / "domains.png")
    coverage_image(lines, out / "coverage.png", shown)
    shift = metrics.get("shift", [])
    page = render(
        "evaluation.html",
        metrics=metrics,
        best=best,
        tuning=tuning_rows(metrics["tuning"]),
        same=unchanged(metrics["tuning"]),
        most_domains=MOST_DOMAINS,
        plots={
            "calibration": calibration_data(curves, shown),
            "domains": calibration_data(by_domain, next(iter(by_domain), None)),
            "coverage": coverage_data(lines, shown),
        },
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
