"""By which criterion should a domain prefer corrections by trees to the factored re-ranker?

Every training request is scored by re-rankers that did not learn from it. Each domain's kind is chosen by a criterion
on four fifths of the requests, and the last fifth is merged with the kinds so chosen, so that the figures are of as
many requests as there are to learn from, and of none that a choice has seen. All is decided by the settings that are
tuned for the factored re-rankers. Differences to these are paired over the requests, with 95 % intervals.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from arbitrank.arbitration.merge import BestReadings, terms_of
from arbitrank.decisions.observed import Heads, heads_of
from arbitrank.decisions.tuning import tune
from arbitrank.domain import Settings
from arbitrank.evaluate.corpus import Corpus
from arbitrank.evaluate.hypotheses import Recognised
from arbitrank.evaluate.labelled import LabelledReadings, labelled, observed
from arbitrank.learn.calibration_fitting import chosen as calibrated
from arbitrank.learn.cross_fitting import cross_fit_kinds
from arbitrank.learn.evidence import gather, own_request
from arbitrank.learn.gains import Gain
from arbitrank.learn.kind_choice import DEFAULT, LEAST_OWN, HeldOut, KindGain, RerankerKind, gain_over
from arbitrank.learn.linear_training import train_factored
from arbitrank.learn.model_selection import KINDS
from arbitrank.probability import best_of_each, bounded_groups, log_loss
from benchmarks.common import Bench, benches, between, options, show, table

NAME = "kinds"
CORPORA = ("slurp", "snips")
OTHER: RerankerKind = "corrected"
FOLDS = 5
ENOUGH = f"{LEAST_OWN} requests are its own"
CRITERIA: dict[str, Callable[[KindGain], bool]] = {
    "surely better, as `auto`": lambda gain: gain.sure,
    "NLL better by a standard error": lambda gain: gain.nll_gain.mean > gain.nll_gain.error,
    "NLL better": lambda gain: gain.nll_gain.mean > 0.0,
    "more right readings": lambda gain: gain.right_gain.mean > 0.0,
    ENOUGH: lambda gain: True,
}
"""Criteria by which a domain with enough requests of its own ships the other kind."""

MEASURES = ("domain_accuracy", "irer", "nll")


class Side(NamedTuple):
    """One kind's cross-fitted readings of the training requests by a domain, and its losses where the domain reads."""

    readings: LabelledReadings
    held: HeldOut


class Domain(NamedTuple):
    """A domain's sides by kind, the places of the requests that it reads, and those of them that are its own."""

    sides: Mapping[RerankerKind, Side]
    places: NDArray[np.int64]
    own: NDArray[np.bool_]

    def gain(self, chosen: NDArray[np.bool_]) -> KindGain | None:
        """The other kind's gain on the chosen requests; None where too few are the domain's own."""
        at = chosen[self.places]
        if self.own[at].sum() < LEAST_OWN * (1 - 1 / FOLDS):
            return None
        before, after = (HeldOut(*(column[at] for column in self.sides[kind].held)) for kind in (DEFAULT, OTHER))
        return gain_over(before, after, np.ones(int(at.sum())), self.own[at])


def domain_of(corpus: Corpus, recognised: Recognised, seed: int) -> Domain:
    """The domain with both kinds cross-fitted on the same folds, and calibrated as they are shipped."""
    places = np.array([i for i, own in enumerate(recognised.train) if own], np.int64)
    requests = [own_request(corpus.train[i].request, recognised.train[i]) for i in places]
    evidence = gather(recognised.domain, requests, [corpus.train[i].truth for i in places])
    kinds = {kind: KINDS[kind] for kind in (DEFAULT, OTHER)}
    starts, sides = evidence.batch.starts, dict[RerankerKind, Side]()
    for kind, scores in cross_fit_kinds(evidence, Settings(seed=seed), train_factored, kinds).items():
        p, y = scores.claims(evidence)
        calibrator, losses = calibrated(p, y, seed=seed)
        mine, right = bounded_groups(calibrator(scores.right), starts, scores.mine)
        best, readings = best_of_each(right, starts), BestReadings.empty(len(corpus.train))
        readings.mine[places], readings.right[places] = mine, right[best]
        readings.best[places], readings.total[places] = best - starts, np.add.reduceat(right, starts)
        held = HeldOut(losses, log_loss(scores.mine, evidence.batch.mine), y)
        sides[kind] = Side(labelled(readings, places, evidence), held)
    return Domain(sides, places, evidence.batch.mine > 0)


def measured(bench: Bench, seed: int = 0) -> dict[str, Any]:
    """The figures of one corpus: of each criterion, the domains that ship the other kind, and the differences."""
    corpus, n = bench.corpus, len(bench.corpus.train)
    with threadpool_limits(1):
        domains = [domain_of(corpus, bench.readings(name), seed) for name in corpus.domains]
        before = observed(corpus.domains, [one.sides[DEFAULT].readings for one in domains], corpus.train)
        settings = tune(before, seed=seed).settings
    none = before.out_of_scope if corpus.has_out_of_scope else None

    def outcomes(kinds: Sequence[RerankerKind]) -> NDArray[np.float64]:
        parts = [one.sides[kind].readings for one, kind in zip(domains, kinds, strict=True)]
        readings = observed(corpus.domains, parts, corpus.train)
        heads: Heads = heads_of(readings, settings, terms_of(settings, corpus.domains))
        return np.array([heads.domains(settings, none), 1.0 - heads.answers(settings, none), heads.losses])

    fold = np.random.default_rng(seed).permutation(n) % FOLDS
    factored, found = outcomes([DEFAULT] * len(domains)), dict[str, Any]()
    for name, criterion in CRITERIA.items():
        values, taken = np.empty_like(factored), []
        for f in range(FOLDS):
            gains = [one.gain(fold != f) for one in domains]
            kinds = [OTHER if gain is not None and criterion(gain) else DEFAULT for gain in gains]
            values[:, fold == f] = outcomes(kinds)[:, fold == f]
            taken.append(kinds.count(OTHER))
        differences = [Gain.of(each) for each in values - factored]
        found[name] = {
            "domains": float(np.mean(taken)),
            **{measure: [one.mean, one.low, one.high] for measure, one in zip(MEASURES, differences, strict=True)},
        }
    levels = dict(zip(MEASURES, factored.mean(axis=1).tolist(), strict=True))
    return {"n": n, "of": len(domains), DEFAULT: levels, "criteria": found}


def print_table(found: Mapping[str, Any]) -> None:
    """Print a table for each corpus."""
    for name, one in found.items():
        accuracy, irer, nll = (one[DEFAULT][measure] for measure in MEASURES)
        print(
            f"{name}: {one['n']} training requests, cross-fitted; factored in all domains: "
            f"accuracy {100 * accuracy:.2f}, IRER {100 * irer:.2f}, NLL {nll:.4f}"
        )
        rows = [
            [
                criterion,
                f"{got['domains']:.1f} of {one['of']}",
                between(*got["domain_accuracy"]),
                between(*got["irer"]),
                between(*got["nll"], scale=1.0, digits=4),
            ]
            for criterion, got in one["criteria"].items()
        ]
        table((f"{OTHER} where", "domains", "accuracy - factored", "IRER - factored", "NLL - factored"), rows)


def main() -> None:
    """Measure and print."""
    chosen = options(__doc__, CORPORA)
    show(NAME, chosen, {bench.corpus.name: measured(bench, chosen.seed) for bench in benches(chosen)}, print_table)


if __name__ == "__main__":
    main()
