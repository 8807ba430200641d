"""Lessons of users' reactions where there are few truths: what `train --outcomes` gains by them, and what truths would.

A share of a corpus's training requests is labelled: recognisers and re-rankers are trained on these alone. Up to 4,000
of the others are traffic that these answer, as a log has it. Half of the answers have a reaction: a right one is
rejected with probability 5 %, a wrong one accepted with 10 %. Of the users who got a wrong answer, three in ten say it
again within the minute; the right domain's reading of a request of its own that it answers rightly stands for that
answer, and one in ten of them means something else by now. A client sends three requests, on average.

Re-rankers are trained on the labelled requests; on these and the lessons of the log; on these and the log's lessons
where 30 % of its reactions are false; and on these and the truths of the answers with a reaction. All are judged on the
held-out requests, at most 2,000. Differences to the first have 95 % intervals by Student's t over the seeds.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from msgspec.structs import asdict, replace
from scipy import stats

from arbitrank.evaluate.metrics import ece, nll
from arbitrank.outcomes.lessons import LessonReport, lessons
from arbitrank.semer import entirely_right
from arbitrank.values import Answer, Decision, Example, Hypothesis, Ranked
from arbitrank.wire.requests import Logged
from benchmarks.apart import Scored, scored
from benchmarks.common import note, options, results, show, table
from benchmarks.few_labelled import Part, own_examples, parts, trained

NAME = "lessons"
CORPORA = ("slurp", "snips")
SEEDS = 5
REACTED, SPURIOUS, MISSED = 0.5, 0.05, 0.1
REPHRASED, ELSEWHERE = 0.3, 0.1
_A_CLIENT = 3.0  # requests, on average
FIGURES = ("right", "domain", "nll", "ece", "over")
SYSTEMS = ("labelled", "and reactions", "and 30 % false ones", "and truths")


def figures_of(part: Part, taught: Mapping[str, Sequence[Example]]) -> dict[str, float]:
    """The figures of the merged answers to the held-out requests by what each domain learned from."""
    held = part.corpus.held
    sides = [scored(trained(name, taught[name]), held, part.readings[name].held) for name in part.names]
    found = results(
        [one.readings for one in sides], [one.scores for one in sides], [example.truth for example in held],
        none_counts=part.corpus.has_out_of_scope,
    )  # fmt: skip
    p, y = found.probability, found.right
    return {
        "right": 100.0 * float(found.answer_right.mean()), "domain": 100.0 * float(found.domain_right.mean()),
        "nll": nll(p, y), "ece": 100.0 * ece(p, y), "over": 100.0 * float((p - y).mean()),
    }  # fmt: skip


class Given(NamedTuple):
    """An answer to a request: what stands in the log of it, without a reaction, and whether it was entirely right."""

    line: Logged
    right: bool


def answers(part: Part, sides: Mapping[str, Scored]) -> list[Given]:
    """The answers to the traffic."""
    found = []
    for i, example in enumerate(part.corpus.tuning):
        ranked: list[Ranked] = []
        for name in part.names:
            if (scores := sides[name].scores[i]) is not None:
                pairs = zip(sides[name].readings[i], scores.right.tolist(), strict=True)
                ranked += [Ranked(name, h.intent, h.slots, scores.mine * p, scores.mine, p) for h, p in pairs]
        if not ranked:
            continue
        ranked.sort(key=lambda one: -(one.score or 0.0))
        hypotheses = tuple(h for name in part.names for h in sides[name].readings[i])
        fields = {**asdict(example.request), "hypotheses": hypotheses, "id": str(i)}
        answer = Answer(str(i), Decision("accept", (0,)), tuple(ranked), {}, {})
        line = Logged(**fields, answer=answer, time=1e9 + 100.0 * i, truth=example.truth)
        found.append(Given(line, entirely_right(ranked[0], example.truth)))
    return found


def log(given: Sequence[Given], rng: np.random.Generator, false: float = 0.0) -> Iterator[Logged]:
    """The log of answers with the reactions to them, of which so many are `false` beside those of honest mistakes."""
    good: dict[str, list[Logged]] = {}
    for one in given:
        if one.right and one.line.answer is not None:
            good.setdefault(one.line.answer.ranked[0].domain, []).append(one.line)
    clients = max(1, round(len(given) / _A_CLIENT))
    for line, right in given:
        bare = replace(line, session=f"s{rng.integers(clients)}", truth=None)
        accepted = rng.random() < (1.0 - SPURIOUS if right else MISSED)
        accepted ^= rng.random() < false
        again = None if right or rng.random() >= REPHRASED else _again(line, good, rng)
        if again is not None or rng.random() < REACTED:
            bare = replace(bare, outcome="accepted" if accepted and again is None else "rejected")
        yield bare
        if again is not None:
            yield replace(again, session=bare.session, outcome="rejected" if rng.random() < SPURIOUS else "accepted")


def _again(line: Logged, good: Mapping[str, Sequence[Logged]], rng: np.random.Generator) -> Logged | None:
    """The line of the same user saying it again, answered by the domain that it is meant for."""
    meant = line.truth
    elsewhere = rng.random() < ELSEWHERE
    owner = str(rng.choice(list(good))) if elsewhere else "" if meant is None else next(iter(meant.owners), "")
    if meant is None or owner not in good or line.time is None:
        return None
    like = good[owner][int(rng.integers(len(good[owner])))]
    assert like.answer is not None
    first = like.answer.ranked[0]
    reading = first if elsewhere else replace(first, intent=meant.intent, slots=meant.slots)
    ranked = (reading, *like.answer.ranked[1:])

    def told(h: Hypothesis) -> Hypothesis:
        same = (h.domain, h.intent, h.slots) == (first.domain, first.intent, first.slots)
        return replace(h, intent=reading.intent, slots=reading.slots) if same else h

    name = f"{line.id}b"
    return replace(
        like, id=name, utterance=f"{line.utterance} please", time=line.time + 10.0, truth=None,
        hypotheses=tuple(map(told, like.hypotheses or ())), answer=replace(like.answer, id=name, ranked=ranked),
    )  # fmt: skip


def measured(part: Part, seed: int) -> dict[str, dict[str, float]]:
    """The figures of re-rankers by what they learned from."""
    base = {name: own_examples(part.corpus.train, part.readings[name].train) for name in part.names}
    traffic = part.corpus.tuning
    sides = {name: scored(trained(name, base[name]), traffic, part.readings[name].tuning) for name in part.names}
    given = answers(part, sides)
    labelled = [Logged(**asdict(e.request), truth=e.truth) for e in part.corpus.train]
    found = {SYSTEMS[0]: figures_of(part, base)}
    for kind, false in ((SYSTEMS[1], 0.0), (SYSTEMS[2], 0.3)):
        lines = [*log(given, np.random.default_rng([seed, 3]), false), *labelled]
        report = LessonReport()
        taught = {name: list(base[name]) for name in part.names}
        for lesson in lessons(lambda lines=lines: iter(lines), report):  # type: ignore[misc]
            for name in part.names if lesson.domain is None else [lesson.domain]:
                own = tuple(h for h in lesson.example.request.hypotheses or () if h.domain == name)
                taught[name] += own_examples([lesson.example], [own])
        note(f"{part.corpus.name}: {kind}: {'; '.join(report.notes())}")
        found[kind] = figures_of(part, taught)
        if not false:
            told = {line.id for line in lines if line.outcome is not None}
            places = [i for i in range(len(traffic)) if str(i) in told]
    known = [traffic[i] for i in places]
    of_known = {name: own_examples(known, [part.readings[name].tuning[i] for i in places]) for name in part.names}
    found[SYSTEMS[3]] = figures_of(part, {name: [*base[name], *of_known[name]] for name in part.names})
    return found


def interval(values: Sequence[float]) -> tuple[float, float, float]:
    """The mean, and its 95 % interval by Student's t; of one value the value itself."""
    mean = float(np.mean(values))
    n = len(values)
    half = float(stats.t.ppf(0.975, n - 1) * np.std(values, ddof=1) / np.sqrt(n)) if n > 1 else 0.0
    return mean, mean - half, mean + half


def summary(runs: Sequence[Mapping[str, Mapping[str, float]]]) -> dict[str, Any]:
    """Each system's mean figures, and the intervals of their differences to the first's."""
    return {
        system: {
            "mean": {key: float(np.mean([run[system][key] for run in runs])) for key in FIGURES},
            "more": {key: interval([run[system][key] - run[SYSTEMS[0]][key] for run in runs]) for key in FIGURES},
        }
        for system in SYSTEMS
    }


def figures(chosen: argparse.Namespace) -> dict[str, Any]:
    """The figures of each corpus."""
    runs: dict[str, list[dict[str, dict[str, float]]]] = {}
    for name, seed, part in parts(chosen, range(chosen.seed, chosen.seed + SEEDS)):
        runs.setdefault(name, []).append(measured(part, seed))
        note(f"{name}, seed {seed}: {runs[name][-1]}")
    return {name: summary(each) for name, each in runs.items()}


def print_table(found: Mapping[str, Any]) -> None:
    """Print a row a system."""
    for name, one in found.items():
        print(name)
        head = ("learned from", *(f"{key}{unit}" for key in FIGURES for unit in ("", " more")))
        rows = []
        for system, row in one.items():
            cells = []
            for key in FIGURES:
                digits = 3 if key == "nll" else 1
                mean, low, high = row["more"][key]
                more = f"{mean:+.{digits}f} [{low:+.{digits}f}, {high:+.{digits}f}]"
                cells += [f"{row['mean'][key]:.{digits}f}", more]
            rows.append([system, *cells])
        table(head, rows)


def main() -> None:
    """Measure and print."""
    chosen = options(__doc__, CORPORA)
    show(NAME, chosen, figures(chosen), print_table)


if __name__ == "__main__":
    main()
