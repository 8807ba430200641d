"""Recalibration and training from users' reactions, honest and false, against what truths would have given.

Each domain's re-ranker is trained on half of a corpus; the other half and the held-out requests are live traffic,
whose clients accept an answer that is entirely right and reject another. Drifts are those of `benchmarks.exchange`: all
of one domain's confidences sharpened, flattened, raised or lowered, after training. Until the domain has 200 reactions
they are gathered, of all domains; then its claims are recalibrated, and judged on the rest of the traffic. Calibration
errors are of P(right) of the answers that the domain heads, in points, less the mean of a calibrated system's on as
many requests.

Lies: 30 % of all reactions reversed at random; 30 % of the reactions from one client, all reversed; or 30 % of them
from one client that rejects everything. The claims of domains that do not drift must not move, and the last must not
keep a drift from being undone.

Training: re-rankers of a tenth of the training data; of that and of lessons from reactions to their answers on half of
the training data; and of that and of the truths of this half. All are judged on the held-out requests.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from msgspec.structs import asdict, replace
from numpy.typing import NDArray

from arbitrank.arbitration.decide import DecisionSettings
from arbitrank.arbitration.merge import BestReadings, merge_heads
from arbitrank.arbitration.recalibration import Recalibration, recalibrated
from arbitrank.domain import Settings
from arbitrank.evaluate.hypotheses import Readings
from arbitrank.evaluate.metrics import calibrated_eces, ece, nll
from arbitrank.learn.evidence import gather, own_request
from arbitrank.learn.model_selection import learn
from arbitrank.outcomes.drift_posterior import noise_posterior
from arbitrank.outcomes.lessons import LessonReport, lessons
from arbitrank.outcomes.reactions import Reactions
from arbitrank.outcomes.recalibrating import recalibrate
from arbitrank.probability import Floats, log_odds
from arbitrank.semer import entirely_right
from arbitrank.values import Answer, Decision, Example, Ranked
from arbitrank.wire.requests import Logged
from benchmarks.apart import Scored, learned, merged, scored
from benchmarks.common import Bench, benches, note, options, show, table
from benchmarks.exchange import FAULTS, Fault, bent

NAME = "reactions"
CORPORA = ("slurp", "snips")
REACTIONS = 200  # of the drifting domain
_LEAST = 250  # answers of a domain beyond these, below which it is left out
_A_CLIENT = 3.0  # reactions, on average
DRIFTS = tuple(fault for fault in FAULTS if len(fault.fields) > 1)


class Side(NamedTuple):
    """A domain's readings of live traffic with their scores: its own P(right), best first, shape (n, 6), and P(mine),
    its best readings, and which of these are entirely right."""

    scored: Scored
    readings: Floats
    mine: Floats
    best: BestReadings
    right: NDArray[np.bool_]

    @classmethod
    def of(cls, side: Scored, examples: Sequence[Example]) -> Side:
        """The side of scored readings."""
        n = len(examples)
        readings, mine, right, best = np.zeros((n, 6)), np.zeros(n), np.zeros(n, bool), BestReadings.empty(n)
        best.put(range(n), side.scores)
        for i, (scores, found) in enumerate(zip(side.scores, side.readings, strict=True)):
            if scores is not None and len(scores.right):
                top = np.sort(scores.right)[::-1][:6]
                readings[i, : len(top)], mine[i] = top, scores.mine
                right[i] = entirely_right(found[int(best.best[i])], examples[i].truth)
        return cls(side, readings, mine, best, right)


class Live(NamedTuple):
    """Live traffic: requests, and each domain's side."""

    examples: Sequence[Example]
    sides: Mapping[str, Side]

    def exchanged(self, name: str, side: Scored) -> Live:
        """The traffic with another side of one domain."""
        return Live(self.examples, {**self.sides, name: Side.of(side, self.examples)})


class Heads(NamedTuple):
    """Answers: domain, its own P(right) of its readings, best first, and P(mine), P(right) in the answer, and whether
    that is entirely right."""

    domain: NDArray[np.int64]
    readings: Floats
    mine: Floats
    right: Floats
    truth: NDArray[np.bool_]


def learner(evidence: Any) -> Any:
    """The re-ranker of the evidence."""
    return learn(evidence, Settings(model="factored"))


def answered(live: Live, names: Sequence[str]) -> Heads:
    """The answers to live traffic."""
    sides = [live.sides[name] for name in names]
    whole = merge_heads([side.best for side in sides], DecisionSettings())
    domain, rows = np.asarray(whole.domain, np.int64), np.arange(len(live.examples))
    readings, mine, truth = (np.stack([getattr(side, key) for side in sides]) for key in ("readings", "mine", "right"))
    return Heads(
        domain, readings[domain, rows], mine[domain, rows], np.asarray(whole.probability, np.float64),
        truth[domain, rows] & (domain >= 0),
    )  # fmt: skip


def reactions_to(heads: Heads, names: Sequence[str], rng: np.random.Generator, lies: str = "none") -> Reactions:
    """The reactions to answers, honest or not."""
    n = len(heads.domain)
    client = 1 + rng.integers(0, max(1, round(n / _A_CLIENT)), n)
    accepted = heads.truth.copy()
    if lies == "random":
        accepted ^= rng.random(n) < 0.3
    elif lies in ("client", "rejects"):
        client[rng.random(n) < 0.3] = 0
        client += 1
        accepted[client == 1] = False if lies == "rejects" else ~accepted[client == 1]
    own = np.where(heads.readings > 0.0, log_odds(heads.readings), -np.inf)
    return Reactions(
        tuple(names), tuple(map(str, range(int(client.max()) + 1))), heads.domain, client, own,
        log_odds(heads.mine), log_odds(heads.right) - own[:, 0], accepted, np.full(n, np.nan), np.ones(n, bool),
        np.ones(n),
    )  # fmt: skip


def error_of(heads: Heads, d: int, part: NDArray[np.bool_]) -> tuple[float, float]:
    """The calibration error of the answers that a domain heads, beyond a calibrated system's; and P(right) − right."""
    chosen = part & (heads.domain == d)
    p, y = heads.right[chosen], heads.truth[chosen].astype(np.float64)
    if len(p) < 30:
        return np.nan, np.nan
    (floor,) = calibrated_eces(p, [np.ones(len(p))], np.random.default_rng(0), 100)
    return 100.0 * (ece(p, y) - float(floor.mean())), 100.0 * float((p - y).mean())


def with_map(live: Live, name: str, by: Recalibration | None) -> Live:
    """The traffic with one domain recalibrated."""
    if by is None:
        return live
    side = live.sides[name].scored
    scores = [None if one is None else recalibrated(one, by) for one in side.scores]
    return live.exchanged(name, Scored(side.readings, scores))


@dataclass(frozen=True)
class World:
    """A corpus split into what re-rankers learn from and live traffic, and what was learned."""

    names: Sequence[str]
    rerankers: Mapping[str, Any]
    readings: Mapping[str, Readings]
    live: Live


def world(bench: Bench, seed: int) -> World:
    """Re-rankers of half of the training data, and the rest as traffic, in a random order."""
    rng = np.random.default_rng([seed, 1])
    train, held = bench.corpus.train, bench.corpus.held
    first = rng.random(len(train)) < 0.5
    teach = [example for example, yes in zip(train, first, strict=True) if yes]
    rest = [example for example, yes in zip(train, first, strict=True) if not yes]
    order = rng.permutation(len(rest) + len(held))
    examples = [(*rest, *held)[i] for i in order]
    rerankers, readings, sides = {}, {}, {}
    for name in bench.corpus.domains:
        recognised = bench.readings(name)
        own = [one for one, yes in zip(recognised.train, first, strict=True) if yes]
        others = [*(one for one, yes in zip(recognised.train, first, strict=True) if not yes), *recognised.held]
        rerankers[name] = learned(name, teach, own, learner)
        readings[name] = [others[i] for i in order]
        sides[name] = Side.of(scored(rerankers[name], examples, readings[name]), examples)
    return World(bench.corpus.domains, rerankers, readings, Live(examples, sides))


def drifted(one: World, name: str, fault: Fault | None) -> Live:
    """The traffic with one domain's confidences bent."""
    if fault is None:
        return one.live
    return one.live.exchanged(name, scored(one.rerankers[name], one.live.examples, bent(one.readings[name], fault)))


def drift_rows(one: World, faults: Sequence[Fault | None], seed: int, lies: str = "none") -> list[dict[str, Any]]:
    """Calibration errors before and after a recalibration, by domain and drift; None is no drift."""
    rows, of_usual = [], answered(one.live, one.names)
    for d, name in enumerate(one.names):
        if (of_usual.domain == d).sum() < REACTIONS + _LEAST:
            continue
        for fault in faults:
            live = drifted(one, name, fault)
            heads = answered(live, one.names)
            own = np.flatnonzero(heads.domain == d)
            if len(own) < REACTIONS + _LEAST:
                continue
            end = int(own[REACTIONS - 1])
            early = np.arange(len(heads.domain)) <= end
            rng = np.random.default_rng(seed)
            seen = reactions_to(heads, one.names, rng, lies).of(early & (heads.domain >= 0))
            found = recalibrate(seen, noise_posterior(seen), name)
            again = answered(with_map(live, name, found.recalibration), one.names)
            rest = ~early
            usual = error_of(of_usual, d, rest)
            before, after = error_of(heads, d, rest), error_of(again, d, rest)
            by = found.recalibration or Recalibration()
            rows.append({
                "domain": name, "drift": fault.kind if fault else "none", "usual": usual[0], "before": before[0],
                "after": after[0], "over": before[1], "over_after": after[1], "scale": by.scale, "shift": by.shift,
                "spurious": found.spurious, "missed": found.missed, "drifted": found.drifted,
                "right_before": 100 * float((heads.truth & rest).sum() / rest.sum()),
                "right_after": 100 * float((again.truth & rest).sum() / rest.sum()),
            })  # fmt: skip
    return rows


def summary(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Means over the domains, by drift."""
    found = {}
    for drift in dict.fromkeys(row["drift"] for row in rows):
        chosen = [row for row in rows if row["drift"] == drift]
        keys = ("usual", "before", "after", "over", "over_after", "right_before", "right_after")
        one = {key: float(np.nanmean([row[key] for row in chosen])) for key in keys}
        one["domains"] = len(chosen)
        one["mapped"] = sum(row["scale"] != 1.0 or row["shift"] != 0.0 for row in chosen)
        one["worst_moved"] = max(abs(row["over_after"] - row["over"]) for row in chosen)
        found[drift] = one
    return found


class Taught(NamedTuple):
    """Examples that re-rankers learn from: each domain's examples, with their readings, and their weights."""

    examples: Mapping[str, Sequence[Example]]

    def results(self, bench: Bench) -> dict[str, float]:
        """The figures of these re-rankers' merged answers to the held-out requests."""
        sides = {name: self.side(bench, name, bench.corpus.held, bench.readings(name).held) for name in self.examples}
        found = merged(bench, sides)
        p, y = found.probability, found.right
        return {
            "right": 100.0 * float(found.answer_right.mean()), "nll": nll(p, y), "ece": 100.0 * ece(p, y),
            "over": 100.0 * float((p - y).mean()),
        }  # fmt: skip

    def side(self, bench: Bench, name: str, examples: Sequence[Example], readings: Readings) -> Scored:
        """A domain's readings of requests with the scores of the re-ranker that it learns."""
        own = self.examples[name]
        weights = np.array([example.weight for example in own])
        requests, truths = [example.request for example in own], [example.truth for example in own]
        return scored(learner(gather(name, requests, truths, weights=weights)), examples, readings)


def logged(live: Live, names: Sequence[str], rng: np.random.Generator, lies: str) -> list[Logged]:
    """A log of the answers to live traffic, with the reactions to them."""
    heads = answered(live, names)
    reactions = reactions_to(heads, names, rng, lies)
    lines = []
    for i, example in enumerate(live.examples):
        d = int(heads.domain[i])
        if d < 0:
            continue
        ranked = []
        for name in (names[d], *(name for name in names if name != names[d])):
            side = live.sides[name].scored
            scores = side.scores[i]
            rows = [] if scores is None else zip(side.readings[i], scores.right.tolist(), strict=True)
            mine = 0.0 if scores is None else scores.mine
            ranked += [
                Ranked(name, h.intent, h.slots, mine * p, mine, p) for h, p in sorted(rows, key=lambda row: -row[1])
            ]
        answer = Answer(str(i), Decision("accept", (0,)), tuple(ranked), {}, {})
        hypotheses = tuple(h for name in names for h in live.sides[name].scored.readings[i])
        fields = {**asdict(example.request), "hypotheses": hypotheses, "id": str(i)}
        fields["session"] = f"s{reactions.client[i]}"
        outcome: Any = "accepted" if reactions.accepted[i] else "rejected"
        lines.append(Logged(**fields, answer=answer, time=1e9 + i, outcome=outcome))
    return lines


def own_examples(name: str, examples: Sequence[Example], readings: Readings) -> list[Example]:
    """The examples with a domain's readings alone, those without one left out."""
    return [
        replace(example, request=own_request(example.request, found))
        for example, found in zip(examples, readings, strict=True)
        if found
    ]


def training(bench: Bench, seed: int, share: float = 0.1) -> dict[str, dict[str, float]]:
    """The figures of re-rankers by what they learned from."""
    rng = np.random.default_rng([seed, 2])
    names, train = bench.corpus.domains, bench.corpus.train
    part = rng.random(len(train))
    known, traffic = np.flatnonzero(part < share), np.flatnonzero(part >= 0.5)
    readings = {name: bench.readings(name).train for name in names}

    def of(places: NDArray[np.int64]) -> dict[str, list[Example]]:
        chosen = [train[i] for i in places]
        return {name: own_examples(name, chosen, [readings[name][i] for i in places]) for name in names}

    base, more = of(known), of(traffic)
    few = Taught(base)
    found = {"a tenth": few.results(bench)}
    examples = [train[i] for i in traffic]
    sides = {
        name: Side.of(few.side(bench, name, examples, [readings[name][i] for i in traffic]), examples) for name in names
    }
    labelled = [Logged(**asdict(train[i].request), truth=train[i].truth) for i in known]
    for lies in ("none", "random", "client"):
        lines = [*logged(Live(examples, sides), names, np.random.default_rng(seed), lies), *labelled]
        report = LessonReport()
        taught: dict[str, list[Example]] = {name: [] for name in names}
        for lesson in lessons(lambda lines=lines: lines, report):  # type: ignore[misc]
            for name in names if lesson.domain is None else [lesson.domain]:
                given = [h for h in lesson.example.request.hypotheses or () if h.domain == name]
                taught[name] += own_examples(name, [lesson.example], [tuple(given)])
        note(f"{lies}: {'; '.join(report.notes())}")
        kind = {"none": "lessons", "random": "lessons, 30 % false", "client": "lessons, a client lies"}[lies]
        found[kind] = Taught({name: [*base[name], *taught[name]] for name in names}).results(bench)
    found["truths"] = Taught({name: [*base[name], *more[name]] for name in names}).results(bench)
    return found


def figures(chosen: argparse.Namespace) -> dict[str, Any]:
    """The figures of each corpus."""
    found = {}
    for bench in benches(chosen):
        whole = world(bench, chosen.seed)
        rows = drift_rows(whole, (None, *DRIFTS), chosen.seed)
        for row in rows:
            note(
                " ".join(f"{key}={value:.2f}" if isinstance(value, float) else str(value) for key, value in row.items())
            )
        figure: dict[str, Any] = {"drifts": summary(rows)}
        for lies in ("random", "client"):
            figure[f"lies_{lies}"] = summary(drift_rows(whole, (None,), chosen.seed, lies))
        figure["lies_rejects"] = summary(drift_rows(whole, (None, *DRIFTS), chosen.seed, "rejects"))
        figure["training"] = training(bench, chosen.seed)
        found[bench.corpus.name] = figure
    return found


def print_table(found: Mapping[str, Any]) -> None:
    """Print a row a drift."""
    head = ("drift", "domains", "mapped", "usual", "drifted", "after", "over", "over after", "right", "right after")
    for name, one in found.items():
        print(name)
        cases = dict(one["drifts"])
        for lies in ("random", "client", "rejects"):
            cases |= {f"{drift}, lies: {lies}": row for drift, row in one[f"lies_{lies}"].items()}
        table(head, [
            [drift, str(row["domains"]), str(row["mapped"]), *(
                f"{row[key]:.2f}"
                for key in ("usual", "before", "after", "over", "over_after", "right_before", "right_after")
            )]
            for drift, row in cases.items()
        ])  # fmt: skip
        rows = [[kind, *(f"{row[key]:.3f}" for key in ("right", "nll", "ece", "over"))]
                for kind, row in one["training"].items()]  # fmt: skip
        table(("learned from", "right %", "NLL", "ECE %", "over %"), rows)


def main() -> None:
    """Measure and print."""
    chosen = options(__doc__, CORPORA)
    show(NAME, chosen, figures(chosen), print_table)


if __name__ == "__main__":
    main()
