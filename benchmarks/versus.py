"""Time of an answer in this version against another one, in one run.

Each version answers in a child process of its own, from its own checkout and with its own interpreter; batches of both
take turns, and the medians of paired ratios count, so that what else the machine does falls on both. The answers of
both have to be the same, probabilities to 1e-9.

    python -m benchmarks.versus ../before --python ../before/.venv/bin/python
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np

from benchmarks.common import show, table

NAME = "versus"
CASES = (("factored", 1), ("factored", 3), ("factored", 10), ("factored", 30), ("factored", 300), ("boosted", 3))

_CHILD = """
import gc, json, sys, time
from benchmarks.predict import answering
kind, domains = sys.argv[1], int(sys.argv[2])
arbitrator, batch = answering(domains, kind, n=4 if domains > 100 else 16)
answers = [arbitrator.answer(request).ranked for request in batch]
ranked = [[(r.domain, r.intent, r.probability, r.domain_probability) for r in answer] for answer in answers]
print(json.dumps(ranked), flush=True)
gc.collect()
for line in sys.stdin:
    began = time.thread_time()
    for _ in range(int(line)):
        for request in batch:
            arbitrator.answer(request)
    print((time.thread_time() - began) / int(line) / len(batch), flush=True)
"""


class Contestant:
    """A child process that answers generated requests by one version."""

    def __init__(self, checkout: Path, python: str, kind: str, domains: int) -> None:
        # The other version is imported from what its own interpreter has installed.
        keep = (
            {"PYTHONPATH": os.environ["PYTHONPATH"]} if python == sys.executable and "PYTHONPATH" in os.environ else {}
        )
        environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"} | keep
        self._child = subprocess.Popen(
            [python, "-c", _CHILD, kind, str(domains)],
            cwd=checkout,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._child.stdin
        assert self._child.stdout
        self._stdin, self._stdout = self._child.stdin, self._child.stdout
        self.answers: list[list[tuple[str, str, float, float]]] = json.loads(self._stdout.readline())

    def seconds(self, rounds: int) -> float:
        """Processor seconds of an answer, the mean over so many rounds of all requests."""
        self._stdin.write(f"{rounds}\n")
        self._stdin.flush()
        return float(self._stdout.readline())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stdin.close()
        self._child.wait()
        self._stdout.close()


def same(ours: Sequence[Any], theirs: Sequence[Any]) -> bool:
    """The same readings in the same order, their probabilities to 1e-9."""
    pairs = [(a, b) for x, y in zip(ours, theirs, strict=True) for a, b in zip(x, y, strict=True)]
    return all(a[:2] == b[:2] and np.allclose(a[2:], b[2:], rtol=0.0, atol=1e-9) for a, b in pairs)


def measured(checkout: Path, python: str, turns: int) -> list[dict[str, Any]]:
    """Microseconds of an answer of both versions, and the median of their paired ratios, for each case."""
    rows = []
    for kind, domains in CASES:
        here = Contestant(Path.cwd(), sys.executable, kind, domains)
        with here, Contestant(checkout, python, kind, domains) as other:
            rounds = max(1, round(0.02 / (here.seconds(1) * len(here.answers))))
            pairs = []
            for turn in range(turns):
                order = (other, here) if turn % 2 else (here, other)
                took = {one: one.seconds(rounds) for one in order}
                pairs.append((took[other], took[here]))
            us = 1e6 * np.array(pairs)
            rows.append(
                {
                    "models": kind,
                    "domains": domains,
                    "before_us": float(np.median(us[:, 0])),
                    "now_us": float(np.median(us[:, 1])),
                    "ratio": float(np.median(us[:, 1] / us[:, 0])),
                    "same": same(here.answers, other.answers),
                }
            )
    return rows


def print_table(figures: Any) -> None:
    head = ("domains × 5 hypotheses", "before, µs", "now, µs", "now / before", "same answers")
    table(
        head,
        [
            (
                f"{one['domains']} {one['models']}",
                *(f"{one[key]:.1f}" for key in ("before_us", "now_us")),
                f"{one['ratio']:.2f}",
                "yes" if one["same"] else "NO",
            )
            for one in figures["cases"]
        ],
    )


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkout", type=Path, help="folder of the other version's source")
    parser.add_argument("--python", required=True, help="interpreter in which the other version is installed")
    parser.add_argument("--turns", type=int, default=60, help="paired batches a case (%(default)s)")
    parser.add_argument("--quick", action="store_true", help="10 paired batches a case; ends within a minute")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    chosen = parser.parse_args(argv)
    turns = 10 if chosen.quick else chosen.turns
    show(NAME, chosen, {"cases": measured(chosen.checkout, chosen.python, turns)}, print_table)


if __name__ == "__main__":
    main()
