"""Re-rankers trained on a sample of the other domains' traffic, with and without prior correction.

Each domain's re-ranker learns from all its own requests and from 100, 10 or 1 % of the others'. With prior correction
it knows the share that was kept (`Settings.kept`), without it does not. Differences to full data are paired over the
held-out requests, with 95 % bootstrap intervals.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from arbitrank.domain import Settings
from arbitrank.evaluate.images import calibration_image
from arbitrank.evaluate.plot_data import system_curves
from arbitrank.learn.evidence import Evidence, gather
from arbitrank.learn.model_selection import learn
from arbitrank.values import Example
from benchmarks.apart import Scored, compared, merged, requests, scored
from benchmarks.common import Bench, benches, between, options, show, table

NAME = "curation"
CORPORA = ("slurp", "clinc150", "snips", "media")
SHARES = (1.0, 0.1, 0.01)
FULL = "100 %"
HOW = ("corrected", "as it is")
_MEASURES = ("domain_accuracy", "irer", "nll")


def sampled(evidence: Evidence, share: float, seed: int) -> Evidence:
    """The evidence with all of the domain's own requests and a sample of the others', drawn one by one."""
    if share == 1.0:
        return evidence
    drawn = np.random.default_rng(seed).random(len(evidence.requests)) < share
    return evidence.only((evidence.batch.mine > 0) | drawn)


def measured(
    bench: Bench, *, seed: int = 0, shares: Sequence[float] = SHARES, model: str = "factored", out: Path | None = None
) -> dict[str, Any]:
    """The figures of one corpus: for each share, with and without prior correction, against full data."""
    train, held = bench.corpus.train, bench.corpus.held
    sides: dict[str, dict[str, Scored]] = {}
    for domain in bench.corpus.domains:
        recognised = bench.readings(domain)
        evidence = gather(domain, requests(train, recognised.train), [e.truth for e in train])
        for share in shares:
            part = sampled(evidence, share, _seed(domain, seed))
            for name, kept in _arms(share):
                settings = Settings(model=model, kept=kept, seed=seed)  # type: ignore[arg-type]  # a model's name
                sides.setdefault(name, {})[domain] = scored(learn(part, settings), held, recognised.held)
    outcomes = {name: merged(bench, one) for name, one in sides.items()}
    if out:
        out.mkdir(parents=True, exist_ok=True)
        calibration_image(system_curves(outcomes), out / f"curation-{bench.corpus.name}.png")
    return {
        "n": len(held),
        "others": int(np.mean([_others(domain, train) for domain in bench.corpus.domains])),
        "kept": {name: _figures(one) for name, one in compared(bench, outcomes, FULL, seed).items()},
    }


def _arms(share: float) -> list[tuple[str, float]]:
    """The comparisons at a share: their names, and the share that training is given."""
    if share == 1.0:
        return [(FULL, 1.0)]
    return [(f"{100 * share:g} % {how}", kept) for how, kept in zip(HOW, (share, 1.0), strict=True)]


def _seed(domain: str, seed: int) -> list[int]:
    """A seed for each domain."""
    return [seed, *domain.encode()]


def _others(domain: str, examples: Sequence[Example]) -> int:
    return sum(example.truth.domain != domain for example in examples)


def _figures(one: Mapping[str, Any]) -> dict[str, Any]:
    full = one["against"].get(FULL, {})
    return {
        **{name: one[name] for name in (*_MEASURES, "ece", "ece_floor")},
        "ece_band_top": one["ece_band"][1],
        "against_full": {name: (full[name].mean, full[name].low, full[name].high) for name in _MEASURES if full},
    }


def figures(chosen: argparse.Namespace) -> dict[str, Any]:
    """The figures of each corpus."""
    shares = (1.0, 0.1) if chosen.quick else SHARES
    return {
        bench.corpus.name: measured(bench, seed=chosen.seed, shares=shares, out=chosen.out) for bench in benches(chosen)
    }


def print_table(found: Mapping[str, Any]) -> None:
    """Print the figures of each share, and its difference to full data."""
    for name, corpus in found.items():
        print(f"{name}: {corpus['n']} held-out requests; on average {corpus['others']} requests are others'; per cent")
        rows = []
        for kept, one in corpus["kept"].items():
            full = one["against_full"]
            differences = [
                between(*full["domain_accuracy"]) if full else "",
                between(*full["irer"]) if full else "",
                between(*full["nll"], scale=1.0, digits=4) if full else "",
            ]
            plain = [f"{100 * one['domain_accuracy']:.2f}", f"{100 * one['irer']:.2f}", f"{one['nll']:.4f}"]
            ece = f"{100 * one['ece']:.2f} ({100 * one['ece_band_top']:.2f})"
            rows.append([kept, *plain, ece, *differences])
        head = ("others' kept", "accuracy", "IRER", "NLL", "ECE (band)", "accuracy - full", "IRER - full", "NLL - full")
        table(head, rows)


def main() -> None:
    """Measure and print."""
    chosen = options(__doc__, CORPORA)
    show(NAME, chosen, figures(chosen), print_table)


if __name__ == "__main__":
    main()
