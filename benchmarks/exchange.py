"""Losses when one domain changes, and the part that is recovered when that domain alone retrains its re-ranker.

Each domain of a corpus in turn has its confidences sharpened, flattened or shifted (their log-odds ×2, ×½, ±2), one
kind of confidence at a time and all together, in training and held-out data alike (with more than ten domains
only all together); or its recogniser is swapped for one trained on other data. First it keeps its old re-ranker; then
that is trained again on the domain's new hypotheses. The other domains do not change, and their scores in an
arbitrator's answers are compared bit by bit. Losses are in points (of a hundred) of the merged lists.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from joblib import Parallel, delayed
from msgspec.structs import replace

from arbitrank.arbitration.arbitrator import Arbitrator, Broken, Serving
from arbitrank.domain import Settings
from arbitrank.evaluate.hypotheses import Readings, Recognised
from arbitrank.evaluate.metrics import nll
from arbitrank.evaluate.results import SystemResults
from arbitrank.learn.model_selection import learn
from arbitrank.learn.reference import ReferenceDomain, ReferenceModel
from arbitrank.nlu.training import cross_fit, encode_all, train_recogniser
from arbitrank.probability import log_odds, sigmoid
from arbitrank.values import Ranked
from benchmarks.apart import Learner, Scored, built, learned, merged, scored
from benchmarks.common import Bench, benches, options, show, table

NAME = "exchange"
CORPORA = ("slurp", "snips")
CONFIDENCES = ("domain_confidence", "intent_confidence", "slots_confidence")
_COMPARED = 20  # requests that the whole arbitrator answers before and after each change
_LARGE = 1.0  # points lost from which on the recovered share is reported
_NOTHING = 1e-6  # points; sums of shares that cancel out are not exactly 0


class Fault(NamedTuple):
    """Log-odds of some confidences become slope · log-odds + shift."""

    kind: str
    fields: tuple[str, ...]
    slope: float
    shift: float

    @property
    def name(self) -> str:
        """The changed confidence and the change: "domain sharpened"."""
        changed = "all" if len(self.fields) > 1 else self.fields[0].partition("_")[0]
        return f"{changed} {self.kind}"


_BENT = (("sharpened ×2", 2.0, 0.0), ("flattened ×½", 0.5, 0.0), ("raised +2", 1.0, 2.0), ("lowered −2", 1.0, -2.0))
FAULTS = tuple(
    Fault(kind, fields, slope, shift)
    for fields in (*((name,) for name in CONFIDENCES), CONFIDENCES)
    for kind, slope, shift in _BENT
)

_MANY = 10  # domains from which on only these few are tried
_FEW = tuple(fault for fault in FAULTS if len(fault.fields) > 1)


Apart = tuple[Mapping[str, Any], Mapping[str, Scored]]
"""Each domain's re-ranker and scores."""


class Case(NamedTuple):
    """One change of one domain: points of accuracy and IRER and nats of NLL lost before and after it retrains."""

    domain: str
    change: str
    before: Mapping[str, float]
    after: Mapping[str, float]
    others_same: bool


def bent(readings: Readings, fault: Fault) -> Readings:
    """The readings with the fault in their confidences."""
    flat = [h for found in readings for h in found]
    changed: dict[str, list[float | None]] = {}
    for field in fault.fields:
        old = [getattr(h, field) for h in flat]
        p = np.array([0.5 if x is None else x for x in old])
        new = sigmoid(fault.slope * log_odds(p) + fault.shift)
        changed[field] = [None if x is None else float(y) for x, y in zip(old, new, strict=True)]
    columns = list(changed)
    hypotheses = iter(
        replace(h, **dict(zip(columns, values, strict=True)))
        for h, values in zip(flat, zip(*changed.values(), strict=True), strict=True)
    )
    return [tuple(next(hypotheses) for _ in found) for found in readings]


def half_recogniser(domain: str, bench: Bench, seed: int) -> Recognised:
    """The domain's readings by recognisers trained on a random half of the data: each half is read by the other's."""
    train, held = bench.corpus.train, bench.corpus.held
    first = np.random.default_rng(seed).random(len(train)) < 0.5
    readings: Readings = [()] * len(train)
    held_readings: Readings = []
    for known in (~first, first):
        recogniser = train_recogniser(domain, [e for e, yes in zip(train, known, strict=True) if yes], seed)
        places = np.flatnonzero(~known)
        found = recogniser.recognise_many(encode_all([train[i] for i in places]))
        for i, n_best in zip(places, found, strict=True):
            readings[i] = n_best
        held_readings = recogniser.recognise_many(encode_all(held))
    return Recognised(domain, readings, [], held_readings)


def few_negatives_recogniser(domain: str, bench: Bench, seed: int) -> Recognised:
    """The domain's readings by a recogniser trained on all its own requests and a tenth of the others'."""
    train, held = bench.corpus.train, bench.corpus.held
    own = np.array([e.truth.domain == domain for e in train])
    known = own | (np.random.default_rng(seed).random(len(train)) < 0.1)
    kept = [e for e, yes in zip(train, known, strict=True) if yes]
    recogniser = train_recogniser(domain, kept, seed)
    fitted = iter(cross_fit(domain, kept, seed=seed))
    unseen = iter(recogniser.recognise_many(encode_all([e for e, yes in zip(train, known, strict=True) if not yes])))
    readings = [next(fitted) if yes else next(unseen) for yes in known]
    return Recognised(domain, readings, [], recogniser.recognise_many(encode_all(held)))


SWAPS: Mapping[str, Callable[[str, Bench, int], Recognised]] = {
    "half the data": half_recogniser,
    "a tenth of the negatives": few_negatives_recogniser,
}


def cases(
    bench: Bench,
    learner: Learner,
    *,
    seed: int = 0,
    faults: Sequence[Fault] = FAULTS,
    swaps: Sequence[str] = (),
    jobs: int = 1,
) -> list[Case]:
    """Every change of every domain, each domain in a task of its own."""
    apart = built(bench, learner)
    start = merged(bench, apart[1])
    tasks = (
        delayed(_cases_of)(domain, bench, learner, apart, start, seed, (*faults, *swaps))
        for domain in bench.corpus.domains
    )
    return [case for found in Parallel(n_jobs=jobs)(tasks) for case in found]


def _cases_of(
    domain: str,
    bench: Bench,
    learner: Learner,
    apart: Apart,
    start: SystemResults,
    seed: int,
    changes: Sequence[Fault | str],
) -> list[Case]:
    rerankers, sides = apart
    train, held = bench.corpus.train, bench.corpus.held
    recognised = bench.readings(domain)
    found = []
    for change in changes:
        if isinstance(change, Fault):
            name, new = change.name, _bent(recognised, change)
        else:
            name, new = change, SWAPS[change](domain, bench, seed)
        before = merged(bench, {**sides, domain: scored(rerankers[domain], held, new.held)})
        again = learned(domain, train, new.train, learner)
        after = merged(bench, {**sides, domain: scored(again, held, new.held)})
        same = others_same(bench, domain, apart, again, new.held)
        found.append(Case(domain, name, _lost(start, before), _lost(start, after), same))
    return found


def _bent(recognised: Recognised, fault: Fault) -> Recognised:
    return Recognised(recognised.domain, bent(recognised.train, fault), [], bent(recognised.held, fault))


def others_same(bench: Bench, domain: str, apart: Apart, again: Any, readings: Readings) -> bool:
    """True where an arbitrator's answers hold the same of the other domains, to the bit, before and after."""
    rerankers, sides = apart
    now = ({**rerankers, domain: again}, {**sides, domain: Scored(readings, ())})
    return _answers(bench, domain, rerankers, sides) == _answers(bench, domain, *now)


def _answers(bench: Bench, but: str, rerankers: Mapping[str, Any], sides: Mapping[str, Scored]) -> list[list[Ranked]]:
    """An arbitrator's answers to the first held-out requests, without the readings of the domain `but`."""
    serving: dict[str, Serving | Broken] = {
        name: Serving(ReferenceModel(ReferenceDomain(name), None, reranker), "0", "store")
        for name, reranker in rerankers.items()
    }
    arbitrator = Arbitrator(serving)
    answers = []
    for i, example in enumerate(bench.corpus.held[:_COMPARED]):
        brought = tuple(h for one in sides.values() for h in one.readings[i])
        answer = arbitrator.answer(replace(example.request, hypotheses=brought))
        answers.append([one for one in answer.ranked if one.domain != but])
    return answers


def _lost(start: SystemResults, now: SystemResults) -> dict[str, float]:
    """Points of accuracy and of entirely right answers lost, and nats of NLL; below 0 where something was gained."""
    return {
        "domain_accuracy": 100.0 * float(start.domain_right.mean() - now.domain_right.mean()),
        "irer": 100.0 * float(start.answer_right.mean() - now.answer_right.mean()),
        "nll": nll(now.probability, now.right) - nll(start.probability, start.right),
    }


def summary(found: Sequence[Case]) -> dict[str, Any]:
    """For each measure: the sum of all losses, the recovered share, the largest residual of the large losses."""
    return {
        "cases": len(found),
        "others_same": all(case.others_same for case in found),
        **{measure: _recovered(found, measure) for measure in ("domain_accuracy", "irer", "nll")},
    }


def _recovered(found: Sequence[Case], measure: str) -> dict[str, float | str | None]:
    lost = sum(case.before[measure] for case in found)
    left = sum(case.after[measure] for case in found)
    large = [case for case in found if case.before["domain_accuracy" if measure == "nll" else measure] > _LARGE]
    worst = max(large, key=lambda case: case.after[measure], default=None)
    return {
        "lost": lost,
        "left": left,
        "recovered": (lost - left) / lost if lost > _NOTHING else None,
        "telling": len(large),
        "largest_residual": worst.after[measure] if worst else None,
        "of": f"{worst.domain}: {worst.change} ({worst.before[measure]:.2f} lost)" if worst else None,
    }


def figures(chosen: argparse.Namespace) -> dict[str, Any]:
    """The figures of each corpus: of faults and of swaps."""
    found = {}
    for bench in benches(chosen):
        faults = _FEW if chosen.quick or len(bench.corpus.domains) > _MANY else FAULTS
        swaps = () if chosen.quick else tuple(SWAPS)

        def learner(evidence: Any) -> Any:
            return learn(evidence, Settings(model="factored", seed=chosen.seed))

        seen = cases(bench, learner, seed=chosen.seed, faults=faults, swaps=swaps, jobs=chosen.jobs)
        found[bench.corpus.name] = {
            "faults": summary([case for case in seen if case.change not in SWAPS]),
            "swaps": summary([case for case in seen if case.change in SWAPS]) if swaps else None,
            "by_change": {
                change: summary([case for case in seen if case.change == change])
                for change in dict.fromkeys(case.change for case in seen)
            },
        }
        if chosen.out:
            _plot(seen, chosen.out / f"exchange-{bench.corpus.name}.png")
    return found


def _plot(found: Sequence[Case], path: Path) -> None:
    """Write a plot of each case: points of accuracy lost before its domain retrained, and after."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    path.parent.mkdir(parents=True, exist_ok=True)
    figure, axes = plt.subplots(figsize=(6.4, 4.8), layout="constrained")
    faults, swaps = [c for c in found if c.change not in SWAPS], [c for c in found if c.change in SWAPS]
    for name, chosen in (("faults", faults), ("swaps", swaps)):
        x, y = ([getattr(case, when)["domain_accuracy"] for case in chosen] for when in ("before", "after"))
        axes.plot(x, y, "o", markersize=4, alpha=0.6, label=name)
    top = max((case.before["domain_accuracy"] for case in found), default=1.0)
    axes.plot([0, top], [0, top], linestyle=":", color="black", linewidth=1, label="nothing comes back")
    axes.axhline(0.0, color="grey", linewidth=0.8)
    axes.set(xlabel="points of domain accuracy lost before the domain retrains", ylabel="points lost after it")
    axes.legend()
    figure.savefig(path, dpi=110, metadata={"Software": None})
    plt.close(figure)


def print_table(found: Mapping[str, Any]) -> None:
    """Print the loss of each kind of change, summed over the domains, and the recovered share."""
    for name, corpus in found.items():
        print(f"{name}: points lost, summed over the domains; before and after the changed domain retrains")
        sums = {"all faults": corpus["faults"], **({"all swaps": corpus["swaps"]} if corpus["swaps"] else {})}
        rows = [
            [
                change,
                f"{one['domain_accuracy']['lost']:.1f}",
                f"{one['domain_accuracy']['left']:.2f}",
                _share(one["domain_accuracy"]["recovered"]),
                _points(one["domain_accuracy"]["largest_residual"]),
                f"{one['irer']['lost']:.1f}",
                f"{one['irer']['left']:.2f}",
                _share(one["irer"]["recovered"]),
                _points(one["irer"]["largest_residual"]),
                "same" if one["others_same"] else "CHANGED",
            ]
            for change, one in {**corpus["by_change"], **sums}.items()
        ]
        head = ("change", "accuracy", "left", "back %", "worst", "right", "left", "back %", "worst", "others")
        table(head, rows)
        for kind, one in sums.items():
            worst = one["domain_accuracy"]
            if worst["of"]:
                print(f"{kind}: largest residual {worst['largest_residual']:.2f}, {worst['of']}")
        print()


def _share(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f}"


def _points(value: float | None) -> str:
    return "-" if value is None else f"{value:+.2f}"


def main() -> None:
    """Measure and print."""
    chosen = options(__doc__, CORPORA)
    show(NAME, chosen, figures(chosen), print_table)


if __name__ == "__main__":
    main()
