"""Domains trained alone and merged, compared with R0 and with one joint model over all domains' hypotheses.

Each system's domains learn from their own hypotheses alone and are merged; the joint model is one LightGBM over all
hypotheses of all domains. Every system's decision settings are tuned, as in `evaluate`, and those of the main ones once
more with the held-out requests as traffic without truths. Differences are paired over the held-out requests, with 95 %
bootstrap intervals.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from arbitrank.cli.progress import shown
from arbitrank.evaluate.answers import JOINT, judged, system_readings
from arbitrank.evaluate.domain_runs import run
from arbitrank.evaluate.experiment import untuned_and_tuned
from arbitrank.evaluate.images import calibration_image
from arbitrank.evaluate.intervals import Estimate
from arbitrank.evaluate.plot_data import system_curves
from arbitrank.evaluate.results import summarise
from arbitrank.evaluate.tuning import tuned
from benchmarks.common import Bench, benches, between, options, show, table

NAME = "independence"
CORPORA = ("slurp", "clinc150", "snips", "media")
APART = tuple(map(tuned, ("factored", "boosted", "corrected", "auto")))
TRAFFIC = tuple(tuned(system, traffic=True) for system in ("R0", "factored", "auto", JOINT))
"""Tuned with the held-out requests as traffic without truths; only where requests may be out of scope."""
REFERENCES = ("R0", tuned("R0"), tuned(JOINT))
_MEASURES = ("domain_accuracy", "irer", "nll")


def figures(chosen: argparse.Namespace) -> dict[str, Any]:
    """The figures of each corpus."""
    return {bench.corpus.name: measured(bench, chosen.seed, chosen.out, chosen.jobs) for bench in benches(chosen)}


def measured(bench: Bench, seed: int = 0, out: Path | None = None, jobs: int = 1) -> dict[str, Any]:
    """The figures of one corpus: each system's, and those of systems trained alone against R0 and the joint model."""
    corpus = bench.corpus
    with shown(corpus.name) as progress:
        runs = run(corpus, bench.paths, seed=seed, jobs=jobs, progress=progress)
        readings = system_readings(corpus, runs, seed=seed)
        systems, _ = untuned_and_tuned(corpus, readings, seed=seed, jobs=jobs, progress=progress)
    kept = {system: systems[system] for system in (*REFERENCES, *APART, *TRAFFIC) if system in systems}
    outcomes = judged(corpus, runs, kept, none_counts=corpus.has_out_of_scope)
    if out:
        out.mkdir(parents=True, exist_ok=True)
        calibration_image(system_curves(outcomes), out / f"independence-{corpus.name}.png")
    found = summarise(outcomes, corpus.held, against=REFERENCES, seed=seed)
    return {"n": len(corpus.held), "systems": {system: _figures(one) for system, one in found.items()}}


def _figures(one: Mapping[str, Any]) -> dict[str, Any]:
    own = [d for d in one["per_domain"].values() if d["won"]]
    return {
        **{name: one[name] for name in (*_MEASURES, "ece", "ece_floor")},
        "ece_band_top": one["ece_band"][1],
        "ece_inside": one["ece_in_band"],
        "domains_inside": sum(d["ece_in_band"] for d in own) / len(own),
        "against": {
            other: {name: _triple(difference[name]) for name in _MEASURES}
            for other, difference in one["against"].items()
        },
    }


def _triple(one: Estimate) -> tuple[float, float, float]:
    return one.mean, one.low, one.high


def print_table(found: Mapping[str, Any]) -> None:
    """Print each system's figures, and the differences."""
    for name, corpus in found.items():
        print(f"{name}: {corpus['n']} held-out requests; per cent, NLL in nats")
        rows = [
            [
                system,
                f"{100 * one['domain_accuracy']:.2f}",
                f"{100 * one['irer']:.2f}",
                f"{one['nll']:.4f}",
                f"{100 * one['ece']:.2f}",
                f"{100 * one['ece_band_top']:.2f}",
                "yes" if one["ece_inside"] else "no",
                f"{100 * one['domains_inside']:.0f}",
            ]
            for system, one in corpus["systems"].items()
        ]
        head = ("system", "accuracy", "IRER", "NLL", "ECE", "band up to", "in band", "domains in band")
        table(head, rows)
        rows = [
            [
                f"{system} - {other}",
                between(*corpus["systems"][system]["against"][other]["domain_accuracy"]),
                between(*corpus["systems"][system]["against"][other]["irer"]),
                between(*corpus["systems"][system]["against"][other]["nll"], scale=1.0, digits=4),
            ]
            for system in corpus["systems"]
            for other in REFERENCES
            if system not in REFERENCES
        ]
        table(("difference", "accuracy", "IRER", "NLL"), rows)


def main() -> None:
    """Measure and print."""
    chosen = options(__doc__, CORPORA)
    show(NAME, chosen, figures(chosen), print_table)


if __name__ == "__main__":
    main()
