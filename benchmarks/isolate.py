"""Cost of domains in a worker process, and of a domain that hangs there.

Thirty domains of a plugin made for this, five hypotheses each, are queried in this process and in one worker, in turns.
`overhead_us_30` is the median, over rounds, of the difference of the two medians, with hypotheses in the request and
with words that the domains recognise, the larger of both. `hang_overshoot_ms` is the longest time beyond its deadline
that a request takes in which one of the thirty hangs, without breakers, so that a worker is killed each time.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec

from arbitrank.arbitration import dispatch
from arbitrank.arbitration.arbitrator import Arbitrator, Serving
from arbitrank.domain import Model
from arbitrank.isolation.groups import Isolation, WorkerGroups
from arbitrank.registry import discover, loaded
from arbitrank.values import Hypothesis, Request, Slot
from benchmarks.common import distribution, show, table

NAME = "isolate"
_DOMAINS, _HYPOTHESES, _DEADLINE = 30, 5, 200.0
_PLUGIN = f"""
import time
import numpy as np
from arbitrank.domain import Domain, Model, Scores
from arbitrank.hookspecs import hookimpl
from arbitrank.values import Hypothesis, Slot


class Reads(Model):
    def __init__(self, name):
        self.name = name

    def recognise(self, request):
        slots = (Slot("title", request.utterance, 0.8),)
        return [Hypothesis(self.name, f"Intent{{i}}", 0.7, 0.6 / (i + 1), slots, 0.8) for i in range({_HYPOTHESES})]

    def rerank(self, request):
        if request.context.get("hang") == self.name:
            time.sleep(60)
        sure = np.array([h.domain_confidence * h.intent_confidence * h.slots_confidence for h in request.hypotheses])
        return Scores(0.7, sure / sure.sum() * 0.6)


class Bench(Domain):
    def __init__(self, name):
        self.name = name

    def train(self, examples, out, settings):
        return {{}}

    def load(self, folder):
        return Reads(self.name)


@hookimpl
def arbitrank_domains():
    return [Bench(f"bench{{i:02}}") for i in range({_DOMAINS})]
"""


def installed(site: Path) -> None:
    """A distribution with the thirty domains, where this process and its workers find it."""
    distribution(site, "bench", _PLUGIN)
    sys.path.insert(0, str(site))


def requests(names: Sequence[str], brought: bool) -> list[Request]:
    """Requests in different words and contexts, with all domains' hypotheses or none."""
    found = []
    for i in range(50):
        words = f"play number {i} of the list"
        hypotheses = [
            Hypothesis(name, f"Intent{j}", 0.9 - j / 10, 0.5 / (j + 1), (Slot("title", words, 0.8),), 0.7)
            for name in names
            for j in range(_HYPOTHESES)
        ]
        context = {"device": ("tv", "speaker", "phone")[i % 3], "has_screen": i % 2 == 0, "locale": "en-US"}
        found.append(Request(utterance=words, context=context, hypotheses=tuple(hypotheses) if brought else None))
    return found


def took(answer: Callable[[Request], Any], asked: Sequence[Request]) -> list[float]:
    """Microseconds of each request."""
    found = []
    for request in asked:
        began = time.perf_counter()
        answer(request)
        found.append(1e6 * (time.perf_counter() - began))
    return found


def overhead(here: Arbitrator, away: Arbitrator, asked: Sequence[Request], rounds: int) -> dict[str, float]:
    """Medians of both, and of their difference by round."""
    took(here.answer, asked), took(away.answer, asked)
    pairs = []
    for i in range(rounds):
        order = (here, away) if i % 2 else (away, here)
        medians = {id(one): statistics.median(took(one.answer, asked)) for one in order}
        pairs.append((medians[id(here)], medians[id(away)]))
    return {
        "here_us": round(statistics.median(a for a, _ in pairs), 1),
        "away_us": round(statistics.median(b for _, b in pairs), 1),
        "overhead_us": round(statistics.median(b - a for a, b in pairs), 1),
    }


def overshoot(
    workers: WorkerGroups, models: dict[str, Model], asked: Sequence[Request], times: int
) -> dict[str, float]:
    """Milliseconds beyond the deadline, and the fewest domains that answered although one hung."""
    beyond, answered = [], []
    (group,) = workers.settings.groups
    for i in range(times):
        while not workers.status()[group].ready:
            time.sleep(0.05)
        hung = msgspec.structs.replace(asked[i % len(asked)], context={"hang": f"bench{(7 * i) % _DOMAINS:02}"})
        began = time.perf_counter()
        outcomes = dispatch.query_all(models, hung)
        beyond.append(1e3 * (time.perf_counter() - began) - _DEADLINE)
        answered.append(sum(isinstance(one, dispatch.Answered) for one in outcomes.values()))
    return {
        "hang_overshoot_ms": round(max(beyond), 2),
        "hang_overshoot_ms_median": round(statistics.median(beyond), 2),
        "answered_beside_it": min(answered),
    }


def measured(chosen: argparse.Namespace) -> dict[str, Any]:
    """The figures."""
    with tempfile.TemporaryDirectory(prefix="arbitrank-") as folder:
        site, artifact = Path(folder) / "site", Path(folder) / "artifact"
        site.mkdir()
        artifact.mkdir()
        installed(site)
        domains = {name: one for name, one in loaded(discover()).items() if name.startswith("bench")}
        names = sorted(domains)
        with closing(WorkerGroups(Isolation({"bench": tuple(names)}, deadline_ms=_DEADLINE))) as workers:
            began = time.perf_counter()
            models = {name: workers.load(name, artifact) for name in names}
            starting = time.perf_counter() - began
            here = Arbitrator({name: Serving(domains[name].load(artifact), "1", "package") for name in names})
            away = Arbitrator({name: Serving(models[name], "1", "package") for name in names})
            rounds = 10 if chosen.quick else 60
            brought = overhead(here, away, requests(names, True), rounds)
            spoken = overhead(here, away, requests(names, False), rounds)
            hangs = overshoot(workers, models, requests(names, False), 5 if chosen.quick else 25)
    return {
        "overhead_us_30": max(brought["overhead_us"], spoken["overhead_us"]),
        **{f"brought_{key}": value for key, value in brought.items()},
        **{f"recognised_{key}": value for key, value in spoken.items()},
        **hangs,
        "start_s": round(starting, 2),
    }


def print_table(figures: Mapping[str, Any]) -> None:
    table(("figure", "value"), [(key, str(value)) for key, value in figures.items()])


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer rounds")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    chosen = parser.parse_args(argv)
    show(NAME, chosen, measured(chosen), print_table)


if __name__ == "__main__":
    main()
