"""Re-rankers trained on few of a domain's own requests, compared with R0.

Every domain's re-ranker learns from a given number of its own requests and from the same share of the others'; the
recognisers stay the same. Small samples are drawn several times and the figures averaged. Differences to R0, which
has nothing to learn, are paired over the held-out requests, with 95 % bootstrap intervals.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from arbitrank.domain import Settings
from arbitrank.evaluate.metrics import ece
from arbitrank.evaluate.results import SystemResults
from arbitrank.learn.evidence import Evidence, gather
from arbitrank.learn.model_selection import learn
from arbitrank.learn.rerankers import baseline
from benchmarks.apart import Scored, merged, requests, scored
from benchmarks.common import Bench, benches, between, options, show, table

NAME = "little_data"
CORPORA = ("slurp", "clinc150", "snips", "media")
OWN = (10, 30, 100, 300, 1_000)
ALL = "all"
_DRAWS = 5
_BOOTSTRAPS = 1_000
_MEASURES = ("domain_accuracy", "nll")

Floats = NDArray[np.float64]


def little(evidence: Evidence, own: int, seed: Sequence[int]) -> Evidence:
    """A number of the domain's own requests, all where it has fewer, and the same share of the others'."""
    rng = np.random.default_rng(seed)
    mine = evidence.batch.mine > 0
    share = min(1.0, own / max(1, int(mine.sum())))
    chosen = ~mine & (rng.random(len(mine)) < share)
    chosen[rng.permutation(np.flatnonzero(mine))[:own]] = True
    return evidence.only(chosen)


def measured(
    bench: Bench, *, seed: int = 0, sizes: Sequence[int] = OWN, draws: int = _DRAWS, model: str = "factored"
) -> dict[str, Any]:
    """The figures of one corpus: R0's, and those of each number of own requests, against R0."""
    train, held = bench.corpus.train, bench.corpus.held
    sides: dict[tuple[str, int], dict[str, Scored]] = {}
    settings = Settings(model=model, seed=seed)  # type: ignore[arg-type]  # a model's name
    for domain in bench.corpus.domains:
        recognised = bench.readings(domain)
        asked = requests(train, recognised.train)
        truths = [e.truth for e in train]
        evidence = gather(domain, asked, truths)
        sides.setdefault(("R0", 0), {})[domain] = scored(baseline(domain, asked, truths), held, recognised.held)
        sides.setdefault((ALL, 0), {})[domain] = scored(learn(evidence, settings), held, recognised.held)
        for own in sizes:
            for draw in range(draws):
                part = little(evidence, own, [seed, draw, *domain.encode()])
                said = scored(learn(part, settings), held, recognised.held)
                sides.setdefault((str(own), draw), {})[domain] = said
    outcomes: dict[str, list[SystemResults]] = {}
    for (name, _), one in sides.items():
        outcomes.setdefault(name, []).append(merged(bench, one))
    order = ["R0", *map(str, sizes), ALL]
    return {"n": len(held), "own": {name: _figures(outcomes[name], outcomes["R0"][0], seed) for name in order}}


def _figures(drawn: Sequence[SystemResults], reference: SystemResults, seed: int) -> dict[str, Any]:
    """The means over the samples, and the paired differences of the means to the reference."""
    found = [_measures(one) for one in drawn]
    means = {name: np.mean([one[name] for one in found], axis=0) for name in _MEASURES}
    against = {name: _difference(means[name] - _measures(reference)[name], seed) for name in _MEASURES}
    return {
        **{name: float(values.mean()) for name, values in means.items()},
        "ece": float(np.mean([ece(one.probability, one.right) for one in drawn])),
        "against_R0": against,
    }


def _measures(one: SystemResults) -> dict[str, Floats]:
    p = np.clip(one.probability, 1e-6, 1.0 - 1e-6)
    loss = -(one.right * np.log(p) + (1.0 - one.right) * np.log(1.0 - p))
    return {"domain_accuracy": one.domain_right, "nll": np.asarray(loss)}


def _difference(values: Floats, seed: int) -> tuple[float, float, float]:
    rng = np.random.default_rng(seed)
    n = len(values)
    low, high = np.quantile([values[rng.integers(0, n, n)].mean() for _ in range(_BOOTSTRAPS)], [0.025, 0.975])
    return float(values.mean()), float(low), float(high)


def figures(chosen: argparse.Namespace) -> dict[str, Any]:
    """The figures of each corpus."""
    sizes, draws = ((10, 100), 2) if chosen.quick else (OWN, _DRAWS)
    found = {
        bench.corpus.name: measured(bench, seed=chosen.seed, sizes=sizes, draws=draws) for bench in benches(chosen)
    }
    if chosen.out:
        for name, corpus in found.items():
            _plot(corpus["own"], chosen.out / f"little_data-{name}.png")
    return found


def _plot(own: Mapping[str, Any], path: Path) -> None:
    """Write a plot of accuracy, NLL and ECE against the number of a domain's own requests; R0 is dotted."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    path.parent.mkdir(parents=True, exist_ok=True)
    figure, grid = plt.subplots(1, 3, figsize=(11, 3.4), layout="constrained")
    names = [name for name in own if name != "R0"]
    for axes, measure in zip(grid, ("domain_accuracy", "nll", "ece"), strict=True):
        axes.plot(names, [own[name][measure] for name in names], marker="o")
        axes.axhline(own["R0"][measure], linestyle=":", color="black", label="R0")
        axes.set(xlabel="a domain's own requests", ylabel=measure.replace("_", " "))
        axes.legend()
    figure.savefig(path, dpi=110, metadata={"Software": None})
    plt.close(figure)


def print_table(found: Mapping[str, Any]) -> None:
    """Print the figures of each number of own requests, and the difference to R0."""
    for name, corpus in found.items():
        print(f"{name}: {corpus['n']} held-out requests; per cent, NLL in nats")
        rows = [
            [
                "R0" if own == "R0" else f"{own} of its own",
                f"{100 * one['domain_accuracy']:.2f}",
                f"{one['nll']:.4f}",
                f"{100 * one['ece']:.2f}",
                "" if own == "R0" else between(*one["against_R0"]["domain_accuracy"]),
                "" if own == "R0" else between(*one["against_R0"]["nll"], scale=1.0, digits=4),
            ]
            for own, one in corpus["own"].items()
        ]
        table(("requests", "accuracy", "NLL", "ECE", "accuracy - R0", "NLL - R0"), rows)


def main() -> None:
    """Measure and print."""
    chosen = options(__doc__, CORPORA)
    show(NAME, chosen, figures(chosen), print_table)


if __name__ == "__main__":
    main()
