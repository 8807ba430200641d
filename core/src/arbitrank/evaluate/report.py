"""Files of an evaluation: metrics, predictions, plots, and a page for readers who do not know the code."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from arbitrank.evaluate.plots import MOST_DOMAINS, calibration_plot, coverage_plot, data_uri, domains_plot
from arbitrank.evaluate.results import SystemResults, text
from arbitrank.evaluate.summary import cost
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
    plots = {name: out / f"{name}.png" for name in ("calibration", "domains", "coverage")}
    calibration_plot(results, plots["calibration"])
    domains_plot(results[best], plots["domains"])
    coverage_plot(results, plots["coverage"])
    page = render(
        "evaluation.html",
        metrics=metrics,
        best=best,
        most_domains=MOST_DOMAINS,
        plots={name: data_uri(path) for name, path in plots.items()},
        mistakes=list(_mistakes(results[best], held)),
        cost=cost(metrics),
    )
    (out / "report.html").write_text(page, encoding="utf-8")


def predictions(results: Mapping[str, SystemResults], held: Sequence[Example]) -> Iterator[dict[str, Any]]:
    """The merged top hypothesis of each request for each system, with the decision "none" or "accept"."""
    for system, one in results.items():
        for i, (example, top) in enumerate(zip(held, one.top, strict=True)):
            yield {
                "system": system,
                "id": example.request.id,
                "domain": top.domain if top else None,
                "intent": top.intent if top else None,
                "slots": [{"name": slot.name, "value": slot.value} for slot in top.slots] if top else [],
                "probability": float(one.probability[i]),
                "decision": "none" if one.none[i] else "accept",
            }


def _mistakes(one: SystemResults, held: Sequence[Example]) -> Iterator[tuple[str, float, str, str]]:
    """The utterance, the probability, the system's reading and the truth of the most confident mistakes."""
    wrong = np.flatnonzero(one.right == 0.0)
    for i in wrong[np.argsort(-one.probability[wrong], kind="stable")][:_MISTAKES].tolist():
        example = held[i]
        yield example.request.utterance or "", float(one.probability[i]), text(one.top[i]), text(example.truth)
