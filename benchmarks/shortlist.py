"""The Shortlister among up to 1,000,000 skills beside its peers: recall, time, memory, each in its own process.

Tasks: *generated* (1,000,000 utterances over 100,000 skills; `--utterances 0` leaves it out), *described* (as many
skills, known by name and description alone, for each number of `--described`), *registry* (24,886 real skills, known
by name and description; requests are what descriptions say of their use, held out) and *clinc150* (150 intents, train
to dev).

A generated skill's popularity follows a power law (exponent 0.8), so that most have a handful of utterances. A skill
has 16 words: those of a topic that it shares with about 200 others, and four of its own, which other skills have too,
since all come from one vocabulary of 30,000 words; two of them, in order, are its name. An utterance is two to four
words drawn from its skill's, sometimes the name, among one to four uninformative common words, and sometimes a random
word. Words are drawn independently, which favours methods that add up evidence word by word, as the index and linear
models do; order matters only in names. Nothing is misspelt or inflected, so character n-grams have no advantage. A
description is the 16 words, in the order of their weight.

All systems get the same texts and are asked the same requests, none of which they have seen. Peers get words and pairs
of words: fastText as `wordNgrams=2` with hierarchical softmax (5 epochs; 25 where there are under 100,000 texts),
omikuji, napkinXC and PECOS as TF-IDF with their default hyper-parameters, support-vector machines as TF-IDF with C =
0.5, BM25 (bm25s) over skills as documents of all their texts. One that is not installed, or not made for so many
skills, is named with the reason. PECOS needs NumPy 1: `--pecos PYTHON` names an interpreter that has it.

Times are of the processor, memory is that of the process at its largest, and of one that has loaded what was trained.
Last, requests to 1,000 generated domains are answered with a shortlist of 10, and by all of them.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from arbitrank.arbitration.arbitrator import Arbitrator, Serving
from arbitrank.domain import Model, Scores, Skill
from arbitrank.shortlist.artifact import load_shortlister
from arbitrank.shortlist.catalogue import SkillCatalogue
from arbitrank.shortlist.index_training import train_index
from arbitrank.shortlist.shortlister import Shortlister, Shortlisting
from arbitrank.values import Hypothesis, Request
from benchmarks.common import DATA, note, show, table
from benchmarks.shortlist_data import Task, World, catalogue_of, clinc, registry, utterances_of
from benchmarks.shortlist_systems import OURS, RANKS, SYSTEMS

NAME = "shortlist"

_BLOCK = 25  # requests after which the other way is measured

MakeTask = Callable[[Path], Task | None]


def tasks(chosen: argparse.Namespace) -> Iterator[tuple[str, MakeTask]]:
    """Each task by its name, made in a folder."""
    asked, seed = chosen.asked, chosen.seed
    if chosen.utterances:
        world = World(chosen.skills, seed=seed)
        name = f"generated: {chosen.skills:,} skills, {chosen.utterances:,} utterances"
        yield name, lambda folder: utterances_of(world, chosen.utterances, asked, folder, seed)
    for n in chosen.described:
        yield f"described: {n:,} skills", lambda folder, n=n: catalogue_of(World(n, seed=seed), asked, folder, seed)
    yield "registry", lambda folder: registry(chosen.data / "registry/skills.jsonl.gz", asked, folder, seed)
    yield "clinc150", lambda folder: clinc(chosen.data / "clinc150", folder)


def compared(name: str, make: MakeTask, chosen: argparse.Namespace) -> dict[str, Any] | None:
    """The figures of every system on a task; None where its corpus is not present."""
    with tempfile.TemporaryDirectory(prefix="arbitrank-", dir=chosen.folder) as folder:
        task = make(Path(folder))
        if task is None:
            note(f"{name}: not in {chosen.data}")
            return None
        found: dict[str, Any] = {"skills": task.skills, "texts": task.utterances, "asked": len(task.asked)}
        systems = found["systems"] = {}
        for system in chosen.systems:
            python = chosen.pecos if system == "PECOS" and chosen.pecos else sys.executable
            systems[system] = measured_alone(python, system, task, chosen.jobs)
            note(f"{name}: {system}: {json.dumps(systems[system])}")
        if "index" in systems:
            systems["index"] |= changes(load_shortlister(task.folder / "index"))
        return found


def measured_alone(python: str, system: str, task: Task, threads: int) -> dict[str, Any]:
    """The figures of a system in a process of its own."""
    command = [python, "-m", "benchmarks.shortlist_systems", system, str(task.folder), str(task.skills), str(threads)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        return {"skipped": f"{python}: {(done.stderr.strip().splitlines() or [f'status {done.returncode}'])[-1]}"}
    figures: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return figures


def changes(shortlister: Shortlister, times: int = 50) -> dict[str, float]:
    """Median milliseconds to add and to remove a skill, and 1 where each change took effect at once."""
    adding, removing, found = [], [], True
    for turn in range(times):
        skill = Skill(f"new {turn}", "what is the tide at the pier", (f"tell me the tide at pier {turn}", "high tide"))
        began = time.perf_counter()
        more = shortlister.with_skills({"tides": [skill]})
        adding.append(time.perf_counter() - began)
        found = found and more.shortlist("when is high tide at the pier", 1)[0].skill == skill.name
        began = time.perf_counter()
        less = more.without([skill.name])
        removing.append(time.perf_counter() - began)
        found = found and all(one.skill != skill.name for one in less.shortlist("when is high tide at the pier"))
    return {"add_ms": 1e3 * _median(adding), "remove_ms": 1e3 * _median(removing), "visible_at_once": float(found)}


def _median(values: Sequence[float]) -> float:
    return float(np.median(values))


# ----------------------------------------------------------------------------------------------------------- end to end


class Echo(Model):
    """A generated domain with one reading, whose confidence is the share of known words."""

    def __init__(self, name: str, words: frozenset[str]) -> None:
        self.name, self.words = name, words

    def recognise(self, request: Request) -> Sequence[Hypothesis]:
        words = (request.utterance or "").split()
        share = sum(word in self.words for word in words) / max(1, len(words))
        return (Hypothesis(self.name, "Do", domain_confidence=share, intent_confidence=0.9, slots_confidence=0.9),)

    def rerank(self, request: Request) -> Scores:
        assert request.hypotheses
        mine = request.hypotheses[0].domain_confidence or 0.0
        return Scores(mine, np.array([0.9 * mine]))


def end_to_end(domains: int, utterances: int, asked: int, seed: int = 0) -> dict[str, float]:
    """Microseconds of an answer and accuracy of its first reading, with all domains and with a shortlist of 10."""
    world = World(domains, seed=seed)
    texts, skills = world.draw(utterances, seed + 1)
    names = tuple(f"domain-{number}" for number in range(domains))
    serving = {
        name: Serving(Echo(name, frozenset(world.words[word] for word in words)), "0", "package")
        for name, words in zip(names, world.profile.tolist(), strict=True)
    }
    shortlister = Shortlister(SkillCatalogue(names, names), train_index(texts, skills, domains))
    ways = {"all": Arbitrator(serving), "listed": Arbitrator(serving, shortlisting=Shortlisting(shortlister))}
    tested, right = world.draw(asked, seed + 2)
    took: dict[str, list[float]] = {way: [] for way in ways}
    firsts: dict[str, list[str | None]] = {way: [] for way in ways}
    for arbitrator in ways.values():
        arbitrator.prepare()
        arbitrator.answer(Request(utterance=tested[0]))
    for first in range(0, len(tested), _BLOCK):  # in turn, so that both see the same machine
        for way, arbitrator in ways.items():
            for text in tested[first : first + _BLOCK]:
                began = time.perf_counter()
                answer = arbitrator.answer(Request(utterance=text))
                took[way].append(time.perf_counter() - began)
                firsts[way].append(answer.ranked[0].domain if answer.ranked else None)
    truth = [names[number] for number in right.tolist()]
    return {
        "domains": domains,
        "all_us": 1e6 * _median(took["all"]),
        "listed_us": 1e6 * _median(took["listed"]),
        "all_over_listed": _median(took["all"]) / _median(took["listed"]),
        "right_all": float(np.mean([a == b for a, b in zip(firsts["all"], truth, strict=True)])),
        "right_listed": float(np.mean([a == b for a, b in zip(firsts["listed"], truth, strict=True)])),
    }


# ------------------------------------------------------------------------------------------------------------- figures


def over_best(systems: Mapping[str, Mapping[str, Any]]) -> float | None:
    """Our best recall@10 over that of the best peer; None where no peer was measured."""
    recalls = {name: one["recall"]["10"] for name, one in systems.items() if "recall" in one}
    ours, peers = ([one for name, one in recalls.items() if (name in OURS) == own] for own in (True, False))
    return float(max(ours) / max(peers)) if ours and peers else None


def measured(chosen: argparse.Namespace) -> dict[str, Any]:
    """The figures."""
    figures: dict[str, Any] = {"tasks": {}}
    for name, make in tasks(chosen):
        if (found := compared(name, make, chosen)) is not None:
            figures["tasks"][name] = {**found, "recall10_over_best_peer": over_best(found["systems"])}
    if chosen.domains:
        figures["end_to_end"] = end_to_end(chosen.domains, 20 * chosen.domains, 50 if chosen.quick else 300)
    return figures


def print_tables(figures: Mapping[str, Any]) -> None:
    for name, task in figures["tasks"].items():
        print(f"{name}: {task['skills']:,} skills, {task['texts']:,} texts to train on, {task['asked']:,} requests")
        rows = []
        for system, one in task["systems"].items():
            if "recall" in one:
                shares = [f"{100 * one['recall'][str(k)]:.1f}" for k in RANKS]
                loaded = f"{one['loaded_mb']:.0f}" if "loaded_mb" in one else ""
                seconds = f"{one['train_cpu_s']:.1f}"
                rows.append([system, *shares, f"{one['query_us']:.0f}", seconds, f"{one['peak_mb']:.0f}", loaded])
        table(("", "recall@1", "@5", "@10", "µs a request", "s of training", "MB at most", "MB loaded"), rows)
        for system, one in task["systems"].items():
            if "skipped" in one:
                print(f"{system}: NOT MEASURED: {one['skipped']}")
            if "add_ms" in one:
                print(
                    f"{system}: a skill is added in {one['add_ms']:.2f} ms, removed in {one['remove_ms']:.2f} ms, "
                    f"effective at once: {bool(one['visible_at_once'])}"
                )
        print()
    if one := figures.get("end_to_end"):
        print(
            f"{one['domains']} domains: {one['all_us']:.0f} µs with all queried, {one['listed_us']:.0f} µs with a "
            f"shortlist of 10, {one['all_over_listed']:.1f} times faster; right first: {one['right_all']:.3f} and "
            f"{one['right_listed']:.3f}"
        )


def options(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="2,000 skills and 20,000 utterances; within a minute")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    parser.add_argument("--skills", type=int, default=100_000, help="of the generated utterances (%(default)s)")
    parser.add_argument("--utterances", type=int, default=1_000_000, help="(%(default)s)")
    parser.add_argument("--described", type=int, nargs="*", default=[10_000, 100_000], help="skills (%(default)s)")
    parser.add_argument("--asked", type=int, default=2_000, help="requests of a task (%(default)s)")
    parser.add_argument("--domains", type=int, default=1_000, help="of the end-to-end run (%(default)s)")
    parser.add_argument("--systems", nargs="*", choices=[*SYSTEMS], default=[*SYSTEMS], help="what to measure (all)")
    parser.add_argument("--pecos", metavar="PYTHON", help="an interpreter that has libpecos")
    parser.add_argument("--jobs", type=int, default=1, help="threads that the peers train with (%(default)s)")
    parser.add_argument("--data", type=Path, default=DATA, help="where the corpora lie (%(default)s)")
    parser.add_argument("--folder", type=Path, help="where the tasks are written for a while (temporary files)")
    parser.add_argument("--seed", type=int, default=0, help="(%(default)s)")
    chosen = parser.parse_args(argv)
    if chosen.quick:
        chosen.skills, chosen.utterances, chosen.asked, chosen.domains = 2_000, 20_000, 1_000, 200
        chosen.described, chosen.data = [2_000], Path(os.devnull)
    return chosen


def main(argv: Sequence[str] | None = None) -> None:
    chosen = options(argv)
    show(NAME, chosen, measured(chosen), print_tables)


if __name__ == "__main__":
    main()
