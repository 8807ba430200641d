"""Ratios that tell where something got slower: what users wait for, against a floor or a peer that never changes.

    python -m benchmarks.regressions             # two minutes; exit status 1 where something got slower
    python -m benchmarks.regressions --record    # measures three times, and writes benchmarks/regressions.json anew

Both sides of a ratio run in turns on this machine, and their processor time counts, child processes included, so that
neither the machine nor its other load matters much. A ratio is slower where it is above the recorded one by more than
its tolerance: half as much again as the recorded runs were apart, and at least a tenth. `--quick` allows twice that.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from functools import cache, partial
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import msgspec
from threadpoolctl import threadpool_limits

from arbitrank.arbitration.arbitrator import Arbitrator, Serving
from arbitrank.isolation.groups import Isolation, WorkerGroups
from arbitrank.registry import discover, loaded
from arbitrank.store.loading import load_domains
from arbitrank.store.store import open_store
from arbitrank.values import Example, Request
from benchmarks import isolate, predict, serve
from benchmarks.common import note, show, table
from benchmarks.start import children

NAME = "regressions"
TABLE = Path(__file__).with_suffix(".json")
_RUNS = 3
_LEAST = 0.1  # tolerance
_EXAMPLES = 600


class Recorded(NamedTuple):
    """A ratio as it was recorded, and the share by which another run may exceed it."""

    ratio: float
    tolerance: float


Pair = tuple[Callable[[], float], Callable[[], float]]
"""Two functions that each do one batch and return its processor time, of the measured and of the floor."""


def in_turns(pair: Pair, seconds: float) -> float:
    """The median ratio of paired batches, of which each side is the first in turn; three at least."""
    ours, floor = pair
    ours(), floor()
    ratios, end = list[float](), time.perf_counter() + seconds
    while len(ratios) < 3 or time.perf_counter() < end:
        first = ours() if len(ratios) % 2 else 0.0
        below = floor()
        ratios.append((first or ours()) / below)
    return median(ratios)


# ------------------------------------------------------------------------------------------------- answers and training


def hypotheses(domains: int, seconds: float) -> float:
    """An answer from five hypotheses of each domain, over numpy's arithmetic of the same size."""
    served, batch = predict.answering(domains)
    floor = predict.floor(domains)
    took = predict.medians({"answer": lambda i: served.answer(batch[i % len(batch)]), "floor": floor}, seconds)
    return took["answer"] / took["floor"]


@cache
def examples() -> list[Example]:
    """Examples of one of the installed domains: its own and its negatives."""
    with warnings.catch_warnings(action="ignore"):
        found = list(next(iter(loaded(discover()).values())).examples())
    return found[:: max(1, len(found) // _EXAMPLES)]


def peer() -> Any:
    """A classifier of texts by scikit-learn, not yet fitted."""
    from sklearn.feature_extraction.text import HashingVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    grams = HashingVectorizer(analyzer="char_wb", ngram_range=(1, 4), n_features=1 << 12)
    return make_pipeline(grams, LogisticRegression(max_iter=20, tol=0.0))


def fitted() -> Any:
    """The peer, fitted to the intents of the examples by a fixed number of steps."""
    texts = [one.request.utterance or "" for one in examples()]
    with warnings.catch_warnings(action="ignore"):  # that it has not converged
        return peer().fit(texts, [one.truth.intent or "none" for one in examples()])


def from_text(seconds: float) -> float:
    """An answer of the installed domains from text, over one classification of the text by scikit-learn."""
    texts, floor = [one.request.utterance or "" for one in examples()], fitted()
    with tempfile.TemporaryDirectory(prefix="arbitrank-") as folder:
        served = Arbitrator(load_domains(loaded(discover()), open_store(folder, environment={})))
    took = predict.medians(
        {
            "answer": lambda i: served.answer(Request(utterance=texts[7 * i % len(texts)])),
            "floor": lambda i: floor.predict_proba([texts[7 * i % len(texts)]]),
        },
        seconds,
    )
    return took["answer"] / took["floor"]


def training(seconds: float) -> float:
    """The training of a domain's recogniser, over a fit of the classifier by scikit-learn to the same texts."""
    from arbitrank.nlu.training import train_recogniser

    name = next(one.truth.domain for one in examples() if one.truth.domain)

    def timed(work: Callable[[], object]) -> float:
        began = time.process_time()
        work()
        return time.process_time() - began

    return in_turns((partial(timed, lambda: train_recogniser(name, examples())), partial(timed, fitted)), seconds)


# ---------------------------------------------------------------------------------------------------------- processes


def command(*words: str) -> float:
    """Processor seconds of a command from its start to its end."""
    with tempfile.TemporaryDirectory(prefix="arbitrank-") as store:
        env = {**os.environ, "ARBITRANK_STORE": store}
        process = subprocess.Popen([sys.executable, *words], env=env, stdout=subprocess.DEVNULL)
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    return used.ru_utime + used.ru_stime


def start(words: Sequence[str], seconds: float) -> float:
    """A command, over the import of numpy by a new interpreter."""
    return in_turns(
        (partial(command, "-m", "arbitrank", *words), partial(command, "-c", "import numpy")), max(seconds, 2.0)
    )


def over_http(name: str, below: str, seconds: float) -> float:
    """Calls with 15 hypotheses to one service, over the same calls to another; the service of arbitrank has a log."""
    calls = [serve.call(body) for body in serve.bodies()]

    def batch(pid: int, port: int) -> float:
        before = serve.processor_seconds(pid)
        rate = serve.closed_loop(port, calls, 0.7)
        return (serve.processor_seconds(pid) - before) / (0.7 * rate)

    with running(name) as ours, running(below) as floor:
        return in_turns((partial(batch, *ours), partial(batch, *floor)), seconds)


@contextmanager
def running(name: str) -> Iterator[tuple[int, int]]:
    """A contestant of `benchmarks.serve`."""
    with tempfile.TemporaryDirectory(prefix="arbitrank-") as log:
        options: dict[str, Any] = {"log": log} if name == "service" else {}
        with serve.running(name, None, **options) as found:
            yield found


def isolated(seconds: float) -> float:
    """Thirty domains in a worker process that recognise a request, over the same domains in this process."""
    with tempfile.TemporaryDirectory(prefix="arbitrank-") as folder:
        site, artifact = Path(folder) / "site", Path(folder) / "artifact"
        site.mkdir()
        artifact.mkdir()
        isolate.installed(site)
        domains = {name: one for name, one in loaded(discover()).items() if name.startswith("bench")}
        asked = isolate.requests(sorted(domains), brought=False)
        here = Arbitrator({name: Serving(one.load(artifact), "1", "package") for name, one in domains.items()})
        with closing(WorkerGroups(Isolation({"bench": tuple(domains)}, deadline_ms=10_000.0))) as workers:
            away = Arbitrator({name: Serving(workers.load(name, artifact), "1", "package") for name in domains})

            def batch(one: Arbitrator) -> float:
                pids = (os.getpid(), *children(os.getpid()))
                before = sum(map(serve.processor_seconds, pids))
                for request in asked * 4:
                    one.answer(request)
                return sum(map(serve.processor_seconds, pids)) - before

            return in_turns((partial(batch, away), partial(batch, here)), seconds)


RATIOS: Mapping[str, Callable[[float], float]] = {
    "hypotheses of 3 domains / numpy": partial(hypotheses, 3),
    "hypotheses of 30 domains / numpy": partial(hypotheses, 30),
    "text, 3 domains / scikit-learn": from_text,
    "HTTP / echo": partial(over_http, "service", "echo"),
    "HTTP / FastAPI": partial(over_http, "service", "fastapi"),
    "30 domains in a worker / in process": isolated,
    "arbitrank --version / import numpy": partial(start, ["--version"]),
    "arbitrank ask / import numpy": partial(start, ["ask", "play dune"]),
    "training a recogniser / scikit-learn": training,
}


def measured(seconds: float) -> dict[str, float]:
    """All ratios, each measured for so many seconds beside what it takes to begin; without peers that are missing."""
    found = {}
    os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1"))  # of the child processes
    with threadpool_limits(1):  # threads that wait for one another count as work
        for name, ratio in RATIOS.items():
            if "FastAPI" in name and find_spec("fastapi") is None:
                continue
            found[name] = ratio(seconds)
            note(f"{name}: {found[name]:.2f}")
    return found


# ---------------------------------------------------------------------------------------------------------- the table


def recorded() -> dict[str, Recorded]:
    """The committed table."""
    return msgspec.json.decode(TABLE.read_bytes(), type=dict[str, Recorded])


def spread(runs: Sequence[Mapping[str, float]]) -> dict[str, Recorded]:
    """The table that several runs make."""
    found = {}
    for name in runs[0]:
        ratios = [run[name] for run in runs]
        middle = median(ratios)
        found[name] = Recorded(round(middle, 3), round(max(_LEAST, 1.5 * (max(ratios) - min(ratios)) / middle), 3))
    return found


def verdict(ratio: float, was: Recorded | None, times: float = 1.0) -> str:
    """The word for a ratio against the recorded one, with so many times its tolerance."""
    if was is None:
        return "new"
    allowed = 1.0 + times * was.tolerance
    return "slower" if ratio > was.ratio * allowed else "faster" if ratio * allowed < was.ratio else "as recorded"


def print_table(figures: Mapping[str, Any]) -> None:
    rows = [
        (
            name,
            f"{one['ratio']:.2f}",
            *(f"{one[key]:.2f}" if one[key] else "" for key in ("was", "tolerance")),
            one["is"],
        )
        for name, one in figures.items()
    ]
    table(("ratio of processor time", "now", "recorded", "tolerance", "is"), rows)
    slower = [name for name, one in figures.items() if one["is"] == "slower"]
    print(f"slower: {', '.join(slower) or 'none'}")


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="shorter, with twice the tolerances")
    parser.add_argument("--record", action="store_true", help=f"write {TABLE.name} from {_RUNS} runs")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    chosen = parser.parse_args(argv)
    seconds = 1.0 if chosen.quick else 8.0
    if chosen.record:
        made = spread([measured(seconds) for _ in range(_RUNS)])
        TABLE.write_bytes(msgspec.json.format(msgspec.json.encode(made), indent=2) + b"\n")
        return
    now, before = measured(seconds), recorded()
    figures: dict[str, Any] = {}
    for name, ratio in now.items():
        was = before.get(name)
        figures[name] = {
            "ratio": ratio, "was": was and was.ratio, "tolerance": was and was.tolerance,
            "is": verdict(ratio, was, 2.0 if chosen.quick else 1.0),
        }  # fmt: skip
    show(NAME, chosen, figures, print_table)
    if any(one["is"] == "slower" for one in figures.values()):
        sys.exit(1)


if __name__ == "__main__":
    main()
