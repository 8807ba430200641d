"""What an evaluation leaves behind: metrics, predictions, plots, and a page that a product owner can read."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from arbitrank.evaluate.cost import cost
from arbitrank.evaluate.plots import MOST_DOMAINS, calibration_plot, coverage_plot, domains_plot
from arbitrank.evaluate.results import Outcome
from arbitrank.values import Example, Hypothesis, Truth

_MISTAKES = 15
_STYLE = """body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#222}
table{border-collapse:collapse;margin:1rem 0}td,th{padding:.25rem .8rem;text-align:right;border-bottom:1px solid #ddd}
td:first-child,th:first-child{text-align:left}td.text,th.text{text-align:left}img{max-width:100%}
.note{color:#666;font-size:.9rem}"""


def write_report(
    metrics: Mapping[str, Any], outcomes: Mapping[str, Outcome], held: Sequence[Example], best: str, out: Path
) -> None:
    """Write `metrics.json`, `predictions.jsonl`, the plots and `report.html` into the folder `out`.

    `best` is the system that the per-domain plot and the mistakes are of.
    """
    out.mkdir(parents=True, exist_ok=True)
    (out / "metrics.json").write_bytes(msgspec.json.format(msgspec.json.encode(metrics), indent=1))
    with (out / "predictions.jsonl").open("wb") as file:
        file.writelines(msgspec.json.encode(line) + b"\n" for line in predictions(outcomes, held))
    calibration_plot(outcomes, out / "calibration.png")
    domains_plot(outcomes[best], out / "domains.png")
    coverage_plot(outcomes, out / "coverage.png")
    (out / "report.html").write_text(_page(metrics, outcomes[best], held, best, out), encoding="utf-8")


def predictions(outcomes: Mapping[str, Outcome], held: Sequence[Example]) -> Iterator[dict[str, Any]]:
    """The merged top hypothesis of each request for each system; `decision` says where the answer was none."""
    for system, one in outcomes.items():
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


def _page(metrics: Mapping[str, Any], one: Outcome, held: Sequence[Example], best: str, out: Path) -> str:
    name = escape(str(metrics["corpus"]))
    notes = "".join(f"<li>{escape(note)}</li>" for note in metrics["notes"])
    return f"""<!doctype html><html lang="en"><meta charset="utf-8">
<title>arbitrank on {name}</title><style>{_STYLE}</style>
<h1>arbitrank on {name}</h1>
<p>{metrics["n"]} requests ({escape(metrics["split"])}), {len(metrics["domains"])} domains, each trained apart.
Every figure is in per cent but NLL; brackets hold 95 % intervals.</p>
{f"<ul class=note>{notes}</ul>" if notes else ""}
{_table(metrics["systems"])}
<p class="note">Domain accuracy: the answer came from the right domain. IRER: something in it was wrong. ECE: how
far the claimed probability is from the truth on average; <i>floor</i>: what a perfect one would show here.</p>
<h2>Does a probability mean what it says?</h2>{_image(out / "calibration.png")}
<h2>{escape(best)}, domain by domain{_of_many(metrics)}</h2>{_image(out / "domains.png")}
<h2>What confidence buys</h2>{_image(out / "coverage.png")}
<h2>The most confident mistakes of {escape(best)}</h2>{_mistakes(one, held)}
<p class="note">{escape(cost(metrics))}</p>
</html>"""


def _of_many(metrics: Mapping[str, Any]) -> str:
    n = len(metrics["domains"])
    return f" (the {MOST_DOMAINS} of {n} that win most)" if n > MOST_DOMAINS else ""


def _table(systems: Mapping[str, Any]) -> str:
    rows = [
        f"<tr><td>{escape(system)}</td><td>{_rate(m, 'domain_accuracy')}</td><td>{_rate(m, 'irer')}</td>"
        f"<td>{100 * m['semer']:.1f}</td><td>{m['nll']:.3f}</td>"
        f"<td>{100 * m['ece']:.1f} ({100 * m['ece_floor']:.1f})</td></tr>"
        for system, m in systems.items()
    ]
    head = "<tr><th>system</th><th>domain accuracy</th><th>IRER</th><th>SemER</th><th>NLL</th><th>ECE (floor)</th></tr>"
    return f"<table>{head}{''.join(rows)}</table>"


def _rate(figures: Mapping[str, Any], name: str) -> str:
    low, high = figures["ci"][name]
    return f"{100 * figures[name]:.1f} <span class=note>[{100 * low:.1f}, {100 * high:.1f}]</span>"


def _mistakes(one: Outcome, held: Sequence[Example]) -> str:
    wrong = np.flatnonzero(one.right == 0.0)
    worst = wrong[np.argsort(-one.probability[wrong], kind="stable")][:_MISTAKES]
    rows = [
        f"<tr><td>{escape(held[i].request.utterance or '')}</td><td>{100 * one.probability[i]:.0f} %</td>"
        f"<td class=text>{escape(_words(one.top[i]))}</td><td class=text>{escape(_words(held[i].truth))}</td></tr>"
        for i in worst
    ]
    head = "<tr><th>request</th><th>sure by</th><th class=text>it understood</th><th class=text>meant was</th></tr>"
    return f"<table>{head}{''.join(rows)}</table>"


def _words(reading: Hypothesis | Truth | None) -> str:
    if reading is None or reading.domain is None:
        return "nothing that a domain here does"
    slots = ", ".join(f"{slot.name} “{slot.value}”" for slot in reading.slots)
    return f"{reading.domain}: {reading.intent}" + (f" ({slots})" if slots else "")


def _image(path: Path) -> str:
    return f'<img alt="{path.stem}" src="data:image/png;base64,{base64.b64encode(path.read_bytes()).decode()}">'
