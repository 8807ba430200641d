"""Overhead of a box: the domains of an environment in one, against the same domains without it.

    python -m benchmarks.box [--rounds 200] [--quick] [--json]

Two processes answer by domains of the same environment, one of them with `--box all`, and take turns in rounds of some
thirty requests: by one domain and by thirty in one package, from text and with hypotheses supplied. The domains compute
next to nothing, so that what a box adds to a request is not hidden by that. A ratio is the median over the rounds of
one median to the other, with the bootstrap interval of 95 % over the rounds; the processor time is that of all
processes of a side. The time until a model is loaded, with the start of its two processes, is measured in turns too.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from arbitrank.boxed import BOX
from arbitrank.environments import folders
from arbitrank.evaluate.intervals import interval, resamples
from arbitrank.isolation import box
from arbitrank.isolation.box_launcher import MEASURES
from benchmarks import isolate
from benchmarks.borrowed import released
from benchmarks.common import note, show, table
from benchmarks.environments import THIRTY, Built, Side, sides, written

NAME = "box"
_DRAWS = 4_000
_REQUESTS = 30  # of a round
_KINDS = ("text", "hypotheses")


class Here(Built):
    """This Python in the place of those that `benchmarks.environments` builds."""

    def python(self, name: str) -> Path:
        """The interpreter."""
        return Path(sys.executable)


def ratio(pairs: Sequence[tuple[float, float]]) -> list[float]:
    """The median of the ratios of pairs, and its bootstrap interval."""
    ratios = np.array([a / b for a, b in pairs])
    draws = [np.median(ratios[rows], axis=1) for _, rows in resamples(len(ratios), _DRAWS, np.random.default_rng(0))]
    return [round(one, 4) for one in (float(np.median(ratios)), *interval(np.concatenate(draws)))]


def variables(folder: Path) -> tuple[dict[str, str], dict[str, str]]:
    """The environment variables of the side in a box, and of the other.

    The environment borrows the core and libraries of this Python, which the box has to be able to read.
    """
    environments = {"ARBITRANK_ENVIRONMENTS": str(folder)}
    read = {*filter(os.path.isabs, sys.path), str(Path(box.__file__).parents[2])}
    return {**environments, BOX: "all", box.READ: os.pathsep.join(sorted(read))}, environments


def requests(built: Built, names: Sequence[str]) -> dict[str, Path]:
    """Files of requests, by their kind."""
    kinds = zip(_KINDS, (isolate.requests(names, brought)[:_REQUESTS] for brought in (False, True)), strict=True)
    return {kind: written(built.folder / f"{kind}-{len(names)}.jsonl", some) for kind, some in kinds}


def compared(built: Built, names: Sequence[str], folder: Path, rounds: int) -> dict[str, Any]:
    """The time of requests to these domains in a box, and its ratio to that without, by the kind of request."""
    found = {}
    own, others = variables(folder)
    with sides(*(Side(built, "core", "environments", names, **more) for more in (own, others))) as (one, other):
        for kind, path in requests(built, names).items():
            note(f"{len(names)} domains, {kind}")
            one.ask(path), other.ask(path)
            pairs = []
            for i in range(rounds):
                took = {side: side.ask(path) for side in ((one, other) if i % 2 else (other, one))}
                pairs.append((took[one], took[other]))
            found[kind] = {
                "us": round(median(a[0] for a, _ in pairs), 1),
                "without_us": round(median(b[0] for _, b in pairs), 1),
                "ratio": ratio([(a[0], b[0]) for a, b in pairs]),
                "processor_ratio": ratio([(a[1], b[1]) for a, b in pairs]),
            }
    return found


def starting(built: Built, folder: Path, times: int) -> dict[str, Any]:
    """Seconds until one domain has answered in a process that has just started, with and without a box."""
    path, pairs = requests(built, THIRTY[:1])["text"], []
    each = list(zip(("box", "none"), variables(folder), strict=True))
    for i in range(times):
        note(f"start {i + 1} of {times}")
        took = {name: start(built, path, more) for name, more in (each if i % 2 else reversed(each))}
        pairs.append((took["box"], took["none"]))
    return {
        "s": round(median(a for a, _ in pairs), 3),
        "without_s": round(median(b for _, b in pairs), 3),
        "ratio": ratio(pairs),
    }


def start(built: Built, path: Path, more: Mapping[str, str]) -> float:
    """Seconds from the start of a side to its first answers."""
    began = time.perf_counter()
    with sides(Side(built, "core", "environments", THIRTY[:1], **more)) as (one,):
        one.ask(path)
        return time.perf_counter() - began


def active(folder: Path) -> dict[str, str | None]:
    """The measures of a box on this machine, with the reason where one is missing."""
    from arbitrank.environments.discovery import found_in
    from arbitrank.environments.release_domain import ReleaseDomain

    os.environ |= variables(folder)[0]
    artifact = folder / "artifact"
    artifact.mkdir()
    domain = next(one.domain for one in found_in(folder, None)[0] if one.name == THIRTY[0])  # type: ignore[union-attr]
    assert isinstance(domain, ReleaseDomain)
    model = domain.host.load(domain.name, artifact, {}, standby=False)
    return dict(model.host.measures)


def measured(chosen: argparse.Namespace) -> dict[str, Any]:
    """The figures."""
    rounds = 10 if chosen.quick else chosen.rounds
    with tempfile.TemporaryDirectory(prefix="arbitrank-") as work:
        built, folder = Here(Path(work)), Path(work) / "environments"
        folders.switch(folder, released(folder, "bench", "1.0", {"arbitrank_bench.py": isolate._PLUGIN}))
        return {
            "measures": active(folder),
            "one": compared(built, THIRTY[:1], folder, rounds),
            "thirty": compared(built, THIRTY, folder, rounds),
            "start": starting(built, folder, 2 if chosen.quick else 10),
            "load": round(os.getloadavg()[0], 2),
        }


def print_table(figures: Mapping[str, Any]) -> None:
    """Print the ratios and their intervals."""
    head = ("request to answer, µs", "in a box", "without", "ratio", "95 %", "processor", "95 %")
    table(
        head,
        [
            (f"{many} in a package, {kind}", f"{one['us']:.0f}", f"{one['without_us']:.0f}",
             *shown(one["ratio"]), *shown(one["processor_ratio"]))
            for many in ("one", "thirty") for kind, one in figures[many].items()
        ],
    )  # fmt: skip
    one = figures["start"]
    table(
        ("start to the first answers, s", *head[1:5]),
        [("two processes of a domain", f"{one['s']:.2f}", f"{one['without_s']:.2f}", *shown(one["ratio"]))],
    )
    missing = {name: reason for name, reason in figures["measures"].items() if reason}
    print(f"measures: {', '.join(sorted(set(MEASURES) - missing.keys()))}; missing: {missing or 'none'}")
    print(f"load of the machine when it ended: {figures['load']}")


def shown(ratio: Sequence[float]) -> tuple[str, str]:
    """A ratio and its interval."""
    return f"{ratio[0]:.3f}", f"{ratio[1]:.3f} to {ratio[2]:.3f}"


def main(argv: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="few rounds")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    parser.add_argument("--rounds", type=int, default=200, help="(%(default)s)")
    chosen = parser.parse_args(argv)
    show(NAME, chosen, measured(chosen), print_table)


if __name__ == "__main__":
    main()
